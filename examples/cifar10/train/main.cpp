// cifar10-train: trains a net on the prepared data set and writes it in three formats.
#include <CLI/CLI.hpp>

#include "base/text.h"
#include "sys/signals.h"
#include "train/training.h"

namespace tidemill::cifar10 {
namespace {

// The command line as it was given; what is not there comes from the preset.
struct Arguments {
  std::string preset = "default";
  std::string data, output;
  std::optional<std::string> experiment, model_type, precision, schedule, augment, resume, onnx_weights;
  std::optional<int> epochs, batch_size, num_workers;
  std::optional<uint64_t> seed;
  std::optional<float> learning_rate, dropout, label_smoothing;
  std::optional<double> checkpoint_seconds;
};

template <class T>
void take(T& setting, const std::optional<T>& given) {
  if (given) setting = *given;
}

Result<OnnxChoice> parse_onnx_choice(const std::string& text) {
  if (text == "auto") return OnnxChoice::kAuto;
  if (text == "f32") return OnnxChoice::kF32;
  if (text == "bf16") return OnnxChoice::kBf16;
  return fail(Code::kInvalid, "--onnx-weights {}: use auto, f32 or bf16", text);
}

Result<> check(const Settings& settings) {
  if (settings.epochs < 1) return fail(Code::kInvalid, "--epochs must be at least 1");
  if (!(settings.learning_rate > 0)) return fail(Code::kInvalid, "--learning-rate must be above 0");
  if (!(settings.checkpoint_seconds >= 0))
    return fail(Code::kInvalid, "--checkpoint-seconds must not be negative");
  if (settings.num_workers < 0)
    return fail(Code::kInvalid, "--num-workers must not be negative (0: one a core)");
  if (settings.experiment.empty() || settings.experiment.find('/') != std::string::npos)
    return fail(Code::kInvalid, "--experiment '{}' must be fit for a file name", settings.experiment);
  return {};
}

Result<Settings> settings_from(const Arguments& given) {
  Settings settings = TRY(preset(given.preset));
  settings.data = given.data;
  settings.output = given.output;
  if (given.model_type) settings.model_type = TRY(nn::parse_model_type(*given.model_type));
  if (given.precision) settings.precision = TRY(nn::parse_precision(*given.precision));
  if (given.schedule) settings.schedule = TRY(nn::parse_schedule(*given.schedule));
  if (given.augment) settings.augment = TRY(nn::parse_augment(*given.augment));
  if (given.onnx_weights) settings.onnx_weights = TRY(parse_onnx_choice(*given.onnx_weights));
  take(settings.experiment, given.experiment);
  take(settings.resume, given.resume);
  take(settings.checkpoint_seconds, given.checkpoint_seconds);
  take(settings.epochs, given.epochs);
  take(settings.batch_size, given.batch_size);
  take(settings.num_workers, given.num_workers);
  take(settings.seed, given.seed);
  take(settings.learning_rate, given.learning_rate);
  take(settings.dropout, given.dropout);
  take(settings.label_smoothing, given.label_smoothing);
  TRY(check(settings));
  return settings;
}

void declare(CLI::App& app, Arguments& given) {
  app.add_option("--data", given.data, "Prepared data set (cifar10-preprocess)")->required();
  app.add_option("--output", given.output, "Folder for the model, checkpoints and TensorBoard files")
      ->required();
  app.add_option("--preset", given.preset, "default, or 244s: the best accuracy in 244 s on two cores")
      ->capture_default_str();
  app.add_option("--model-type", given.model_type, "simple, vgg11 or vgg16 [vgg11]");
  app.add_option("--epochs", given.epochs, "Times through the training images [1]");
  app.add_option("--batch-size", given.batch_size, "Images a step [128]");
  app.add_option("--learning-rate", given.learning_rate, "Peak of the schedule [0.002]");
  app.add_option("--num-workers", given.num_workers, "Threads; 0: one a core [0]");
  app.add_option("--seed", given.seed, "Of weights, shuffles, dropout and augmentation [1]");
  app.add_option("--precision", given.precision, "auto, bf16 or f32 [auto]");
  app.add_option("--schedule", given.schedule, "one-cycle, warmup or constant [one-cycle]");
  app.add_option("--dropout", given.dropout, "In the classifier [0]");
  app.add_option("--augment", given.augment, "none, flip or flip+shift [none]");
  app.add_option("--label-smoothing", given.label_smoothing, "[0]");
  app.add_option("--resume", given.resume,
                 "none, auto (the output's latest checkpoint) or a checkpoint's PATH")
      ->expected(0, 1)
      ->default_str("auto");
  app.add_option("--checkpoint-seconds", given.checkpoint_seconds,
                 "Between checkpoints in TIDEMILL_CHECKPOINT_DIR, from which a further attempt goes on [60]");
  app.add_option("--experiment", given.experiment, "Names the files cifar10_<experiment>.onnx, .. [default]");
  app.add_option("--onnx-weights", given.onnx_weights, "auto, f32 or bf16 (half the size) [auto]");
  app.footer("Example: cifar10-train --data data --output model --epochs 4");
}

Result<> run(const Arguments& given) {
  const Settings settings = TRY(settings_from(given));
  Recorder recorder = TRY(Recorder::from_environment("cifar10", "train"));
  Result<> done = train(settings, recorder);
  return recorder.end(std::move(done));
}

// A net that has collapsed is a failed training, not wrong usage.
int exit_status(const Error& error, const Arguments& given) {
  return settings_from(given) && error.code == Code::kInvalid ? 1 : exit_code(error.code);
}

}  // namespace
}  // namespace tidemill::cifar10

int main(int argc, char** argv) {
  using namespace tidemill::cifar10;
  Arguments given;
  CLI::App app{"Trains a net on CIFAR-10 on the CPU and writes it as safetensors, .pth and ONNX.",
               "cifar10-train"};
  declare(app, given);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  tidemill::catch_interrupts();
  auto done = run(given);
  if (done) return 0;
  fmt::print(stderr, "cifar10-train: {}\n", done.error().message);
  return exit_status(done.error(), given);
}
