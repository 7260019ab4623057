// What the calls of Client share.
#pragma once

#include "log_batch.h"
#include "public_result.h"
#include "replies.h"
#include "run_files.h"
#include "server.h"
#include "tidemill/client.h"

namespace tidemill::sdk {

struct Client::State {
  Server server;

  tidemill::Result<Json> get(std::string_view call, const Query& query) { return server.get(call, query); }
  // For calls that answer nothing.
  Result<> post(std::string_view call, const Json& body) { return change("POST", call, body); }
  Result<> change(const char* method, std::string_view call, const Json& body) {
    auto reply = server.send_json(method, call, body);
    if (!reply) return to_public(std::move(reply).error());
    return {};
  }

  // The thing that stands in a reply under this name.
  template <class Thing>
  Result<Thing> read(tidemill::Result<Json> reply, std::string_view name,
                     tidemill::Result<Thing> (*convert)(const Json&)) {
    if (!reply) return to_public(std::move(reply).error());
    return to_public(convert(member(*reply, name)));
  }

  template <class Thing>
  Result<Page<Thing>> page(tidemill::Result<Json> reply, std::string_view items,
                           tidemill::Result<Thing> (*convert)(const Json&)) {
    if (!reply) return to_public(std::move(reply).error());
    Page<Thing> page;
    for (const Json& item : member(*reply, items)) {
      auto thing = convert(item);
      if (!thing) return to_public(std::move(thing).error());
      page.items.push_back(std::move(*thing));
    }
    page.next_page_token = json_string(*reply, "next_page_token");
    return page;
  }
};

}  // namespace tidemill::sdk
