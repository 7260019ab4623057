#include "exchange/folder.h"

#include <algorithm>

#include "artifacts/folder_repository.h"
#include "base/text.h"

namespace tidemill::exchange {

constexpr int kMostLevels = 64;

static bool is_absent(const std::error_code& error) {
  return error.value() == ENOENT || error.value() == ENOTDIR;
}

Result<std::vector<std::string>> subfolders(const fs::path& folder) {
  std::vector<std::string> names;
  std::error_code error;
  for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
    std::error_code unreadable;
    if (it->is_directory(unreadable)) names.push_back(it->path().filename().string());
  }
  if (error && !is_absent(error))
    return tl::unexpected<Error>(errno_error("list " + folder.string(), error.value()));
  std::sort(names.begin(), names.end());
  return names;
}

Result<std::string> read_plain_file(const fs::path& file, uint64_t max_bytes) {
  std::error_code error;
  fs::file_status status = fs::symlink_status(file, error);
  if (status.type() == fs::file_type::not_found)
    return fail(Code::kNotFound, "{}: no such file", file.string());
  if (status.type() != fs::file_type::regular)
    return fail(Code::kInvalid, "{}: not a plain file", file.string());
  return read_file(file, max_bytes);
}

namespace {

class Walk {
 public:
  Walk(const fs::path& root, Report& report) : root_(root), report_(report) {}

  Result<std::vector<FoundFile>> files() {
    TRY(add(root_, "", 0));
    std::sort(files_.begin(), files_.end(),
              [](const FoundFile& a, const FoundFile& b) { return a.path < b.path; });
    return std::move(files_);
  }

 private:
  Result<> add(const fs::path& folder, const std::string& prefix, int level) {
    if (level > kMostLevels) {
      report_.problem(folder.string(), fmt::format("more than {} levels of folders", kMostLevels));
      return {};
    }
    std::error_code error;
    for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error))
      TRY(add_entry(*it, prefix, level));
    if (error && !is_absent(error)) report_.problem(folder.string(), errno_error("list", error.value()));
    return {};
  }

  Result<> add_entry(const fs::directory_entry& entry, const std::string& prefix, int level) {
    std::string name = entry.path().filename().string(), path = prefix + name;
    if (!is_utf8(name)) {
      report_.problem(folder_of(prefix), "a file whose name is not UTF-8");
      return {};
    }
    std::error_code error;
    fs::file_status status = entry.symlink_status(error);
    if (status.type() == fs::file_type::directory) return add(entry.path(), path + "/", level + 1);
    if (status.type() == fs::file_type::symlink) {
      bool inside = artifacts::lies_in(entry.path(), root_);
      if (inside && fs::is_regular_file(entry.path(), error))
        files_.push_back({path, entry.path()});
      else
        report_.problem(
            entry.path().string(),
            "a symbolic link that does not lead to a file in the same folder; it is not followed");
    } else if (status.type() == fs::file_type::regular) {
      files_.push_back({path, entry.path()});
    } else {
      report_.problem(entry.path().string(), "neither a file nor a folder");
    }
    return {};
  }

  std::string folder_of(const std::string& prefix) const { return (root_ / prefix).string(); }

  const fs::path& root_;
  Report& report_;
  std::vector<FoundFile> files_;
};

}  // namespace

Result<std::vector<FoundFile>> files_below(const fs::path& folder, Report& report) {
  return Walk(folder, report).files();
}

Result<> local_files(const std::string& artifact_uri, const fs::path& served, const FileSink& sink,
                     Report& report) {
  std::optional<fs::path> folder = artifacts::local_folder(artifact_uri, served);
  if (!folder) return fail(Code::kNotFound, "not a folder of this machine");
  std::error_code error;
  if (!fs::exists(*folder, error) && report.folders_missing++ == 0) report.first_missing = folder->string();
  for (const FoundFile& found : TRY(files_below(*folder, report)))
    TRY(sink({.path = found.path,
              .size = fs::file_size(found.file, error),
              .written = fs::last_write_time(found.file, error),
              .fetch = [&]() -> Result<fs::path> { return found.file; }}));
  return {};
}

}  // namespace tidemill::exchange
