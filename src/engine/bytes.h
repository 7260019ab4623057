// Numbers and texts one behind the other, as this machine writes them: for files that only this machine
// reads.
#pragma once

#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

namespace tidemill::engine {

template <class Integer>
void put(std::string& out, Integer value) {
  out.append(reinterpret_cast<const char*>(&value), sizeof value);
}
inline void put_text(std::string& out, std::string_view text) {
  put(out, static_cast<uint32_t>(text.size()));
  out += text;
}

class Bytes {
 public:
  explicit Bytes(std::string_view bytes) : rest_(bytes) {}

  // False at the end, here and below.
  bool take(size_t count, std::string_view& out) {
    if (rest_.size() < count) return false;
    out = rest_.substr(0, count);
    rest_.remove_prefix(count);
    return true;
  }
  template <class Integer>
  bool get(Integer& value) {
    std::string_view raw;
    if (!take(sizeof value, raw)) return false;
    std::memcpy(&value, raw.data(), sizeof value);
    return true;
  }
  bool get_text(std::string& text) {
    uint32_t size = 0;
    std::string_view raw;
    if (!get(size) || !take(size, raw)) return false;
    text = raw;
    return true;
  }
  bool empty() const { return rest_.empty(); }
  size_t left() const { return rest_.size(); }

 private:
  std::string_view rest_;
};

}  // namespace tidemill::engine
