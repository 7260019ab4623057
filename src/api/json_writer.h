// Writes JSON text directly: replies with thousands of runs are not built as a tree first.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace tidemill::api {

class JsonWriter {
 public:
  JsonWriter& begin_object() { return open('{'); }
  JsonWriter& end_object() { return close('}'); }
  JsonWriter& begin_array() { return open('['); }
  JsonWriter& end_array() { return close(']'); }
  JsonWriter& key(std::string_view name);  // a plain word, written as it is
  JsonWriter& text(std::string_view value);
  JsonWriter& integer(int64_t value);
  JsonWriter& boolean(bool value);
  JsonWriter& null();
  // The shortest text that reads back as the same number; NaN and infinities as the strings that MLflow uses.
  JsonWriter& number(double value);

  JsonWriter& field(std::string_view name, std::string_view value) { return key(name).text(value); }
  std::string take() { return std::move(out_); }

 private:
  JsonWriter& open(char c);
  JsonWriter& close(char c);
  void separate();
  void quote(std::string_view plain);  // what needs no escapes

  std::string out_;
  bool comma_ = false;
};

}  // namespace tidemill::api
