#include "base/json.h"

namespace tidemill {

namespace {

// Builds the tree from the parser's events. The library's own builder searches an ordered object from its
// start for each key, which makes a large object quadratic; here an index takes over once an object has
// grown.
class TreeBuilder {
 public:
  static constexpr size_t kMaxDepth = 200;

  bool null() { return put(nullptr); }
  bool boolean(bool value) { return put(value); }
  bool number_integer(Json::number_integer_t value) { return put(value); }
  bool number_unsigned(Json::number_unsigned_t value) { return put(value); }
  bool number_float(Json::number_float_t value, const std::string&) { return put(value); }
  bool string(std::string& value) { return put(std::move(value)); }
  bool binary(Json::binary_t& value) { return put(std::move(value)); }
  bool start_object(size_t) { return open(Json::object()); }
  bool start_array(size_t) { return open(Json::array()); }
  bool end_object() { return close(); }
  bool end_array() { return close(); }
  bool key(std::string& name) {
    member_ = &open_.back().member(name);
    return true;
  }
  bool parse_error(size_t byte, const std::string&, const Json::exception& e) {
    const bool is_syntax = dynamic_cast<const Json::parse_error*>(&e) != nullptr;
    return refuse(is_syntax ? fmt::format("not valid JSON at byte {}", byte)
                            : fmt::format("not valid JSON: {}", e.what()));
  }

  Result<Json> finish() && {
    if (error_) return tl::unexpected(std::move(*error_));
    return std::move(root_);
  }

 private:
  struct Open {
    Json* node;
    std::unordered_map<std::string, size_t> positions;  // of an object's keys, once it has kIndexFrom of them

    Json& member(const std::string& name) {
      constexpr size_t kIndexFrom = 32;
      auto& object = node->get_ref<Json::object_t&>();
      if (object.size() < kIndexFrom) return object[name];
      if (positions.empty())
        for (const auto& entry : object) positions.emplace(entry.first, positions.size());
      const auto [at, is_new] = positions.try_emplace(name, object.size());
      if (is_new) object.emplace_back(name, nullptr);
      return object.begin()[static_cast<std::ptrdiff_t>(at->second)].second;
    }
  };

  Json& place(Json value) {
    if (open_.empty()) return root_ = std::move(value);
    Json& parent = *open_.back().node;
    if (parent.is_array()) return parent.emplace_back(std::move(value));
    return *member_ = std::move(value);
  }
  bool put(Json value) {
    place(std::move(value));
    return true;
  }
  bool open(Json container) {
    if (open_.size() == kMaxDepth)
      return refuse(fmt::format("JSON is nested deeper than {} levels", kMaxDepth));
    open_.push_back({&place(std::move(container)), {}});
    return true;
  }
  bool refuse(std::string message) {
    error_ = Error{Code::kInvalid, std::move(message)};
    return false;
  }
  bool close() {
    open_.pop_back();
    return true;
  }

  Json root_;
  std::vector<Open> open_;
  Json* member_ = nullptr;
  std::optional<Error> error_;
};

}  // namespace

Result<Json> parse_json(std::string_view text) {
  TreeBuilder builder;
  Json::sax_parse(text.begin(), text.end(), &builder);
  return std::move(builder).finish();
}

std::string dump_json(const Json& value, int indent) {
  return value.dump(indent, ' ', false, Json::error_handler_t::replace);
}

std::string json_string(const Json& object, std::string_view key, std::string_view fallback) {
  if (object.is_object())
    if (auto it = object.find(std::string(key)); it != object.end() && it->is_string())
      return it->get<std::string>();
  return std::string(fallback);
}

int64_t json_int(const Json& object, std::string_view key, int64_t fallback) {
  if (object.is_object())
    if (auto it = object.find(std::string(key)); it != object.end() && it->is_number_integer())
      return it->get<int64_t>();
  return fallback;
}

}  // namespace tidemill
