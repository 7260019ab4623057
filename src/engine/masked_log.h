// A log without the secrets that a step may print.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/files.h"
#include "base/result.h"

namespace tidemill::engine {

// Replaces secrets in a text that comes in pieces.
class Mask {
 public:
  explicit Mask(std::vector<std::string> secrets);

  // What can be told of the text so far: a piece that may be the beginning of a secret is kept back.
  std::string feed(std::string_view piece);
  // The rest.
  std::string finish();

 private:
  std::vector<std::string> secrets_;  // the longest first
  std::string kept_;
};

// A pipe into a log file, with a thread that masks what goes through it.
class MaskedLog {
 public:
  static Result<MaskedLog> start(const fs::path& log, std::vector<std::string> secrets);
  MaskedLog(MaskedLog&&) noexcept;
  MaskedLog& operator=(MaskedLog&&) noexcept;
  ~MaskedLog();  // finish()

  int input() const;  // for the process's output
  // The process has it now.
  void close_input();
  // Takes what the process has left in the pipe. What it has started and does not belong to its group may
  // still hold the other end, and is not waited for.
  void finish();

 private:
  struct State;
  explicit MaskedLog(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace tidemill::engine
