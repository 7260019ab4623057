#include "log_batch.h"

#include <algorithm>
#include <unordered_map>

#include "base/json_numbers.h"

namespace tidemill::sdk {
namespace {

// MLflow's limits on one log-batch call.
constexpr size_t kMaxMetrics = 1000, kMaxParams = 100, kMaxTags = 100, kMaxItems = 1000;

template <class T>
void move_front(std::deque<T>& from, std::vector<T>& to, size_t limit) {
  auto end = from.begin() + static_cast<ptrdiff_t>(std::min(limit, from.size()));
  to.assign(std::make_move_iterator(from.begin()), std::make_move_iterator(end));
  from.erase(from.begin(), end);
}

template <class T>
void move_to_front(std::vector<T>& from, std::deque<T>& to) {
  to.insert(to.begin(), std::make_move_iterator(from.begin()), std::make_move_iterator(from.end()));
}

// A call that has a parameter twice is refused as a whole, even when both values agree. What says something
// else about a parameter stays for a later call, whose refusal then names both values.
std::vector<KeyValue> take_distinct(std::deque<KeyValue>& from) {
  std::vector<KeyValue> taken;
  std::deque<KeyValue> left;
  std::unordered_map<std::string, std::string> seen;
  for (auto& item : from) {
    auto known = seen.find(item.first);
    if (known != seen.end() && known->second == item.second) continue;
    if (known != seen.end() || taken.size() == kMaxParams) {
      left.push_back(std::move(item));
    } else {
      seen.insert(item);
      taken.push_back(std::move(item));
    }
  }
  from = std::move(left);
  return taken;
}

template <class T>
void split_list(const std::vector<T>& list, std::vector<T>& first, std::vector<T>& second) {
  auto middle = list.begin() + static_cast<ptrdiff_t>(list.size() / 2);
  first.assign(list.begin(), middle);
  second.assign(middle, list.end());
}

std::vector<KeyValue> pairs_from(const Json& list) {
  std::vector<KeyValue> items;
  for (const Json& item : list) items.emplace_back(item.at("key"), item.at("value"));
  return items;
}

}  // namespace

LogBatch take_batch(LogBacklog& from) {
  LogBatch batch;
  batch.params = take_distinct(from.params);
  move_front(from.tags, batch.tags, kMaxTags);
  move_front(from.metrics, batch.metrics,
             std::min(kMaxMetrics, kMaxItems - batch.params.size() - batch.tags.size()));
  if (batch.size() == 0) batch.end = std::exchange(from.end, std::nullopt);
  return batch;
}

void put_back(LogBatch batch, LogBacklog& to) {
  move_to_front(batch.metrics, to.metrics);
  move_to_front(batch.params, to.params);
  move_to_front(batch.tags, to.tags);
  if (batch.end) to.end = std::move(batch.end);
}

std::pair<LogBatch, LogBatch> split(const LogBatch& batch) {
  LogBatch first, second;
  int kinds = !batch.metrics.empty() + !batch.params.empty() + !batch.tags.empty();
  if (kinds > 1) {
    first.metrics = batch.metrics;
    (batch.metrics.empty() ? first : second).params = batch.params;
    second.tags = batch.tags;
    return {std::move(first), std::move(second)};
  }
  split_list(batch.metrics, first.metrics, second.metrics);
  split_list(batch.params, first.params, second.params);
  split_list(batch.tags, first.tags, second.tags);
  return {std::move(first), std::move(second)};
}

Json pairs_to_json(const std::vector<KeyValue>& items) {
  Json list = Json::array();
  for (const auto& [key, value] : items) list.push_back({{"key", key}, {"value", value}});
  return list;
}

Json to_json(const QueuedMetric& metric) {
  return {{"key", metric.key},
          {"value", json_of_real(metric.value)},
          {"timestamp", metric.timestamp},
          {"step", metric.step}};
}

Json to_json(const LogBatch& batch) {
  Json metrics = Json::array();
  for (const QueuedMetric& metric : batch.metrics) metrics.push_back(to_json(metric));
  Json body = {{"metrics", std::move(metrics)},
               {"params", pairs_to_json(batch.params)},
               {"tags", pairs_to_json(batch.tags)}};
  if (batch.end) body["end"] = {{"status", batch.end->status}, {"time", batch.end->time}};
  return body;
}

Result<LogBatch> batch_from_json(const Json& json) {
  try {
    LogBatch batch;
    for (const Json& item : json.at("metrics")) {
      auto value = json_real(item.at("value"));
      if (!value)
        return fail(Code::kInvalid, "not a batch of a run's log: a value is {}", dump_json(item.at("value")));
      batch.metrics.push_back(
          {item.at("key"), *value, item.at("timestamp").get<int64_t>(), item.at("step").get<int64_t>()});
    }
    batch.params = pairs_from(json.at("params"));
    batch.tags = pairs_from(json.at("tags"));
    if (auto end = json.find("end"); end != json.end())
      batch.end = RunEnd{end->at("status"), end->at("time").get<int64_t>()};
    return batch;
  } catch (const Json::exception& error) {
    return fail(Code::kInvalid, "not a batch of a run's log: {}", error.what());
  }
}

}  // namespace tidemill::sdk
