// What the container runtimes share.
#pragma once

#include <functional>

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

// A container that lives as long as a process of ours.
class ProcessContainer : public Container {
 public:
  std::optional<Exit> ended() final { return ended_within(std::chrono::milliseconds(0)); }
  std::optional<Exit> ended_within(std::chrono::milliseconds wait) {
    if (!exit_) exit_ = process_.wait_for(wait);
    return exit_;
  }

 protected:
  explicit ProcessContainer(Process process) : process_(std::move(process)) {}

  Process process_;
  std::optional<Exit> exit_;
};

// A name that no other container has, with the owner's mark in it.
std::string new_container_name();
// "<engine> run" with what podman and docker take alike: name, owner's label, the host's network.
std::vector<std::string> run_arguments(const std::string& engine, const std::string& name);
void add_environment(std::vector<std::string>& argv, const std::map<std::string, std::string>& env);

// Waits until running() is true. kUnavailable with the log's end when the container ends before that,
// kCancelled after an interrupt, kTimeout.
struct StartWait {
  std::function<bool()> running;
  std::function<bool(std::chrono::milliseconds)> ended_within;
  std::chrono::milliseconds pause;  // between two looks
  std::chrono::seconds patience;
};
Result<> wait_started(const StartWait& wait, const fs::path& log);

// The last lines of a log, on one line, for an error message.
std::string last_lines(const fs::path& log, size_t lines = 3);

// Containers of killed owners: `engine` is podman or docker; nothing happens when it is not there.
void remove_leftover_containers(const std::string& engine);

}  // namespace tidemill::oci
