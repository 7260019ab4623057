#include "sys/minded_process.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <csignal>
#include <optional>
#include <thread>

#include "base/text.h"
#include "sys/child.h"
#include "sys/mask.h"
#include "sys/minder.h"

namespace tidemill {
namespace {

using std::chrono::milliseconds;

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
  Fd bounded;
  if (minding.output_limit > 0 && !options.output_file.empty()) {
    bounded = TRY(open_file(options.output_file, O_RDWR));
    keep.push_back(bounded.get());
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
      .bounded = {bounded.get(), static_cast<int64_t>(minding.output_limit)},
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
