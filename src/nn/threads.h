// Threads of the step: OpenMP's, as oneDNN uses them.
#pragma once

namespace tidemill::nn {

// Processors this process may use.
int usable_processors();

// Sets the number of OpenMP threads (0: one for each usable processor) and ties each but the caller to a
// processor. Unbound threads now and then share one. Returns the number.
int prepare_threads(int wanted);

}  // namespace tidemill::nn
