#include "pipeline/outputs.h"

#include <algorithm>

namespace tidemill::pipeline {
namespace {

using config::Reference;
using config::Step;
using config::Template;
using FindStep = std::function<const Step&(const std::string& name)>;

bool is_output(const Reference& reference) {
  return (reference[0] == "steps" && reference[2] == "outputs") ||
         (reference[0] == "self" && reference[1] == "outputs");
}

bool refers_to_output(const Template& value) {
  return std::any_of(value.parts.begin(), value.parts.end(), [](const auto& part) {
    const auto* reference = std::get_if<Reference>(&part);
    return reference != nullptr && is_output(*reference);
  });
}

std::string path_of(const std::string& output, const Step& step) {
  for (const auto& declared : step.settings->outputs)
    if (declared.name == output) return "/" + declared.path;
  return "";
}

void put_paths(Template& value, const Step& self, const FindStep& find) {
  std::vector<std::variant<std::string, Reference>> parts;
  bool path_before = false;
  for (auto& part : value.parts) {
    auto* reference = std::get_if<Reference>(&part);
    if (reference != nullptr && is_output(*reference)) {
      const Step& step = (*reference)[0] == "self" ? self : find((*reference)[1]);
      std::string path = path_of(reference->back(), step);
      reference->pop_back();
      reference->back() = "artifacts";
      parts.push_back(std::move(part));
      parts.emplace_back(std::move(path));
      path_before = true;
    } else {
      const auto* text = std::get_if<std::string>(&part);
      if (text != nullptr && path_before)
        std::get<std::string>(parts.back()) += *text;
      else
        parts.push_back(std::move(part));
      path_before = false;
    }
  }
  value.parts = std::move(parts);
}

}  // namespace

std::optional<Step> with_output_paths(const Step& step, const FindStep& find) {
  const auto values = config::templates_of(step);
  if (std::none_of(values.begin(), values.end(),
                   [](const Template* value) { return refers_to_output(*value); }))
    return std::nullopt;
  Step rewritten = step;
  for (Template* value : config::templates_of(rewritten)) put_paths(*value, step, find);
  return rewritten;
}

}  // namespace tidemill::pipeline
