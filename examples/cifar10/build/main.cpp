// cifar10-build: a container image that serves the trained model.
#include <CLI/CLI.hpp>

#include "base/json.h"
#include "base/text.h"
#include "base/time.h"
#include "common/recorder.h"
#include "oci/onnx_file.h"
#include "oci/server_image.h"
#include "sys/signals.h"
#include "sys/terminal.h"

namespace tidemill::cifar10 {
namespace {

struct Options {
  fs::path model;
  fs::path output;
  std::string name = "cifar10-server:latest";
  fs::path server;
  fs::path onnxruntime;
};

constexpr std::string_view kArchive = "image.tar";
constexpr std::string_view kSummary = "image.json";

// The model itself, or the only .onnx file in the folder that the training step has written.
Result<fs::path> find_model(const fs::path& given) {
  std::error_code error;
  if (!fs::is_directory(given, error)) return given;
  std::vector<std::string> found;
  for (fs::directory_iterator it(given, error), end; !error && it != end; it.increment(error))
    if (it->path().extension() == ".onnx") found.push_back(it->path().string());
  if (found.empty())
    return fail(Code::kNotFound, "no .onnx file in {}: has the training step ended?", given.string());
  if (found.size() > 1)
    return fail(Code::kInvalid, "{} .onnx files in {}: name one with --model", found.size(), given.string());
  return fs::path(found.front());
}

Json summary_of(const oci::ImageInfo& image, const oci::ImageSpec& spec, const fs::path& model) {
  Json layers = Json::array();
  for (const oci::LayerInfo& layer : image.layers)
    layers.push_back({{"name", layer.name},
                      {"digest", layer.digest},
                      {"diff_id", layer.diff_id},
                      {"bytes", layer.size},
                      {"unpacked_bytes", layer.unpacked}});
  Json summary = {{"name", oci::normal_name(spec.name).value_or(spec.name)},
                  {"archive", std::string(kArchive)},
                  {"digest", image.digest},
                  {"image_id", image.image_id},
                  {"archive_bytes", image.archive_bytes},
                  {"unpacked_bytes", image.unpacked_bytes},
                  {"model", model.filename().string()}};
  for (const auto& [key, value] : spec.labels)
    if (key == "ml.tidemill.model.digest") summary["model_digest"] = value;
  summary["layers"] = std::move(layers);
  return summary;
}

void print_summary(const oci::ImageInfo& image, double seconds) {
  Table table({"layer", "size", "unpacked", "from"});
  for (const oci::LayerInfo& layer : image.layers)
    table.add({layer.name, human_bytes(layer.size), human_bytes(layer.unpacked),
               layer.from_cache ? "cache" : "new"});
  fmt::print(stderr, "{}image {}, {} ({} unpacked), in {}\n", table.to_string(), image.digest,
             human_bytes(image.archive_bytes), human_bytes(image.unpacked_bytes), human_duration(seconds));
}

Result<> build(const Options& options, Recorder& recorder) {
  Stopwatch watch;
  oci::ServerImageOptions image;
  image.model = TRY(find_model(options.model));
  TRY(oci::check_onnx_file(image.model));
  image.server = options.server.empty() ? TRY(oci::find_server()) : options.server;
  image.onnxruntime = options.onnxruntime.empty() ? TRY(oci::find_onnxruntime()) : options.onnxruntime;
  image.name = options.name;
  image.created = TRY(oci::source_date_epoch());
  if (const char* run = std::getenv("MLFLOW_RUN_ID")) image.run_id = run;
  recorder.param("model", image.model.filename().string());
  recorder.param("image_name", options.name);

  oci::ImageSpec spec = TRY(oci::server_image(image));
  TRY(make_dirs(options.output));
  oci::ImageInfo info = TRY(oci::write_image(spec, options.output / kArchive, oci::default_layer_cache()));
  Json summary = summary_of(info, spec, image.model);
  TRY(write_file_atomic(options.output / kSummary, dump_json(summary, 2) + "\n"));
  double seconds = watch.seconds();

  recorder.metrics({{"image_bytes", static_cast<double>(info.archive_bytes)},
                    {"unpacked_bytes", static_cast<double>(info.unpacked_bytes)},
                    {"build_seconds", seconds}});
  recorder.tag("image_digest", info.digest);
  recorder.tag("image_id", info.image_id);
  recorder.tag("model_digest", json_string(summary, "model_digest"));
  TRY(recorder.artifact(options.output / kArchive));
  TRY(recorder.artifact(options.output / kSummary));
  print_summary(info, seconds);
  return {};
}

Result<> run(const Options& options) {
  Recorder recorder = TRY(Recorder::from_environment("cifar10", "build"));
  Result<> done = build(options, recorder);
  return recorder.end(std::move(done));
}

}  // namespace
}  // namespace tidemill::cifar10

int main(int argc, char** argv) {
  using namespace tidemill::cifar10;
  Options options;
  CLI::App app{
      "Packs a trained model and the model server into a container image (DIR/image.tar, for podman and "
      "docker), "
      "without a daemon.",
      "cifar10-build"};
  app.add_option("--model", options.model, "The ONNX file, or the folder the training step has written")
      ->required()
      ->check(CLI::ExistingPath);
  app.add_option("--output", options.output, "Folder for image.tar and image.json")->required();
  app.add_option("--name", options.name, "Name and tag of the image")->capture_default_str();
  app.add_option("--server", options.server, "The server program (default: tidemill-serve beside this one)")
      ->check(CLI::ExistingFile);
  app.add_option("--onnxruntime", options.onnxruntime,
                 "libonnxruntime.so (default: beside this program, or the build's)")
      ->check(CLI::ExistingFile);
  app.footer("Example: cifar10-build --model train/ --output image");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  tidemill::catch_interrupts();
  auto done = run(options);
  if (done) return 0;
  fmt::print(stderr, "cifar10-build: {}\n", done.error().message);
  return tidemill::exit_code(done.error().code);
}
