// Whatever stands in a database that claims to be an MLflow server's, importing it ends with a report or an
// error, and leaves a store that opens. An input is the database's file itself, or rows for MLflow's tables:
// those take values of any type here, as SQLite's do.
#include <cstdlib>
#include <cstring>

#include "base/text.h"
#include "db/location.h"
#include "exchange/copy.h"
#include "exchange/mlflow_db_source.h"
#include "exchange/store_sink.h"

using namespace tidemill;
using namespace tidemill::exchange;

namespace {

struct Column {
  std::string_view name, usual;  // usual: as SQL
};
struct Table {
  std::string_view name;
  std::vector<Column> columns;
};

const std::vector<Table> kTables = {
    {"experiments",
     {{"experiment_id", "3"},
      {"name", "'e'"},
      {"artifact_location", "'mlflow-artifacts:/3'"},
      {"lifecycle_stage", "'active'"},
      {"creation_time", "1"},
      {"last_update_time", "2"},
      {"workspace", "'default'"}}},
    {"experiment_tags", {{"key", "'k'"}, {"value", "'v'"}, {"experiment_id", "3"}}},
    {"runs",
     {{"run_uuid", "'4ad3002445f24c0e85eed8caf983ff67'"},
      {"name", "'r'"},
      {"user_id", "'u'"},
      {"status", "'FINISHED'"},
      {"start_time", "1"},
      {"end_time", "2"},
      {"lifecycle_stage", "'active'"},
      {"artifact_uri", "'./a'"},
      {"experiment_id", "3"},
      {"deleted_time", "NULL"}}},
    {"params", {{"key", "'k'"}, {"value", "'v'"}, {"run_uuid", "'4ad3002445f24c0e85eed8caf983ff67'"}}},
    {"tags", {{"key", "'k'"}, {"value", "'v'"}, {"run_uuid", "'4ad3002445f24c0e85eed8caf983ff67'"}}},
    {"metrics",
     {{"key", "'m'"},
      {"value", "0.5"},
      {"timestamp", "1"},
      {"run_uuid", "'4ad3002445f24c0e85eed8caf983ff67'"},
      {"step", "1"},
      {"is_nan", "0"}}},
    {"datasets",
     {{"dataset_uuid", "'d'"},
      {"name", "'n'"},
      {"digest", "'0'"},
      {"dataset_source_type", "'code'"},
      {"dataset_source", "'s'"},
      {"dataset_schema", "NULL"},
      {"dataset_profile", "'{}'"}}},
    {"inputs",
     {{"input_uuid", "'i'"},
      {"source_type", "'DATASET'"},
      {"source_id", "'d'"},
      {"destination_type", "'RUN'"},
      {"destination_id", "'4ad3002445f24c0e85eed8caf983ff67'"},
      {"step", "0"}}},
    {"input_tags", {{"input_uuid", "'i'"}, {"name", "'mlflow.data.context'"}, {"value", "'training'"}}},
    {"registered_models",
     {{"name", "'g'"},
      {"creation_time", "1"},
      {"last_updated_time", "2"},
      {"description", "NULL"},
      {"workspace", "'default'"}}},
    {"registered_model_tags",
     {{"key", "'k'"}, {"value", "'v'"}, {"name", "'g'"}, {"workspace", "'default'"}}},
    {"registered_model_aliases",
     {{"alias", "'best'"}, {"version", "1"}, {"name", "'g'"}, {"workspace", "'default'"}}},
    {"model_versions",
     {{"name", "'g'"},
      {"version", "1"},
      {"creation_time", "1"},
      {"last_updated_time", "2"},
      {"description", "NULL"},
      {"current_stage", "'None'"},
      {"source", "'models:/m-704715e2bd2048fe9f024d79efa1e530'"},
      {"run_id", "'4ad3002445f24c0e85eed8caf983ff67'"},
      {"run_link", "NULL"},
      {"storage_location", "'s3://b/1'"},
      {"workspace", "'default'"}}},
    {"model_version_tags",
     {{"key", "'k'"}, {"value", "'v'"}, {"name", "'g'"}, {"version", "1"}, {"workspace", "'default'"}}},
    {"logged_models",
     {{"model_id", "'m-704715e2bd2048fe9f024d79efa1e530'"},
      {"experiment_id", "3"},
      {"name", "'net'"},
      {"artifact_location", "'mlflow-artifacts:/3/models/m'"},
      {"creation_timestamp_ms", "1"},
      {"last_updated_timestamp_ms", "2"},
      {"status", "2"},
      {"lifecycle_stage", "'active'"},
      {"model_type", "NULL"},
      {"source_run_id", "'4ad3002445f24c0e85eed8caf983ff67'"}}},
    {"logged_model_params",
     {{"model_id", "'m-704715e2bd2048fe9f024d79efa1e530'"}, {"param_key", "'k'"}, {"param_value", "'v'"}}},
    {"logged_model_tags",
     {{"model_id", "'m-704715e2bd2048fe9f024d79efa1e530'"}, {"tag_key", "'k'"}, {"tag_value", "'v'"}}},
    {"logged_model_metrics",
     {{"model_id", "'m-704715e2bd2048fe9f024d79efa1e530'"},
      {"metric_name", "'acc'"},
      {"metric_timestamp_ms", "1"},
      {"metric_step", "1"},
      {"metric_value", "0.5"},
      {"run_id", "'4ad3002445f24c0e85eed8caf983ff67'"},
      {"dataset_name", "NULL"},
      {"dataset_digest", "NULL"}}},
    {"trace_info", {{"request_id", "'t'"}, {"experiment_id", "3"}}},
};

template <class T>
T must(Result<T> result) {
  if (!result) {
    std::fprintf(stderr, "%s\n", result.error().message.c_str());
    std::abort();
  }
  return std::move(*result);
}

void must(Result<> result) {
  if (!result) std::abort();
}

class Input {
 public:
  explicit Input(std::string_view bytes) : bytes_(bytes) {}
  bool empty() const { return bytes_.empty(); }
  std::string_view take(size_t most) {
    std::string_view taken = bytes_.substr(0, most);
    bytes_.remove_prefix(taken.size());
    return taken;
  }
  uint8_t byte() { return empty() ? 0 : static_cast<uint8_t>(take(1)[0]); }
  template <class Number>
  Number number() {
    Number value{};
    std::string_view bytes = take(sizeof value);
    std::memcpy(&value, bytes.data(), bytes.size());
    return value;
  }

 private:
  std::string_view bytes_;
};

std::string hex_of(std::string_view bytes) {
  std::string hex;
  for (unsigned char c : bytes) hex += fmt::format("{:02x}", c);
  return hex;
}

std::string value_of(Input& input, std::string_view usual) {
  switch (input.byte() % 8) {
    case 1:
      return "NULL";
    case 2:
      return fmt::format("{}", static_cast<int8_t>(input.byte()));
    case 3:
      return fmt::format("{}", input.number<int64_t>());
    case 4: {
      // Whatever its bits are: infinity, too; NaN is NULL to SQLite.
      double value = input.number<double>();
      return value != value       ? "NULL"
             : value - value != 0 ? (value > 0 ? "9e999" : "-9e999")
                                  : fmt::format("{}", value);
    }
    case 5:
      return fmt::format("CAST(x'{}' AS TEXT)", hex_of(input.take(input.byte() % 40)));
    case 6:
      return fmt::format("x'{}'", hex_of(input.take(input.byte() % 40)));
    default:
      return std::string(usual);
  }
}

std::string script_of(Input input) {
  constexpr int kMostRows = 60;
  std::string script = "BEGIN;";
  for (int rows = 0; !input.empty() && rows < kMostRows; ++rows) {
    const Table& table = kTables[input.byte() % kTables.size()];
    std::vector<std::string> values;
    for (const Column& column : table.columns) values.push_back(value_of(input, column.usual));
    script += fmt::format("INSERT INTO {} VALUES ({});", table.name, join(values, ", "));
  }
  return script + "COMMIT;";
}

// An empty store and an MLflow database without rows: copied for each input, which takes less than making
// them.
struct Templates {
  Templates() {
    must(tracking::Store::open(
        {.uri = folder.path() / "store.db", .default_artifact_root = "mlflow-artifacts:"}));
    auto database = must(db::open({.file = folder.path() / "mlflow.db"}));
    std::string tables = "PRAGMA journal_mode = DELETE;";
    for (const Table& table : kTables) {
      std::vector<std::string> names;
      for (const Column& column : table.columns) names.emplace_back(column.name);
      tables += fmt::format("CREATE TABLE {} ({});", table.name, join(names, ", "));
    }
    must(database->execute(tables));
  }
  TempDir folder = must(TempDir::create(fs::exists("/dev/shm") ? "/dev/shm" : ""));
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const Templates templates;
  static const fs::path work = templates.folder.path() / "work";
  std::string_view bytes(reinterpret_cast<const char*>(data), size);
  must(tidemill::remove_all(work));
  must(make_dirs(work));
  const fs::path file = work / "mlflow.db", store_file = work / "store.db";
  fs::copy_file(templates.folder.path() / "store.db", store_file);
  if (bytes.starts_with("SQLite format 3")) {
    must(write_file_atomic(file, bytes, Durable::no));
  } else {
    fs::copy_file(templates.folder.path() / "mlflow.db", file);
    must(must(db::open({.file = file}))->execute(script_of(Input(bytes))));
  }
  {
    auto source = MlflowDbSource::open({.file = file});
    if (!source) return 0;
    auto store =
        must(tracking::Store::open({.uri = store_file, .default_artifact_root = "mlflow-artifacts:"}));
    StoreSink sink(store);
    Report report;
    (void)copy(*source, sink, {}, report);
  }
  auto again = must(tracking::Store::open({.uri = store_file, .default_artifact_root = "mlflow-artifacts:"}));
  (void)must(again.search_runs({.experiment_ids = {"0", "3"}}));
  return 0;
}
