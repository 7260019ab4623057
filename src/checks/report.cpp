#include "checks/report.h"

#include <algorithm>
#include <cmath>

namespace tidemill::checks {

Json to_json(const Distributions& distributions) {
  Json json = Json::object();
  for (const auto& [name, distribution] : distributions) {
    Json shares = Json::object();
    for (const auto& [value, share] : distribution.shares) shares[value] = share;
    json[name] = {{"edges", distribution.edges}, {"shares", std::move(shares)}};
  }
  return json;
}

Distributions distributions_from(const Json& json) {
  Distributions distributions;
  if (!json.is_object()) return distributions;
  for (const auto& [name, entry] : json.items()) {
    if (!entry.is_object() || !entry.contains("edges") || !entry.contains("shares") ||
        !entry["edges"].is_array() || !entry["shares"].is_object())
      continue;
    Distribution distribution;
    for (const auto& edge : entry["edges"])
      if (edge.is_number()) distribution.edges.push_back(edge.get<double>());
    for (const auto& [value, share] : entry["shares"].items())
      if (share.is_number()) distribution.shares[value] = share.get<double>();
    if (std::is_sorted(distribution.edges.begin(), distribution.edges.end()))
      distributions[name] = std::move(distribution);
  }
  return distributions;
}

Distribution distribution_of(std::vector<double> values, const Distribution* like) {
  constexpr size_t kBins = 10;
  std::sort(values.begin(), values.end());
  Distribution distribution;
  if (like != nullptr) {
    distribution.edges = like->edges;
  } else if (!values.empty()) {
    for (size_t i = 1; i < kBins; ++i) distribution.edges.push_back(values[i * values.size() / kBins]);
    auto& edges = distribution.edges;
    edges.erase(std::unique(edges.begin(), edges.end()), edges.end());
  }
  size_t before = 0;
  for (size_t bin = 0; bin <= distribution.edges.size(); ++bin) {
    auto end = bin < distribution.edges.size()
                   ? std::lower_bound(values.begin(), values.end(), distribution.edges[bin])
                   : values.end();
    auto upto = static_cast<size_t>(end - values.begin());
    if (!values.empty())
      distribution.shares[std::to_string(bin)] =
          static_cast<double>(upto - before) / static_cast<double>(values.size());
    before = upto;
  }
  return distribution;
}

double stability_index(const Distribution& before, const Distribution& now) {
  constexpr double kLeast = 1e-4;  // for what one of them lacks
  double sum = 0;
  auto add = [&](double a, double b) {
    a = std::max(a, kLeast), b = std::max(b, kLeast);
    sum += (b - a) * std::log(b / a);
  };
  for (const auto& [value, share] : before.shares) {
    auto found = now.shares.find(value);
    add(share, found != now.shares.end() ? found->second : 0);
  }
  for (const auto& [value, share] : now.shares)
    if (before.shares.count(value) == 0) add(0, share);
  return sum;
}

Json to_json(const Report& report) {
  Json classes = Json::object();
  for (const auto& [name, count] : report.classes) classes[name] = count;
  return {{"count", report.count},
          {"classes", std::move(classes)},
          {"problems", report.problems},
          {"bad_items", report.bad.size()},
          {"distributions", to_json(report.distributions)}};
}

}  // namespace tidemill::checks
