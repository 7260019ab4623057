#include "artifacts/tree.h"

#include "base/log.h"

namespace tidemill::artifacts {
namespace {

constexpr size_t kMostFiles = 1'000'000;

std::string below(const std::string& folder, const std::string& name) {
  return folder.empty() ? name : folder + "/" + name;
}

Result<> collect(const ArtifactRepository& repository, const std::string& root, const std::string& folder,
                 Tree& tree) {
  for (auto& file : TRY(repository.list(folder.empty() ? root : below(root, folder)))) {
    file.name = below(folder, file.name);
    if (file.is_folder) {
      TRY(collect(repository, root, file.name, tree));
    } else if (file.is_special) {
      tree.left_out.push_back(std::move(file.name));
    } else {
      tree.files.push_back(std::move(file));
    }
    if (tree.files.size() + tree.left_out.size() > kMostFiles)
      return fail(Code::kInvalid, "{} has more than {} files below '{}'", repository.name(), kMostFiles,
                  root);
  }
  return {};
}

}  // namespace

std::string Tree::version() const {
  std::string all;
  for (const auto& file : files) {
    if (file.version.empty()) return "";
    all += fmt::format("{}\n{}\n{}\n", file.name, file.size, file.version);
  }
  return all;
}

uint64_t Tree::bytes() const {
  uint64_t sum = 0;
  for (const auto& file : files) sum += file.size;
  return sum;
}

Result<Tree> tree_at(const ArtifactRepository& repository, const std::string& path) {
  const size_t slash = path.rfind('/');
  const std::string folder = slash == std::string::npos ? "" : path.substr(0, slash);
  const std::string name = path.substr(slash == std::string::npos ? 0 : slash + 1);
  if (!name.empty())
    for (auto& file : TRY(repository.list(folder)))
      if (file.name == name && !file.is_folder && !file.is_special) {
        file.name.clear();
        return Tree{true, {std::move(file)}, {}};
      }
  Tree tree;
  TRY(collect(repository, path, "", tree));
  if (tree.files.empty() && tree.left_out.empty())
    return fail(Code::kNotFound, "{} has nothing at '{}'", repository.name(), path);
  return tree;
}

Result<> download(const ArtifactRepository& repository, const std::string& path, const Tree& tree,
                  const fs::path& target, const std::function<Result<>(uint64_t bytes)>& after_each) {
  for (const auto& name : tree.left_out) log_warning("'{}' is neither a file nor a folder: left out", name);
  for (const auto& file : tree.files) {
    const fs::path place = tree.is_file ? target : target / file.name;
    TRY(make_dirs(place.parent_path()));
    TRY(repository.download(tree.is_file ? path : below(path, file.name), place));
    TRY(after_each(file.size));
  }
  return {};
}

}  // namespace tidemill::artifacts
