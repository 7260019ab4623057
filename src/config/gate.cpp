#include "config/gate.h"

#include <charconv>
#include <cmath>

#include "base/text.h"

namespace tidemill::config {
namespace {

Result<std::optional<Template>> read_number(const Node& gate, std::string_view key) {
  const Node* node = gate.find(key);
  if (node == nullptr || node->kind == Node::Kind::kNull) return std::nullopt;
  std::string text = TRY(as_text(*node, key));
  Template value = TRY(parse_template(text, node->place));
  if (!value.references().empty()) return value;
  double number = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size() || !std::isfinite(number))
    return fail_at(node->place, "gate.{} must be a number, not '{}'", key, text);
  return value;
}

Result<std::string> read_word(const Node& gate, std::string_view key, std::string_view otherwise) {
  const Node* node = gate.find(key);
  std::string text = node != nullptr ? TRY(as_text(*node, key)) : std::string(otherwise);
  if (node != nullptr && text.empty()) return fail_at(node->place, "gate.{} is empty", key);
  return text;
}

}  // namespace

std::vector<const Template*> Gate::templates() const {
  std::vector<const Template*> found;
  for (const auto* value : {&least, &most, &over_champion, &model, &artifacts})
    if (*value) found.push_back(&**value);
  return found;
}

Result<Gate> read_gate(const Node& node) {
  Gate gate{.metric = "", .place = node.place};
  if (!node.is_map())
    return fail_at(node.place, "gate must be a map with metric and at_least, at_most or over_champion");
  TRY(check_keys(node,
                 {"metric", "at_least", "at_most", "over_champion", "goal", "model", "alias", "artifacts"},
                 "gate"));
  gate.metric = TRY(read_word(node, "metric", ""));
  if (gate.metric.empty()) return fail_at(node.place, "gate needs a metric, one that the step logs");
  gate.least = TRY(read_number(node, "at_least"));
  gate.most = TRY(read_number(node, "at_most"));
  gate.over_champion = TRY(read_number(node, "over_champion"));
  if (const Node* model = node.find("model"))
    gate.model = TRY(parse_template(TRY(read_word(node, "model", "")), model->place));
  gate.alias = TRY(read_word(node, "alias", gate.alias));
  if (!gate.least && !gate.most && !gate.over_champion)
    return fail_at(node.place, "gate needs at_least, at_most or over_champion");
  if (gate.over_champion && !gate.model)
    return fail_at(gate.over_champion->place, "gate.over_champion needs a model: whose champion it is");
  if (const Node* artifacts = node.find("artifacts")) {
    if (!gate.model)
      return fail_at(artifacts->place, "gate.artifacts needs a model: the name to register them under");
    gate.artifacts = TRY(parse_template(TRY(as_text(*artifacts, "artifacts")), artifacts->place));
  }
  std::string goal = TRY(read_word(node, "goal", gate.most && !gate.least ? "lower" : "higher"));
  if (goal != "higher" && goal != "lower")
    return fail_at(node.find("goal")->place, "gate.goal is higher or lower, not '{}'{}", goal,
                   did_you_mean(goal, {"higher", "lower"}));
  gate.goal = goal == "lower" ? Gate::Goal::kLower : Gate::Goal::kHigher;
  return gate;
}

}  // namespace tidemill::config
