// The plain readers of runs/log-batch and runs/log-metric must agree with the general one wherever it claims
// to understand a body.
#include <cstdint>
#include <cstdlib>

#include "api/batch_reader.h"
#include "api/params.h"

using namespace tidemill;

static void check(bool same) {
  if (!same) abort();
}

static void compare_pairs(const api::Params& params, std::string_view list,
                          const std::vector<tracking::KeyValue>& read) {
  auto pairs = params.objects(list);
  check(pairs && pairs->size() == read.size());
  for (size_t i = 0; i < read.size(); ++i) {
    check((*pairs)[i].required_text("key") == read[i].first);
    check((*pairs)[i].text("value") == read[i].second);
  }
}

static void compare_metric(const api::Params& params, const tracking::Metric& read) {
  check(params.required_text("key") == read.key);
  check(params.required_number("value") == read.value);
  check(params.required_integer("timestamp") == read.timestamp);
  auto step = params.integer("step");
  check(step && step->value_or(0) == read.step);
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string body(reinterpret_cast<const char*>(data), size);
  api::BatchBody read;
  bool plain = api::read_plain_batch(body, read);
  HttpRequest request;
  request.method = "POST";
  request.headers.add("Content-Type", "application/json");
  request.body = body;
  auto params = api::Params::of(request);
  if (api::BatchBody one; api::read_plain_metric(body, one)) {
    check(params && params->run_id() == one.run_id);
    compare_metric(*params, one.batch.metrics.at(0));
  }
  if (!plain) return 0;
  check(params && params->run_id() == read.run_id);
  auto metrics = params->objects("metrics");
  check(metrics && metrics->size() == read.batch.metrics.size());
  for (size_t i = 0; i < metrics->size(); ++i) compare_metric((*metrics)[i], read.batch.metrics[i]);
  compare_pairs(*params, "params", read.batch.params);
  compare_pairs(*params, "tags", read.batch.tags);
  return 0;
}
