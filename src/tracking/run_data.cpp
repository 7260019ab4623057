#include "tracking/run_data.h"

#include <algorithm>
#include <future>
#include <limits>

#include "tracking/run_spans.h"

namespace tidemill::tracking {

RunInfo read_run_info(const db::Statement& row) {
  return {.id = std::string(row.text(1)),
          .name = std::string(row.text(2)),
          .experiment_id = std::to_string(row.integer(3)),
          .user = std::string(row.text(4)),
          .status = static_cast<RunStatus>(row.integer(5)),
          .start_time = row.integer(6),
          .end_time = row.optional_integer(7),
          .artifact_uri = std::string(row.text(8)),
          .lifecycle = static_cast<Lifecycle>(row.integer(9))};
}

namespace {

using Span = RunSpan<RowOf>;

constexpr size_t kUsual = 16;  // metrics, parameters or tags of a run; more cost a move

// Calls each(run, row) for the rows of a table that belong to the runs. `columns`: of what is selected from,
// the run first; behind the run, `order` goes on.
struct Selection {
  std::string_view columns, from, run, order;
};
template <class Each>
Result<> walk_rows(Reader& reader, const Selection& rows, Span runs, Each each) {
  db::Statement row = TRY(
      reader.connection->prepare(fmt::format("SELECT {0}, {1} FROM {2} WHERE {3} ORDER BY {0}, {4}", rows.run,
                                             rows.columns, rows.from, runs.where(rows.run), rows.order)));
  runs.bind(row);
  return for_rows(std::move(row), runs.owners,
                  [&](const RowOf& owner, const db::Statement& found) { return each(*owner.run, found); });
}

Result<> load_pairs(Reader& reader, std::string_view table, Span runs, std::vector<KeyValue> Run::* pairs) {
  return walk_rows(
      reader, {"key, value", table, "run", "key"}, runs, [&](Run& run, const db::Statement& row) -> Result<> {
        if ((run.*pairs).empty()) (run.*pairs).reserve(kUsual);
        (run.*pairs).emplace_back(*TRY(reader.names.name(*reader.connection, row.integer(1))), row.text(2));
        return {};
      });
}

Result<> load_metrics(Reader& reader, Span runs) {
  constexpr Selection kRows = {"key, value, is_nan, timestamp, step", "metrics", "run", "key"};
  return walk_rows(reader, kRows, runs, [&](Run& run, const db::Statement& row) -> Result<> {
    double value = row.integer(3) ? std::numeric_limits<double>::quiet_NaN() : row.real(2);
    if (run.metrics.empty()) run.metrics.reserve(kUsual);
    run.metrics.push_back(
        {*TRY(reader.names.name(*reader.connection, row.integer(1))), value, row.integer(4), row.integer(5)});
    return {};
  });
}

std::optional<std::string> optional_text(const db::Statement& row, int column) {
  return row.is_null(column) ? std::nullopt : std::optional<std::string>(row.text(column));
}

Result<> load_datasets(Reader& reader, Span runs) {
  constexpr Selection kRows = {
      "u.dataset, t.key, t.value, d.name, d.digest, d.source_type, d.source, d.schema, d.profile",
      "run_datasets u JOIN datasets d ON d.id = u.dataset LEFT JOIN run_dataset_tags t ON "
      "t.run = u.run AND t.dataset = u.dataset",
      "u.run", "u.dataset, t.key"};
  const Run* last_run = nullptr;
  int64_t last_dataset = 0;
  return walk_rows(reader, kRows, runs, [&](Run& run, const db::Statement& row) -> Result<> {
    if (&run != last_run || row.integer(1) != last_dataset)  // a row for each tag
      run.datasets.push_back({.dataset = {.name = std::string(row.text(4)),
                                          .digest = std::string(row.text(5)),
                                          .source_type = std::string(row.text(6)),
                                          .source = std::string(row.text(7)),
                                          .schema = optional_text(row, 8),
                                          .profile = optional_text(row, 9)},
                              .tags = {}});
    last_run = &run;
    last_dataset = row.integer(1);
    if (!row.is_null(2)) run.datasets.back().tags.emplace_back(row.text(2), row.text(3));
    return {};
  });
}

Result<> load_models(Reader& reader, Span runs) {
  constexpr Selection kRows = {"role, step, model", "run_models", "run", "role, step, model"};
  return walk_rows(reader, kRows, runs, [&](Run& run, const db::Statement& row) -> Result<> {
    if (static_cast<ModelRole>(row.integer(1)) == ModelRole::kInput)
      run.model_inputs.emplace_back(row.text(3));
    else
      run.model_outputs.push_back({std::string(row.text(3)), row.integer(2)});
    return {};
  });
}

// Few runs have any: one look spares a statement for each span.
struct Lineage {
  bool datasets = false, models = false;
};
Result<Lineage> lineage_of(Reader& reader, const std::vector<RowOf>& runs) {
  auto [first, last] = std::minmax_element(runs.begin(), runs.end(),
                                           [](const RowOf& a, const RowOf& b) { return a.row < b.row; });
  auto any = [&](std::string_view sql) -> Result<bool> {
    db::Statement row = TRY(reader.connection->prepare(sql));
    return TRY(row.bind(first->row, last->row).step());
  };
  bool datasets = TRY(any("SELECT 1 FROM run_datasets WHERE run BETWEEN ? AND ? LIMIT 1"));
  bool models = TRY(any("SELECT 1 FROM run_models WHERE run BETWEEN ? AND ? LIMIT 1"));
  return Lineage{datasets, models};
}

Result<> load_span(Reader& reader, Span runs, Lineage lineage) {
  TRY(load_metrics(reader, runs));
  TRY(load_pairs(reader, "params", runs, &Run::params));
  TRY(load_pairs(reader, "tags", runs, &Run::tags));
  if (lineage.datasets) TRY(load_datasets(reader, runs));
  return lineage.models ? load_models(reader, runs) : Result<>();
}

}  // namespace

Result<> load_run_data(Reader& reader, std::vector<RowOf> runs) {
  // A lost connection may have left the beginning of an earlier attempt.
  for (const RowOf& row : runs)
    *row.run = Run{.info = std::move(row.run->info), .metrics = {}, .params = {}, .tags = {}};
  if (runs.empty()) return {};
  Lineage lineage = TRY(lineage_of(reader, runs));
  return for_spans(runs, [&](Span span) { return load_span(reader, span, lineage); });
}

Result<RunRows> RunRows::read(db::Connection& connection, std::vector<int64_t> rows) {
  RunRows read;
  read.runs_.resize(rows.size());
  std::vector<RowOf> runs;
  for (size_t i = 0; i < rows.size(); ++i) runs.push_back({rows[i], &read.runs_[i]});
  read.rows_ = std::move(rows);
  TRY(for_spans(runs, [&](Span span) -> Result<> {
    db::Statement row = TRY(connection.prepare(
        fmt::format("SELECT {} FROM runs r WHERE {} ORDER BY r.id", kRunColumns, span.where("r.id"))));
    span.bind(row);
    return for_rows(std::move(row), span.owners,
                    [](const RowOf& owner, const db::Statement& found) -> Result<> {
                      owner.run->info = read_run_info(found);
                      return {};
                    });
  }));
  return read;
}

Result<std::vector<Run>> RunRows::load(Store::State& state, Reader& reader) {
  constexpr size_t kMany = 64;
  std::vector<RowOf> first, second;
  const size_t alone = runs_.size() < kMany ? runs_.size() : runs_.size() / 2;
  for (size_t i = 0; i < runs_.size(); ++i) (i < alone ? first : second).push_back({rows_[i], &runs_[i]});
  std::future<Result<>> helper;
  if (!second.empty())
    helper = std::async(std::launch::async, [&] {
      return state.read<void>([&](Reader& other) { return load_run_data(other, second); });
    });
  Result<> loaded = load_run_data(reader, std::move(first));
  if (helper.valid()) TRY(helper.get());
  TRY(loaded);
  return std::move(runs_);
}

}  // namespace tidemill::tracking
