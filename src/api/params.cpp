#include "api/params.h"

#include <charconv>

#include "base/json_numbers.h"
#include "base/text.h"

namespace tidemill::api {
namespace {

std::string_view python_type(const Json& value) {
  switch (value.type()) {
    case Json::value_t::string:
      return "str";
    case Json::value_t::boolean:
      return "bool";
    case Json::value_t::number_integer:
    case Json::value_t::number_unsigned:
      return "int";
    case Json::value_t::number_float:
      return "float";
    case Json::value_t::array:
      return "list";
    case Json::value_t::object:
      return "dict";
    default:
      return "NoneType";
  }
}

template <class Number>
std::optional<Number> parse_whole(std::string_view text) {
  Number value{};
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

std::optional<double> number_of(const Json& value) {
  if (value.is_number()) return value.get<double>();
  if (!value.is_string()) return std::nullopt;
  const auto& text = value.get_ref<const std::string&>();
  auto word = real_of_word(text);
  return word ? word : parse_whole<double>(text);
}

// An empty body, or one that is not JSON, counts as {} for MLflow. A string that holds JSON comes from old
// clients.
Json object_of(Result<Json> body) {
  if (body && body->is_string()) body = parse_json(body->get<std::string>());
  return body && body->is_object() ? std::move(*body) : Json::object();
}

}  // namespace

Result<Params> Params::of(const HttpRequest& request, PathVariables variables, const auth::Access* sender) {
  bool by_query = request.method == "GET" || request.method == "HEAD";
  std::string_view type = request.headers.get("Content-Type");
  bool needs_no_body = request.method == "DELETE" && request.body.empty() && !variables.empty();
  if (!by_query && !needs_no_body && trim(type.substr(0, type.find(';'))) != "application/json")
    return fail(Code::kInvalid, "Bad Request. Content-Type must be one of ['application/json'].");
  Result<Json> body = by_query || request.body.empty() ? Json() : parse_json(request.body);
  std::string body_error = body ? "" : body.error().message;
  Params params =
      by_query ? Params(Json(), &request.query, "") : Params(object_of(std::move(body)), nullptr, "");
  params.body_error_ = std::move(body_error);
  params.variables_ = std::move(variables);
  params.sender_ = sender;
  return params;
}

const Json* Params::member(std::string_view key) const {
  auto it = object_.find(std::string(key));
  return it == object_.end() || it->is_null() ? nullptr : &*it;
}

const std::string* Params::query_value(std::string_view key) const {
  for (const auto& [name, value] : *query_)
    if (name == key) return &value;
  return nullptr;
}

std::string Params::place_of(std::string_view key) const {
  return place_.empty() ? std::string(key) : fmt::format("{}.{}", place_, key);
}

constexpr std::string_view kSeeDocs = "See the API docs for more information about request parameters.";

tl::unexpected<Error> Params::missing(std::string_view key) const {
  std::string reason = body_error_.empty() ? "" : fmt::format(" (the body is {})", body_error_);
  return fail(Code::kInvalid, "Missing value for required parameter '{}'. {}{}", place_of(key), kSeeDocs,
              reason);
}

tl::unexpected<Error> Params::wrong_type(std::string_view key, const Json& value) const {
  return fail(Code::kInvalid,
              "Invalid value {} for parameter '{}' supplied:  Hint: Value was of type '{}'. {}",
              dump_json(value), place_of(key), python_type(value), kSeeDocs);
}

bool Params::has(std::string_view key) const {
  return query_ ? query_value(key) != nullptr : member(key) != nullptr;
}

Result<std::string> Params::text(std::string_view key) const {
  for (const auto& [name, value] : variables_)
    if (name == key) return value;
  if (query_) {
    const std::string* value = query_value(key);
    return value ? *value : "";
  }
  const Json* value = member(key);
  if (!value) return "";
  if (!value->is_string()) return wrong_type(key, *value);
  return value->get<std::string>();
}

Result<std::optional<int64_t>> Params::integer(std::string_view key) const {
  Json from_query;
  const Json* value = nullptr;
  if (query_) {
    if (const std::string* text = query_value(key)) value = &(from_query = *text);
  } else {
    value = member(key);
  }
  if (!value) return std::nullopt;
  std::optional<int64_t> number = json_integer(*value);
  if (!number) return wrong_type(key, *value);
  return number;
}

Result<std::vector<std::string>> Params::texts(std::string_view key) const {
  std::vector<std::string> all;
  if (query_) {
    for (const auto& [name, value] : *query_)
      if (name == key) all.push_back(value);
    return all;
  }
  const Json* value = member(key);
  if (!value) return all;
  if (!value->is_array()) return wrong_type(key, *value);
  for (const Json& item : *value) {
    if (!item.is_string()) return wrong_type(key, *value);
    all.push_back(item.get<std::string>());
  }
  return all;
}

Result<std::optional<bool>> Params::boolean(std::string_view key) const {
  if (query_) {
    const std::string* word = query_value(key);
    return word ? std::optional<bool>(to_lower(*word) == "true") : std::nullopt;
  }
  const Json* value = member(key);
  if (!value) return std::nullopt;
  if (!value->is_boolean()) return wrong_type(key, *value);
  return value->get<bool>();
}

Result<std::string> Params::enumerator(std::string_view key) const {
  if (query_) return text(key);
  const Json* value = member(key);
  if (!value) return "";
  if (value->is_number_integer()) return std::to_string(value->get<int64_t>());
  return text(key);
}

Result<tracking::ViewType> Params::view(std::string_view key) const {
  Result<std::string> name = enumerator(key);
  if (!name) return tl::unexpected<Error>(name.error());
  if (*name == "DELETED_ONLY" || *name == "2") return tracking::ViewType::kDeletedOnly;
  if (*name == "ALL" || *name == "3") return tracking::ViewType::kAll;
  return tracking::ViewType::kActiveOnly;
}

Result<std::vector<Params>> Params::objects(std::string_view key) const {
  std::vector<Params> all;
  const Json* value = query_ ? nullptr : member(key);
  if (!value) return all;
  if (!value->is_array()) return wrong_type(key, *value);
  for (const Json& item : *value) {
    if (!item.is_object()) return wrong_type(key, *value);
    all.push_back(Params(item, nullptr, fmt::format("{}[{}]", place_of(key), all.size())));
  }
  return all;
}

Result<Params> Params::object(std::string_view key) const {
  const Json* value = query_ ? nullptr : member(key);
  if (value && !value->is_object()) return wrong_type(key, *value);
  return Params(value ? *value : Json::object(), nullptr, place_of(key));
}

Result<std::vector<std::string>> Params::required_texts(std::string_view key) const {
  std::vector<std::string> all = TRY(texts(key));
  if (all.empty()) return missing(key);
  return all;
}

Result<std::string> Params::required_text(std::string_view key) const {
  std::string value = TRY(text(key));
  if (value.empty()) return missing(key);
  return value;
}

Result<int64_t> Params::required_integer(std::string_view key) const {
  std::optional<int64_t> value = TRY(integer(key));
  if (!value) return missing(key);
  return *value;
}

Result<double> Params::required_number(std::string_view key) const {
  const Json* value = query_ ? nullptr : member(key);
  if (!value) return missing(key);
  std::optional<double> number = number_of(*value);
  if (!number) return wrong_type(key, *value);
  return *number;
}

Result<std::vector<tracking::KeyValue>> Params::pairs(std::string_view list) const {
  std::vector<tracking::KeyValue> all;
  for (const Params& pair : TRY(objects(list)))
    all.emplace_back(TRY(pair.required_text("key")), TRY(pair.text("value")));
  return all;
}

Result<std::string> Params::run_id() const {
  std::string id = TRY(text("run_id"));
  if (id.empty()) id = TRY(text("run_uuid"));
  if (id.empty()) return missing("run_id");
  return id;
}

}  // namespace tidemill::api
