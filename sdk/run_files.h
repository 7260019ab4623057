// The artifacts of one run, in a folder of this machine or behind the tracking server. Thread-safe.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/files.h"
#include "server.h"
#include "tidemill/client.h"

namespace tidemill::sdk {

class RunFiles {
 public:
  // The server must outlive it.
  RunFiles(Server& server, std::string run_id, std::string artifact_uri)
      : server_(server), run_id_(std::move(run_id)), artifact_uri_(std::move(artifact_uri)) {}

  // The folder, when the artifacts are in one of this machine.
  std::optional<fs::path> local_folder() const;
  // By name; none where there is no such folder.
  tidemill::Result<std::vector<ArtifactInfo>> list(std::string_view folder);
  tidemill::Result<> put(const fs::path& file, const std::string& path);
  // To its name within the destination; where that is. kNotFound.
  tidemill::Result<fs::path> download(std::string path, const fs::path& destination);

 private:
  tidemill::Result<> fetch(const std::string& path, const fs::path& destination, const std::string& place);
  tidemill::Result<> fetch_folder(const std::string& path, const fs::path& destination,
                                  const std::string& place, int level);
  tidemill::Result<bool> is_file(const std::string& path);
  // The call of the server's proxy for this file. nullopt: the server does not pass files on.
  std::optional<std::string> proxy_target(std::string_view path) const;

  Server& server_;
  std::string run_id_, artifact_uri_;
};

}  // namespace tidemill::sdk
