#include "evaluate/report.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <numeric>

namespace tidemill::cifar10 {
namespace {

// The smallest value that at least this part of all values does not exceed.
double quantile(const std::vector<float>& sorted, double part) {
  if (sorted.empty()) return 0;
  auto rank = static_cast<size_t>(std::ceil(part * static_cast<double>(sorted.size())));
  return sorted[std::clamp<size_t>(rank, 1, sorted.size()) - 1];
}

size_t count_correct(const DataSplit& data, const std::vector<int>& predictions) {
  size_t correct = 0;
  for (size_t i = 0; i < data.count(); ++i) correct += predictions[i] == data.labels[i];
  return correct;
}

}  // namespace

Figures figures_of(const DataSplit& data, const Answers& answers, double total_seconds) {
  Figures figures;
  figures.total_tested = data.count();
  figures.total_seconds = total_seconds;
  if (data.count() == 0) return figures;
  figures.correct = count_correct(data, answers.predictions);
  figures.accuracy = static_cast<double>(figures.correct) / static_cast<double>(data.count());
  std::vector<float> sorted = answers.seconds;
  std::sort(sorted.begin(), sorted.end());
  figures.average_duration_second =
      std::accumulate(sorted.begin(), sorted.end(), 0.0) / static_cast<double>(sorted.size());
  figures.p50_second = quantile(sorted, 0.50);
  figures.p99_second = quantile(sorted, 0.99);
  return figures;
}

Result<double> parse_accuracy(std::string_view text) {
  double value = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  bool number = error == std::errc{} && end == text.data() + text.size();
  if (!number || !(value >= 0 && value <= 100))
    return fail(Code::kInvalid, "'{}' is not an accuracy: use a number from 0 to 1, or a percentage", text);
  return value > 1 ? value / 100 : value;
}

Result<std::vector<int>> read_predictions(const fs::path& file, size_t count) {
  constexpr uint64_t kMaxBytes = 64 << 20;
  Json json = TRY_IN(file.string(), parse_json(TRY(read_file(file, kMaxBytes))));
  const Json* list = &json;
  if (json.is_object() && json.contains("predictions")) list = &json["predictions"];
  if (!list->is_array()) return fail(Code::kInvalid, "{}: holds no array 'predictions'", file.string());
  if (list->size() != count)
    return fail(Code::kInvalid, "{}: {} predictions for {} images", file.string(), list->size(), count);
  std::vector<int> predictions;
  for (const Json& item : *list) {
    if (!item.is_number_integer())
      return fail(Code::kInvalid, "{}: prediction {} is not a class index", file.string(),
                  predictions.size());
    predictions.push_back(item.get<int>());
  }
  return predictions;
}

Comparison compare(const DataSplit& data, const Answers& answers, const Figures& figures,
                   const Trained& trained) {
  Comparison comparison;
  comparison.trained_accuracy = trained.accuracy;
  if (!trained.predictions.empty()) {
    size_t differing = 0;
    for (size_t i = 0; i < data.count(); ++i) differing += trained.predictions[i] != answers.predictions[i];
    comparison.images_differing = differing;
    auto correct = static_cast<int64_t>(count_correct(data, trained.predictions));
    comparison.images_better = static_cast<int64_t>(figures.correct) - correct;
    if (!comparison.trained_accuracy && data.count() > 0)
      comparison.trained_accuracy = static_cast<double>(correct) / static_cast<double>(data.count());
  } else if (trained.accuracy) {
    comparison.images_better = static_cast<int64_t>(figures.correct) -
                               std::llround(*trained.accuracy * static_cast<double>(data.count()));
  }
  return comparison;
}

Json report_of(const DataSplit& data, const std::vector<std::string>& classes, const Answers& answers,
               const Figures& figures, const Comparison& comparison) {
  Json report = {{"accuracy", figures.accuracy},
                 {"total_tested", figures.total_tested},
                 {"correct", figures.correct},
                 {"total_time", figures.total_seconds},
                 {"average_duration_second", figures.average_duration_second},
                 {"p50_second", figures.p50_second},
                 {"p99_second", figures.p99_second}};
  if (comparison.trained_accuracy) report["trained_accuracy"] = *comparison.trained_accuracy;
  if (comparison.images_better) report["images_better_than_trained"] = *comparison.images_better;
  if (comparison.images_differing) report["images_differing_from_trained"] = *comparison.images_differing;
  report["classes"] = classes;
  report["names"] = data.names;
  report["labels"] = data.labels;
  report["predictions"] = answers.predictions;
  return report;
}

}  // namespace tidemill::cifar10
