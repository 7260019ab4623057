#include "engine/machine.h"

#include <fcntl.h>
#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>

#include "base/hash.h"
#include "base/text.h"
#include "engine/key_locks.h"

namespace tidemill::engine {
namespace {

constexpr uint64_t kMemoryUnits = 256;  // shares of the machine's memory that are counted

std::vector<std::string> visible_gpus() {
  if (const char* visible = std::getenv("CUDA_VISIBLE_DEVICES")) {
    std::vector<std::string> gpus;
    for (const auto& name : split(visible, ','))
      if (!trim(name).empty()) gpus.emplace_back(trim(name));
    return gpus;
  }
  std::vector<std::string> gpus;
  std::error_code ignored;
  while (fs::exists(fmt::format("/dev/nvidia{}", gpus.size()), ignored))
    gpus.push_back(std::to_string(gpus.size()));
  return gpus;
}

uint64_t memory_units(uint64_t bytes, const Machine& machine) {
  uint64_t unit = std::max<uint64_t>(1, machine.memory / kMemoryUnits);
  return std::min(kMemoryUnits, (bytes + unit - 1) / unit);
}

// Locks `count` of the `size` units of a kind; false when fewer are free.
bool take_units(const Fd& file, std::string_view kind, uint64_t size, uint64_t count) {
  for (uint64_t unit = 0; unit < size && count > 0; ++unit)
    if (try_lock_key(file, sha256_hex(fmt::format("tidemill {} {}", kind, unit)))) --count;
  return count == 0;
}

}  // namespace

Machine this_machine() {
  Machine machine;
  cpu_set_t cpus;
  if (sched_getaffinity(0, sizeof cpus, &cpus) == 0) machine.cpus = std::max(1, CPU_COUNT(&cpus));
  machine.memory =
      static_cast<uint64_t>(sysconf(_SC_PHYS_PAGES)) * static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
  machine.gpus = visible_gpus();
  return machine;
}

std::string describe(const config::Resources& wanted) {
  std::vector<std::string> parts;
  auto count = [&](int number, std::string_view what) {
    if (number > 0) parts.push_back(fmt::format("{} {}{}", number, what, number == 1 ? "" : "s"));
  };
  count(wanted.cpus, "cpu");
  if (wanted.memory > 0) parts.push_back(human_bytes(wanted.memory) + " of memory");
  count(wanted.gpus, "gpu");
  for (const auto& lock : wanted.locks) parts.push_back(fmt::format("lock '{}'", lock));
  return join(parts, ", ");
}

Result<MachineShare> MachineShare::open(Machine machine, fs::path file) {
  TRY(make_dirs(file.parent_path()));
  TRY(open_file(file, O_RDWR | O_CREAT));
  return MachineShare(std::move(machine), std::move(file));
}

Result<> MachineShare::check(const config::Resources& wanted, const Machine& machine) {
  if (wanted.cpus > machine.cpus)
    return fail(Code::kInvalid, "asks for {}, and this machine has {}", describe({.cpus = wanted.cpus}),
                machine.cpus);
  if (wanted.memory > machine.memory)
    return fail(Code::kInvalid, "asks for {} of memory, and this machine has {}", human_bytes(wanted.memory),
                human_bytes(machine.memory));
  if (static_cast<size_t>(wanted.gpus) > machine.gpus.size())
    return fail(Code::kInvalid, "asks for {}, and this machine has {}", describe({.gpus = wanted.gpus}),
                machine.gpus.size());
  return {};
}

std::optional<Grant> MachineShare::try_take(const config::Resources& wanted) const {
  auto file = open_file(file_, O_RDWR | O_CREAT);
  if (!file) return std::nullopt;
  Grant grant{{}, std::move(*file)};
  bool whole = take_units(grant.held, "cpu", static_cast<uint64_t>(machine_.cpus),
                          static_cast<uint64_t>(wanted.cpus)) &&
               take_units(grant.held, "memory", kMemoryUnits, memory_units(wanted.memory, machine_));
  for (const auto& lock : wanted.locks) whole = whole && take_units(grant.held, "lock " + lock, 1, 1);
  for (const auto& gpu : machine_.gpus)
    if (whole && grant.gpus.size() < static_cast<size_t>(wanted.gpus) &&
        take_units(grant.held, "gpu " + gpu, 1, 1))
      grant.gpus.push_back(gpu);
  if (!whole || grant.gpus.size() < static_cast<size_t>(wanted.gpus)) return std::nullopt;
  return grant;
}

}  // namespace tidemill::engine
