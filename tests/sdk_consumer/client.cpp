// What a program does with the client at a server of its own, checked as far as the client itself can tell;
// sdk_programs_test.py then looks at it with MLflow's client. Prints the run's id.
// usage: client SCRATCH_FOLDER
#include <tidemill/client.h>

#include <cmath>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <iterator>

namespace fs = std::filesystem;
using namespace tidemill::sdk;

template <class T>
T must(Result<T> result, const char* what) {
  if (!result) {
    std::cerr << what << ": " << result.error() << '\n';
    std::exit(1);
  }
  if constexpr (!std::is_void_v<T>) return std::move(*result);
}
#define MUST(...) must(__VA_ARGS__, #__VA_ARGS__)

void check(bool holds, const char* what, int line) {
  if (holds) return;
  std::cerr << "line " << line << ": " << what << '\n';
  std::exit(1);
}
#define CHECK(...) check((__VA_ARGS__), #__VA_ARGS__, __LINE__)

template <class T>
void check_code(const Result<T>& result, ErrorCode code, int line) {
  check(!result && result.error().code == code && !result.error().message.empty(),
        result ? "was to fail" : result.error().message.c_str(), line);
}
#define CHECK_CODE(result, code) check_code(result, ErrorCode::code, __LINE__)

std::string content_of(const fs::path& file) {
  std::ifstream in(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

void write(const fs::path& file, const std::string& text) {
  fs::create_directories(file.parent_path());
  std::ofstream(file, std::ios::binary) << text;
}

std::string experiments(Client& client) {
  std::string id = MUST(client.create_experiment("client ü", "", {{"team", "vision"}}));
  CHECK_CODE(client.create_experiment("client ü"), kConflict);
  Experiment experiment = MUST(client.experiment_by_name("client ü"));
  CHECK(experiment.id == id && experiment.tags.at("team") == "vision" &&
        experiment.created > 1'600'000'000'000);
  CHECK_CODE(client.experiment_by_name("none"), kNotFound);
  std::string other = MUST(client.create_experiment("other"));
  MUST(client.rename_experiment(other, "another"));
  MUST(client.set_experiment_tag(other, "k", "v"));
  CHECK(MUST(client.experiment(other)).name == "another");
  MUST(client.delete_experiment(other));
  CHECK(MUST(client.experiment(other)).lifecycle == Lifecycle::kDeleted);
  CHECK(MUST(client.search_experiments({.filter = "name = 'another'"})).items.empty());
  auto deleted = MUST(client.search_experiments({.view = View::kDeletedOnly}));
  CHECK(deleted.items.size() == 1 && deleted.items[0].tags.at("k") == "v");
  MUST(client.restore_experiment(other));
  auto page = MUST(client.search_experiments({.order_by = {"name ASC"}, .max_results = 1}));
  CHECK(page.items.size() == 1 && !page.next_page_token.empty());
  auto next = MUST(client.search_experiments(
      {.order_by = {"name ASC"}, .max_results = 1, .page_token = page.next_page_token}));
  CHECK(next.items.size() == 1 && next.items[0].id != page.items[0].id);
  return id;
}

void log(Client& client, const std::string& run) {
  MUST(client.log_param(run, "lr", "0.1"));
  CHECK_CODE(client.log_param(run, "lr", "0.2"), kInvalid);
  MUST(client.log_metric(run, {.key = "loss", .value = 0.5, .step = 3, .timestamp = 1'700'000'000'000}));
  MUST(client.log_metric(run, {.key = "nan", .value = std::nan("")}));
  RunData data{.params = {{"depth", "11"}}, .tags = {{"kind", "test"}}};
  for (int step = 0; step < 2500; ++step)
    data.metrics.push_back(
        {.key = "curve", .value = step * 0.5, .step = step, .timestamp = 1'700'000'000'000 + step});
  data.metrics.push_back({.key = "endless", .value = INFINITY});
  MUST(client.log_batch(run, data));
  auto curve = MUST(client.metric_history(run, "curve"));
  CHECK(curve.size() == 2500 && curve.front().step == 0 && curve.back().step == 2499);
  CHECK(curve[7].value == 3.5 && curve[7].timestamp == 1'700'000'000'007);
  MUST(client.set_tag(run, "gone", "1"));
  MUST(client.delete_tag(run, "gone"));
  MUST(client.rename_run(run, "renamed"));
  MUST(client.set_terminated(run, RunStatus::kFailed, 1'700'000'100'000));
  RunRecord record = MUST(client.run(run));
  CHECK(record.name == "renamed" && record.status == RunStatus::kFailed &&
        record.end_time == 1'700'000'100'000);
  CHECK(record.params == std::map<std::string, std::string>{{"depth", "11"}, {"lr", "0.1"}});
  CHECK(record.metrics.at("curve").value == 1249.5 && record.metrics.at("curve").step == 2499);
  CHECK(std::isnan(record.metrics.at("nan").value));
  CHECK(record.metrics.at("endless").value > 1e308);  // MLflow keeps infinity as the largest number
  CHECK(record.metrics.at("nan").timestamp > 1'700'000'000'000);
  CHECK(record.tags.at("kind") == "test" && record.tags.at("mlflow.source.type") == "LOCAL");
  CHECK(!record.tags.contains("gone"));
}

void search(Client& client, const std::string& experiment, const std::string& run) {
  std::string child =
      MUST(client.create_run({.experiment_id = experiment, .name = "child", .parent_run_id = run})).id;
  auto found =
      MUST(client.search_runs({experiment}, {.filter = "params.lr = '0.1' AND metrics.curve > 1000"}));
  CHECK(found.items.size() == 1 && found.items[0].id == run && found.next_page_token.empty());
  CHECK(MUST(client.search_runs({experiment}, {.max_results = 1})).next_page_token != "");
  CHECK_CODE(client.search_runs({experiment}, {.filter = "nonsense"}), kInvalid);
  CHECK_CODE(client.run("0123456789abcdef0123456789abcdef"), kNotFound);
  MUST(client.delete_run(child));
  CHECK(MUST(client.search_runs({experiment})).items.size() == 1);
  CHECK(MUST(client.search_runs({experiment}, {.view = View::kDeletedOnly})).items.at(0).id == child);
  MUST(client.restore_run(child));
  CHECK(MUST(client.run(child)).tags.at("mlflow.parentRunId") == run);
}

void artifacts(Client& client, const std::string& run, const fs::path& scratch) {
  write(scratch / "model/MLmodel", "flavors: {}\n");
  write(scratch / "model/data/weights 1.bin", std::string(100'000, '\x80'));
  write(scratch / "notes.txt", "good");
  MUST(client.log_artifacts(run, scratch / "model", "model"));
  MUST(client.log_artifact(run, scratch / "notes.txt"));
  auto root = MUST(client.list_artifacts(run));
  CHECK(root.size() == 2 && root[0].path == "model" && root[0].is_folder);
  CHECK(root[1].path == "notes.txt" && !root[1].is_folder && root[1].size == 4);
  auto data = MUST(client.list_artifacts(run, "model/data"));
  CHECK(data.size() == 1 && data[0].path == "model/data/weights 1.bin" && data[0].size == 100'000);
  CHECK(MUST(client.list_artifacts(run, "none")).empty());
  fs::path file = MUST(client.download_artifacts(run, "model/data/weights 1.bin", scratch / "down"));
  CHECK(file == scratch / "down/weights 1.bin" && content_of(file) == std::string(100'000, '\x80'));
  fs::path folder = MUST(client.download_artifacts(run, "model/", scratch / "down"));
  CHECK(folder == scratch / "down/model" && content_of(folder / "MLmodel") == "flavors: {}\n");
  CHECK(content_of(folder / "data/weights 1.bin").size() == 100'000);
  fs::path all = MUST(client.download_artifacts(run, "", scratch / "all"));
  CHECK(content_of(all / "notes.txt") == "good" && content_of(all / "model/MLmodel") == "flavors: {}\n");
  CHECK_CODE(client.download_artifacts(run, "none.bin", scratch / "down"), kNotFound);
  CHECK_CODE(client.log_artifact(run, scratch / "none"), kNotFound);
}

void registry(Client& client, const std::string& run) {
  RegisteredModel made = MUST(client.create_registered_model("net", "of a test", {{"task", "images"}}));
  CHECK(made.description == "of a test" && made.tags.at("task") == "images");
  CHECK_CODE(client.create_registered_model("net"), kConflict);
  ModelVersion first = MUST(client.register_model("net", run, "model"));
  CHECK(first.version == 1 && first.status == "READY" && first.run_id == run);
  std::string source = MUST(client.run(run)).artifact_uri + "/model";
  ModelVersion second = MUST(client.create_model_version(
      {.name = "net", .source = source, .run_id = run, .description = "better", .tags = {{"seed", "2"}}}));
  CHECK(second.version == 2 && second.description == "better" && second.source == source);
  MUST(client.set_model_version_tag("net", 1, "seed", "1"));
  MUST(client.set_registered_model_tag("net", "owner", "me"));
  MUST(client.set_model_alias("net", "champion", 1));
  MUST(client.set_model_alias("net", "champion", 2));
  MUST(client.set_model_alias("net", "former", 1));
  MUST(client.delete_model_alias("net", "former"));
  CHECK(MUST(client.model_version_by_alias("net", "champion")).tags.at("seed") == "2");
  CHECK_CODE(client.model_version_by_alias("net", "former"), kInvalid);
  CHECK(MUST(client.registered_model("net")).aliases == std::map<std::string, int64_t>{{"champion", 2}});
  CHECK(MUST(client.search_registered_models({.filter = "name LIKE 'n%'"})).items.size() == 1);
  auto versions =
      MUST(client.search_model_versions({.filter = "name = 'net'", .order_by = {"version_number ASC"}}));
  CHECK(versions.items.size() == 2 && versions.items[0].version == 1);
  MUST(client.register_model("fresh", run, "model"));
  MUST(client.delete_model_version("fresh", 1));
  CHECK_CODE(client.model_version("fresh", 1), kNotFound);
  MUST(client.delete_registered_model("fresh"));
  CHECK_CODE(client.registered_model("fresh"), kNotFound);
}

int main(int, char** argv) {
  fs::path scratch = argv[1];
  Client client = MUST(Client::connect());
  std::string experiment = experiments(client);
  RunRecord run = MUST(client.create_run(
      {.experiment_id = experiment, .name = "first", .start_time = 1'700'000'000'000, .tags = {{"a", "1"}}}));
  CHECK(run.status == RunStatus::kRunning && !run.end_time && run.tags.at("a") == "1");
  log(client, run.id);
  search(client, experiment, run.id);
  artifacts(client, run.id, scratch);
  registry(client, run.id);
  CHECK_CODE(Client::connect({.tracking_uri = "sqlite:///x.db"}), kInvalid);
  Client nobody =
      MUST(Client::connect({.tracking_uri = "http://127.0.0.1:1", .patience = std::chrono::seconds(0)}));
  CHECK_CODE(nobody.run(run.id), kUnavailable);
  std::cout << run.id << '\n';
}
