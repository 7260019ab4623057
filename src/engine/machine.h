// What this machine has, and who holds how much of it: counted across all Tidemill processes that name the
// same file.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "config/resources.h"
#include "engine/key_locks.h"

namespace tidemill::engine {

struct Machine {
  int cpus = 1;
  uint64_t memory = 0;            // bytes
  std::vector<std::string> gpus;  // as CUDA_VISIBLE_DEVICES names them
};
// As this process may use it.
Machine this_machine();

// What a step holds.
struct Grant {
  std::vector<std::string> keys;
  std::vector<std::string> gpus;
};

class MachineShare {
 public:
  // The file is made if need be. What a process holds is given back when it ends, however it ends.
  static Result<MachineShare> open(Machine machine, const fs::path& file);

  // kInvalid when the machine has less than that at all.
  static Result<> check(const config::Resources& wanted, const Machine& machine);
  // All that is wanted, or nothing.
  std::optional<Grant> try_take(const config::Resources& wanted);
  void give_back(const Grant& grant);

 private:
  MachineShare(Machine machine, KeyLocks locks) : machine_(std::move(machine)), locks_(std::move(locks)) {}
  // Locks `count` of the `size` units of a kind; false when fewer are free.
  bool take_units(std::string_view kind, uint64_t size, uint64_t count, Grant& grant);

  Machine machine_;
  KeyLocks locks_;
};

}  // namespace tidemill::engine
