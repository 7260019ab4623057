#include "pipeline/nesting.h"

#include <map>
#include <memory>
#include <set>

namespace tidemill::pipeline {
namespace {

using config::Expression;
using config::fail_at;
using config::Foreach;
using config::Phase;
using config::Pipeline;
using config::Problems;
using config::Reference;
using config::Step;
using config::Template;

// A pipeline where it stands among the others.
struct Scope {
  const Pipeline& pipeline;
  const Scope* parent = nullptr;  // null: the outermost
  const Step* step = nullptr;     // of the parent, that this pipeline is
  std::string prefix;             // before the names of its steps: "a/b/"
  std::map<std::string, std::unique_ptr<Scope>> inner;
  std::vector<std::string> emitted;  // the new names of its main steps, also of those deeper

  std::string name() const { return prefix.substr(0, prefix.size() - 1); }
  const Scope* find(const std::string& step_name) const {
    auto found = inner.find(step_name);
    return found != inner.end() ? found->second.get() : nullptr;
  }
};

void append(std::string text, Template& to) {
  if (text.empty()) return;
  if (!to.parts.empty() && std::holds_alternative<std::string>(to.parts.back()))
    std::get<std::string>(to.parts.back()) += text;
  else
    to.parts.emplace_back(std::move(text));
}

void append(const Template& value, Template& to) {
  for (const auto& part : value.parts) {
    if (const auto* text = std::get_if<std::string>(&part))
      append(*text, to);
    else
      to.parts.push_back(part);
  }
}

bool waits_for_nothing(const Step& step) {
  if (!step.needs.empty() || (step.foreach && !step.foreach->like.empty())) return false;
  for (const Template* value : config::templates_of(step))
    for (const auto& reference : value->references())
      if (reference[0] == "steps") return false;
  return true;
}

class Flattener {
 public:
  Flattener(const config::Arguments& params, Problems& problems) : params_(params), problems_(problems) {}

  Flat flatten(const Pipeline& pipeline) {
    flat_.pipeline = pipeline;
    flat_.pipeline.steps.clear();
    Scope root{.pipeline = pipeline};
    if (open(root) && is_sound(root)) emit(root);
    return std::move(flat_);
  }

 private:
  // The scopes within this one. False when there are too many.
  bool open(Scope& scope) {
    for (const Step& step : scope.pipeline.steps) {
      if (++opened_ > kMostNestedSteps)
        return problems_.keep(
            fail_at(step.place, "there are more than {} steps within steps", kMostNestedSteps));
      if (!step.inner) continue;
      auto [at, is_new] = scope.inner.emplace(
          step.name, std::make_unique<Scope>(Scope{.pipeline = *step.inner,
                                                   .parent = &scope,
                                                   .step = &step,
                                                   .prefix = scope.prefix + step.name + "/"}));
      if (is_new && !open(*at->second)) return false;
    }
    return true;
  }

  void emit(Scope& scope) {
    for (const Step& step : scope.pipeline.steps) {
      if (!step.inner) {
        emit(step, scope);
        continue;
      }
      Scope& inner = *scope.inner.at(step.name);
      check_values(inner);
      const size_t at = flat_.nests.size();
      flat_.nests.push_back({inner.name(), {}});
      emit(inner);
      flat_.nests[at].steps = inner.emitted;
      if (step.phase == Phase::kMain)
        scope.emitted.insert(scope.emitted.end(), inner.emitted.begin(), inner.emitted.end());
    }
    if (scope.parent != nullptr) take_over_the_rest(scope);
  }

  // Mistakes are told of each file by itself, in its own names.
  bool is_sound(const Scope& scope) {
    if (!checked_.insert(&scope.pipeline).second) return true;
    const size_t before = problems_.count();
    Graph graph = make_graph(scope.pipeline, problems_);
    if (problems_.count() == before) problems_.keep(sorted(graph, scope.pipeline));
    bool sound = problems_.count() == before;
    for (const auto& [name, inner] : scope.inner) sound = is_sound(*inner) && sound;
    return sound;
  }

  void emit(const Step& original, Scope& scope) {
    Step step = original;
    step.name = scope.prefix + original.name;
    step.within = scope.parent != nullptr ? scope.name() : "";
    for (Template* value : config::templates_of(step)) *value = rewritten(*value, scope);
    for (auto& need : step.needs) need.name = scope.prefix + need.name;
    if (step.foreach) rewrite(*step.foreach, scope);
    for (const Scope* around = &scope; around->parent != nullptr; around = around->parent)
      put_into(*around, original, step);
    if (original.phase == Phase::kMain) scope.emitted.push_back(step.name);
    flat_.pipeline.steps.push_back(std::move(step));
  }

  // What the step that is this pipeline asks for holds for a step within.
  void put_into(const Scope& scope, const Step& original, Step& step) {
    const Step& outer = *scope.step;
    if (original.phase == Phase::kMain && waits_for_nothing(original))
      for (const auto& need : outer.needs)
        step.needs.push_back({scope.parent->prefix + need.name, need.place});
    if (outer.settings->when) add_condition(*outer.settings->when, *scope.parent, step);
    if (outer.foreach) add_foreach(scope, step);
    if (outer.phase == Phase::kMain) return;
    if (original.phase != Phase::kMain)
      problems_.keep(fail_at(outer.place,
                             "step '{}' runs at the end of a run, and its pipeline has {} of its own ({})",
                             outer.name, config::to_string(original.phase), original.place.to_string()));
    step.phase = outer.phase;
  }

  void add_condition(const config::Condition& outer, const Scope& scope, Step& step) {
    config::Condition condition = outer;
    rewrite(condition.root, scope);
    if (step.settings->when) {
      condition.text = fmt::format("({}) and ({})", outer.text, step.settings->when->text);
      Expression both{.kind = Expression::Kind::kAnd, .value = {}, .parts = {}, .place = outer.root.place};
      both.parts.push_back(std::move(condition.root));
      both.parts.push_back(step.settings->when->root);
      condition.root = std::move(both);
    }
    step.settings.edit().when = std::move(condition);
  }

  // The first step within has the values, the others follow it.
  void add_foreach(const Scope& scope, Step& step) {
    const Step& outer = *scope.step;
    if (step.foreach) {
      problems_.keep(
          fail_at(step.foreach->place,
                  "step '{}' has a foreach, and so has '{}', which it is within ({}): one is possible",
                  step.name, scope.name(), outer.foreach->place.to_string()));
      return;
    }
    auto [model, is_first] = models_.try_emplace(&scope, step.name);
    step.foreach = *outer.foreach;
    if (is_first) {
      rewrite(*step.foreach, *scope.parent);
    } else {
      step.foreach = Foreach{.product = {}, .rows = {}, .like = model->second, .place = outer.foreach->place};
    }
  }

  void rewrite(Foreach& foreach, const Scope& scope) {
    for (auto& values : foreach.product)
      for (auto& value : values.list) value = rewritten(value, scope);
    for (auto& row : foreach.rows)
      for (auto& [name, value] : row) value = rewritten(value, scope);
    if (!foreach.like.empty())
      foreach
        .like = model_of(foreach.like, scope);
  }

  void rewrite(Expression& expression, const Scope& scope) {
    expression.value = rewritten(expression.value, scope);
    for (auto& part : expression.parts) rewrite(part, scope);
  }

  // The step that has the values of a step with foreach.
  std::string model_of(const std::string& name, const Scope& scope) const {
    const Scope* inner = scope.find(name);
    if (inner == nullptr) return scope.prefix + name;
    return first_step(*inner);
  }
  static std::string first_step(const Scope& scope) {
    for (const Step& step : scope.pipeline.steps)
      return step.inner ? first_step(*scope.find(step.name)) : scope.prefix + step.name;
    return "";
  }

  // In terms of the outermost pipeline.
  Template rewritten(const Template& value, const Scope& scope) {
    Template result{{}, value.place};
    for (const auto& part : value.parts) {
      if (const auto* text = std::get_if<std::string>(&part))
        append(*text, result);
      else
        add(std::get<Reference>(part), scope, result);
    }
    return result;
  }

  void add(Reference reference, const Scope& scope, Template& result) {
    const std::string root = reference[0];
    if (root == "steps" && reference.size() > 1) {
      if (const Scope* inner = scope.find(reference[1])) {
        add_of_nest(std::move(reference), *inner, result);
        return;
      }
    }
    if (scope.parent == nullptr) {
      result.parts.emplace_back(std::move(reference));
    } else if (root == "params" && reference.size() == 2) {
      append(argument(reference[1], scope), result);
    } else if (root == "pipeline" && reference.size() == 2) {
      if (reference[1] == "name")
        append(scope.pipeline.name, result);
      else
        add_folder(scope.pipeline.folder, result);
    } else {
      if ((root == "steps" || root == "inputs") && reference.size() > 1)
        reference[1] = scope.prefix + reference[1];
      result.parts.emplace_back(std::move(reference));
    }
  }

  // Below the outermost folder it is told from there: a key knows no other places.
  void add_folder(const fs::path& folder, Template& result) const {
    const std::string below = folder.lexically_relative(flat_.pipeline.folder).string();
    if (below.empty() || below.starts_with("..")) {
      append(folder.string(), result);
    } else {
      result.parts.emplace_back(Reference{"pipeline", "folder"});
      if (below != ".") append("/" + below, result);
    }
  }

  // Of a step that is a pipeline there are its outputs, its state, and the values of its foreach.
  void add_of_nest(Reference reference, const Scope& nest, Template& result) {
    const std::string what = reference.size() > 2 ? reference[2] : "";
    if (what == "state" && reference.size() == 3) {
      reference[1] = nest.name();
      result.parts.emplace_back(std::move(reference));
    } else if (what == "each" && nest.step->foreach) {
      reference[1] = first_step(nest);
      result.parts.emplace_back(std::move(reference));
    } else {
      for (const auto& output : nest.pipeline.outputs)
        if (output.name == reference.back()) append(rewritten(output.value, nest), result);
    }
  }

  // What a parameter of an inner pipeline stands for.
  Template argument(const std::string& name, const Scope& scope) {
    const config::Parameter& parameter = *config::find_parameter(scope.pipeline.parameters, name);
    for (const auto& given : scope.step->arguments)
      if (given.name == name)
        return located(rewritten(given.value, *scope.parent), parameter, scope.parent->pipeline.folder);
    const Template otherwise{{parameter.default_value.value_or("")}, parameter.place};
    return located(otherwise, parameter, scope.pipeline.folder);
  }

  // A relative path counts from the file that it stands in.
  Template located(Template value, const config::Parameter& parameter, const fs::path& folder) const {
    if (parameter.type != config::ParameterType::kPath) return value;
    auto text = known_text(value);
    if (!text || text->empty() || text->starts_with('/') || text->find(":/") != std::string::npos)
      return value;
    value.parts = {(folder / *text).lexically_normal().string()};
    return value;
  }

  // nullopt when it is known only in the run.
  std::optional<std::string> known_text(const Template& value) const {
    std::string all;
    for (const auto& part : value.parts) {
      if (const auto* text = std::get_if<std::string>(&part)) {
        all += *text;
        continue;
      }
      const auto& reference = std::get<Reference>(part);
      auto is_meant = [&](const auto& param) { return param.first == reference.back(); };
      auto found = std::find_if(params_.begin(), params_.end(), is_meant);
      if (reference[0] != "params" || found == params_.end()) return std::nullopt;
      all += found->second;
    }
    return all;
  }

  void check_values(const Scope& inner) {
    for (const auto& given : inner.step->arguments) {
      const config::Parameter* parameter = config::find_parameter(inner.pipeline.parameters, given.name);
      auto text = parameter != nullptr ? known_text(rewritten(given.value, *inner.parent)) : std::nullopt;
      if (!text) continue;
      if (auto fits = config::check_value(*parameter, *text); !fits)
        problems_.add(std::move(fits).error().in(given.place.to_string()));
    }
  }

  void take_over_the_rest(const Scope& scope) {
    for (config::Input input : scope.pipeline.inputs) {
      input.name = scope.prefix + input.name;
      if (!input.file.empty()) input.file = scope.pipeline.folder / input.file;
      flat_.pipeline.inputs.push_back(std::move(input));
    }
    for (config::Secret secret : scope.pipeline.secrets) {
      if (!secret.file.empty()) secret.file = scope.pipeline.folder / secret.file;
      auto is_same = [&](const auto& other) { return other.name == secret.name; };
      auto& all = flat_.pipeline.secrets;
      if (auto other = std::find_if(all.begin(), all.end(), is_same); other == all.end()) {
        all.push_back(std::move(secret));
      } else if (other->variable != secret.variable ||
                 (!secret.file.empty() && flat_.pipeline.folder / other->file != secret.file)) {
        problems_.keep(fail_at(secret.place, "the secret '{}' is another than that of {}; call it otherwise",
                               secret.name, other->place.to_string()));
      }
    }
  }

  const config::Arguments& params_;
  Problems& problems_;
  Flat flat_;
  size_t opened_ = 0;
  std::set<const Pipeline*> checked_;           // one file may stand in many places
  std::map<const Scope*, std::string> models_;  // of those with foreach: the step that has the values
};

}  // namespace

bool has_nests(const Pipeline& pipeline) {
  return std::any_of(pipeline.steps.begin(), pipeline.steps.end(),
                     [](const Step& step) { return step.inner != nullptr; });
}

Flat flatten(const Pipeline& pipeline, const config::Arguments& params, Problems& problems) {
  return Flattener(params, problems).flatten(pipeline);
}

}  // namespace tidemill::pipeline
