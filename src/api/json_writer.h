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
  std::string take() {
    out_.resize(size_);
    return std::move(out_);
  }

 private:
  JsonWriter& open(char c);
  JsonWriter& close(char c);
  JsonWriter& word(std::string_view json);
  // Where so many bytes and a comma can be written, behind the comma if there is one; ended() tells how far
  // they were. Replies hold ten thousands of short texts: an append for each would take twice as long.
  char* room(size_t most);
  void ended(const char* end) { size_ = static_cast<size_t>(end - out_.data()); }
  static char* put(char* at, std::string_view bytes);

  std::string out_;  // longer than what was written
  size_t size_ = 0;
  bool comma_ = false;
};

}  // namespace tidemill::api
