#include "artifacts/artifact_repository.h"

#include "artifacts/folder_repository.h"
#include "artifacts/s3_repository.h"
#include "base/text.h"

namespace tidemill::artifacts {
namespace {

// Whatever comes out when others decode the path once more, or again, must be harmless too.
bool climbs_out(std::string_view path) {
  std::string current(path);
  for (int round = 0; round < 8; ++round) {
    for (const std::string& part : split(current, '/'))
      if (part == "..") return true;
    std::string decoded = url_decode(current);
    if (decoded == current) return false;
    current = std::move(decoded);
  }
  return true;
}

tl::unexpected<Error> not_presigned(const ArtifactRepository& repository) {
  return fail(Code::kInvalid, "{} has no URLs for others", repository.name());
}

}  // namespace

Result<PresignedUpload> ArtifactRepository::begin_upload(std::string_view, int) const {
  return not_presigned(*this);
}
Result<> ArtifactRepository::complete_upload(std::string_view, const std::string&,
                                             const std::vector<UploadedPart>&) const {
  return not_presigned(*this);
}
Result<> ArtifactRepository::abort_upload(std::string_view, const std::string&) const {
  return not_presigned(*this);
}
Result<std::string> ArtifactRepository::presigned_upload(std::string_view, std::chrono::seconds) const {
  return not_presigned(*this);
}
Result<PresignedDownload> ArtifactRepository::presigned_download(std::string_view,
                                                                 std::chrono::seconds) const {
  return not_presigned(*this);
}

Result<std::unique_ptr<ArtifactRepository>> open_repository(const std::string& place) {
  if (is_s3(place)) return S3Repository::open(place);
  if (auto folder = local_folder(place)) return std::make_unique<FolderRepository>(*folder);
  return fail(Code::kInvalid, "artifacts at '{}' cannot be read by this program: it knows folders and s3://",
              place);
}

Result<> check_path(std::string_view path) {
  bool good = !climbs_out(path) && !path.starts_with('/') && path.find('\\') == std::string_view::npos &&
              path.find('\0') == std::string_view::npos;
  if (!path.empty())
    for (const std::string& part : split(path, '/')) good = good && !part.empty() && part != ".";
  if (good) return {};
  return fail(Code::kInvalid, "Invalid path");
}

bool is_s3(std::string_view uri) { return uri.starts_with("s3://"); }

std::optional<std::string> proxied_path(std::string_view artifact_uri) {
  constexpr std::string_view kScheme = "mlflow-artifacts:";
  if (!artifact_uri.starts_with(kScheme)) return std::nullopt;
  artifact_uri.remove_prefix(kScheme.size());
  if (artifact_uri.starts_with("//"))
    artifact_uri.remove_prefix(std::min(artifact_uri.find('/', 2), artifact_uri.size()));
  while (artifact_uri.starts_with('/')) artifact_uri.remove_prefix(1);
  while (artifact_uri.ends_with('/')) artifact_uri.remove_suffix(1);
  return std::string(artifact_uri);
}

}  // namespace tidemill::artifacts
