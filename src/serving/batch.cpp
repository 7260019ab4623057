#include "serving/batch.h"

#include <algorithm>
#include <array>

namespace tidemill::serving {
namespace {

constexpr std::array<std::string_view, 4> kBatchNames = {"batch", "batch_size", "N", "None"};

bool has_batch(const TensorInfo& info) {
  return std::find(kBatchNames.begin(), kBatchNames.end(), info.first_dimension) != kBatchNames.end();
}

bool same_rows(const TensorView& a, const TensorView& b) {
  return a.name == b.name && a.type == b.type && a.dims.size() == b.dims.size() &&
         std::equal(a.dims.begin() + 1, a.dims.end(), b.dims.begin() + 1) &&
         a.bytes.size() * static_cast<size_t>(b.dims[0]) == b.bytes.size() * static_cast<size_t>(a.dims[0]);
}

TensorView joined(std::span<const std::unique_ptr<InferenceCall>> calls, size_t input, TensorMemory& memory) {
  TensorView out = calls[0]->inputs[input];
  size_t bytes = 0;
  out.dims[0] = 0;
  for (const auto& call : calls) {
    bytes += call->inputs[input].bytes.size();
    out.dims[0] += call->inputs[input].dims[0];
  }
  const std::span<char> place = memory.allocate(bytes);
  char* to = place.data();
  for (const auto& call : calls) {
    const std::string_view from = call->inputs[input].bytes;
    to = std::copy(from.begin(), from.end(), to);
  }
  out.bytes = {place.data(), bytes};
  return out;
}

}  // namespace

bool takes_batches(const Session& session) {
  return std::all_of(session.inputs().begin(), session.inputs().end(), has_batch) &&
         std::all_of(session.outputs().begin(), session.outputs().end(), has_batch);
}

int64_t rows_of(const InferenceCall& call) {
  if (call.inputs.empty()) return 0;
  for (const TensorView& input : call.inputs)
    if (input.dims.empty() || input.dims[0] <= 0 || input.dims[0] != call.inputs[0].dims[0] ||
        input.type == ElementType::kString)
      return 0;
  return call.inputs[0].dims[0];
}

bool fit_together(const InferenceCall& a, const InferenceCall& b) {
  return a.outputs == b.outputs &&
         std::equal(a.inputs.begin(), a.inputs.end(), b.inputs.begin(), b.inputs.end(), same_rows);
}

Result<std::vector<std::vector<OutputTensor>>> run_together(
    Session& session, std::span<const std::unique_ptr<InferenceCall>> calls) {
  TensorMemory memory;
  std::vector<TensorView> inputs;
  for (size_t i = 0; i < calls[0]->inputs.size(); ++i) inputs.push_back(joined(calls, i, memory));
  const std::vector<OutputTensor> outputs = TRY(session.run(inputs, calls[0]->outputs));
  std::vector<std::vector<OutputTensor>> parts(calls.size());
  int64_t first = 0;
  for (size_t i = 0; i < calls.size(); ++i) {
    const int64_t rows = rows_of(*calls[i]);
    for (const OutputTensor& output : outputs) {
      if (output.dims().empty() || output.dims()[0] != inputs[0].dims[0])
        return fail(Code::kInternal, "an output of the model has not a row for each row of its inputs");
      parts[i].push_back(TRY(output.rows(first, rows)));
    }
    first += rows;
  }
  return parts;
}

}  // namespace tidemill::serving
