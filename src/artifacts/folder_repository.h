// Artifacts in a folder of this machine.
#pragma once

#include "artifacts/artifact_repository.h"

namespace tidemill::artifacts {

// Symbolic links that lead out are refused as paths that do.
class FolderRepository final : public ArtifactRepository {
 public:
  static constexpr std::string_view kIncoming = ".incoming";  // the folder of incoming()

  explicit FolderRepository(fs::path root) : root_(std::move(root)) {}

  const fs::path& root() const { return root_; }
  // Where the file lies. kNotFound.
  Result<fs::path> find(std::string_view path) const;

  std::string name() const override { return root_.string(); }
  Result<std::unique_ptr<ArtifactRepository>> below(std::string_view folder) const override;
  Result<std::vector<FileInfo>> list(std::string_view folder) const override;
  Result<HttpResponse> answer(const HttpRequest& request, std::string_view path) const override;
  Result<> download(std::string_view path, const fs::path& target) const override;
  Result<> put(std::string_view path, std::string_view bytes) const override;
  Result<> put_file(std::string_view path, const fs::path& source, Source source_afterwards) const override;
  Result<> remove(std::string_view path) const override;
  // On the same file system; not listed.
  Result<fs::path> incoming() const override;

 private:
  Result<fs::path> resolve(std::string_view path) const;
  Result<fs::path> make_place(std::string_view path) const;

  fs::path root_;
};

// Whether path is root or below it, with symbolic links resolved for the parts that exist.
bool lies_in(const fs::path& path, const fs::path& root);

// The local folder that an artifact URI names: a path or file:///path; nullopt for every other scheme.
std::optional<fs::path> local_folder(std::string_view artifact_uri);
// The same, and for mlflow-artifacts:/ URIs the place in the folder that lies behind them ("": there is
// none).
std::optional<fs::path> local_folder(std::string_view artifact_uri, const fs::path& destination);

}  // namespace tidemill::artifacts
