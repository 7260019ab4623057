// Numbers as MLflow's JSON has them, which is protobuf's mapping (protobuf.dev, "ProtoJSON format"): integers
// of 64 bits also come as strings, and what JSON has no word for is a string: "NaN", "Infinity", "-Infinity".
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "base/json.h"

namespace tidemill {

// Nothing for what is not a whole number or does not fit.
std::optional<int64_t> json_integer(const Json& value);
// Nothing for what is neither a number nor one of the three words.
std::optional<double> json_real(const Json& value);
Json json_of_real(double value);

// "" for a finite number.
std::string_view word_of_real(double value);
std::optional<double> real_of_word(std::string_view word);

}  // namespace tidemill
