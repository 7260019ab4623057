// A tracking server as its users start it: a process on a free port, with a SQLite store in a folder of its
// own.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/files.h"
#include "sys/process.h"

namespace tidemill::bench {

class ServerProcess {
 public:
  // argv may have {port} and {folder} in it.
  static Result<ServerProcess> start(std::string name, std::vector<std::string> argv, const fs::path& folder);

  const std::string& name() const { return name_; }
  uint16_t port() const { return port_; }
  double start_ms() const { return start_ms_; }  // until /health was answered with 200
  // Memory of the process and its descendants, shared pages divided among those who share them.
  double pss_mib() const;
  double cpu_seconds() const;  // user and system time of the process and its descendants so far
  void stop() { process_.stop(std::chrono::seconds(10)); }

 private:
  ServerProcess(std::string name, uint16_t port, Process process)
      : name_(std::move(name)), port_(port), process_(std::move(process)) {}
  std::string name_;
  uint16_t port_;
  Process process_;
  double start_ms_ = 0;
};

}  // namespace tidemill::bench
