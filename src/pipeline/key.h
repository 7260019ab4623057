// The key of a step: what its result depends on, by content. Equal keys, equal results; and when keys differ,
// what it is that has changed. Pure.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace tidemill::pipeline {

// In the order in which a change is told.
enum class IngredientKind {
  kParameter,    // a value, as given
  kCommand,      // as the project writes it
  kCode,         // a file of the project
  kProgram,      // that the command runs
  kEnvironment,  // what the project asks for
  kVariable,     // of the step's environment
  kInput,        // a file or a folder
  kOutput,       // that the step declares
  kProbe,        // what the step's probe has printed
  kTool          // Tidemill itself
};
std::string_view to_string(IngredientKind kind);  // "parameter", ...

// Names are those of parameters and of files within the project: never of steps, runs or folders on a disk.
struct Ingredient {
  IngredientKind kind;
  std::string name;
  std::string value;  // a text, or the digest of a content

  bool operator==(const Ingredient&) const = default;
};
using Ingredients = std::vector<Ingredient>;

// The name of a command that is the checks of `validate` which take bad items out of the outputs.
inline constexpr std::string_view kExclusion = "validate";

// How the digest of a content is written as a value, to be told apart from a text.
std::string content_value(std::string_view sha256);

// 64 hex digits. The order of the ingredients does not matter.
std::string key_of(const Ingredients& ingredients);

// Each in a line: "parameter learning_rate: 0.001 -> 0.01".
std::vector<std::string> describe_changes(const Ingredients& before, const Ingredients& now);
// "parameter learning_rate: 0.001 -> 0.01, and 2 more changes"; "" when nothing differs.
std::string in_short(const std::vector<std::string>& changes);

std::string ingredients_to_json(const Ingredients& ingredients);
Result<Ingredients> ingredients_from_json(std::string_view json);

}  // namespace tidemill::pipeline
