#include "exchange/server_repository.h"

#include <algorithm>

#include "base/id.h"

namespace tidemill::exchange {

using artifacts::ArtifactRepository;
using artifacts::FileInfo;

Result<std::unique_ptr<ArtifactRepository>> ServerRepository::open(std::shared_ptr<MlflowApi> api,
                                                                   std::string root) {
  auto scratch = std::make_shared<const TempDir>(TRY(TempDir::create()));
  return std::unique_ptr<ArtifactRepository>(
      new ServerRepository(std::move(api), std::move(root), std::move(scratch)));
}

std::string ServerRepository::name() const { return fmt::format("{} {}", api_->name(), root_); }

Result<std::string> ServerRepository::place_of(std::string_view path) const {
  TRY(artifacts::check_path(path));
  if (path.empty()) return root_;
  return root_.empty() ? std::string(path) : fmt::format("{}/{}", root_, path);
}

Result<std::unique_ptr<ArtifactRepository>> ServerRepository::below(std::string_view folder) const {
  std::string root = TRY(place_of(folder));
  return std::unique_ptr<ArtifactRepository>(new ServerRepository(api_, std::move(root), scratch_));
}

Result<std::vector<FileInfo>> ServerRepository::list(std::string_view folder) const {
  std::vector<FileInfo> files;
  for (const MlflowApi::Listed& listed : TRY(api_->list_artifacts(TRY(place_of(folder)))))
    files.push_back({listed.name.substr(listed.name.rfind('/') + 1), listed.is_folder, listed.size});
  std::sort(files.begin(), files.end(), [](const FileInfo& a, const FileInfo& b) { return a.name < b.name; });
  return files;
}

Result<HttpResponse> ServerRepository::answer(const HttpRequest& request, std::string_view path) const {
  fs::path passing = scratch_->path() / fmt::format("get-{:016x}", random_u64());
  TRY(download(path, passing));
  auto response = HttpResponse::file(request, passing);  // holds the file open
  std::error_code ignored;
  fs::remove(passing, ignored);
  return response;
}

Result<> ServerRepository::download(std::string_view path, const fs::path& target) const {
  return api_->download(TRY(place_of(path)), target);
}

Result<> ServerRepository::put(std::string_view path, std::string_view bytes) const {
  fs::path passing = scratch_->path() / fmt::format("put-{:016x}", random_u64());
  TRY(write_file_atomic(passing, bytes, Durable::no));
  return put_file(path, passing, Source::kMove);
}

Result<> ServerRepository::put_file(std::string_view path, const fs::path& source,
                                    Source source_afterwards) const {
  TRY(api_->upload(TRY(place_of(path)), source));
  std::error_code ignored;
  if (source_afterwards == Source::kMove) fs::remove(source, ignored);
  return {};
}

Result<> ServerRepository::remove(std::string_view path) const {
  return api_->remove_artifact(TRY(place_of(path)));
}

}  // namespace tidemill::exchange
