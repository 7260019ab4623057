#include "nn/threads.h"

#include <omp.h>
#include <sched.h>

#include <vector>

namespace tidemill::nn {
namespace {

// Read once: binding the calling thread narrows what it sees afterwards.
const std::vector<int>& processors() {
  static const std::vector<int> list = [] {
    cpu_set_t set;
    CPU_ZERO(&set);
    std::vector<int> found;
    if (sched_getaffinity(0, sizeof set, &set) == 0)
      for (int i = 0; i < CPU_SETSIZE; ++i)
        if (CPU_ISSET(i, &set)) found.push_back(i);
    if (found.empty()) found.push_back(0);
    return found;
  }();
  return list;
}

}  // namespace

int usable_processors() { return static_cast<int>(processors().size()); }

int prepare_threads(int wanted) {
  const std::vector<int>& list = processors();
  const int count = wanted > 0 ? wanted : static_cast<int>(list.size());
  omp_set_dynamic(0);
  omp_set_num_threads(count);
  if (count > static_cast<int>(list.size())) return count;
// The caller stays free: threads and processes that it starts later would inherit the binding.
#pragma omp parallel num_threads(count)
  if (omp_get_thread_num() > 0) {
    cpu_set_t own;
    CPU_ZERO(&own);
    CPU_SET(list[omp_get_thread_num()], &own);
    sched_setaffinity(0, sizeof own, &own);
  }
  return count;
}

}  // namespace tidemill::nn
