// The evaluation step as a whole, from the start of cifar10-evaluate to its end, container included, beside
// ONNX Runtime in this process on two threads over the same test images. The two take turns. ONNX Runtime's
// time holds normalising and running the images, but neither loading the model nor reading the files. Both
// must give the same answers.
#include <sys/resource.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include "arguments.h"
#include "base/files.h"
#include "base/json.h"
#include "base/time.h"
#include "common/dataset.h"
#include "evaluate/client.h"
#include "measure.h"
#include "random_model.h"
#include "raw_ort.h"

namespace tidemill::bench {
namespace {

constexpr int kThreads = 2;

struct Options {
  int rounds = 3;
  size_t limit = 0;
  std::string runtime = "auto";
  std::string model, data;  // paths; "" for made-up ones
};

// Processor time of this process so far, without its children's.
double own_processor_seconds() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + 1e-6 * static_cast<double>(time.tv_usec);
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

// How many images the two answered differently.
size_t differing(const std::vector<int>& raw, const Json& evaluation) {
  const Json served = evaluation.value("predictions", Json::array());
  if (served.size() != raw.size()) give_up("evaluation.json holds another number of predictions");
  size_t count = 0;
  for (size_t i = 0; i < raw.size(); ++i) count += served[i] != raw[i];
  return count;
}

// What both ways work on, in one folder.
struct Setup {
  TempDir dir;
  fs::path model, data;
  fs::path log() const { return dir.path() / "log"; }
  fs::path image() const { return dir.path() / "image"; }
  fs::path output() const { return dir.path() / "evaluation"; }
};

Setup prepare(const Options& options) {
  Setup setup{must(TempDir::create({}, "tidemill-evaluate-bench-")), options.model, options.data};
  if (setup.model.empty()) {
    setup.model = setup.dir.path() / "model.onnx";
    must(write_file_atomic(setup.model, must(random_vgg11(1)), Durable::no));
  }
  if (setup.data.empty()) {
    setup.data = setup.dir.path() / "data";
    timed({CIFAR10_PREPROCESS, "--synthetic", "--output", setup.data.string()}, setup.log());
  }
  timed({CIFAR10_BUILD, "--model", setup.model.string(), "--output", setup.image().string()}, setup.log());
  return setup;
}

void print_row(std::string_view name, const Figure& figure) {
  fmt::print("{:<32} {:>8.2f} s {:>8.2f} s of processor time\n", name, median(figure.wall),
             median(figure.processor));
}

void compare(const Options& options) {
  const Setup setup = prepare(options);
  std::vector<std::string> evaluate = {CIFAR10_EVALUATE,    "--image",  setup.image().string(),  "--data",
                                       setup.data.string(), "--output", setup.output().string(), "--runtime",
                                       options.runtime};
  if (options.limit) evaluate.insert(evaluate.end(), {"--limit", std::to_string(options.limit)});
  const auto split =
      must(cifar10::read_split(must(cifar10::resolve_data_folder(setup.data)), "test", options.limit));
  auto session = must(serving::Session::load(setup.model));
  auto fill = [&split](size_t image, std::vector<float>& out) { cifar10::normalise(split, image, {}, out); };
  Figure whole, raw;
  size_t different = 0;
  std::string runtime;
  for (int round = 0; round < options.rounds; ++round) {
    Stopwatch watch;
    const double processor = own_processor_seconds();
    const std::vector<int> answers = classify_raw(*session, split.count(), kThreads, fill);
    raw.add({watch.seconds(), own_processor_seconds() - processor});
    whole.add(timed(evaluate, setup.log()));
    Json evaluation = must(parse_json(must(read_file(setup.output() / "evaluation.json"))));
    different = std::max(different, differing(answers, evaluation));
    runtime = json_string(evaluation, "runtime");
    fmt::print("round {}: cifar10-evaluate {:.2f} s, ONNX Runtime {:.2f} s\n", round + 1, whole.wall.back(),
               raw.wall.back());
  }
  fmt::print("{} images, {}\n", split.count(), runtime);
  print_row("cifar10-evaluate, start to end", whole);
  print_row(fmt::format("ONNX Runtime, {} threads", kThreads), raw);
  fmt::print("ratio {:.3f}, answers that differ: {}\n", median(whole.wall) / median(raw.wall), different);
}

}  // namespace
}  // namespace tidemill::bench

int main(int argc, char** argv) {
  using namespace tidemill::bench;
  Options options;
  read_arguments(
      argc, argv,
      {.measures = "The evaluation step from the start of cifar10-evaluate to its end, container included,\n"
                   "beside ONNX Runtime in this process on two threads, in turns.",
       .arguments =
           {{"--rounds N", &options.rounds, "Turns", 1},
            {"--limit N", &options.limit, "Only the first N test images; 0: all"},
            {"--runtime NAME", &options.runtime, "What runs it", 0, {"auto", "podman", "docker", "process"}},
            {"--model FILE", &options.model, "ONNX file (default: a VGG11 with random weights)"},
            {"--data FOLDER", &options.data, "The prepared data set (default: made-up images)"}},
       .examples = {"evaluate_bench --rounds 2", "evaluate_bench --limit 1000 --runtime process"}});
  compare(options);
}
