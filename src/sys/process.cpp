#include "sys/process.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <thread>

#include "sys/child.h"

namespace tidemill {
namespace {

struct Child {
  pid_t pid;
  Fd pidfd;
};

Result<Child> spawn(const ProcessOptions& options, const Streams& streams) {
  if (options.argv.empty()) return fail(Code::kInvalid, "no program to start");
  fs::path program = TRY(resolve_program(options.argv[0]));
  CStrings argv{options.argv, {}};
  CStrings env = child_environment(options);
  int report[2];
  if (pipe2(report, O_CLOEXEC) != 0) return tl::unexpected<Error>(errno_error("pipe", errno));
  Fd report_read(report[0]), report_write(report[1]);

  ChildSetup setup{.program = program.c_str(),
                   .argv = argv.array(),
                   .env = env.array(),
                   .working_dir = options.working_dir.empty() ? nullptr : options.working_dir.c_str(),
                   .input = streams.input,
                   .output = streams.output,
                   .errors = streams.errors,
                   .new_group = options.new_group,
                   .parent = getpid(),
                   .report = report_write.get()};
  pid_t pid = fork();
  if (pid < 0) return tl::unexpected<Error>(errno_error("fork", errno));
  if (pid == 0) run_child(setup);
  if (options.new_group) setpgid(pid, pid);  // in both: whoever comes first wins
  report_write.reset();

  int error = 0;
  if (::read(report_read.get(), &error, sizeof error) == sizeof error) {
    waitpid(pid, nullptr, 0);
    return tl::unexpected<Error>(start_error(program, options, error));
  }
  return Child{pid, Fd(static_cast<int>(syscall(SYS_pidfd_open, pid, 0)))};
}

}  // namespace

std::string Exit::describe() const {
  if (signal != 0) return fmt::format("killed by SIG{}", sigabbrev_np(signal) ? sigabbrev_np(signal) : "?");
  return fmt::format("exit status {}", status);
}

struct Process::State {
  pid_t pid = -1;
  Fd pidfd;
  bool group = true;
  std::optional<Exit> exit;

  void signal_all(int signal) const {
    if (group) {
      ::kill(-pid, signal);
    } else if (!exit) {
      ::kill(pid, signal);
    }
  }

  // Members of the group outlive their leader; none may be left behind.
  ~State() {
    if (pid < 0) return;
    signal_all(SIGKILL);
    if (!exit) waitpid(pid, nullptr, 0);
  }
};

Process::Process(std::unique_ptr<State> state) : state_(std::move(state)) {}
Process::Process(Process&&) noexcept = default;
Process& Process::operator=(Process&&) noexcept = default;
Process::~Process() = default;

Result<Process> Process::start(const ProcessOptions& options) {
  Streams streams = TRY(Streams::open(options));
  Child child = TRY(spawn(options, streams));
  auto state = std::make_unique<State>();
  state->pid = child.pid;
  state->pidfd = std::move(child.pidfd);
  state->group = options.new_group;
  return Process(std::move(state));
}

pid_t Process::pid() const { return state_->pid; }
int Process::pidfd() const { return state_->pidfd.get(); }

std::optional<Exit> Process::wait_for(std::chrono::milliseconds timeout) {
  if (state_->exit) return state_->exit;
  pollfd ended{state_->pidfd.get(), POLLIN, 0};
  auto deadline = std::chrono::steady_clock::now() + timeout;
  for (;;) {
    auto left =
        std::chrono::duration_cast<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
    int ready = poll(&ended, 1, static_cast<int>(std::max<int64_t>(0, left.count())));
    if (ready > 0) break;
    if (ready == 0) return std::nullopt;
  }
  int status = 0;
  rusage usage{};
  while (wait4(state_->pid, &status, 0, &usage) < 0 && errno == EINTR) {
  }
  state_->exit = exit_from(status, usage);
  return state_->exit;
}

Exit Process::wait() {
  for (;;)
    if (auto exit = wait_for(std::chrono::hours(1))) return *exit;
}

void Process::signal_group(int signal) { state_->signal_all(signal); }

Exit Process::stop(std::chrono::milliseconds grace) {
  signal_group(SIGTERM);
  auto exit = wait_for(grace);
  signal_group(SIGKILL);  // also for grandchildren that outlived the leader
  return exit ? *exit : wait();
}

Result<Captured> run_command(const ProcessOptions& options, std::chrono::milliseconds timeout,
                             size_t max_bytes) {
  int out[2], err[2];
  if (pipe2(out, O_CLOEXEC) != 0 || pipe2(err, O_CLOEXEC) != 0)
    return tl::unexpected<Error>(errno_error("pipe", errno));
  Fd out_read(out[0]), out_write(out[1]), err_read(err[0]), err_write(err[1]);
  Fd null = TRY(open_file("/dev/null", O_RDONLY));
  Child child =
      TRY(spawn(options, {.input = null.get(), .output = out_write.get(), .errors = err_write.get()}));
  out_write.reset();
  err_write.reset();
  auto state = std::make_unique<Process::State>();
  state->pid = child.pid;
  state->pidfd = std::move(child.pidfd);

  Captured captured;
  auto deadline = std::chrono::steady_clock::now() + timeout;
  struct Stream {
    Fd* fd;
    std::string* text;
  };
  std::array<Stream, 2> streams{Stream{&out_read, &captured.output}, Stream{&err_read, &captured.errors}};
  while (out_read || err_read) {
    auto left =
        std::chrono::duration_cast<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
    if (left.count() <= 0)
      return fail(Code::kTimeout, "{} did not end within {} ms", options.argv[0], timeout.count());
    std::array<pollfd, 2> polled{pollfd{out_read.get(), POLLIN, 0}, pollfd{err_read.get(), POLLIN, 0}};
    if (poll(polled.data(), polled.size(), static_cast<int>(left.count())) <= 0) continue;
    for (size_t i = 0; i < streams.size(); ++i) {
      if (polled[i].revents == 0) continue;
      char buffer[1 << 14];
      ssize_t got = ::read(streams[i].fd->get(), buffer, sizeof buffer);
      if (got < 0 && errno == EINTR) continue;
      if (got <= 0) {
        streams[i].fd->reset();
      } else {
        size_t room = max_bytes - std::min(max_bytes, streams[i].text->size());
        streams[i].text->append(buffer, std::min(room, static_cast<size_t>(got)));
      }
    }
  }
  Process process(std::move(state));
  auto left =
      std::chrono::duration_cast<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
  auto exit = process.wait_for(std::max(left, std::chrono::milliseconds(0)));
  if (!exit) return fail(Code::kTimeout, "{} did not end within {} ms", options.argv[0], timeout.count());
  captured.exit = *exit;
  return captured;
}

std::optional<fs::path> find_program(std::string_view name) {
  const char* path = std::getenv("PATH");
  std::string_view folders = path != nullptr ? path : "/usr/local/bin:/usr/bin:/bin";
  while (!folders.empty()) {
    size_t end = std::min(folders.find(':'), folders.size());
    fs::path candidate = fs::path(folders.substr(0, end)) / name;
    std::error_code ignored;
    if (end > 0 && fs::is_regular_file(candidate, ignored) && access(candidate.c_str(), X_OK) == 0)
      return fs::absolute(candidate);
    folders.remove_prefix(std::min(end + 1, folders.size()));
  }
  return std::nullopt;
}

}  // namespace tidemill
