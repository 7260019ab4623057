// Runs an image: with podman, with docker, or as a plain process in the image's unpacked root file system.
// The container shares the host's network, so the caller chooses free ports.
#pragma once

#include <chrono>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/files.h"
#include "base/result.h"
#include "sys/process.h"

namespace tidemill::oci {

struct ContainerSpec {
  fs::path archive;                        // as write_image makes it
  std::vector<std::string> args;           // after the entry point; empty: the image's own
  std::map<std::string, std::string> env;  // added to, or replacing, the image's
  fs::path log_file;                       // stdout and stderr of the container
};

// A started container. Destroying it stops and removes it, and everything made for it.
class Container {
 public:
  virtual ~Container() = default;
  // How it runs, for people: "podman 4.3.1, unpacked image".
  virtual std::string description() const = 0;
  // How it ended, or nullopt while it runs.
  virtual std::optional<Exit> ended() = 0;
  // Asks it to stop (the image's stop signal), forces it after the grace period, removes it. Harmless when
  // repeated.
  virtual void stop(std::chrono::milliseconds grace) = 0;
};

class ContainerRuntime {
 public:
  virtual ~ContainerRuntime() = default;
  virtual std::string name() const = 0;
  // Returns once the container's first process has started. The error says why this runtime cannot be used
  // here, or what is wrong with the image (kInvalid: then no other runtime will do better).
  virtual Result<std::unique_ptr<Container>> start(const ContainerSpec& spec) = 0;
};

std::unique_ptr<ContainerRuntime> podman_runtime();
std::unique_ptr<ContainerRuntime> docker_runtime();
std::unique_ptr<ContainerRuntime> process_runtime();

// "podman", "docker", "process", or "auto": all three, in this order. kInvalid for another word.
Result<std::vector<std::unique_ptr<ContainerRuntime>>> runtimes_for(std::string_view choice);

struct Started {
  std::unique_ptr<Container> container;
  std::string runtime;                // its name
  std::vector<std::string> not_used;  // "docker: cannot connect ...": those tried before, and why they failed
};
// The first runtime that can start it. kUnavailable lists why each could not.
Result<Started> start_container(const std::vector<std::unique_ptr<ContainerRuntime>>& runtimes,
                                const ContainerSpec& spec);

// Removes containers and folders of programs that were killed before they could do it themselves.
void remove_leftovers();

// A TCP port on 127.0.0.1 that was free a moment ago.
Result<uint16_t> free_port();

}  // namespace tidemill::oci
