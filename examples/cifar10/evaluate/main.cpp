// cifar10-evaluate: starts the image and asks it about every test image.
#include <CLI/CLI.hpp>

#include <future>

#include "base/json.h"
#include "base/log.h"
#include "base/text.h"
#include "base/time.h"
#include "common/dataset.h"
#include "common/recorder.h"
#include "evaluate/client.h"
#include "evaluate/report.h"
#include "oci/archive.h"
#include "oci/runtime.h"
#include "sys/signals.h"
#include "sys/terminal.h"

namespace tidemill::cifar10 {
namespace {

constexpr std::chrono::seconds kReadyTimeout{60};
constexpr std::chrono::seconds kStopGrace{10};

struct Options {
  fs::path image, data, output;
  std::string runtime = "auto";
  uint16_t http_port = 0, grpc_port = 0;
  size_t limit = 0;
  std::string trained_accuracy;
  fs::path trained_predictions;
  ClientOptions client;
};

Result<fs::path> find_archive(const fs::path& given) {
  std::error_code error;
  fs::path file = fs::is_directory(given, error) ? given / "image.tar" : given;
  if (!fs::is_regular_file(file, error)) return fail(Code::kNotFound, "there is no image {}", file.string());
  return file;
}

// The running server, and whether it still runs (asked from several threads).
class Server {
 public:
  Server(oci::Started started, fs::path log, uint16_t grpc_port)
      : started_(std::move(started)), log_(std::move(log)), grpc_port_(grpc_port) {}

  std::string target() const { return fmt::format("127.0.0.1:{}", grpc_port_); }
  const oci::Started& started() const { return started_; }

  Result<> alive() {
    std::lock_guard lock(mutex_);
    auto exit = started_.container->ended();
    if (!exit) return {};
    auto text = read_file(log_, 1 << 20);
    std::string_view log = text ? trim(*text) : std::string_view();
    constexpr size_t kShown = 600;
    if (log.size() > kShown) log.remove_prefix(log.size() - kShown);
    return fail(Code::kUnavailable, "the server ended ({}): {}", exit->describe(),
                log.empty() ? "no output" : log);
  }
  void stop() {
    std::lock_guard lock(mutex_);
    started_.container->stop(kStopGrace);
  }

 private:
  oci::Started started_;
  fs::path log_;
  uint16_t grpc_port_;
  std::mutex mutex_;
};

Result<std::unique_ptr<Server>> start_server(const Options& options, const fs::path& archive) {
  auto runtimes = TRY(oci::runtimes_for(options.runtime));
  uint16_t grpc_port = options.grpc_port ? options.grpc_port : TRY(oci::free_port());
  uint16_t http_port = options.http_port ? options.http_port : TRY(oci::free_port());
  oci::ContainerSpec spec;
  spec.archive = archive;
  // The container shares this machine's network: only this machine may reach it.
  spec.args = {"--address=127.0.0.1"};
  spec.env = {{"HTTP_PORT", std::to_string(http_port)}, {"GRPC_PORT", std::to_string(grpc_port)}};
  spec.log_file = options.output / "server.log";
  TRY(write_file_atomic(spec.log_file, "", Durable::no));
  auto tried = oci::start_container(runtimes, spec);
  if (!tried && tried.error().code == Code::kUnavailable && options.runtime != "auto")
    tried.error().message += "; --runtime auto takes what works here, a plain process if need be";
  oci::Started started = TRY(std::move(tried));
  for (const std::string& reason : started.not_used) log_info("not used: {}", reason);
  fmt::print(stderr, "runs in {}\n", started.container->description());
  return std::make_unique<Server>(std::move(started), spec.log_file, grpc_port);
}

struct Evaluation {
  DataSplit data;
  std::vector<std::string> classes;
  Answers answers;
  double start_seconds = 0, request_seconds = 0, total_seconds = 0;
  std::string runtime, description;
};

Result<Evaluation> measure(const Options& options) {
  fs::path archive = TRY(find_archive(options.image));
  fs::path folder = TRY(resolve_data_folder(options.data));
  TRY(make_dirs(options.output));
  Evaluation evaluation;
  Stopwatch watch;
  // The images are read while the container starts.
  auto reading = std::async(std::launch::async, [&] { return read_split(folder, "test", options.limit); });
  auto cleaning = std::async(std::launch::async, [] { oci::remove_leftovers(); });
  std::unique_ptr<Server> server = TRY(start_server(options, archive));
  evaluation.runtime = server->started().runtime;
  evaluation.description = server->started().container->description();
  auto alive = [&server] { return server->alive(); };
  TRY(wait_ready(server->target(), kReadyTimeout, alive));
  evaluation.start_seconds = watch.seconds();

  evaluation.data = TRY(reading.get());
  evaluation.classes = TRY(read_classes(folder));
  ClientOptions client = options.client;
  client.target = server->target();
  Stopwatch requests;
  Progress progress("evaluate", evaluation.data.count(), "images");
  evaluation.answers =
      TRY(classify(evaluation.data, client, [&](size_t done) { progress.advance(done); }, alive));
  progress.finish();
  evaluation.request_seconds = requests.seconds();
  server->stop();
  cleaning.get();
  evaluation.total_seconds = watch.seconds();
  return evaluation;
}

std::string comparison_text(const Comparison& comparison) {
  std::string text;
  if (comparison.trained_accuracy)
    text += fmt::format(", trained {:.2f} %", 100 * *comparison.trained_accuracy);
  if (comparison.images_better) text += fmt::format(" ({:+d} images)", *comparison.images_better);
  if (comparison.images_differing) text += fmt::format(", {} answers differ", *comparison.images_differing);
  return text;
}

Result<> evaluate(const Options& options, Recorder& recorder) {
  Trained trained;
  if (!options.trained_accuracy.empty()) trained.accuracy = TRY(parse_accuracy(options.trained_accuracy));
  Evaluation evaluation = TRY(measure(options));
  const DataSplit& data = evaluation.data;
  if (!options.trained_predictions.empty())
    trained.predictions = TRY(read_predictions(options.trained_predictions, data.count()));
  Figures figures = figures_of(data, evaluation.answers, evaluation.total_seconds);
  Comparison comparison = compare(data, evaluation.answers, figures, trained);

  Json report = report_of(data, evaluation.classes, evaluation.answers, figures, comparison);
  report["runtime"] = evaluation.description;
  fs::path file = options.output / "evaluation.json";
  TRY(write_file_atomic(file, dump_json(report) + "\n"));

  recorder.param("runtime", evaluation.runtime);
  recorder.param("connections", std::to_string(options.client.connections));
  recorder.param("in_flight", std::to_string(options.client.in_flight));
  recorder.tag("runtime", evaluation.description);
  recorder.metrics({{"accuracy", figures.accuracy},
                    {"total_tested", static_cast<double>(figures.total_tested)},
                    {"total_time", figures.total_seconds},
                    {"start_second", evaluation.start_seconds},
                    {"average_duration_second", figures.average_duration_second},
                    {"p50_second", figures.p50_second},
                    {"p99_second", figures.p99_second}});
  if (comparison.images_better)
    recorder.metric("images_better_than_trained", static_cast<double>(*comparison.images_better));
  if (comparison.images_differing)
    recorder.metric("images_differing_from_trained", static_cast<double>(*comparison.images_differing));
  TRY(recorder.artifact(file));
  fmt::print(stderr,
             "accuracy {:.2f} % of {} images{}; start {}, total {}; a request p50 {:.2f} ms, p99 {:.2f} ms\n",
             100 * figures.accuracy, human_count(figures.total_tested), comparison_text(comparison),
             human_duration(evaluation.start_seconds), human_duration(figures.total_seconds),
             1000 * figures.p50_second, 1000 * figures.p99_second);
  return {};
}

Result<> run(const Options& options) {
  Recorder recorder = TRY(Recorder::from_environment("cifar10", "evaluate"));
  Result<> done = evaluate(options, recorder);
  return recorder.end(std::move(done));
}

}  // namespace
}  // namespace tidemill::cifar10

int main(int argc, char** argv) {
  using namespace tidemill::cifar10;
  Options options;
  CLI::App app{
      "Starts the image of the model server, sends it every test image over gRPC, and reports accuracy and "
      "latency. Stops what it started.",
      "cifar10-evaluate"};
  app.add_option("--image", options.image, "image.tar, or the folder the build step has written")->required();
  app.add_option("--data", options.data, "The prepared data set")->required();
  app.add_option("--output", options.output, "Folder for evaluation.json and server.log")->required();
  app.add_option("--runtime", options.runtime, "auto, podman, docker or process")->capture_default_str();
  app.add_option("--http-port", options.http_port, "Port of the server for HTTP (default: a free one)");
  app.add_option("--grpc-port", options.grpc_port, "Port of the server for gRPC (default: a free one)");
  app.add_option("--connections", options.client.connections, "gRPC connections")
      ->check(CLI::Range(1, 64))
      ->capture_default_str();
  app.add_option("--in-flight", options.client.in_flight, "Requests on the way for each connection")
      ->check(CLI::Range(1, 64))
      ->capture_default_str();
  app.add_option("--limit", options.limit, "Only the first N test images");
  app.add_option("--trained-accuracy", options.trained_accuracy,
                 "The trainer's test accuracy, to compare with");
  app.add_option("--trained-predictions", options.trained_predictions,
                 "JSON file with the trainer's predictions, to compare image by image");
  app.footer("Example: cifar10-evaluate --image image/ --data data --output evaluation");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  tidemill::catch_interrupts();
  auto done = run(options);
  if (done) return 0;
  fmt::print(stderr, "cifar10-evaluate: {}\n", done.error().message);
  return tidemill::exit_code(done.error().code);
}
