#include "sys/minder.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <charconv>
#include <csignal>
#include <cstring>

#include "sys/left_out.h"
#include "sys/minded_process.h"

namespace tidemill {
namespace {

// How the process is ended before its time. Signals are read where they are waited for, and interrupt
// nothing.
class Ending {
 public:
  Ending(pid_t group, const itimerval& grace) : group_(group), grace_(grace) {}

  StopCause cause() const { return cause_; }
  void stop(StopCause cause) {
    if (cause_ != StopCause::kNone) return;
    cause_ = cause;
    ::kill(-group_, SIGTERM);
    setitimer(ITIMER_REAL, &grace_, nullptr);
  }
  void on_signal(int signal) {
    if (signal == SIGTERM) return stop(StopCause::kAsked);
    if (signal == SIGALRM && cause_ == StopCause::kNone) return stop(StopCause::kTimeout);
    if (cause_ == StopCause::kNone) cause_ = StopCause::kAsked;
    ::kill(-group_, SIGKILL);
  }

 private:
  pid_t group_;
  const itimerval& grace_;
  StopCause cause_ = StopCause::kNone;
};

// They are blocked all the time.
int signals_to_read() {
  sigset_t set;
  sigemptyset(&set);
  for (int signal : {SIGTERM, SIGALRM, SIGUSR1}) sigaddset(&set, signal);
  return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

void write_fully(int fd, std::string_view bytes) {
  while (!bytes.empty()) {
    ssize_t written = ::write(fd, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return;
    bytes.remove_prefix(static_cast<size_t>(written));
  }
}

// A line of words and numbers.
class Line {
 public:
  Line& operator<<(const char* word) {
    while (*word != '\0' && size_ < sizeof text_) text_[size_++] = *word++;
    return *this;
  }
  Line& operator<<(int64_t number) {
    char digits[24];
    auto [end, error] = std::to_chars(digits, digits + sizeof digits - 1, number);
    *end = '\0';
    return *this << " " << digits;
  }
  size_t size() const { return size_; }
  void write_to(int fd) const { write_fully(fd, {text_, size_}); }

 private:
  char text_[256];
  size_t size_ = 0;
};

int64_t monotonic_us() {
  timespec now{};
  clock_gettime(CLOCK_BOOTTIME, &now);
  return int64_t{now.tv_sec} * 1'000'000 + now.tv_nsec / 1000;
}

int64_t microseconds(const timeval& time) { return int64_t{time.tv_sec} * 1'000'000 + time.tv_usec; }

// The bytes that were there; 0: nobody can write any more; negative: nothing is there just now. A full disk
// costs the log, not the process.
ssize_t pass_on_piece(const MaskedOutput& output) {
  static char piece[Mask::kMostBytes];
  ssize_t got = ::read(output.pipe, piece, sizeof piece);
  if (got > 0) write_fully(output.file, output.mask->feed({piece, static_cast<size_t>(got)}));
  return got < 0 && errno == EINTR ? 1 : got;
}

// A quarter of the limit is kept from the beginning and as much from the end, so that it is long until the
// next time. What the process prints at that very moment may be lost with the rest.
class Bound {
 public:
  explicit Bound(const BoundedOutput& output) : file_(output.file), limit_(output.limit) {}

  bool exists() const { return file_ >= 0 && limit_ > 0; }
  void keep() {
    struct stat now{};
    if (!exists() || fstat(file_, &now) != 0 || now.st_size <= limit_) return;
    const int64_t quarter = limit_ / 4, tail = now.st_size - quarter;
    left_out_ += tail - quarter - notice_size_;
    Line notice;
    notice << kLeftOutBegins << left_out_ << kLeftOutEnds;
    notice_size_ = static_cast<int64_t>(notice.size());
    if (lseek(file_, quarter, SEEK_SET) < 0) return;
    notice.write_to(file_);
    const int64_t end = move(tail, quarter + notice_size_);
    [[maybe_unused]] int ignored = ftruncate(file_, end);
  }

 private:
  int64_t move(int64_t from, int64_t to) {
    static char piece[1 << 16];
    for (;;) {
      ssize_t got = pread(file_, piece, sizeof piece, from);
      if (got < 0 && errno == EINTR) continue;
      if (got <= 0 || pwrite(file_, piece, static_cast<size_t>(got), to) != got) return to;
      from += got;
      to += got;
    }
  }

  int file_;
  int64_t limit_, left_out_ = 0, notice_size_ = 0;
};

constexpr int kBoundMs = 1000;  // between two looks

// Passes on what the process of this pidfd prints, and what its minder is told, until it has ended.
void attend(const MaskedOutput& output, Bound& bound, int process, int signals, Ending& ending) {
  pollfd fds[3] = {
      {output.mask != nullptr ? output.pipe : -1, POLLIN, 0}, {process, POLLIN, 0}, {signals, POLLIN, 0}};
  int64_t looked = monotonic_us();
  while (fds[0].fd >= 0 || fds[1].fd >= 0) {
    const int ready = poll(fds, 3, bound.exists() ? kBoundMs : -1);
    if (ready < 0 && errno != EINTR) return;
    if (ready > 0 && fds[1].revents != 0) return;
    signalfd_siginfo signal{};
    if (ready > 0 && fds[2].revents != 0 && ::read(signals, &signal, sizeof signal) == sizeof signal)
      ending.on_signal(static_cast<int>(signal.ssi_signo));
    if (ready > 0 && fds[0].revents != 0 && pass_on_piece(output) == 0) fds[0].fd = -1;
    if (!bound.exists() || monotonic_us() - looked < kBoundMs * 1000) continue;
    bound.keep();
    looked = monotonic_us();
  }
}

void close_all_but(const int* keep, size_t count) {
  unsigned from = 0;
  for (size_t i = 0; i < count; ++i) {
    auto kept = static_cast<unsigned>(keep[i]);
    if (kept > from) syscall(SYS_close_range, from, kept - 1, 0u);
    from = kept + 1;
  }
  syscall(SYS_close_range, from, ~0u, 0u);
}

// Kills and reaps what is left: programs that have left the group. Those that a killed one leaves become
// children of this process too, so it looks again until there are none.
void end_descendants() {
  char path[64];
  auto [end, error] = std::to_chars(path, path + 16, getpid());
  std::string_view pid(path, static_cast<size_t>(end - path));
  char name[96] = "/proc/self/task/";
  size_t length = std::strlen(name);
  std::memcpy(name + length, pid.data(), pid.size());
  std::memcpy(name + length + pid.size(), "/children", sizeof "/children");
  for (bool again = true; again;) {
    again = false;
    int fd = ::open(name, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return;
    char text[4096];
    ssize_t got = ::read(fd, text, sizeof text - 1);
    ::close(fd);
    const char* at = text;
    const char* stop = text + std::max<ssize_t>(got, 0);
    while (at < stop) {
      pid_t child = 0;
      auto [next, bad] = std::from_chars(at, stop, child);
      // A number at the very end may have been cut off; it is whole the next time.
      if (bad != std::errc() || next == stop) break;
      ::kill(child, SIGKILL);
      again = waitpid(child, nullptr, 0) == child || again;
      at = next + 1;
    }
  }
}

// Returns once the program runs. When it cannot be started, that is written down, and the minder ends.
pid_t start_minded(MinderSetup& setup) {
  int report[2];
  pid_t pid = -1;
  int error = 0;
  if (pipe2(report, O_CLOEXEC) == 0) {
    setup.child.parent = getpid();
    setup.child.report = report[1];
    // This process waits until the other has its own memory: nothing is copied for it.
    pid = vfork();
    if (pid == 0) run_child(setup.child);
    error = errno;
    ::close(report[1]);
    if (pid > 0 && ::read(report[0], &error, sizeof error) != sizeof error) return pid;
  } else {
    error = errno;
  }
  if (pid > 0) waitpid(pid, nullptr, 0);
  (Line() << "failed" << int64_t{error} << "\n").write_to(setup.record);
  _exit(0);
}

// SIGKILL to everything in the group.
void kill_group(const MinderGroup& group) {
  if (group.kill == nullptr) return;
  int fd = ::open(group.kill, O_WRONLY | O_CLOEXEC);
  if (fd < 0) return;
  write_fully(fd, "1");
  ::close(fd);
}

// How many processes of the group the kernel has killed for want of memory. Removes the group.
int64_t close_group(const MinderGroup& group) {
  if (group.events == nullptr) return 0;
  int64_t kills = 0;
  char text[1024];
  int fd = ::open(group.events, O_RDONLY | O_CLOEXEC);
  if (fd >= 0) {
    ssize_t got = ::read(fd, text, sizeof text);
    ::close(fd);
    constexpr std::string_view kCounter = "oom_kill ";
    std::string_view read(text, static_cast<size_t>(std::max<ssize_t>(got, 0)));
    if (size_t at = read.find(kCounter); at != std::string_view::npos)
      std::from_chars(read.data() + at + kCounter.size(), read.data() + read.size(), kills);
  }
  // What was killed may take a moment to be gone.
  const timespec moment{.tv_sec = 0, .tv_nsec = 1'000'000};
  for (int i = 0; i < 1000 && ::rmdir(group.folder) != 0 && errno == EBUSY; ++i) nanosleep(&moment, nullptr);
  return kills;
}

// Runs a program to its end, or until its time is up.
void run_briefly(ChildSetup& setup, int seconds) {
  setup.parent = getpid();
  setup.report = -1;
  setup.input = setup.output = setup.errors = ::open("/dev/null", O_RDWR);
  pid_t pid = vfork();
  if (pid == 0) run_child(setup);
  ::close(setup.input);
  if (pid < 0) return;
  pollfd ended{static_cast<int>(syscall(SYS_pidfd_open, pid, 0)), POLLIN, 0};
  if (poll(&ended, 1, seconds * 1000) <= 0) ::kill(pid, SIGKILL);
  while (waitpid(pid, nullptr, 0) < 0 && errno == EINTR) {
  }
}

}  // namespace

void mind(MinderSetup& setup) {
  setsid();
  prctl(PR_SET_CHILD_SUBREAPER, 1);
  if (setup.ends_with_starter) prctl(PR_SET_PDEATHSIG, SIGTERM);
  const int64_t started = monotonic_us();
  const pid_t pid = start_minded(setup);
  Ending ending(pid, setup.grace);
  close_all_but(setup.keep_open, setup.keep_count);
  (Line() << "running" << int64_t{getpid()} << int64_t{pid} << "\n").write_to(setup.record);
  setitimer(ITIMER_REAL, &setup.timeout, nullptr);
  if (setup.ends_with_starter && getppid() != setup.starter) ending.stop(StopCause::kAsked);

  Bound bound(setup.bounded);
  attend(setup.output, bound, static_cast<int>(syscall(SYS_pidfd_open, pid, 0)), signals_to_read(), ending);
  siginfo_t info{};
  while (waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED | WNOWAIT) < 0 && errno == EINTR) {
  }
  ::kill(-pid, SIGKILL);  // what it leaves running in its group ends with it
  int status = 0;
  rusage usage{};
  while (wait4(pid, &status, 0, &usage) < 0 && errno == EINTR) {
  }
  kill_group(setup.group);
  end_descendants();
  const int64_t out_of_memory = close_group(setup.group);
  if (setup.clean_up.program != nullptr && (ending.cause() != StopCause::kNone || WIFSIGNALED(status)))
    run_briefly(setup.clean_up, kCleaningSeconds);
  if (setup.output.mask != nullptr) {
    while (pass_on_piece(setup.output) > 0) {
    }
    write_fully(setup.output.file, setup.output.mask->finish());
  }
  bound.keep();
  (Line() << "ended" << int64_t{status} << static_cast<int64_t>(ending.cause())
          << microseconds(usage.ru_utime) << microseconds(usage.ru_stime) << int64_t{usage.ru_maxrss}
          << monotonic_us() - started << out_of_memory << "\n")
      .write_to(setup.record);
  _exit(0);
}

}  // namespace tidemill
