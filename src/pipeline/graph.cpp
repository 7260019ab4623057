#include "pipeline/graph.h"

#include "base/text.h"

namespace tidemill::pipeline {
namespace {

using config::fail_at;
using config::Phase;
using config::Pipeline;
using config::Problems;
using config::Reference;
using config::Step;

Result<> check_words(const Reference& reference, size_t word, const std::vector<std::string>& known,
                     size_t length, const config::Place& place) {
  if (reference.size() <= word || std::find(known.begin(), known.end(), reference[word]) == known.end()) {
    std::string got = reference.size() > word ? reference[word] : "";
    const std::string before =
        word > 0 ? join({reference.begin(), reference.begin() + static_cast<long>(word)}, ".") : "${";
    if (known.empty())
      return fail_at(place, "unknown reference {}: nothing is declared that '{}' can be followed by",
                     config::to_string(reference), before);
    return fail_at(place, "unknown reference {}{}; '{}' can be followed by {}", config::to_string(reference),
                   did_you_mean(got, known), before, join(known, ", "));
  }
  if (length != 0 && reference.size() != length)
    return fail_at(place, "unknown reference {}: it has {} words, not {}", config::to_string(reference),
                   length, reference.size());
  return {};
}

class Builder {
 public:
  Builder(const Pipeline& pipeline, Problems& problems, const std::vector<Nest>& nests)
      : pipeline_(pipeline), problems_(problems), nests_(nests) {}

  Graph build() {
    for (const Step& step : pipeline_.steps) {
      graph_.positions.emplace(step.name, graph_.names.size());
      graph_.models.push_back(graph_.names.size());
      graph_.names.push_back(step.name);
    }
    for (size_t i = 0; i < pipeline_.steps.size(); ++i) find_model(i);
    for (const Step& step : pipeline_.steps) add(step);
    for (const auto& output : pipeline_.outputs) check_output(output);
    return std::move(graph_);
  }

 private:
  // Follows foreach: NAME to the step that has the values.
  void find_model(size_t index) {
    std::set<size_t> seen = {index};
    const Step* step = &pipeline_.steps[index];
    while (step->foreach && !step->foreach->like.empty()) {
      auto next = graph_.index(step->foreach->like);
      if (!next || !pipeline_.steps[*next].foreach) {
        if (step == &pipeline_.steps[index])
          problems_.keep(fail_at(step->foreach->place, "foreach: '{}' is not a step with foreach{}",
                                 step->foreach->like,
                                 next ? "" : did_you_mean(step->foreach->like, graph_.names)));
        return;
      }
      if (!seen.insert(*next).second) return;  // a circle, which is told as one of needs
      graph_.models[index] = *next;
      step = &pipeline_.steps[*next];
    }
  }

  void add(const Step& step) {
    std::set<size_t>& needs = graph_.needs.emplace_back();
    std::set<size_t>& tolerated = graph_.tolerated.emplace_back();
    for (const auto& need : step.needs) {
      if (auto steps = find(need.name); !steps.empty()) {
        needs.insert(steps.begin(), steps.end());
      } else {
        problems_.keep(fail_at(need.place, "step '{}' needs '{}', which is not a step{}", step.name,
                               need.name, did_you_mean(need.name, graph_.names)));
      }
    }
    if (step.foreach && !step.foreach->like.empty())
      if (auto index = graph_.index(step.foreach->like)) needs.insert(*index);
    for (const config::Template* value : templates_of(step))
      for (const auto& reference : value->references())
        if (auto found = problems_.keep(check(reference, step, value->place))) {
          needs.insert(found->begin(), found->end());
          if (!found->empty() && reference[2] == "state") tolerated.insert(found->begin(), found->end());
        }
    if (step.settings->when) check_states(step.settings->when->root);
    check_phases(step, needs, tolerated);
    check_secrets(step);
  }

  // A comparison of a state with a word that no state is would never hold.
  void check_states(const config::Expression& expression) {
    using Kind = config::Expression::Kind;
    for (const auto& part : expression.parts) check_states(part);
    const bool compares =
        expression.kind == Kind::kEqual || expression.kind == Kind::kNotEqual || expression.kind == Kind::kIn;
    if (!compares || std::none_of(expression.parts.begin(), expression.parts.end(), is_state)) return;
    static const std::vector<std::string> kStates = {"succeeded", "failed", "skipped"};
    for (const auto& part : expression.parts) {
      const auto* word = part.kind == Kind::kValue && part.value.parts.size() == 1
                             ? std::get_if<std::string>(&part.value.parts[0])
                             : nullptr;
      if (word != nullptr && std::find(kStates.begin(), kStates.end(), *word) == kStates.end())
        problems_.keep(fail_at(part.place, "a condition sees the states {}, and never '{}'",
                               join(kStates, ", "), *word));
    }
  }
  static bool is_state(const config::Expression& expression) {
    const auto references = expression.value.references();
    return expression.kind == config::Expression::Kind::kValue && references.size() == 1 &&
           expression.value.parts.size() == 1 && references[0].size() == 3 && references[0][0] == "steps" &&
           references[0][2] == "state";
  }

  void check_secrets(const Step& step) {
    std::vector<std::string> known;
    for (const auto& secret : pipeline_.secrets) known.push_back(secret.name);
    for (const auto& wanted : step.settings->secrets)
      if (std::find(known.begin(), known.end(), wanted.name) == known.end())
        problems_.keep(fail_at(wanted.place,
                               "step '{}' wants the secret '{}', which the pipeline does not name{}",
                               step.name, wanted.name, did_you_mean(wanted.name, known)));
    for (const auto& variable : step.settings->environment)
      for (const auto& secret : pipeline_.secrets)
        if (!variable.value && secret.variable == variable.name)
          problems_.keep(
              fail_at(step.place,
                      "step '{}' takes over the variable {}, which holds the secret '{}'; ask for it "
                      "with secrets: [{}]",
                      step.name, variable.name, secret.name, secret.name));
  }

  // Steps of the end wait for all others by themselves, and others must not wait for them.
  void check_phases(const Step& step, const std::set<size_t>& needs, std::set<size_t>& tolerated) {
    for (size_t need : needs) {
      const Step& needed = pipeline_.steps[need];
      if (step.phase != Phase::kMain && needed.phase != step.phase) tolerated.insert(need);
      bool before = needed.phase == Phase::kMain || needed.phase == step.phase;
      if (!before)
        problems_.keep(fail_at(step.place, "step '{}' needs '{}', which runs only at the end of a run, in {}",
                               step.name, needed.name, config::to_string(needed.phase)));
    }
  }

  // The step of this name, or those that stand in its place.
  std::vector<size_t> find(const std::string& name) const {
    if (auto index = graph_.index(name)) return {*index};
    std::vector<size_t> steps;
    for (const auto& nest : nests_)
      if (nest.name == name)
        for (const auto& step : nest.steps) steps.push_back(*graph_.index(step));
    return steps;
  }

  void check_output(const config::Output& output) {
    for (const auto& reference : output.value.references()) {
      if (reference[0] == "self") {
        problems_.keep(fail_at(output.value.place, "unknown reference {}: an output belongs to no step",
                               config::to_string(reference)));
      } else {
        problems_.keep(check(reference, {}, output.value.place));
      }
    }
  }

  // The steps that a reference waits for.
  Result<std::vector<size_t>> check(const Reference& reference, const Step& step,
                                    const config::Place& place) {
    std::vector<std::string> roots = {"params", "steps", "self", "run", "experiment", "pipeline", "inputs"};
    if (step.foreach) roots.emplace_back("each");
    TRY(check_words(reference, 0, roots, 0, place));
    const std::string& root = reference[0];
    std::vector<std::string> of_run = {"id", "artifacts"};
    if (step.phase != Phase::kMain) of_run.insert(of_run.end(), {"state", "failed"});
    if (root == "params") TRY(check_words(reference, 1, config::names_of(pipeline_.parameters), 2, place));
    if (root == "self") TRY(check_self(reference, step, place));
    if (root == "run") TRY(check_words(reference, 1, of_run, 2, place));
    if (root == "experiment") TRY(check_words(reference, 1, {"id", "name"}, 2, place));
    if (root == "pipeline") TRY(check_words(reference, 1, {"name", "folder"}, 2, place));
    if (root == "inputs") TRY(check_words(reference, 1, input_names(), 2, place));
    if (root == "each") TRY(check_words(reference, 1, values_of(*graph_.index(step.name)), 2, place));
    if (root != "steps") return std::vector<size_t>{};
    if (reference.size() == 3 && reference[2] == "state" && !graph_.index(reference[1]))
      if (auto steps = find(reference[1]); !steps.empty()) return steps;
    TRY(check_words(reference, 1, graph_.names, 0, place));
    size_t index = *graph_.index(reference[1]);
    const Step& step_of = pipeline_.steps[index];
    std::vector<std::string> known = {"run_id", "artifacts", "metrics", "state"};
    if (step_of.inner) known = {"state"};
    const std::vector<std::string> outputs = outputs_of(step_of);
    if (!outputs.empty()) known.insert(known.begin(), "outputs");
    if (step_of.foreach) known.emplace_back("each");
    if (reference.size() > 2 && reference[2] == "outputs" && outputs.empty() && !step_of.inner)
      return fail_at(place,
                     "unknown reference {}: step '{}' declares no outputs; add outputs: {{NAME: PATH}} to it",
                     config::to_string(reference), step_of.name);
    bool named = reference.size() > 2 &&
                 (reference[2] == "metrics" || reference[2] == "each" || reference[2] == "outputs");
    TRY(check_words(reference, 2, known, named ? 4 : 3, place));
    if (reference[2] == "each") TRY(check_words(reference, 3, values_of(index), 4, place));
    if (reference[2] == "outputs") TRY(check_words(reference, 3, outputs, 4, place));
    return std::vector{index};
  }

  static Result<> check_self(const Reference& reference, const Step& step, const config::Place& place) {
    std::vector<std::string> known = {"id", "artifacts"};
    const std::vector<std::string> outputs = outputs_of(step);
    if (!outputs.empty()) known.emplace_back("outputs");
    const bool named = reference.size() > 1 && reference[1] == "outputs";
    TRY(check_words(reference, 1, known, named ? 3 : 2, place));
    return named ? check_words(reference, 2, outputs, 3, place) : Result<>();
  }

  // What others may refer to by name.
  static std::vector<std::string> outputs_of(const Step& step) {
    std::vector<std::string> names;
    for (const auto& output : step.settings->outputs) names.push_back(output.name);
    if (step.inner)
      for (const auto& output : step.inner->outputs) names.push_back(output.name);
    return names;
  }

  std::vector<std::string> input_names() const {
    std::vector<std::string> names;
    for (const auto& input : pipeline_.inputs) names.push_back(input.name);
    return names;
  }

  // The names of the values of a step with foreach.
  std::vector<std::string> values_of(size_t index) const {
    const auto& foreach = pipeline_.steps[graph_.models[index]].foreach;
    return foreach ? foreach->names() : std::vector<std::string>{};
  }

  const Pipeline& pipeline_;
  Problems& problems_;
  const std::vector<Nest>& nests_;
  Graph graph_;
};

// Depth-first order; a step met again while it is being visited closes a cycle.
class Sorter {
 public:
  Sorter(const Graph& graph, const Pipeline& pipeline)
      : graph_(graph), pipeline_(pipeline), state_(graph.names.size()) {}

  Result<std::vector<size_t>> sort() {
    for (size_t i = 0; i < state_.size(); ++i) TRY(visit(i));
    return std::move(order_);
  }

 private:
  enum class State { kNew, kOpen, kDone };

  // Explicit stack: a chain of steps may be longer than the call stack is deep.
  Result<> visit(size_t root) {
    std::vector<std::pair<size_t, std::set<size_t>::const_iterator>> stack;  // step, next need
    auto open = [&](size_t step) {
      state_[step] = State::kOpen;
      stack.emplace_back(step, graph_.needs[step].begin());
    };
    if (state_[root] == State::kNew) open(root);
    while (!stack.empty()) {
      auto& [step, next] = stack.back();
      if (next == graph_.needs[step].end()) {
        state_[step] = State::kDone;
        order_.push_back(step);
        stack.pop_back();
        continue;
      }
      size_t need = *next++;
      if (state_[need] == State::kOpen) return cycle(stack, need);
      if (state_[need] == State::kNew) open(need);
    }
    return {};
  }

  template <class Stack>
  Result<> cycle(const Stack& stack, size_t start) const {
    std::string path;
    bool inside = false;
    for (const auto& [step, next] : stack) {
      inside = inside || step == start;
      if (inside) path += graph_.names[step] + " -> ";
    }
    return fail_at(pipeline_.steps[start].place, "steps wait for each other in a circle: {}{}", path,
                   graph_.names[start]);
  }

  const Graph& graph_;
  const Pipeline& pipeline_;
  std::vector<State> state_;
  std::vector<size_t> order_;
};

}  // namespace

std::optional<size_t> Graph::index(const std::string& name) const {
  auto at = positions.find(name);
  return at != positions.end() ? std::optional(at->second) : std::nullopt;
}

Graph make_graph(const Pipeline& pipeline, Problems& problems, const std::vector<Nest>& nests) {
  return Builder(pipeline, problems, nests).build();
}

Result<std::vector<size_t>> sorted(const Graph& graph, const Pipeline& pipeline) {
  return Sorter(graph, pipeline).sort();
}

}  // namespace tidemill::pipeline
