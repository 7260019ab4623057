// Points that belong to a logged model as well as to the run that logged them. Private to this folder.
#pragma once

#include "tracking/store_state.h"

namespace tidemill::tracking {

// Of the batch, those that name a model. kNotFound when there is no such model.
Result<> put_model_metrics(db::Connection& connection, KeyIds& keys, int64_t run, const Batch& batch);

}  // namespace tidemill::tracking
