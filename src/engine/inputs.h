// Brings the inputs of a pipeline to this machine.
#pragma once

#include "engine/engine.h"

namespace tidemill::engine {

// Fills in where each input lies. What a URL has is kept by its content: a run goes on reading what it began
// with when another finds something new. A server that knows ETag or Last-Modified sends only what has
// changed; one that cannot be reached leaves the copy that is there; with sha256 nothing is asked once it is
// there. kInvalid at its place when an input is not to be had, or has another content than it must.
Result<> fetch_inputs(pipeline::Plan& plan, const Options& options);

}  // namespace tidemill::engine
