// What an evaluation found: figures, and the file that keeps each image's label and prediction.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/json.h"
#include "common/dataset.h"
#include "evaluate/client.h"

namespace tidemill::cifar10 {

struct Figures {
  size_t total_tested = 0;
  size_t correct = 0;
  double accuracy = 0;                 // 0 to 1
  double total_seconds = 0;            // starting the container, all requests, stopping it
  double average_duration_second = 0;  // of one request
  double p50_second = 0, p99_second = 0;
};
Figures figures_of(const DataSplit& data, const Answers& answers, double total_seconds);

// The trainer's own result on the same images, as far as it is known.
struct Trained {
  std::optional<double> accuracy;  // 0 to 1
  std::vector<int> predictions;    // by image; empty when not known
};
// A number from 0 to 1, or a percentage above 1. kInvalid for anything else.
Result<double> parse_accuracy(std::string_view text);
// {"predictions": [class indices in the official order]}, or that array alone.
Result<std::vector<int>> read_predictions(const fs::path& file, size_t count);

struct Comparison {
  std::optional<double> trained_accuracy;
  std::optional<int64_t> images_better;  // correct here minus correct at the trainer
  std::optional<size_t> images_differing;
};
Comparison compare(const DataSplit& data, const Answers& answers, const Figures& figures,
                   const Trained& trained);

// evaluation.json: figures first, then "classes", "names", "labels" and "predictions", one entry an image.
Json report_of(const DataSplit& data, const std::vector<std::string>& classes, const Answers& answers,
               const Figures& figures, const Comparison& comparison);

}  // namespace tidemill::cifar10
