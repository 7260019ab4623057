// The table of calls: what is served at which address by which method, and who may ask for it. An entry
// without a rule does not compile.
#pragma once

#include <string>
#include <string_view>
#include <unordered_map>

#include "api/service.h"

namespace tidemill::api {

// A call and its rule; empty when the method is not taken.
template <class Function>
struct Guarded {
  constexpr Guarded() = default;
  constexpr Guarded(Function of_call, Rule of_access) : call(of_call), rule(of_access) {}
  explicit operator bool() const { return call != nullptr; }

  Function call = nullptr;
  Rule rule{Of::kAdministration, auth::Right::kManage};
};

// One address with a call for each method that it takes.
struct Route {
  Guarded<Call> get = {};
  Guarded<Call> post = {};
  Guarded<Call> patch = {};
  Guarded<Call> remove = {};
  Guarded<LogCall> log = {};    // for POST, instead of post
  Guarded<FileCall> file = {};  // for GET, instead of get

  Guarded<Call> of(std::string_view method) const;
};
using Routes = std::unordered_map<std::string_view, Route>;

// Below /api/2.0/mlflow/ and its like. "*" stands for a part that names a thing.
const Routes& tracking_routes();
// Of users, roles and permissions: served where people have to log in.
const Routes& user_routes();
// Whole paths: of what pages of a browser use.
const Routes& page_routes();

struct Address {
  std::string route;  // as a table has it
  PathVariables variables;
};
// Takes the model and the tag out of an address below logged-models/.
Address address_of(std::string_view name);

}  // namespace tidemill::api
