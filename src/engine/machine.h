// What this machine has, and who holds how much of it: counted across all Tidemill processes that name the
// same file.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/files.h"
#include "base/result.h"
#include "config/resources.h"

namespace tidemill::engine {

struct Machine {
  int cpus = 1;
  uint64_t memory = 0;            // bytes
  std::vector<std::string> gpus;  // as CUDA_VISIBLE_DEVICES names them
};
// As this process may use it.
Machine this_machine();

// "2 cpus, 4.0 GB of memory, lock 'license'".
std::string describe(const config::Resources& wanted);

// What a step holds. It is free again when this is gone, and with it every process that was handed `held`.
struct Grant {
  std::vector<std::string> gpus;
  Fd held;
};

class MachineShare {
 public:
  // The file is made if need be.
  static Result<MachineShare> open(Machine machine, fs::path file);

  // kInvalid when the machine has less than that at all.
  static Result<> check(const config::Resources& wanted, const Machine& machine);
  // All that is wanted, or nothing.
  std::optional<Grant> try_take(const config::Resources& wanted) const;

 private:
  MachineShare(Machine machine, fs::path file) : machine_(std::move(machine)), file_(std::move(file)) {}

  Machine machine_;
  fs::path file_;
};

}  // namespace tidemill::engine
