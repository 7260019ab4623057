// Artifacts that a tracking server passes on: the files behind its mlflow-artifacts:/ URIs.
#pragma once

#include "artifacts/artifact_repository.h"
#include "exchange/mlflow_api.h"

namespace tidemill::exchange {

class ServerRepository final : public artifacts::ArtifactRepository {
 public:
  // root: the path that mlflow-artifacts:/ URIs begin with here, "" for everything.
  static Result<std::unique_ptr<ArtifactRepository>> open(std::shared_ptr<MlflowApi> api, std::string root);

  std::string name() const override;
  Result<std::unique_ptr<ArtifactRepository>> below(std::string_view folder) const override;
  Result<std::vector<artifacts::FileInfo>> list(std::string_view folder) const override;
  Result<HttpResponse> answer(const HttpRequest& request, std::string_view path) const override;
  Result<> download(std::string_view path, const fs::path& target) const override;
  Result<> put(std::string_view path, std::string_view bytes) const override;
  Result<> put_file(std::string_view path, const fs::path& source, Source source_afterwards) const override;
  Result<> remove(std::string_view path) const override;
  Result<fs::path> incoming() const override { return scratch_->path(); }

 private:
  ServerRepository(std::shared_ptr<MlflowApi> api, std::string root, std::shared_ptr<const TempDir> scratch)
      : api_(std::move(api)), root_(std::move(root)), scratch_(std::move(scratch)) {}
  Result<std::string> place_of(std::string_view path) const;

  std::shared_ptr<MlflowApi> api_;
  std::string root_;  // without a slash at its end
  std::shared_ptr<const TempDir> scratch_;
};

}  // namespace tidemill::exchange
