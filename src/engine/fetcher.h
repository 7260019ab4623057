// Brings what lies elsewhere to this machine and keeps it there by its content: a URL's file, files of S3 or
// of runs, the rows that a query finds.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "artifacts/artifact_repository.h"
#include "base/files.h"
#include "base/result.h"
#include "db/location.h"
#include "engine/file_tree.h"

namespace tidemill::engine {

// A place in a repository; or a file or folder of this machine, which is used where it is.
struct ArtifactPlace {
  std::unique_ptr<artifacts::ArtifactRepository> repository;
  std::string path;
  fs::path local;  // when not empty, instead of the repository
};
// What s3://, runs:/, models:/ and mlflow-artifacts:/ URIs name. kInvalid for others.
using FindArtifacts = std::function<Result<ArtifactPlace>(const std::string& uri)>;

struct Query {
  db::Location database;
  std::string sql;  // one that reads
};

// A URL without what is secret in it.
std::string shown_url(const std::string& url);

class Fetcher {
 public:
  // folder: where it is kept. find: for all but http and https; null: refused.
  Fetcher(fs::path folder, fs::path hash_folder, FindArtifacts find)
      : folder_(std::move(folder)), hashes_(std::move(hash_folder)), find_(std::move(find)) {}

  // label stands before messages. A server that knows ETag or Last-Modified sends only what has changed; one
  // that cannot be reached leaves the copy that is there. sha256: what the content (of a folder: its digest)
  // must be, "" for any; nothing is asked once it is there. kInvalid when it is not to be had, or is another.
  Result<fs::path> fetch(const std::string& label, const std::string& url, const std::string& sha256);
  // The rows as CSV (RFC 4180) with a line of names, in the order in which the database gives them.
  Result<fs::path> fetch(const std::string& label, const Query& query, const std::string& sha256);
  // To this place, without keeping a copy.
  Result<> fetch_to(const std::string& label, const std::string& url, const fs::path& target);

 private:
  // What was fetched last time from a place.
  struct Copy {
    std::string sha256, name;         // of its content, and of its file
    std::string etag, last_modified;  // what tells whether it has changed since
  };
  // What a fetch has brought: nothing when the copy is still right.
  struct Arrival {
    bool is_new = true;
    std::string etag, last_modified;
  };
  using Bring = std::function<Result<Arrival>(const std::optional<Copy>& copy, const fs::path& target)>;

  Result<fs::path> keep(const std::string& label, const std::string& place, const std::string& name,
                        const std::string& sha256, const Bring& bring);
  Result<Arrival> from_web(const std::string& label, const std::string& url, const std::optional<Copy>& copy,
                           const fs::path& target) const;
  Result<Arrival> from_artifacts(const std::string& label, const ArtifactPlace& place,
                                 const std::optional<Copy>& copy, const fs::path& target) const;
  Result<ArtifactPlace> find(const std::string& url) const;
  std::optional<Copy> known(const std::string& place, const std::string& name) const;
  fs::path place_of(const Copy& copy) const { return folder_ / copy.sha256 / copy.name; }
  fs::path note_of(const std::string& place) const;

  fs::path folder_;
  FileHashes hashes_;
  FindArtifacts find_;
};

}  // namespace tidemill::engine
