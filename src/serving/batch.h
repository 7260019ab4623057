// Calls that wait together and fit together run as one: their first dimensions are joined, the results parted
// again. A run of several images costs less for each than runs of one.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "serving/model.h"

namespace tidemill::serving {

// Whether the rows of this model's tensors are cases that know nothing of each other: every input and output
// has a first dimension of any size by one of the names that exporters give the batch.
bool takes_batches(const Session& session);

// Rows of the call's inputs; 0 when it cannot be joined with others.
int64_t rows_of(const InferenceCall& call);

// Same inputs in the same order but for the number of rows, same outputs.
bool fit_together(const InferenceCall& a, const InferenceCall& b);

// The outputs of each call, in order. An error is that of the joined run and says nothing about any one of
// them.
Result<std::vector<std::vector<OutputTensor>>> run_together(
    Session& session, std::span<const std::unique_ptr<InferenceCall>> calls);

}  // namespace tidemill::serving
