#include "engine/git.h"

#include "base/text.h"
#include "sys/process.h"

namespace tidemill::engine {
namespace {

constexpr size_t kMostPaths = 1'000, kMostDiffBytes = 4 << 20;

// nullopt when it fails or is larger than that.
std::optional<std::string> git(const fs::path& folder, const std::vector<std::string>& arguments,
                               size_t max_bytes = 1 << 20) {
  std::vector<std::string> argv = {"git", "-C", folder.string()};
  argv.insert(argv.end(), arguments.begin(), arguments.end());
  auto run = run_command(argv, std::chrono::seconds(10), max_bytes + 1);
  if (!run || !run->exit.ok() || run->output.size() > max_bytes) return std::nullopt;
  return std::move(run->output);
}

// Where git keeps what belongs to a work tree, and what all work trees of a repository share.
struct GitFolders {
  fs::path own, common;
};
GitFolders git_folders(const fs::path& root) {
  fs::path own = root / ".git";
  auto link = read_file(own, 1 << 12);  // of a further work tree, or a submodule: "gitdir: PATH"
  if (link && link->starts_with("gitdir: ")) own = root / trim(std::string_view(*link).substr(8));
  auto common = read_file(own / "commondir", 1 << 12);
  return {own, common ? own / trim(*common) : own};
}

bool is_commit(std::string_view text) {
  return text.size() >= 40 && text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

// The commit that HEAD stands for, from the files; "" when it is not kept in them.
std::string head_of(const GitFolders& git) {
  auto head = read_file(git.own / "HEAD", 1 << 12);
  if (!head) return "";
  std::string_view text = trim(*head);
  if (!text.starts_with("ref: ")) return is_commit(text) ? std::string(text) : "";
  std::string name(text.substr(5));
  if (auto ref = read_file(git.common / name, 1 << 12); ref && is_commit(trim(*ref)))
    return std::string(trim(*ref));
  auto packed = read_file(git.common / "packed-refs", 64 << 20);
  if (!packed) return "";
  size_t at = packed->find(" " + name + "\n");
  if (at == std::string::npos) return "";
  size_t line = packed->rfind('\n', at) + 1;
  std::string commit = packed->substr(line, at - line);
  return is_commit(commit) ? commit : "";
}

// remote.origin.url; nullopt when the file alone does not tell.
std::optional<std::string> remote_in(const fs::path& config) {
  auto text = read_file(config, 1 << 20);
  if (!text || text->find("[include") != std::string::npos) return std::nullopt;
  bool within = false;
  std::string url;
  for (const auto& line : split(*text, '\n')) {
    std::string_view entry = trim(line);
    if (entry.starts_with("[")) within = entry == R"([remote "origin"])";
    size_t equals = entry.find('=');
    if (!within || equals == std::string_view::npos || trim(entry.substr(0, equals)) != "url") continue;
    url = trim(entry.substr(equals + 1));
    if (url.find_first_of("\"\\#;") != std::string::npos) return std::nullopt;
  }
  return url;
}

// As everybody may read it in the record.
std::string remote_of(const fs::path& root) {
  auto url = remote_in(git_folders(root).common / "config");
  return without_credentials(url ? *url
                                 : trim(git(root, {"config", "--get", "remote.origin.url"}).value_or("")));
}

// Of `git status --porcelain=v2 --branch -z`.
void read_status(std::string_view status, GitWork& work) {
  bool renamed = false;  // the entry is the former path of a renamed file
  for (const auto& entry : split(status, '\0')) {
    if (std::exchange(renamed, false) || entry.size() < 3) continue;
    if (entry.starts_with("# branch.oid ")) work.commit = entry.substr(13);
    if (entry.starts_with("# branch.head ")) work.branch = entry.substr(14);
    if (entry.starts_with("? ") && work.untracked.size() < kMostPaths)
      work.untracked.push_back(entry.substr(2));
    renamed = entry.starts_with("2 ");
    const int fields = entry.starts_with("1 ") ? 8 : renamed ? 9 : entry.starts_with("u ") ? 10 : 0;
    size_t at = 0;
    for (int i = 0; i < fields && at != std::string::npos; ++i) at = entry.find(' ', at + 1);
    if (fields > 0 && at != std::string::npos && work.changed.size() < kMostPaths)
      work.changed.push_back(entry.substr(at + 1));
  }
}

}  // namespace

std::optional<fs::path> git_root(const fs::path& folder) {
  std::error_code ignored;
  for (fs::path at = folder;; at = at.parent_path()) {
    if (fs::exists(at / ".git", ignored)) return at;
    if (at == at.parent_path()) return std::nullopt;
  }
}

std::optional<GitState> git_state(const fs::path& folder) {
  auto root = git_root(folder);
  if (!root) return std::nullopt;
  std::string commit = head_of(git_folders(*root));
  if (commit.empty()) commit = trim(git(*root, {"rev-parse", "HEAD"}).value_or(""));
  if (!is_commit(commit)) return std::nullopt;
  return GitState{root->string(), commit, remote_of(*root)};
}

std::optional<GitWork> git_work(const fs::path& folder, const std::vector<fs::path>& kept_out) {
  auto root = git_root(folder);
  if (!root) return std::nullopt;
  auto status =
      git(*root, {"status", "--porcelain=v2", "--branch", "-z", "--untracked-files=normal"}, 8 << 20);
  if (!status) return std::nullopt;
  GitWork work{.root = root->string()};
  read_status(*status, work);
  if (!is_commit(work.commit)) return std::nullopt;
  work.remote = remote_of(*root);
  if (work.changed.empty()) return work;
  std::vector<std::string> arguments = {"diff",
                                        "HEAD",
                                        "--binary",
                                        "--no-color",
                                        "--no-ext-diff",
                                        "--no-textconv",
                                        "--src-prefix=a/",
                                        "--dst-prefix=b/",
                                        "--",
                                        "."};
  for (const auto& file : kept_out) {
    fs::path relative = file.lexically_relative(*root);
    if (!relative.empty() && *relative.begin() != "..")
      arguments.push_back(":(exclude,literal)" + relative.string());
  }
  auto diff = git(*root, arguments, kMostDiffBytes);
  work.diff_is_whole = diff.has_value();
  work.diff = diff.value_or("");
  return work;
}

}  // namespace tidemill::engine
