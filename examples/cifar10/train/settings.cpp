#include "train/settings.h"

#include "base/text.h"

namespace tidemill::cifar10 {

Result<Settings> preset(const std::string& name) {
  Settings settings;
  if (name == "default") return settings;
  if (name == "244s") {
    settings.epochs = 3;
    settings.learning_rate = 3e-3F;
    settings.augment = nn::Augment::kFlip;
    settings.label_smoothing = 0.1F;
    return settings;
  }
  return fail(Code::kInvalid, "unknown preset '{}'{}; there are default and 244s", name,
              did_you_mean(name, {"default", "244s"}));
}

nn::TrainerConfig trainer_config(const Settings& settings, const nn::NetSpec& net) {
  nn::TrainerConfig config;
  config.net = net;
  config.batch_size = settings.batch_size;
  config.precision = settings.precision;
  config.seed = settings.seed;
  config.dropout = settings.dropout;
  config.label_smoothing = settings.label_smoothing;
  config.augment = settings.augment;
  config.threads = settings.num_workers;
  return config;
}

nn::FitConfig fit_config(const Settings& settings) {
  nn::FitConfig config;
  config.epochs = settings.epochs;
  config.schedule = settings.schedule;
  config.learning_rate = settings.learning_rate;
  return config;
}

std::map<std::string, std::string> result_settings(const Settings& settings, nn::Precision resolved,
                                                   size_t train_images, int classes) {
  return {{"model_type", std::string(to_string(settings.model_type))},
          {"classes", std::to_string(classes)},
          {"epochs", std::to_string(settings.epochs)},
          {"batch_size", std::to_string(settings.batch_size)},
          {"learning_rate", fmt::format("{}", settings.learning_rate)},
          {"seed", std::to_string(settings.seed)},
          {"precision", std::string(to_string(resolved))},
          {"schedule", std::string(to_string(settings.schedule))},
          {"dropout", fmt::format("{}", settings.dropout)},
          {"label_smoothing", fmt::format("{}", settings.label_smoothing)},
          {"augment", std::string(to_string(settings.augment))},
          {"optimizer", "adam"},
          {"train_images", std::to_string(train_images)}};
}

}  // namespace tidemill::cifar10
