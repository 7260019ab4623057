// What the container runtimes share.
#pragma once

#include "oci/archive.h"
#include "oci/runtime.h"

namespace tidemill::oci {

// The mark of this process on what it starts: "<pid>-<start time>". A killed owner is known by it.
std::string owner_mark();
bool owner_is_gone(std::string_view mark);
inline constexpr std::string_view kOwnerLabel = "ml.tidemill.owner";
inline constexpr std::string_view kFolderPrefix = "tidemill-container-";

// An image's files in a temporary folder.
struct Unpacked {
  TempDir dir;
  fs::path root;  // inside dir
  ImageConfig config;
};
Result<Unpacked> unpack_for_run(const fs::path& archive);
Result<TempDir> work_folder();

// The image's environment with that of the spec on top.
std::map<std::string, std::string> merged_env(const ImageConfig& config, const ContainerSpec& spec);
// Entry point and arguments; kInvalid when the image has neither.
Result<std::vector<std::string>> command_of(const ImageConfig& config, const ContainerSpec& spec);

// Puts in front of a command that it gets SIGTERM when this process dies, however it dies (setpriv of
// util-linux).
std::vector<std::string> bound_to_us(std::vector<std::string> argv, std::string_view signal = "TERM");

// The last lines of a log, on one line, for an error message.
std::string last_lines(const fs::path& log, size_t lines = 3);

// Containers of killed owners: `engine` is podman or docker; nothing happens when it is not there.
void remove_leftover_containers(const std::string& engine);

}  // namespace tidemill::oci
