// What a terminal can do, and progress for long work: a bar with rate and time left where there is a
// terminal, a plain line now and then where there is none.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/files.h"

namespace tidemill {

bool is_terminal(int fd);     // and TERM is not "dumb"
int terminal_width(int fd);   // columns, 80 when unknown
int terminal_height(int fd);  // rows, 24 when unknown
// Colour on fd: NO_COLOR, CLICOLOR_FORCE and whether it is a terminal decide.
bool use_colour(int fd);
enum class Style { kBold, kDim, kRed, kGreen, kYellow, kCyan };
std::string styled(std::string_view text, Style style, bool enabled);
// Columns that the text takes: UTF-8 code points, without escape sequences.
size_t display_width(std::string_view text);
// Its beginning, when it takes more columns than that; the last column says so then: "…". Escape sequences
// are not cut.
std::string cut_to_width(std::string_view text, int width);
// A line that a program has printed, fit to stand among others: what a carriage return has left of it,
// without escape sequences and control characters, in UTF-8.
std::string plain_line(std::string_view line);

// A table without borders: columns two spaces apart, numbers to the right. Rows may be shorter than the
// header.
class Table {
 public:
  explicit Table(std::vector<std::string> header) : header_(std::move(header)) {}
  void add(std::vector<std::string> row) { rows_.push_back(std::move(row)); }
  std::string to_string() const;  // empty string when there are no rows

 private:
  std::vector<std::string> header_;
  std::vector<std::vector<std::string>> rows_;
};

// What one piece of work has done, as a program tells whoever runs it.
struct ProgressState {
  std::string label;
  std::string unit;  // "": done and total are no amounts of anything, only their ratio is shown
  std::string note;
  uint64_t done = 0;
  uint64_t total = 0;  // 0: not known
  double seconds = 0;  // since its start

  // "train  [#####.....] 45 %  12 000 / 50 000 images  410 images/s  1 min 32 s left  loss 1.23", cut to
  // width.
  std::string bar(int width) const;
};
// The file that TIDEMILL_PROGRESS_FILE named for a child; nullopt when there is nothing to read (yet).
std::optional<ProgressState> read_progress(const fs::path& file);
Result<> write_progress(const fs::path& file, const ProgressState& state);

// Progress of one piece of work on stderr. Thread-safe. When TIDEMILL_PROGRESS_FILE names a file, the state
// is also written there as one JSON object {"label","unit","note","done","total","seconds"}, replaced in one
// step some ten times a second: `tidemill run` shows it.
class Progress {
 public:
  // unit: "images", "bytes" (printed as MB), ...; total 0: not known.
  Progress(std::string label, uint64_t total, std::string unit);
  ~Progress();  // finishes the line
  void advance(uint64_t by);
  void set(uint64_t done);
  // Shown behind the rate: "loss 1.234".
  void note(std::string text);
  // Ends with one plain line: label, total, time, rate. Called by the destructor otherwise.
  void finish();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace tidemill
