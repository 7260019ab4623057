#include "cli/secret.h"

#include <termios.h>
#include <unistd.h>

#include <cstdlib>
#include <iostream>

#include "sys/terminal.h"

namespace tidemill::cli {
namespace {

// Switches the terminal's echo off while it lives.
class Unseen {
 public:
  Unseen() {
    changed_ = tcgetattr(STDIN_FILENO, &before_) == 0;
    termios quiet = before_;
    quiet.c_lflag &= ~static_cast<tcflag_t>(ECHO);
    if (changed_) tcsetattr(STDIN_FILENO, TCSAFLUSH, &quiet);
  }
  ~Unseen() {
    if (changed_) tcsetattr(STDIN_FILENO, TCSAFLUSH, &before_);
  }
  Unseen(const Unseen&) = delete;
  Unseen& operator=(const Unseen&) = delete;

 private:
  termios before_{};
  bool changed_ = false;
};

std::string ask(const std::string& prompt) {
  fmt::print(stderr, "{}: ", prompt);
  std::string line;
  {
    Unseen unseen;
    std::getline(std::cin, line);
  }
  fmt::print(stderr, "\n");
  return line;
}

}  // namespace

Result<std::string> read_new_secret(const char* variable, const std::string& prompt) {
  if (const char* value = std::getenv(variable)) return std::string(value);
  std::string secret;
  if (::isatty(STDIN_FILENO)) {
    secret = ask(prompt);
    if (ask("Once more") != secret) return fail(Code::kInvalid, "the two are not the same");
  } else {
    std::getline(std::cin, secret);
    if (secret.ends_with('\r')) secret.pop_back();
  }
  if (secret.empty())
    return fail(Code::kInvalid, "nothing came from stdin; give it there or in {}", variable);
  return secret;
}

}  // namespace tidemill::cli
