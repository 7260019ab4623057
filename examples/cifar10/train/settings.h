// What cifar10-train was asked to do.
#pragma once

#include <map>
#include <string>

#include "base/files.h"
#include "nn/fit.h"

namespace tidemill::cifar10 {

enum class OnnxChoice {
  kAuto,  // bf16 when the net was trained in bf16, else f32
  kF32,
  kBf16,
};

struct Settings {
  fs::path data, output;
  std::string experiment = "default";
  nn::ModelType model_type = nn::ModelType::kVgg11;
  int epochs = 1;
  int batch_size = 128;
  float learning_rate = 2e-3F;
  int num_workers = 0;  // threads; 0: one a core
  uint64_t seed = 1;
  nn::Precision precision = nn::Precision::kAuto;
  nn::Schedule schedule = nn::Schedule::kOneCycle;
  float dropout = 0;
  float label_smoothing = 0;
  nn::Augment augment = nn::Augment::kNone;
  std::string resume = "none";  // none; auto: the latest checkpoint of the output, if there is one; or a path
  double checkpoint_seconds = 60;  // between checkpoints for further attempts of a pipeline's step
  OnnxChoice onnx_weights = OnnxChoice::kAuto;
};

// Recipes by name, as values for the settings that the command line does not give:
//   default    one epoch, for a first result
//   244s       the best accuracy within 244 s on two AVX-512-bf16 cores
// kInvalid names the nearest.
Result<Settings> preset(const std::string& name);

nn::TrainerConfig trainer_config(const Settings& settings, const nn::NetSpec& net);
nn::FitConfig fit_config(const Settings& settings);

// What decides the result, as text: recorded as parameters, kept in a checkpoint and compared before going on
// from it.
std::map<std::string, std::string> result_settings(const Settings& settings, nn::Precision resolved,
                                                   size_t train_images, int classes);

}  // namespace tidemill::cifar10
