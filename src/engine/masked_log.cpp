#include "engine/masked_log.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <thread>

namespace tidemill::engine {
namespace {

constexpr std::string_view kStars = "***";

}  // namespace

Mask::Mask(std::vector<std::string> secrets) : secrets_(std::move(secrets)) {
  std::erase_if(secrets_, [](const std::string& secret) { return secret.empty(); });
  std::sort(secrets_.begin(), secrets_.end(),
            [](const std::string& a, const std::string& b) { return a.size() > b.size(); });
}

std::string Mask::feed(std::string_view piece) {
  kept_ += piece;
  std::string out;
  std::string_view rest = kept_;
  while (!rest.empty()) {
    auto whole = std::find_if(secrets_.begin(), secrets_.end(),
                              [&](const std::string& secret) { return rest.starts_with(secret); });
    bool may_go_on = std::any_of(secrets_.begin(), whole, [&](const std::string& secret) {
      return rest.size() < secret.size() && std::string_view(secret).starts_with(rest);
    });
    if (may_go_on) break;
    if (whole != secrets_.end()) {
      out += kStars;
      rest.remove_prefix(whole->size());
    } else {
      out += rest[0];
      rest.remove_prefix(1);
    }
  }
  kept_ = std::string(rest);
  return out;
}

std::string Mask::finish() {
  std::string rest = std::exchange(kept_, {});
  // The beginning of a longer secret may hold a shorter one.
  std::vector<std::string> shorter;
  for (const auto& secret : secrets_)
    if (secret.size() <= rest.size()) shorter.push_back(secret);
  if (shorter.empty()) return rest;
  Mask mask(std::move(shorter));
  std::string out = mask.feed(rest);
  return out + mask.finish();
}

struct MaskedLog::State {
  explicit State(std::vector<std::string> secrets) : mask(std::move(secrets)) {}

  Mask mask;
  Fd read_end, write_end, log, stop;
  std::thread thread;

  void run() {
    std::array<char, 16384> buffer;
    pollfd fds[2] = {{read_end.get(), POLLIN, 0}, {stop.get(), POLLIN, 0}};
    for (;;) {
      fds[0].revents = fds[1].revents = 0;
      if (poll(fds, 2, -1) < 0 && errno != EINTR) break;
      ssize_t count = ::read(read_end.get(), buffer.data(), buffer.size());
      if (count > 0) {
        // A full disk loses the log, not the step.
        (void)write_all(log, mask.feed({buffer.data(), static_cast<size_t>(count)}));
      } else if (count == 0 || (errno != EAGAIN && errno != EINTR) || (fds[1].revents & POLLIN) != 0) {
        break;
      }
    }
    (void)write_all(log, mask.finish());
  }
};

MaskedLog::MaskedLog(std::unique_ptr<State> state) : state_(std::move(state)) {}
MaskedLog::MaskedLog(MaskedLog&&) noexcept = default;
MaskedLog& MaskedLog::operator=(MaskedLog&& other) noexcept {
  finish();
  state_ = std::move(other.state_);
  return *this;
}
MaskedLog::~MaskedLog() { finish(); }

Result<MaskedLog> MaskedLog::start(const fs::path& log, std::vector<std::string> secrets) {
  auto state = std::make_unique<State>(std::move(secrets));
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return tl::unexpected<Error>(errno_error("make a pipe", errno));
  state->read_end.reset(ends[0]);
  state->write_end.reset(ends[1]);
  fcntl(ends[0], F_SETFL, O_NONBLOCK);
  state->log = TRY(open_file(log, O_WRONLY | O_CREAT | O_APPEND));
  state->stop.reset(eventfd(0, EFD_CLOEXEC));
  if (!state->stop) return tl::unexpected<Error>(errno_error("make an event", errno));
  state->thread = std::thread([raw = state.get()] { raw->run(); });
  return MaskedLog(std::move(state));
}

int MaskedLog::input() const { return state_->write_end.get(); }
void MaskedLog::close_input() { state_->write_end.reset(); }

void MaskedLog::finish() {
  if (state_ == nullptr || !state_->thread.joinable()) return;
  state_->write_end.reset();
  uint64_t one = 1;
  [[maybe_unused]] ssize_t written = ::write(state_->stop.get(), &one, sizeof one);
  state_->thread.join();
}

}  // namespace tidemill::engine
