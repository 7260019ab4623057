#include "spool.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>

#include "base/id.h"
#include "base/time.h"

namespace tidemill::sdk {
namespace {

constexpr std::string_view kMagic = "tidemill-spool 1 ";
constexpr std::string_view kEnding = ".spool";
constexpr size_t kDigits = 20;
constexpr size_t kOffsetLine = kMagic.size() + kDigits + 1;

std::string offset_line(uint64_t offset) { return fmt::format("{}{:020}\n", kMagic, offset); }

Error io_error(std::string_view what, const fs::path& path) {
  return errno_error(fmt::format("{} {}", what, path.string()), errno);
}

// The line at an offset without its end; nullopt when the file ends before the line does.
Result<std::optional<std::string>> line_at(const Fd& file, const fs::path& path, uint64_t offset) {
  std::string line(4096, '\0');
  size_t have = 0;
  for (;;) {
    ssize_t got =
        ::pread(file.get(), line.data() + have, line.size() - have, static_cast<off_t>(offset + have));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return tl::unexpected<Error>(io_error("read", path));
    if (got == 0) return std::nullopt;
    size_t end = line.find('\n', have);
    have += static_cast<size_t>(got);
    if (end < have) return line.substr(0, end);
    if (have > Spool::kMaxBytes)
      return fail(Code::kInvalid, "{}: a line at byte {} is too long", path.string(), offset);
    if (have == line.size()) line.resize(line.size() * 2);
  }
}

std::string env(const char* name) {
  const char* value = std::getenv(name);
  return value ? value : "";
}

}  // namespace

Spool::Spool(fs::path folder, std::string server, std::string run_id)
    : folder_(std::move(folder)), server_(std::move(server)), run_id_(std::move(run_id)) {}

fs::path Spool::default_folder() {
  if (std::string folder = env("TIDEMILL_SPOOL_DIR"); !folder.empty()) return folder;
  if (std::string state = env("XDG_STATE_HOME"); !state.empty())
    return fs::path(state) / "tidemill" / "spool";
  if (std::string home = env("HOME"); !home.empty()) return fs::path(home) / ".local/state/tidemill/spool";
  std::error_code error;
  return fs::temp_directory_path(error) / fmt::format("tidemill-spool-{}", ::getuid());
}

// It gets its name once it is locked and can be read, so that no other program meets half of it.
Result<> Spool::create() {
  std::error_code error;
  if (!fs::exists(folder_, error)) {
    TRY(make_dirs(folder_));
    if (::chmod(folder_.c_str(), 0700) != 0) return tl::unexpected<Error>(io_error("chmod", folder_));
  }
  // By time, so that a listing is in the order of the runs.
  fs::path path = folder_ / fmt::format("{}-{:016x}{}", now_ms(), random_u64(), kEnding);
  fs::path unnamed = fs::path(path) += ".new";
  Fd file = TRY(open_file(unnamed, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, 0600));
  std::string names = dump_json(Json{{"tracking_uri", server_}, {"run_id", run_id_}}) + "\n";
  uint64_t start = kOffsetLine + names.size();
  Result<> made = write_all(file, offset_line(start) + names);
  if (made && (::flock(file.get(), LOCK_EX | LOCK_NB) != 0 || ::rename(unnamed.c_str(), path.c_str()) != 0))
    made = tl::unexpected<Error>(io_error("create", path));
  if (!made) {
    fs::remove(unnamed, error);
    return made;
  }
  path_ = std::move(path);
  file_ = std::move(file);
  sent_ = end_ = start;
  return {};
}

Result<> Spool::append(const LogBatch& batch) {
  if (!file_) TRY(create());
  std::string line = dump_json(to_json(batch)) + "\n";
  if (end_ + line.size() > kMaxBytes)
    return fail(Code::kUnavailable, "{} has reached {} MiB", path_.string(), kMaxBytes >> 20);
  if (::lseek(file_.get(), static_cast<off_t>(end_), SEEK_SET) < 0)
    return tl::unexpected<Error>(io_error("write", path_));
  auto written = write_all(file_, line);
  if (written) {
    end_ += line.size();
    return {};
  }
  // Half a line that cannot be cut off is written over by the next batch, or not read.
  [[maybe_unused]] int ignored = ::ftruncate(file_.get(), static_cast<off_t>(end_));
  return tl::unexpected<Error>(std::move(written).error().in(path_.string()));
}

Result<LogBatch> Spool::front() {
  auto line = TRY(line_at(file_, path_, sent_));
  if (!line) return fail(Code::kInvalid, "{} was cut off", path_.string());
  front_bytes_ = line->size() + 1;
  return batch_from_json(TRY_IN(path_.string(), parse_json(*line)));
}

Result<> Spool::pop() {
  sent_ += std::exchange(front_bytes_, 0);
  if (empty()) {
    std::error_code error;
    fs::remove(path_, error);
    file_.reset();
    sent_ = end_ = 0;
    return {};
  }
  std::string line = offset_line(sent_);
  if (::pwrite(file_.get(), line.data(), line.size(), 0) != static_cast<ssize_t>(line.size()))
    return tl::unexpected<Error>(io_error("write", path_));
  return {};
}

void Spool::set_aside() {
  fs::path aside = path_;
  std::error_code error;
  fs::rename(path_, aside.replace_extension(".damaged"), error);
  file_.reset();
  sent_ = end_ = 0;
}

std::vector<fs::path> Spool::files(const fs::path& folder) {
  std::vector<fs::path> paths;
  std::error_code error;
  for (fs::directory_iterator entry(folder, error), none; !error && entry != none; entry.increment(error))
    if (entry->path().extension() == kEnding) paths.push_back(entry->path());
  std::sort(paths.begin(), paths.end());
  return paths;
}

Result<Spool> Spool::open(const fs::path& path, const std::string& server) {
  Spool spool(path.parent_path(), server, "");
  spool.path_ = path;
  spool.file_ = TRY(open_file(path, O_RDWR | O_NOFOLLOW));
  struct stat about{};
  if (::fstat(spool.file_.get(), &about) != 0 || !S_ISREG(about.st_mode) || about.st_uid != ::getuid())
    return fail(Code::kConflict, "{} is not a file of this user", path.string());
  if (::flock(spool.file_.get(), LOCK_EX | LOCK_NB) != 0)
    return fail(Code::kConflict, "{} is in use", path.string());
  // Whoever had the lock before may have sent everything and removed the file.
  if (std::error_code error; !fs::exists(path, error))
    return fail(Code::kConflict, "{} has been sent", path.string());
  TRY_IN(path.string(), spool.load(static_cast<uint64_t>(about.st_size)));
  return spool;
}

Result<> Spool::load(uint64_t size) {
  auto first = TRY(line_at(file_, path_, 0));
  if (!first || first->size() + 1 != kOffsetLine || !first->starts_with(kMagic))
    return fail(Code::kInvalid, "not a spool file");
  std::from_chars(first->data() + kMagic.size(), first->data() + first->size(), sent_);
  auto names = TRY(line_at(file_, path_, kOffsetLine));
  if (!names) return fail(Code::kInvalid, "cut off");
  Json header = TRY(parse_json(*names));
  if (json_string(header, "tracking_uri") != server_) return fail(Code::kConflict, "of another server");
  run_id_ = json_string(header, "run_id");
  uint64_t first_batch = kOffsetLine + names->size() + 1;
  if (run_id_.empty() || sent_ < first_batch || sent_ > size) return fail(Code::kInvalid, "damaged");
  for (end_ = sent_; end_ < std::min(size, kMaxBytes);) {
    auto line = TRY(line_at(file_, path_, end_));
    if (!line) break;
    end_ += line->size() + 1;
  }
  return {};
}

}  // namespace tidemill::sdk
