#include "sys/minded_process.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <csignal>
#include <cstring>
#include <optional>
#include <thread>

#include "base/text.h"
#include "sys/child.h"
#include "sys/mask.h"

namespace tidemill {
namespace {

using std::chrono::milliseconds;

// --- The minder: only async-signal-safe calls, in the forked child of a program with threads ---

// What its signal handlers reach. Each minder is a process with its own.
volatile sig_atomic_t minded_group = 0;
volatile sig_atomic_t stop_cause = 0;
itimerval grace_time{};

void stop_minded(StopCause cause) {
  if (stop_cause != 0) return;
  stop_cause = static_cast<sig_atomic_t>(cause);
  ::kill(-minded_group, SIGTERM);
  setitimer(ITIMER_REAL, &grace_time, nullptr);
}

extern "C" void on_minder_signal(int signal) {
  int saved_errno = errno;
  if (signal == SIGTERM) {
    stop_minded(StopCause::kAsked);
  } else if (signal == SIGALRM && stop_cause == 0) {
    stop_minded(StopCause::kTimeout);
  } else {
    if (stop_cause == 0) stop_cause = static_cast<sig_atomic_t>(StopCause::kAsked);
    ::kill(-minded_group, SIGKILL);
  }
  errno = saved_errno;
}

constexpr int kHandled[] = {SIGTERM, SIGALRM, SIGUSR1};

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

// What the process prints comes through a pipe, and goes into its output file.
struct MaskedOutput {
  int pipe, file;  // pipe: reading does not block
  Mask* mask;      // nullptr: the process writes to its file itself
};

// The bytes that were there; 0: nobody can write any more; negative: nothing is there just now. A full disk
// costs the log, not the process.
ssize_t pass_on_piece(const MaskedOutput& output) {
  static char piece[Mask::kMostBytes];
  ssize_t got = ::read(output.pipe, piece, sizeof piece);
  if (got > 0) write_fully(output.file, output.mask->feed({piece, static_cast<size_t>(got)}));
  return got < 0 && errno == EINTR ? 1 : got;
}

// Until the process of this pidfd has ended.
void pass_on_output(const MaskedOutput& output, int process) {
  pollfd fds[2] = {{output.pipe, POLLIN, 0}, {process, POLLIN, 0}};
  while (fds[0].fd >= 0 || fds[1].fd >= 0) {
    if (poll(fds, 2, -1) < 0) {
      if (errno == EINTR) continue;
      return;
    }
    if (fds[1].revents != 0) return;
    if (pass_on_piece(output) == 0) fds[0].fd = -1;
  }
}

// Paths in the control group of the process; nullptr when it has none.
struct MinderGroup {
  const char* folder = nullptr;
  const char* kill = nullptr;
  const char* events = nullptr;
};

struct MinderSetup {
  ChildSetup child;
  ChildSetup clean_up;  // program: nullptr when there is nothing to do
  MinderGroup group;
  MaskedOutput output;
  const int* keep_open;  // ascending
  size_t keep_count;
  int record;
  pid_t starter;
  bool ends_with_starter;
  itimerval timeout, grace;  // timeout: zero for none
};

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

void catch_minder_signals() {
  struct sigaction action{};
  action.sa_handler = on_minder_signal;
  action.sa_flags = SA_RESTART;
  sigfillset(&action.sa_mask);
  for (int signal : kHandled) sigaction(signal, &action, nullptr);
}

void block(bool blocked) {
  sigset_t set;
  sigemptyset(&set);
  for (int signal : kHandled) sigaddset(&set, signal);
  sigprocmask(blocked ? SIG_BLOCK : SIG_UNBLOCK, &set, nullptr);
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

// The minder's whole life. All signals are blocked when it begins.
[[noreturn]] void mind(MinderSetup& setup) {
  setsid();
  prctl(PR_SET_CHILD_SUBREAPER, 1);
  if (setup.ends_with_starter) prctl(PR_SET_PDEATHSIG, SIGTERM);
  catch_minder_signals();
  const int64_t started = monotonic_us();
  const pid_t pid = start_minded(setup);
  minded_group = pid;
  grace_time = setup.grace;
  close_all_but(setup.keep_open, setup.keep_count);
  (Line() << "running" << int64_t{getpid()} << int64_t{pid} << "\n").write_to(setup.record);
  setitimer(ITIMER_REAL, &setup.timeout, nullptr);
  block(false);
  if (setup.ends_with_starter && getppid() != setup.starter) stop_minded(StopCause::kAsked);

  if (setup.output.mask != nullptr)
    pass_on_output(setup.output, static_cast<int>(syscall(SYS_pidfd_open, pid, 0)));
  siginfo_t info{};
  while (waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED | WNOWAIT) < 0 && errno == EINTR) {
  }
  block(true);
  ::kill(-pid, SIGKILL);  // what it leaves running in its group ends with it
  int status = 0;
  rusage usage{};
  while (wait4(pid, &status, 0, &usage) < 0 && errno == EINTR) {
  }
  kill_group(setup.group);
  end_descendants();
  const int64_t out_of_memory = close_group(setup.group);
  if (setup.clean_up.program != nullptr && (stop_cause != 0 || WIFSIGNALED(status)))
    run_briefly(setup.clean_up, kCleaningSeconds);
  if (setup.output.mask != nullptr) {
    while (pass_on_piece(setup.output) > 0) {
    }
    write_fully(setup.output.file, setup.output.mask->finish());
  }
  (Line() << "ended" << int64_t{status} << int64_t{stop_cause} << microseconds(usage.ru_utime)
          << microseconds(usage.ru_stime) << int64_t{usage.ru_maxrss} << monotonic_us() - started
          << out_of_memory << "\n")
      .write_to(setup.record);
  _exit(0);
}

// --- The starter ---

itimerval timer(milliseconds time) {
  // A timer of zero would never ring.
  int64_t us = std::max<int64_t>(1, time.count() * 1000);
  return {.it_interval = {}, .it_value = {.tv_sec = us / 1'000'000, .tv_usec = us % 1'000'000}};
}

struct flock whole_file() {
  struct flock lock{};
  lock.l_type = F_WRLCK;
  lock.l_whence = SEEK_SET;
  return lock;
}

// The fields of the record's line that begins with this word; empty when there is none, or only a part.
std::vector<int64_t> fields_of(const fs::path& record, std::string_view word) {
  std::string text = read_file(record, 4096).value_or("");
  size_t complete = text.rfind('\n');
  if (complete == std::string::npos) return {};
  for (const auto& line : split(std::string_view(text).substr(0, complete), '\n')) {
    std::vector<std::string> words = split(line, ' ');
    if (words[0] != word) continue;
    std::vector<int64_t> numbers;
    for (size_t i = 1; i < words.size(); ++i) {
      int64_t number = 0;
      auto [end, error] = std::from_chars(words[i].data(), words[i].data() + words[i].size(), number);
      if (error != std::errc() || end != words[i].data() + words[i].size()) return {};
      numbers.push_back(number);
    }
    return numbers;
  }
  return {};
}

struct Running {
  pid_t minder = -1, group = -1;
};
std::optional<Running> read_running(const fs::path& record) {
  std::vector<int64_t> fields = fields_of(record, "running");
  if (fields.size() != 2 || fields[0] <= 1 || fields[1] <= 1) return std::nullopt;
  return Running{static_cast<pid_t>(fields[0]), static_cast<pid_t>(fields[1])};
}

bool is_locked(const Fd& record) {
  struct flock lock = whole_file();
  return fcntl(record.get(), F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
}

// All signals blocked while it exists, so that a minder begins with them blocked.
class SignalsBlocked {
 public:
  SignalsBlocked() {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before_);
  }
  ~SignalsBlocked() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }

 private:
  sigset_t before_;
};

}  // namespace

struct MindedProcess::State {
  fs::path record;
  pid_t minder = -1;
  Fd pidfd;
  bool is_child = true;

  bool has_ended(int timeout_ms) const {
    pollfd ended{pidfd.get(), POLLIN, 0};
    int ready = 0;
    while ((ready = poll(&ended, 1, timeout_ms)) < 0 && errno == EINTR) {
    }
    return ready > 0;
  }
  void signal(int number) const {
    if (!has_ended(0)) syscall(SYS_pidfd_send_signal, pidfd.get(), number, nullptr, 0u);
  }
  // A minder that was killed has left the group of what it minded.
  ~State() {
    if (minder < 0) return;
    signal(SIGUSR1);
    has_ended(-1);
    if (is_child) waitpid(minder, nullptr, 0);
    if (read_end(record)) return;
    if (auto running = read_running(record)) ::kill(-running->group, SIGKILL);
  }
};

MindedProcess::MindedProcess(std::unique_ptr<State> state) : state_(std::move(state)) {}
MindedProcess::MindedProcess(MindedProcess&&) noexcept = default;
MindedProcess& MindedProcess::operator=(MindedProcess&&) noexcept = default;
MindedProcess::~MindedProcess() = default;

Result<MindedProcess> MindedProcess::start(const ProcessOptions& options, const Minding& minding) {
  if (options.argv.empty()) return fail(Code::kInvalid, "no program to start");
  fs::path program = TRY(resolve_program(options.argv[0]));
  if (!options.working_dir.empty() && !fs::is_directory(options.working_dir))
    return tl::unexpected<Error>(start_error(program, options, ENOENT));
  Streams streams = TRY(Streams::open(options));
  Fd record = TRY(open_file(minding.record, O_RDWR | O_CREAT | O_EXCL));
  struct flock lock = whole_file();
  if (fcntl(record.get(), F_OFD_SETLK, &lock) != 0)
    return tl::unexpected<Error>(errno_error("lock " + minding.record.string(), errno));
  CStrings argv{options.argv, {}}, clean_up{minding.clean_up, {}};
  CStrings env = child_environment(options);
  Fd group;
  if (!minding.control_group.empty())
    group = TRY(open_file(minding.control_group / "cgroup.procs", O_WRONLY));
  const fs::path group_kill = minding.control_group / "cgroup.kill",
                 group_events = minding.control_group / "memory.events";
  fs::path clean_up_program;
  if (!minding.clean_up.empty()) clean_up_program = TRY(resolve_program(minding.clean_up[0]));
  std::vector<int> keep = minding.keep_open;
  keep.push_back(record.get());
  std::optional<Mask> mask;
  Fd pipe_read, pipe_write;
  if (!minding.secrets.empty() && streams.output_file) {
    int pipe[2];
    if (pipe2(pipe, O_CLOEXEC) != 0) return tl::unexpected<Error>(errno_error("pipe", errno));
    pipe_read.reset(pipe[0]);
    pipe_write.reset(pipe[1]);
    fcntl(pipe_read.get(), F_SETFL, O_NONBLOCK);
    streams.output = streams.errors = pipe_write.get();
    mask.emplace(minding.secrets);
    keep.push_back(pipe_read.get());
    keep.push_back(streams.output_file.get());
  }
  std::sort(keep.begin(), keep.end());

  MinderSetup setup{
      .child = {.program = program.c_str(),
                .argv = argv.array(),
                .env = env.array(),
                .working_dir = options.working_dir.empty() ? nullptr : options.working_dir.c_str(),
                .input = streams.input,
                .output = streams.output,
                .errors = streams.errors,
                .new_group = true,
                .parent = -1,
                .report = -1,
                .control_group = group.get()},
      .clean_up = {.program = minding.clean_up.empty() ? nullptr : clean_up_program.c_str(),
                   .argv = clean_up.array(),
                   .env = env.array(),
                   .working_dir = nullptr,
                   .input = -1,
                   .output = -1,
                   .errors = -1,
                   .new_group = true,
                   .parent = -1,
                   .report = -1},
      .group = group ? MinderGroup{minding.control_group.c_str(), group_kill.c_str(), group_events.c_str()}
                     : MinderGroup{},
      .output = {pipe_read.get(), streams.output_file.get(), mask ? &*mask : nullptr},
      .keep_open = keep.data(),
      .keep_count = keep.size(),
      .record = record.get(),
      .starter = getpid(),
      .ends_with_starter = minding.survival == Minding::Survival::kEndsWithStarter,
      .timeout = minding.timeout ? timer(*minding.timeout) : itimerval{},
      .grace = timer(minding.grace)};
  auto state = std::make_unique<State>();
  state->record = minding.record;
  {
    SignalsBlocked blocked;
    pid_t pid = fork();
    if (pid < 0) return tl::unexpected<Error>(errno_error("fork", errno));
    if (pid == 0) mind(setup);
    state->minder = pid;
  }
  state->pidfd = Fd(static_cast<int>(syscall(SYS_pidfd_open, state->minder, 0)));
  return MindedProcess(std::move(state));
}

Result<std::optional<MindedProcess>> MindedProcess::find(const fs::path& record) {
  auto opened = open_file(record, O_RDWR);
  if (!opened && opened.error().code == Code::kNotFound) return std::nullopt;
  Fd file = TRY(std::move(opened));
  for (int i = 0; is_locked(file); ++i) {
    if (auto running = read_running(record)) {
      auto state = std::make_unique<State>();
      state->record = record;
      state->pidfd = Fd(static_cast<int>(syscall(SYS_pidfd_open, running->minder, 0)));
      // Still locked, it is still this process that has the number.
      if (!state->pidfd || !is_locked(file)) return std::nullopt;
      state->minder = running->minder;
      state->is_child =
          waitid(P_PIDFD, static_cast<id_t>(state->pidfd.get()), nullptr, WEXITED | WNOHANG | WNOWAIT) == 0;
      return MindedProcess(std::move(state));
    }
    // It has been forked just now, and writes its number next.
    if (i == 5000)
      return fail(Code::kInternal, "{} is locked, and does not say by which process", record.string());
    std::this_thread::sleep_for(milliseconds(1));
  }
  return std::nullopt;
}

int MindedProcess::pidfd() const { return state_->pidfd.get(); }
bool MindedProcess::has_ended() const { return state_->has_ended(0); }
void MindedProcess::wait() const { state_->has_ended(-1); }
void MindedProcess::stop() { state_->signal(SIGTERM); }
void MindedProcess::kill() { state_->signal(SIGUSR1); }

bool is_minded(const fs::path& record) {
  auto file = open_file(record, O_RDWR);
  return file && is_locked(*file);
}

std::optional<pid_t> minder_of(const fs::path& record) {
  auto running = read_running(record);
  if (!running || !is_minded(record)) return std::nullopt;
  return running->minder;
}

bool was_minded(const fs::path& record) { return read_running(record).has_value(); }

std::optional<MindedEnd> read_end(const fs::path& record) {
  std::vector<int64_t> failed = fields_of(record, "failed");
  if (failed.size() == 1) return MindedEnd{.exit = {}, .start_errno = static_cast<int>(failed[0])};
  std::vector<int64_t> fields = fields_of(record, "ended");
  if (fields.size() != 6 && fields.size() != 7) return std::nullopt;  // 6: of an earlier version
  auto seconds = [](int64_t us) { return static_cast<double>(us) * 1e-6; };
  MindedEnd end{.exit = exit_from(static_cast<int>(fields[0]), {}),
                .stopped = static_cast<StopCause>(std::clamp<int64_t>(fields[1], 0, 2)),
                .seconds = seconds(fields[5]),
                .out_of_memory = fields.size() == 7 && fields[6] > 0,
                .start_errno = 0};
  end.exit.user_seconds = seconds(fields[2]);
  end.exit.system_seconds = seconds(fields[3]);
  end.exit.max_resident_bytes = static_cast<uint64_t>(std::max<int64_t>(fields[4], 0)) * 1024;
  return end;
}

}  // namespace tidemill
