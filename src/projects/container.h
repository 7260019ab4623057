// The container that an MLproject's docker_env asks for: its image, found or pulled once, and the command
// line that runs a project's command in it. podman where it is installed, else docker.
#pragma once

#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/files.h"
#include "config/project_environment.h"

namespace tidemill::projects {

// What whoever runs the project wants of its container.
struct ContainerOptions {
  std::vector<std::string> arguments;  // for the engine's `run`: "--gpus", "all"
  bool build = false;  // an image with the project's folder in it, to be used instead of that folder
  std::string name;    // of the image that is built
};

struct Container {
  std::string engine;  // the program that runs it
  std::string image;   // its id: what the name means today
  std::string digest;  // NAME@sha256:... of the registry it came from; "": from none
  std::string image_name;
  std::vector<std::string> volumes;                                           // HOST:CONTAINER[:OPTIONS]
  std::vector<std::pair<std::string, std::optional<std::string>>> variables;  // no value: the machine's own
  std::vector<std::string> arguments;
  fs::path code;              // where the project's folder is in the image; "": it is not
  bool takes_limits = false;  // this machine lets the engine limit what a container uses
};

// Whether podman's own settings do not fit this machine, so that it needs $CONTAINERS_CONF.
struct FoundContainer {
  Container container;
  fs::path settings;  // "" for podman's own, and for docker
};

// kUnavailable without podman and docker. An image that is not on this machine yet has its name for an id.
Result<FoundContainer> find_container(const config::DockerEnvironment& wanted, const fs::path& folder,
                                      const ContainerOptions& options, const fs::path& kept);
// Pulls the image unless it is there, builds on it what is to be built, and sees once whether it runs; what
// it learns goes below `kept`.
Result<FoundContainer> make_container(const config::DockerEnvironment& wanted, const fs::path& folder,
                                      const ContainerOptions& options, const fs::path& kept);

// What runs in it.
struct ContainedCommand {
  std::string name;  // of the container: unique on this machine
  std::string command;
  fs::path folder;                     // to run in
  std::set<fs::path> mounts;           // files and folders that are inside what they are outside
  std::vector<std::string> variables;  // names of those that the engine's process has and the command gets
  // Limits, where the container takes them; 0: none.
  uint64_t memory = 0;  // bytes, swap excluded
  int cpus = 0;
};
// Removes the container of this name, also while it runs: what its engine keeps when its client was killed.
std::vector<std::string> removal(const Container& container, const std::string& name);
// It shares the machine's network, so that the tracking server on loopback is reached.
std::vector<std::string> command_line(const Container& container, const ContainedCommand& contained);

}  // namespace tidemill::projects
