// Entities as MLflow's REST replies show them. Members that are missing or of another type are empty; what
// must be there for the entity to make sense is kInvalid when it is not.
#pragma once

#include <span>

#include "base/json.h"
#include "tracking/transfer.h"

namespace tidemill::exchange {

// Parameters and tags as calls carry them.
Json json_of(std::span<const tracking::KeyValue> pairs);

Result<tracking::Experiment> experiment_from(const Json& json);
// With the latest point of each metric.
Result<tracking::Run> run_from(const Json& json);
Result<tracking::Metric> metric_from(const Json& json);
Result<tracking::LoggedModel> logged_model_from(const Json& json);
Result<tracking::RegisteredModel> registered_model_from(const Json& json);
Result<tracking::ModelVersion> model_version_from(const Json& json);

// The things below `name` in the reply to a search, and where it goes on.
template <class T>
Result<tracking::Page<T>> page_from(const Json& reply, std::string_view name,
                                    Result<T> (*read)(const Json&)) {
  tracking::Page<T> page;
  if (auto list = reply.find(name); list != reply.end())
    for (const Json& item : *list) page.items.push_back(TRY(read(item)));
  page.next_page_token = json_string(reply, "next_page_token");
  return page;
}

}  // namespace tidemill::exchange
