#include "pipeline/expansion.h"

#include <set>

#include "base/hash.h"
#include "base/text.h"

namespace tidemill::pipeline {
namespace {

using config::Arguments;
using config::fail_at;
using config::Foreach;
using config::Reference;
using config::Template;

constexpr size_t kMostNameChars = 40;

const std::string* find_value(const Arguments& arguments, std::string_view name) {
  for (const auto& [key, value] : arguments)
    if (key == name) return &value;
  return nullptr;
}

Result<std::string> text_of(const Template& value, const Arguments& params) {
  std::string text;
  for (const auto& part : value.parts) {
    if (const auto* literal = std::get_if<std::string>(&part)) {
      text += *literal;
      continue;
    }
    const auto& reference = std::get<Reference>(part);
    const std::string* found =
        reference[0] == "params" && reference.size() == 2 ? find_value(params, reference[1]) : nullptr;
    if (found == nullptr)
      return fail_at(value.place, "foreach can refer only to parameters that have a value, not to {}",
                     config::to_string(reference));
    text += *found;
  }
  return text;
}

Result<std::vector<std::string>> values_of(const Foreach::Values& values, const Arguments& params) {
  std::vector<std::string> all;
  for (const auto& item : values.list) all.push_back(TRY(text_of(item, params)));
  if (!values.split) return all;
  std::vector<std::string> parts;
  for (const auto& part : split(all[0], ','))
    if (!trim(part).empty()) parts.emplace_back(trim(part));
  if (parts.empty()) return fail_at(values.place, "'{}' in foreach has no values", values.name);
  return parts;
}

Result<std::vector<Combination>> product(const Foreach& foreach, const Arguments& params) {
  std::vector<Combination> all = {{}};
  for (const auto& values : foreach.product) {
    auto list = TRY(values_of(values, params));
    if (all.size() * list.size() > kMostInstances)
      return fail_at(values.place, "foreach stands for more than {} steps", kMostInstances);
    std::vector<Combination> longer;
    for (const auto& combination : all)
      for (const auto& value : list) {
        longer.push_back(combination);
        longer.back().emplace_back(values.name, value);
      }
    all = std::move(longer);
  }
  return all;
}

std::string safe(const std::string& value) {
  std::string text = url_encode(value, "+");
  if (text.size() <= kMostNameChars) return text;
  return fmt::format("{}~{}", text.substr(0, kMostNameChars - 9), sha256_hex(value).substr(0, 8));
}

class Substitution {
 public:
  Substitution(const Combination& values, const std::function<std::string(const std::string&)>& rename)
      : values_(values), rename_(rename) {}

  void apply(Template& value) const {
    std::vector<std::variant<std::string, Reference>> parts;
    auto add = [&](const std::string& literal) {
      if (!parts.empty() && std::holds_alternative<std::string>(parts.back())) {
        std::get<std::string>(parts.back()) += literal;
      } else {
        parts.emplace_back(literal);
      }
    };
    for (auto& part : value.parts) {
      if (const auto* literal = std::get_if<std::string>(&part)) {
        add(*literal);
        continue;
      }
      Reference reference = std::get<Reference>(part);
      if (reference[0] == "each") {
        add(*find_value(values_, reference[1]));
        continue;
      }
      if (reference[0] == "steps")
        if (std::string name = rename_(reference[1]); !name.empty()) reference[1] = std::move(name);
      parts.emplace_back(std::move(reference));
    }
    value.parts = std::move(parts);
  }

 private:
  const Combination& values_;
  const std::function<std::string(const std::string&)>& rename_;
};

}  // namespace

Result<std::vector<Combination>> combinations(const Foreach& foreach, const Arguments& params) {
  std::vector<Combination> all;
  if (foreach.rows.empty()) {
    all = TRY(product(foreach, params));
  } else if (foreach.rows.size() > kMostInstances) {
    return fail_at(foreach.place, "foreach stands for more than {} steps", kMostInstances);
  }
  for (const auto& row : foreach.rows) {
    Combination& combination = all.emplace_back();
    for (const auto& [name, value] : row) combination.emplace_back(name, TRY(text_of(value, params)));
  }
  std::set<Combination> seen;
  for (const auto& combination : all)
    if (!seen.insert(combination).second)
      return fail_at(foreach.place, "foreach stands for {} twice", instance_name("", combination));
  return all;
}

std::string instance_name(const std::string& step, const Combination& values) {
  std::vector<std::string> parts;
  for (const auto& [name, value] : values) parts.push_back(name + "=" + safe(value));
  return fmt::format("{}[{}]", step, join(parts, ","));
}

config::Step instance_of(const config::Step& step, const Combination& values,
                         const std::function<std::string(const std::string& step)>& rename) {
  config::Step instance = step;
  Substitution substitution(values, rename);
  instance.name = instance_name(step.name, values);
  for (Template* value : config::templates_of(instance)) substitution.apply(*value);
  return instance;
}

}  // namespace tidemill::pipeline
