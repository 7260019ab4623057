#include "projects/source.h"

#include <fcntl.h>
#include <sys/file.h>

#include <regex>

#include "base/hash.h"
#include "base/log.h"
#include "base/text.h"
#include "projects/archive.h"
#include "projects/cache_folder.h"
#include "projects/command.h"

namespace tidemill::projects {
namespace {

// Neither asks for a password nor runs what a URL names (ext::).
const std::map<std::string, std::string> kGitVariables = {{"GIT_TERMINAL_PROMPT", "0"},
                                                          {"GIT_ALLOW_PROTOCOL", "file:git:http:https:ssh"},
                                                          {"GIT_LFS_SKIP_SMUDGE", "0"}};

struct Address {
  std::string whole, place, subdir;
};

Result<Address> parse(std::string_view uri) {
  std::string_view text = trim(uri);
  if (text.size() >= 2 && (text.front() == '"' || text.front() == '\'') && text.front() == text.back())
    text = text.substr(1, text.size() - 2);
  Address address{.whole = std::string(text), .place = std::string(text.substr(0, text.find('#')))};
  if (text.find('#') != std::string_view::npos) address.subdir = std::string(text.substr(text.find('#') + 1));
  if (address.place.empty() || address.place[0] == '-')
    return fail(Code::kInvalid, "'{}' is no place of a project", text);
  for (const auto& part : split(address.subdir, '/'))
    if (!address.subdir.empty() && (part.empty() || part == "." || part == ".."))
      return fail(Code::kInvalid,
                  "'{}': the part after # names a folder within the project, without . and ..", text);
  return address;
}

std::optional<fs::path> local_path(const std::string& place) {
  if (place.starts_with("file://")) return fs::path(url_decode(place.substr(7)));
  std::error_code ignored;
  if (fs::exists(place, ignored) || place.find(':') == std::string::npos) return fs::path(place);
  return std::nullopt;
}

Result<fs::path> within(const fs::path& folder, const Address& address) {
  if (address.subdir.empty()) return folder;
  auto inside = path_inside(folder, address.subdir);
  std::error_code ignored;
  if (!inside || !fs::is_directory(*inside, ignored))
    return fail(Code::kInvalid, "Could not find subdirectory {} of {}", address.subdir, address.place);
  return *inside;
}

class GitCheckout {
 public:
  GitCheckout(std::string remote, std::string version, const fs::path& root)
      : remote_(std::move(remote)),
        shown_(without_credentials(remote_)),
        version_(std::move(version)),
        kept_("refs/heads/tidemill-" + sha256_hex(version_).substr(0, 16)),
        folder_(root / sha256_hex(remote_).substr(0, 16)),
        repository_(folder_ / "repository.git"),
        log_(folder_ / "git.log") {}

  Result<Source> get() {
    if (!find_program("git")) return fail(Code::kNotFound, "git is not installed, and {} needs it", shown_);
    if (!version_.empty() && version_[0] == '-') return fail(Code::kInvalid, "'{}' is no version", version_);
    Fd lock = TRY(lock_file(folder_ / "lock",
                            [&] { log_info("{}: another process is fetching it, waiting", shown_); }));
    std::error_code ignored;
    if (!fs::exists(repository_ / "HEAD", ignored))
      TRY(run_long(
          {{"git", "init", "--quiet", "--bare", repository_.string()}, folder_, log_, kGitVariables}));
    const std::string commit = TRY(fetched_commit());
    const fs::path checkout = folder_ / commit;
    if (!fs::exists(checkout / ".git", ignored)) TRY(check_out(commit, checkout));
    Fd in_use = TRY(open_file(folder_ / (commit + ".use"), O_RDWR | O_CREAT));
    Source source{.folder = checkout,
                  .commit = commit,
                  .branch = is_branch() ? version_ : "",
                  .in_use = std::move(in_use)};
    if (flock(source.in_use.get(), LOCK_EX | LOCK_NB) == 0) TRY(clean(checkout));
    flock(source.in_use.get(), LOCK_SH);
    return source;
  }

 private:
  LongCommand git(std::vector<std::string> arguments, const fs::path& folder) const {
    arguments.insert(arguments.begin(), "git");
    return {std::move(arguments), folder, log_, kGitVariables};
  }

  std::optional<std::string> known_commit(const std::string& name) const {
    auto run = run_command({"git", "-C", repository_.string(), "rev-parse", "--verify", "--quiet",
                            "--end-of-options", name + "^{commit}"},
                           std::chrono::seconds(30));
    if (!run || !run->exit.ok()) return std::nullopt;
    return std::string(trim(run->output));
  }

  bool is_branch() const {
    static const std::regex kHash("[0-9a-f]{7,40}");
    if (version_.empty() || std::regex_match(version_, kHash)) return false;
    std::vector<std::string> argv = {"env"};
    for (const auto& [name, value] : kGitVariables) argv.push_back(name + "=" + value);
    argv.insert(argv.end(),
                {"git", "ls-remote", "--exit-code", "--heads", "--", remote_, "refs/heads/" + version_});
    auto run = run_command(argv, std::chrono::seconds(30));
    return run && run->exit.ok();
  }

  // A full hash that is here needs no network. Servers may refuse to give a single commit by a hash, or a
  // short one: then everything is fetched.
  Result<std::string> fetched_commit() {
    static const std::regex kHash("[0-9a-f]{40}");
    if (std::regex_match(version_, kHash))
      if (auto commit = known_commit(version_)) return *commit;
    const std::string wanted = version_.empty() ? "HEAD" : version_;
    log_info("fetching {}{}", shown_, version_.empty() ? "" : " " + version_);
    auto shallow = run_long(git({"fetch", "--quiet", "--force", "--depth", "1", "--no-tags", "--", remote_,
                                 fmt::format("+{}:{}", wanted, kept_)},
                                repository_));
    if (shallow)
      if (auto commit = known_commit(kept_)) return *commit;
    if (!shallow && shallow.error().code == Code::kCancelled) return tl::unexpected(shallow.error());
    auto all = run_long(
        git({"fetch", "--quiet", "--force", "--tags", "--", remote_, "+refs/heads/*:refs/remotes/origin/*"},
            repository_));
    if (!all && all.error().code == Code::kCancelled) return tl::unexpected(all.error());
    for (const auto& name : {wanted, "refs/remotes/origin/" + wanted})
      if (auto commit = all ? known_commit(name) : std::nullopt) return *commit;
    if (auto before = all ? std::nullopt : known_commit(kept_)) {
      log_warning("{} cannot be reached; using commit {} that was fetched before", shown_,
                  before->substr(0, 12));
      return *before;
    }
    if (!all) return tl::unexpected(all.error());
    return fail(
        Code::kInvalid,
        "Unable to checkout version '{}' of git repo {} - please ensure that the version exists in the repo.",
        version_, shown_);
  }

  // A repository of its own, so that the step that runs in it may ask git what it likes.
  Result<> check_out(const std::string& commit, const fs::path& checkout) {
    TRY(run_long(git({"update-ref", kept_, commit}, repository_)));
    TempDir fresh = TRY(TempDir::create(folder_, "checkout-"));
    const fs::path& tree = fresh.path();
    TRY(run_long(git({"init", "--quiet", tree.string()}, folder_)));
    TRY(run_long(git({"remote", "add", "origin", remote_}, tree)));
    TRY(run_long(
        git({"fetch", "--quiet", "--depth", "1", "--update-shallow", repository_.string(), kept_}, tree)));
    TRY(run_long(git({"checkout", "--quiet", "--detach", "FETCH_HEAD"}, tree)));
    TRY(run_long(git({"submodule", "--quiet", "update", "--init", "--recursive"}, tree)));
    std::error_code error;
    fs::rename(tree, checkout, error);
    if (error) return fail(Code::kUnavailable, "cannot make {}: {}", checkout.string(), error.message());
    return {};
  }

  // What an earlier run has left in it.
  Result<> clean(const fs::path& checkout) {
    TRY(run_long(git({"reset", "--quiet", "--hard"}, checkout)));
    return run_long(git({"clean", "--quiet", "-ffdx"}, checkout));
  }

  std::string remote_, shown_, version_;
  std::string kept_;  // the ref that holds what this version was when it was fetched last
  fs::path folder_, repository_, log_;
};

Result<Source> from_git(const Address& address, const std::string& remote, const std::string& version,
                        const fs::path& root) {
  auto fetched = GitCheckout(remote, version, root / "git").get();
  if (!fetched) {
    fetched.error().message = without_credentials(fetched.error().message);
    return fetched;
  }
  Source source = std::move(*fetched);
  source.folder = TRY(within(source.folder, address));
  source.uri = without_credentials(address.whole);
  return source;
}

Result<Source> from_archive(const Address& address, const fs::path& root) {
  Source source{.folder = TRY(unpacked(address.place, root / "archives"))};
  source.folder = TRY(within(source.folder, address));
  source.uri = address.whole;
  return source;
}

bool is_repository(const fs::path& folder) {
  std::error_code ignored;
  return fs::exists(folder / ".git", ignored) || fs::exists(folder / "HEAD", ignored);
}

}  // namespace

Result<fs::path> check_out_anew(const fs::path& repository, const std::string& commit,
                                const fs::path& patch) {
  if (!find_program("git"))
    return fail(Code::kNotFound, "git is not installed, and {} needs it", repository.string());
  const fs::path root = TRY(cache_folder()) / "projects" / "reproduced";
  TRY(make_dirs(root));
  TempDir fresh = TRY(TempDir::create(root, commit.substr(0, 12) + "-"));
  const fs::path tree = fresh.path() / "tree";
  auto git = [&](std::vector<std::string> arguments) -> Result<> {
    arguments.insert(arguments.begin(), "git");
    return run_long({std::move(arguments), fresh.path(), fresh.path() / "git.log", kGitVariables});
  };
  TRY(git({"clone", "--quiet", "--no-checkout", "--shared", "--", repository.string(), tree.string()}));
  if (auto there = git({"-C", tree.string(), "checkout", "--quiet", "--detach", commit}); !there)
    return fail(Code::kNotFound, "{} has no commit {} any more", repository.string(), commit);
  TRY(git({"-C", tree.string(), "submodule", "--quiet", "update", "--init", "--recursive"}));
  if (!patch.empty())
    TRY(git({"-C", tree.string(), "apply", "--binary", "--whitespace=nowarn", fs::absolute(patch).string()}));
  fs::path kept = root / fresh.path().filename().string().append(".tree");
  std::error_code error;
  fs::rename(tree, kept, error);
  if (error) return fail(Code::kUnavailable, "cannot make {}: {}", kept.string(), error.message());
  return kept;
}

Result<Source> fetch(std::string_view uri, const std::string& version) {
  Address address = TRY(parse(uri));
  const auto path = local_path(address.place);
  const bool is_archive = to_lower(address.place).ends_with(".zip");
  if (!version.empty() && (is_archive || (path && !is_repository(*path))))
    return fail(Code::kInvalid, "Setting a version is only supported for Git project URIs, and {} is none",
                address.place);
  std::error_code ignored;
  if (path && !fs::exists(*path, ignored))
    return fail(Code::kInvalid, "there is no {}: give a folder with a pipeline.yaml or an MLproject",
                address.place);
  if (path && !is_archive && version.empty()) {
    // A bare repository has no files to be used in place.
    if (!fs::exists(*path / "HEAD", ignored)) return Source{.folder = TRY(within(*path, address))};
  }
  const fs::path root = TRY(cache_folder()) / "projects";
  if (is_archive) {
    if (path) address.place = fs::absolute(*path).string();
    return from_archive(address, root);
  }
  return from_git(address, path ? "file://" + fs::canonical(*path).string() : address.place, version, root);
}

}  // namespace tidemill::projects
