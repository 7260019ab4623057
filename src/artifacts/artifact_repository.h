// The files of runs, wherever they are kept: addressed by relative paths with forward slashes.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/files.h"
#include "base/result.h"
#include "net/http_server.h"

namespace tidemill::artifacts {

struct FileInfo {
  std::string name;  // within the listed folder
  bool is_folder = false;
  uint64_t size = 0;                               // of a file
  std::optional<fs::file_time_type> written = {};  // a file's; nothing: not known
  std::string version = {};  // changes when the file does (S3's ETag); "" where nobody keeps one
  bool is_special = false;   // a pipe, a socket, a device: has no content to be kept
};

// URLs under which others may send or fetch parts of a file themselves, for a while.
struct PresignedPart {
  int number = 0;  // from 1
  std::string url;
};
struct PresignedUpload {
  std::string id;
  std::vector<PresignedPart> parts;
};
struct UploadedPart {
  int number = 0;
  std::string etag;
};
struct PresignedDownload {
  std::string url;
  uint64_t size = 0;
};

// Every path given is checked: kInvalid "Invalid path" for anything that does not stay inside the repository:
// "..", also percent-encoded once or more, absolute paths, NUL, backslashes. Thread-safe.
class ArtifactRepository {
 public:
  virtual ~ArtifactRepository() = default;

  // What people call it: a folder's path, "s3://bucket/prefix".
  virtual std::string name() const = 0;
  // The part below a folder, "" for all of it.
  virtual Result<std::unique_ptr<ArtifactRepository>> below(std::string_view folder) const = 0;
  // By name. A folder that does not exist has no entries.
  virtual Result<std::vector<FileInfo>> list(std::string_view folder) const = 0;
  // The whole file, or the range that the request asks for; see HttpResponse::file. kNotFound.
  virtual Result<HttpResponse> answer(const HttpRequest& request, std::string_view path) const = 0;
  // One file, into a file of this machine. kNotFound.
  virtual Result<> download(std::string_view path, const fs::path& target) const = 0;
  // Replaces the file in one step; folders are made as needed. kConflict when the path is a folder, or leads
  // through a file, where there are such things.
  virtual Result<> put(std::string_view path, std::string_view bytes) const = 0;
  enum class Source { kKeep, kMove };  // after a failure the source is where it was
  virtual Result<> put_file(std::string_view path, const fs::path& source,
                            Source source_afterwards) const = 0;
  // A file or a folder with all that is in it. kNotFound.
  virtual Result<> remove(std::string_view path) const = 0;
  // A folder of this machine for files on their way in, from which put_file moves them fastest.
  virtual Result<fs::path> incoming() const = 0;

  // Whether others may send and fetch files without this program. Where not, the calls below fail. URLs are
  // valid for a while.
  static constexpr std::chrono::seconds kPresignedFor{3600};
  virtual bool presigns() const { return false; }
  virtual Result<PresignedUpload> begin_upload(std::string_view path, int parts) const;
  virtual Result<> complete_upload(std::string_view path, const std::string& id,
                                   const std::vector<UploadedPart>& parts) const;
  virtual Result<> abort_upload(std::string_view path, const std::string& id) const;
  virtual Result<std::string> presigned_upload(std::string_view path, std::chrono::seconds valid) const;
  virtual Result<PresignedDownload> presigned_download(std::string_view path,
                                                       std::chrono::seconds valid) const;
};

// A repository for a folder's path or an s3:// URI. kInvalid for other schemes.
Result<std::unique_ptr<ArtifactRepository>> open_repository(const std::string& place);

// kInvalid "Invalid path" unless it is "" or stays inside whatever it is put behind.
Result<> check_path(std::string_view path);

bool is_s3(std::string_view uri);
// "7/ab/artifacts" of mlflow-artifacts:/7/ab/artifacts or mlflow-artifacts://host/7/ab/artifacts.
std::optional<std::string> proxied_path(std::string_view artifact_uri);

}  // namespace tidemill::artifacts
