// Results of steps in a place that several machines and stores share: a folder or s3://bucket/prefix. Of each
// result, two files:
//   results/<2 digits>/<key>.json       what it is: the files with their hashes, metrics, parameters, who
//   made it outputs/<2 digits>/<digest>         the files' contents, one behind the other in the order of
//   their paths
// The first is written last, each in one step, and whoever makes the same result writes the same. What is
// found there is believed only as far as hashes prove it: one who may write there can offer a result that is
// not what its key stands for, but no file outside the result's own folder.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "artifacts/artifact_repository.h"
#include "base/files.h"
#include "base/result.h"
#include "tracking/entities.h"

namespace tidemill::engine {

struct SharedFile {
  std::string path;
  uint64_t size = 0;
  bool executable = false;
  std::string sha256;
};
struct SharedResult {
  std::string key;
  std::string outputs;            // FileTree::digest of the files
  std::vector<SharedFile> files;  // by path
  std::string maker;              // "ada@host, run 1a2b3c4d"
  std::vector<tracking::Metric> metrics;
  std::vector<tracking::KeyValue> params;
};
std::string to_json(const SharedResult& result);
// kInvalid: not what to_json() makes for this key, a path that leads out, files that do not give the digest.
Result<SharedResult> parse_shared_result(std::string_view json, const std::string& key);

class SharedCache {
 public:
  // kInvalid when the place is neither a folder nor s3://.
  static Result<SharedCache> open(const std::string& place);

  std::string name() const { return repository_->name(); }
  // nullopt when nobody has made it.
  Result<std::optional<SharedResult>> find(const std::string& key) const;
  // The result's files below the folder, which is made. Every file is hashed on its way; when one is not what
  // it should be, or the contents end early, kInvalid, and no folder is left.
  Result<> fetch(const SharedResult& result, const fs::path& folder) const;
  // `result` names the files of the folder. What the place has already is kept, unless it is known to be of
  // no use.
  enum class Existing { kKeep, kReplace };
  Result<> publish(const SharedResult& result, const fs::path& folder,
                   Existing existing = Existing::kKeep) const;

 private:
  explicit SharedCache(std::unique_ptr<artifacts::ArtifactRepository> repository)
      : repository_(std::move(repository)) {}
  std::unique_ptr<artifacts::ArtifactRepository> repository_;
};

}  // namespace tidemill::engine
