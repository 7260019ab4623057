// What the calls of registered models and of model versions share. Private to these two.
#pragma once

#include <string>

#include "api/json_writer.h"
#include "api/params.h"
#include "api/replies.h"
#include "tracking/registry.h"

namespace tidemill::api {

// The parameters of a search. most: more results than that cannot be asked for.
Result<tracking::SearchRegistry> registry_search(const Params& params, int64_t default_results, int64_t most);

template <class T>
std::string page_reply(std::string_view list, const tracking::Page<T>& page) {
  JsonWriter json;
  json.begin_object();
  if (!page.items.empty()) {
    json.key(list).begin_array();
    for (const T& item : page.items) write(json, item);
    json.end_array();
  }
  if (!page.next_page_token.empty()) json.field("next_page_token", page.next_page_token);
  json.end_object();
  return json.take();
}

}  // namespace tidemill::api
