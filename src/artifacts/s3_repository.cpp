#include "artifacts/s3_repository.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>

#include "base/id.h"

namespace tidemill::artifacts {
namespace {

constexpr int kMaxParts = 10'000;

tl::unexpected<Error> not_found(std::string_view path) {
  return fail(Code::kNotFound, "No such artifact: '{}'", path);
}

// A file that is gone when the last descriptor is closed.
class Passing {
 public:
  explicit Passing(fs::path file) : file_(std::move(file)) {}
  ~Passing() { ::unlink(file_.c_str()); }
  Passing(const Passing&) = delete;
  Passing& operator=(const Passing&) = delete;
  const fs::path& path() const { return file_; }

 private:
  fs::path file_;
};

uint64_t number_in(std::string_view text) {
  uint64_t value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

// Where the body of a 206 begins: "bytes 100-199/1000".
uint64_t offset_of(const ClientResponse& from) {
  std::string_view range = from.headers.get("Content-Range");
  return from.status == 206 && range.starts_with("bytes ") ? number_in(range.substr(6)) : 0;
}

Headers passed_on(const HttpRequest& request) {
  Headers headers;
  // Whether an If-Range holds is not known here: then the whole file is right too.
  if (request.headers.has("Range") && !request.headers.has("If-Range"))
    headers.add("Range", std::string(request.headers.get("Range")));
  if (request.headers.has("If-None-Match"))
    headers.add("If-None-Match", std::string(request.headers.get("If-None-Match")));
  return headers;
}

HttpResponse head_of(const ClientResponse& from, std::string_view path) {
  HttpResponse response;
  response.status = from.status;
  for (const char* name : {"ETag", "Content-Range"})
    if (from.headers.has(name)) response.headers.add(name, std::string(from.headers.get(name)));
  response.headers.add("Accept-Ranges", "bytes");
  response.headers.add("Content-Type", std::string(content_type_of(path)));
  return response;
}

}  // namespace

Result<std::unique_ptr<ArtifactRepository>> S3Repository::open(std::string_view uri) {
  constexpr std::string_view kScheme = "s3://";
  uri.remove_prefix(kScheme.size());
  std::string bucket(uri.substr(0, uri.find('/')));
  if (bucket.empty())
    return fail(Code::kInvalid, "s3://{}: the bucket is missing, as in s3://bucket/prefix", uri);
  std::string_view prefix = uri.substr(bucket.size());
  while (prefix.starts_with('/')) prefix.remove_prefix(1);
  while (prefix.ends_with('/')) prefix.remove_suffix(1);
  TRY_IN(fmt::format("s3://{}", uri), check_path(prefix));
  AwsConfig config = TRY(read_aws_config(process_environment()));
  auto opened = TRY(S3Bucket::open(bucket, std::move(config)));
  TempDir scratch = TRY(TempDir::create({}, "tidemill-s3-"));
  auto shared = std::make_shared<const Shared>(Shared{bucket, std::move(opened), std::move(scratch)});
  return std::unique_ptr<ArtifactRepository>(new S3Repository(std::move(shared), std::string(prefix)));
}

std::string S3Repository::name() const { return fmt::format("s3://{}/{}", shared_->bucket_name, prefix_); }

Result<std::string> S3Repository::key_of(std::string_view path) const {
  while (path.ends_with('/')) path.remove_suffix(1);
  TRY(check_path(path));
  if (path.empty()) return prefix_;
  return prefix_.empty() ? std::string(path) : fmt::format("{}/{}", prefix_, path);
}

Result<std::string> S3Repository::file_key(std::string_view path) const {
  if (path.empty() || path.ends_with('/')) return fail(Code::kInvalid, "Invalid path");
  return key_of(path);
}

Result<std::unique_ptr<ArtifactRepository>> S3Repository::below(std::string_view folder) const {
  return std::unique_ptr<ArtifactRepository>(new S3Repository(shared_, TRY(key_of(folder))));
}

Result<std::vector<FileInfo>> S3Repository::list(std::string_view folder) const {
  std::string prefix = TRY(key_of(folder));
  if (!prefix.empty()) prefix += '/';
  std::vector<FileInfo> files;
  std::string next;
  do {
    S3Listing page = TRY(shared_->bucket.list(prefix, "/", next));
    for (const auto& object : page.objects)  // some programs put an empty object where a folder is
      if (object.key.size() > prefix.size()) {
        files.push_back({object.key.substr(prefix.size()), false, object.size});
        files.back().version = object.etag;
        if (object.written) files.back().written = std::chrono::file_clock::from_sys(*object.written);
      }
    for (const std::string& inner : page.prefixes)
      if (inner.size() > prefix.size() + 1)
        files.push_back({inner.substr(prefix.size(), inner.size() - prefix.size() - 1), true, 0});
    next = page.next;
  } while (!next.empty());
  std::sort(files.begin(), files.end(), [](const FileInfo& a, const FileInfo& b) { return a.name < b.name; });
  return files;
}

Result<HttpResponse> S3Repository::answer(const HttpRequest& request, std::string_view path) const {
  std::string key = TRY(key_of(path));
  if (path.empty()) return not_found(path);
  if (request.method == "HEAD") {
    auto found = shared_->bucket.head(key);
    if (!found)
      return found.error().code == Code::kNotFound ? not_found(path) : tl::unexpected<Error>(found.error());
    HttpResponse response = head_of(*found, path);
    response.body = FileBody{Fd(), 0, number_in(found->headers.get("Content-Length"))};
    return response;
  }
  Passing passing(shared_->incoming.path() / fmt::format("get-{:016x}", random_u64()));
  auto got = shared_->bucket.get(key, passed_on(request), passing.path());
  if (!got && got.error().code == Code::kNotFound) return not_found(path);
  if (!got && got.error().code == Code::kInvalid && request.headers.has("Range"))
    return HttpResponse::text(416, "The range lies outside the file.\n");
  if (!got) return tl::unexpected<Error>(std::move(got).error());
  HttpResponse response = head_of(*got, path);
  if (got->status == 304) return response;
  Fd file = TRY(open_file(passing.path(), O_RDONLY));
  off_t end = lseek(file.get(), 0, SEEK_END);
  uint64_t offset = offset_of(*got);
  response.body = FileBody{std::move(file), offset, static_cast<uint64_t>(std::max<off_t>(end, 0)) - offset};
  return response;
}

Result<> S3Repository::download(std::string_view path, const fs::path& target) const {
  auto got = shared_->bucket.get(TRY(file_key(path)), {}, target);
  if (got) return {};
  return got.error().code == Code::kNotFound ? Result<>(not_found(path)) : tl::unexpected<Error>(got.error());
}

Result<> S3Repository::put(std::string_view path, std::string_view bytes) const {
  return shared_->bucket.put(TRY(file_key(path)), bytes);
}

Result<> S3Repository::put_file(std::string_view path, const fs::path& source,
                                Source source_afterwards) const {
  TRY(shared_->bucket.put_file(TRY(file_key(path)), source));
  if (source_afterwards == Source::kMove) ::unlink(source.c_str());
  return {};
}

Result<> S3Repository::remove(std::string_view path) const {
  std::string key = TRY(file_key(path));
  std::vector<std::string> keys;
  if (auto found = shared_->bucket.head(key))
    keys.push_back(key);
  else if (found.error().code != Code::kNotFound)
    return tl::unexpected<Error>(found.error());
  std::string next;
  do {
    S3Listing page = TRY(shared_->bucket.list(key + "/", "", next));
    for (auto& object : page.objects) keys.push_back(std::move(object.key));
    next = page.next;
  } while (!next.empty());
  if (keys.empty()) return not_found(path);
  for (const std::string& one : keys) TRY(shared_->bucket.remove(one));
  return {};
}

Result<fs::path> S3Repository::incoming() const { return shared_->incoming.path(); }

Result<PresignedUpload> S3Repository::begin_upload(std::string_view path, int parts) const {
  if (parts < 1 || parts > kMaxParts)
    return fail(Code::kInvalid, "num_parts must be between 1 and {}, but is {}", kMaxParts, parts);
  std::string key = TRY(file_key(path));
  PresignedUpload upload{.id = TRY(shared_->bucket.begin_upload(key)), .parts = {}};
  for (int number = 1; number <= parts; ++number)
    upload.parts.push_back(
        {number,
         shared_->bucket.presign(
             "PUT", key, {{"partNumber", std::to_string(number)}, {"uploadId", upload.id}}, kPresignedFor)});
  return upload;
}

Result<> S3Repository::complete_upload(std::string_view path, const std::string& id,
                                       const std::vector<UploadedPart>& parts) const {
  std::vector<S3Bucket::Part> sent;
  for (const UploadedPart& part : parts) sent.push_back({part.number, part.etag});
  return shared_->bucket.complete_upload(TRY(file_key(path)), id, sent);
}

Result<> S3Repository::abort_upload(std::string_view path, const std::string& id) const {
  return shared_->bucket.abort_upload(TRY(file_key(path)), id);
}

Result<std::string> S3Repository::presigned_upload(std::string_view path, std::chrono::seconds valid) const {
  return shared_->bucket.presign("PUT", TRY(file_key(path)), {}, valid);
}

Result<PresignedDownload> S3Repository::presigned_download(std::string_view path,
                                                           std::chrono::seconds valid) const {
  std::string key = TRY(file_key(path));
  auto found = shared_->bucket.head(key);
  if (!found)
    return found.error().code == Code::kNotFound ? not_found(path) : tl::unexpected<Error>(found.error());
  return PresignedDownload{shared_->bucket.presign("GET", key, {}, valid),
                           number_in(found->headers.get("Content-Length"))};
}

}  // namespace tidemill::artifacts
