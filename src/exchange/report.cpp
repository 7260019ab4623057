#include "exchange/report.h"

#include <algorithm>

#include "base/text.h"

namespace tidemill::exchange {

void Report::Count::add(tracking::Transferred::Outcome outcome) {
  switch (outcome) {
    case tracking::Transferred::Outcome::kNew:
      ++added;
      break;
    case tracking::Transferred::Outcome::kChanged:
      ++changed;
      break;
    case tracking::Transferred::Outcome::kSame:
      ++same;
      break;
  }
}

void Report::problem(std::string where, std::string reason) {
  ++problem_count_;
  if (problems_.size() < kMaxProblems) problems_.push_back({std::move(where), std::move(reason)});
}

void Report::problem(std::string where, const Error& error) {
  size_t end = error.message.find(": ");
  bool closer = end != std::string::npos && error.message.starts_with(where);
  if (closer)
    problem(error.message.substr(0, end), error.message.substr(end + 2));
  else
    problem(std::move(where), error.message);
}

namespace {

struct Kind {
  std::string_view name;
  Report::Count Report::* count;
};
constexpr Kind kKinds[] = {{"experiments", &Report::experiments},
                           {"runs", &Report::runs},
                           {"logged models", &Report::logged_models},
                           {"registered models", &Report::registered_models},
                           {"model versions", &Report::model_versions}};

}  // namespace

Json Report::to_json() const {
  Json json;
  for (const Kind& kind : kKinds) {
    std::string key(kind.name);
    std::replace(key.begin(), key.end(), ' ', '_');
    const Count& count = this->*kind.count;
    json[key] = Json{{"new", count.added}, {"changed", count.changed}, {"same", count.same}};
  }
  json["metric_points"] = points;
  json["files"] = files;
  json["file_bytes"] = file_bytes;
  Json problems = Json::array();
  for (const Problem& problem : problems_)
    problems.push_back(Json{{"where", problem.where}, {"reason", problem.reason}});
  json["notes"] = notes;
  json["problems"] = std::move(problems);
  json["problem_count"] = problem_count_;
  return json;
}

std::string Report::to_string() const {
  std::string text;
  for (const Kind& kind : kKinds) {
    const Count& count = this->*kind.count;
    if (count.total() == 0) continue;
    text += fmt::format("{}: {} new, {} changed, {} as before\n", kind.name, human_count(count.added),
                        human_count(count.changed), human_count(count.same));
  }
  if (points > 0) text += fmt::format("metric points: {} new\n", human_count(points));
  if (files > 0) text += fmt::format("files: {} copied, {}\n", human_count(files), human_bytes(file_bytes));
  return text.empty() ? "nothing to take\n" : text;
}

}  // namespace tidemill::exchange
