#include "pipeline/key.h"

#include <algorithm>
#include <tuple>

#include "base/hash.h"
#include "base/json.h"
#include "base/text.h"

namespace tidemill::pipeline {
namespace {

constexpr std::string_view kFormat = "tidemill key 1";
constexpr std::string_view kContent = "sha256:";
constexpr size_t kShownDigits = 8, kShownChars = 60;

constexpr IngredientKind kKinds[] = {
    IngredientKind::kParameter,   IngredientKind::kCommand,  IngredientKind::kCode,  IngredientKind::kProgram,
    IngredientKind::kEnvironment, IngredientKind::kVariable, IngredientKind::kInput, IngredientKind::kOutput,
    IngredientKind::kProbe,       IngredientKind::kTool};

Ingredients sorted(Ingredients ingredients) {
  std::sort(ingredients.begin(), ingredients.end(), [](const Ingredient& a, const Ingredient& b) {
    return std::tie(a.kind, a.name, a.value) < std::tie(b.kind, b.name, b.value);
  });
  return ingredients;
}

void put(Sha256& sha, std::string_view text) {
  sha.update(fmt::format("{}:", text.size()));
  sha.update(text);
}

std::string shown(const std::string& value) {
  if (value.starts_with(kContent)) return value.substr(kContent.size(), kShownDigits);
  if (value.empty()) return "''";
  std::string line = value.substr(0, value.find('\n'));
  if (line.size() > kShownChars) line = line.substr(0, kShownChars);
  return line.size() < value.size() ? line + "..." : line;
}

// What such an ingredient tells is that it is there.
bool is_exclusion(const Ingredient& ingredient) {
  return ingredient.kind == IngredientKind::kCommand && ingredient.name == kExclusion;
}

std::string subject(const Ingredient& ingredient) {
  return ingredient.name.empty() ? std::string(to_string(ingredient.kind))
                                 : fmt::format("{} {}", to_string(ingredient.kind), ingredient.name);
}

// The changes in the order of the ingredients.
std::vector<std::string> changes(const Ingredients& before, const Ingredients& now) {
  std::vector<std::string> found;
  auto comes_first = [](const Ingredient& a, const Ingredient& b) {
    return std::tie(a.kind, a.name) < std::tie(b.kind, b.name);
  };
  auto old = before.begin();
  auto fresh = now.begin();
  while (old != before.end() || fresh != now.end()) {
    if (fresh == now.end() || (old != before.end() && comes_first(*old, *fresh))) {
      found.push_back(is_exclusion(*old)
                          ? "validate takes nothing out any more (otherwise: exclude is gone)"
                          : fmt::format("{} is gone (was {})", subject(*old), shown(old->value)));
      ++old;
    } else if (old == before.end() || comes_first(*fresh, *old)) {
      found.push_back(is_exclusion(*fresh)
                          ? "validate takes out what is bad now (otherwise: exclude is new)"
                          : fmt::format("{} is new ({})", subject(*fresh), shown(fresh->value)));
      ++fresh;
    } else {
      if (old->value != fresh->value)
        found.push_back(is_exclusion(*fresh) ? "what validate takes out has changed"
                                             : fmt::format("{}: {} -> {}", subject(*fresh), shown(old->value),
                                                           shown(fresh->value)));
      ++old, ++fresh;
    }
  }
  return found;
}

}  // namespace

std::string_view to_string(IngredientKind kind) {
  switch (kind) {
    case IngredientKind::kParameter:
      return "parameter";
    case IngredientKind::kCommand:
      return "command";
    case IngredientKind::kCode:
      return "code";
    case IngredientKind::kProgram:
      return "program";
    case IngredientKind::kEnvironment:
      return "environment";
    case IngredientKind::kVariable:
      return "variable";
    case IngredientKind::kInput:
      return "input";
    case IngredientKind::kOutput:
      return "output";
    case IngredientKind::kProbe:
      return "probe";
    case IngredientKind::kTool:
      return "tidemill";
  }
  return "";
}

std::string content_value(std::string_view sha256) { return fmt::format("{}{}", kContent, sha256); }

std::string key_of(const Ingredients& ingredients) {
  Sha256 sha;
  put(sha, kFormat);
  for (const auto& ingredient : sorted(ingredients)) {
    put(sha, to_string(ingredient.kind));
    put(sha, ingredient.name);
    put(sha, ingredient.value);
  }
  return sha.hex();
}

std::vector<std::string> describe_changes(const Ingredients& before, const Ingredients& now) {
  return changes(sorted(before), sorted(now));
}

std::string in_short(const std::vector<std::string>& changes) {
  if (changes.empty()) return "";
  if (changes.size() == 1) return changes[0];
  return fmt::format("{}, and {} more {}", changes[0], changes.size() - 1,
                     changes.size() == 2 ? "change" : "changes");
}

std::string ingredients_to_json(const Ingredients& ingredients) {
  Json list = Json::array();
  for (const auto& [kind, name, value] : sorted(ingredients))
    list.push_back(Json::array({to_string(kind), name, value}));
  return dump_json(list);
}

Result<Ingredients> ingredients_from_json(std::string_view text) {
  Json list = TRY(parse_json(text));
  Ingredients ingredients;
  if (!list.is_array()) return fail(Code::kInternal, "the ingredients of a key are not a list");
  for (const auto& entry : list) {
    if (!entry.is_array() || entry.size() != 3 || !entry[0].is_string() || !entry[1].is_string() ||
        !entry[2].is_string())
      return fail(Code::kInternal, "an ingredient of a key is not three texts");
    for (IngredientKind kind : kKinds)
      if (entry[0].get<std::string>() == to_string(kind))
        ingredients.push_back({kind, entry[1].get<std::string>(), entry[2].get<std::string>()});
  }
  return ingredients;
}

}  // namespace tidemill::pipeline
