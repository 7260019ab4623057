// Artifacts in a bucket of S3, below a prefix. Files pass through a temporary file on their way, in constant
// memory.
#pragma once

#include "artifacts/artifact_repository.h"
#include "artifacts/s3_bucket.h"

namespace tidemill::artifacts {

class S3Repository final : public ArtifactRepository {
 public:
  // "s3://bucket/prefix"; see read_aws_config.
  static Result<std::unique_ptr<ArtifactRepository>> open(std::string_view uri);

  std::string name() const override;
  Result<std::unique_ptr<ArtifactRepository>> below(std::string_view folder) const override;
  Result<std::vector<FileInfo>> list(std::string_view folder) const override;
  Result<HttpResponse> answer(const HttpRequest& request, std::string_view path) const override;
  Result<> download(std::string_view path, const fs::path& target) const override;
  Result<> put(std::string_view path, std::string_view bytes) const override;
  Result<> put_file(std::string_view path, const fs::path& source, Source source_afterwards) const override;
  Result<> remove(std::string_view path) const override;
  Result<fs::path> incoming() const override;

  bool presigns() const override { return true; }
  Result<PresignedUpload> begin_upload(std::string_view path, int parts) const override;
  Result<> complete_upload(std::string_view path, const std::string& id,
                           const std::vector<UploadedPart>& parts) const override;
  Result<> abort_upload(std::string_view path, const std::string& id) const override;
  Result<std::string> presigned_upload(std::string_view path, std::chrono::seconds valid) const override;
  Result<PresignedDownload> presigned_download(std::string_view path,
                                               std::chrono::seconds valid) const override;

 private:
  struct Shared {
    std::string bucket_name;
    S3Bucket bucket;
    TempDir incoming;
  };
  S3Repository(std::shared_ptr<const Shared> shared, std::string prefix)
      : shared_(std::move(shared)), prefix_(std::move(prefix)) {}
  Result<std::string> key_of(std::string_view path) const;
  Result<std::string> file_key(std::string_view path) const;

  std::shared_ptr<const Shared> shared_;
  std::string prefix_;  // without a slash at its end
};

}  // namespace tidemill::artifacts
