// What the web page asks for beside MLflow's calls: tables and charts, as columns.
#include <cmath>

#include "api/json_writer.h"
#include "api/service.h"
#include "tracking/metric_series.h"
#include "tracking/run_window.h"
#include "tracking/validate.h"

namespace tidemill::api {
namespace {

constexpr size_t kMaxWatched = 1'000;

void write_cell(JsonWriter& json, const std::string& value) { json.text(value); }
void write_cell(JsonWriter& json, double value) { json.number(value); }
void write_cell(JsonWriter& json, int64_t value) { json.integer(value); }

void write(JsonWriter& json, const tracking::RunColumn& column) {
  json.begin_object().field("name", column.name).key("values").begin_array();
  std::visit(
      [&](const auto& cells) {
        for (const auto& cell : cells)
          if (cell)
            write_cell(json, *cell);
          else
            json.null();
      },
      column.cells);
  json.end_array().end_object();
}

void write(JsonWriter& json, std::string_view name, const std::vector<double>& values) {
  json.key(name).begin_array();
  for (double value : values)
    if (std::isnan(value))
      json.null();  // a gap in the line
    else
      json.number(value);
  json.end_array();
}

void write(JsonWriter& json, const tracking::Series& series) {
  json.begin_object().field("run_id", series.run_id).field("key", series.key);
  json.key("count").integer(static_cast<int64_t>(series.count)).key("x").begin_array();
  for (int64_t x : series.x) json.integer(x);
  json.end_array();
  if (!series.lowest.empty()) {
    write(json, "min", series.lowest);
    write(json, "max", series.highest);
  }
  write(json, "last", series.last);
  json.end_object();
}

Result<tracking::Axis> axis_of(const Params& params) {
  std::string name = TRY(params.text("x"));
  if (name.empty() || name == "step") return tracking::Axis::kStep;
  if (name == "time") return tracking::Axis::kTime;
  if (name == "relative") return tracking::Axis::kRelative;
  return fail(Code::kInvalid, "Invalid value '{}' for parameter 'x': it is 'step', 'time' or 'relative'",
              name);
}

Result<int64_t> count_of(const Params& params, std::string_view name, int64_t usual) {
  int64_t value = TRY(params.integer(name)).value_or(usual);
  if (value >= 0) return value;
  return fail(Code::kInvalid, "Invalid value {} for parameter '{}': it must not be negative", value, name);
}

}  // namespace

Result<std::string> window_of_runs(Service& service, const Params& params) {
  tracking::WindowQuery query;
  query.runs.experiment_ids = readable_experiments(params, TRY(params.texts("experiment_ids")));
  query.runs.filter = TRY(params.text("filter"));
  query.runs.order_by = TRY(params.texts("order_by"));
  query.runs.view = TRY(params.view("run_view_type"));
  query.runs.max_results = TRY(count_of(params, "limit", query.runs.max_results));
  query.offset = TRY(count_of(params, "offset", 0));
  query.columns = TRY(params.texts("columns"));
  query.count = TRY(params.boolean("count")).value_or(true);
  tracking::RunWindow window = TRY(tracking::run_window(service.store, query));
  JsonWriter json;
  json.begin_object();
  if (window.total) json.key("total").integer(*window.total);
  json.key("offset").integer(query.offset).key("run_ids").begin_array();
  for (const std::string& id : window.run_ids) json.text(id);
  json.end_array().key("columns").begin_array();
  for (const tracking::RunColumn& column : window.columns) write(json, column);
  json.end_array().end_object();
  return json.take();
}

Result<std::string> series_of_metrics(Service& service, const Params& params) {
  tracking::SeriesQuery query;
  query.run_ids = TRY(params.required_texts("run_ids"));
  query.keys = TRY(params.required_texts("keys"));
  query.points = static_cast<size_t>(TRY(count_of(params, "points", static_cast<int64_t>(query.points))));
  query.axis = TRY(axis_of(params));
  std::optional<int64_t> first = TRY(params.integer("from"));
  std::optional<int64_t> last = TRY(params.integer("to"));
  if (first || last)
    query.range = {first.value_or(std::numeric_limits<int64_t>::min()),
                   last.value_or(std::numeric_limits<int64_t>::max())};
  tracking::SeriesOfRuns found = TRY(tracking::read_series(service.store, query));
  JsonWriter json;
  json.begin_object().key("series").begin_array();
  for (const tracking::Series& series : found.series) write(json, series);
  json.end_array().key("missing_runs").begin_array();
  for (const std::string& id : found.missing_runs) json.text(id);
  json.end_array().end_object();
  return json.take();
}

Result<HttpResponse> watch_changes(Service& service, const HttpRequest& request, const Params& params) {
  EventFilter filter;
  for (std::string& id : TRY(params.texts("run_ids"))) filter.run_ids.insert(std::move(id));
  for (const std::string& id : TRY(params.texts("experiment_ids")))
    filter.experiments.insert(TRY(tracking::parse_experiment_id(id)));
  if (filter.run_ids.size() + filter.experiments.size() > kMaxWatched)
    return fail(Code::kInvalid, "A stream of events watches at most {} runs and experiments", kMaxWatched);
  if (params.sender()) filter.sender = *params.sender();
  HttpResponse response;
  response.headers.add("Content-Type", "text/event-stream");
  response.headers.add("Cache-Control", "no-store");
  response.headers.add("X-Accel-Buffering", "no");  // nginx would wait for more
  response.body = TRY(service.events.open(std::move(filter), request.headers.get("Last-Event-ID")));
  return response;
}

}  // namespace tidemill::api
