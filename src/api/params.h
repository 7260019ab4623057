// The parameters of one call, from the query (GET) or from the JSON body, read as MLflow reads them: numbers
// may be strings, unknown members are ignored, null is as good as missing. Errors carry MLflow's texts.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "auth/permission.h"
#include "base/json.h"
#include "base/result.h"
#include "net/http_server.h"
#include "tracking/entities.h"

namespace tidemill::api {

// What an address says itself, as the id in logged-models/<id>.
using PathVariables = std::vector<std::pair<std::string_view, std::string>>;

class Params {
 public:
  // Variables of the path win over members of the same name. sender: who has logged in; nullptr: nobody has
  // to.
  static Result<Params> of(const HttpRequest& request, PathVariables variables = {},
                           const auth::Access* sender = nullptr);
  static Params of(Json object) { return Params(std::move(object), nullptr, ""); }

  const auth::Access* sender() const { return sender_; }
  bool has(std::string_view key) const;
  // Missing: "", 0, false, nothing.
  Result<std::string> text(std::string_view key) const;
  Result<std::optional<int64_t>> integer(std::string_view key) const;
  Result<std::vector<std::string>> texts(std::string_view key) const;
  // true and false, also as the words that queries have.
  Result<std::optional<bool>> boolean(std::string_view key) const;
  // The name of an enumerator, or its number as text.
  Result<std::string> enumerator(std::string_view key) const;
  // Active ones only when missing or unknown.
  Result<tracking::ViewType> view(std::string_view key) const;
  // The objects of a list, each with its place for errors: "metrics[3]".
  Result<std::vector<Params>> objects(std::string_view key) const;

  // An object, with its place for errors; an empty one when missing.
  Result<Params> object(std::string_view key) const;

  // kInvalid "Missing value for required parameter ..." when missing or empty.
  Result<std::string> required_text(std::string_view key) const;
  Result<int64_t> required_integer(std::string_view key) const;
  Result<double> required_number(std::string_view key) const;
  // Of a list of texts that must not be empty.
  Result<std::vector<std::string>> required_texts(std::string_view key) const;
  // A list of objects with key and value: parameters, tags.
  Result<std::vector<tracking::KeyValue>> pairs(std::string_view list) const;
  // run_id, or run_uuid as it once was called.
  Result<std::string> run_id() const;

 private:
  Params(Json object, const Query* query, std::string place)
      : object_(std::move(object)), query_(query), place_(std::move(place)) {}
  const Json* member(std::string_view key) const;
  const std::string* query_value(std::string_view key) const;
  std::string place_of(std::string_view key) const;
  tl::unexpected<Error> missing(std::string_view key) const;
  tl::unexpected<Error> wrong_type(std::string_view key, const Json& value) const;

  Json object_;  // not used when query_ is set
  const Query* query_ = nullptr;
  std::string place_;
  std::string body_error_;  // what is wrong with a body that is no JSON, and so has no parameters
  PathVariables variables_;
  const auth::Access* sender_ = nullptr;
};

}  // namespace tidemill::api
