#include "serving/v2_http.h"

#include <charconv>

#include "base/json.h"
#include "base/text.h"
#include "serving/status.h"
#include "serving/v2_codec.h"

namespace tidemill::serving {

namespace {

constexpr std::string_view kJson = "application/json";
constexpr std::string_view kHeaderLength = "Inference-Header-Content-Length";

HttpResponse json_response(int status, const Json& value) {
  return HttpResponse::text(status, dump_json(value), kJson);
}

HttpResponse error_response(const Error& error) {
  HttpResponse response = json_response(v2_http_status(error), Json{{"error", error.message}});
  if (response.status == 503) response.headers.set("Retry-After", "1");
  return response;
}

struct Exchange {
  HttpRequest http;
  Respond respond;
  std::unique_ptr<V2Request> request;
  Clock::time_point start = Clock::now();
};

void finish(Model& model, Exchange& exchange, Result<HttpResponse> outcome) {
  model.metrics().answered(Door::kV2Http, outcome ? nullptr : &outcome.error(),
                           Clock::now() - exchange.start);
  exchange.respond(outcome ? std::move(*outcome) : error_response(outcome.error()));
}

Result<std::optional<uint64_t>> header_length(const HttpRequest& request) {
  if (!request.headers.has(kHeaderLength)) return std::nullopt;
  std::string_view text = trim(request.headers.get(kHeaderLength));
  uint64_t length = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), length);
  if (error != std::errc() || end != text.data() + text.size())
    return fail(Code::kInvalid, "{} is not a number: '{}'", kHeaderLength, text);
  return length;
}

Result<HttpResponse> encode(const Model& model, const V2Request& request,
                            std::span<const OutputTensor> outputs) {
  V2Response encoded = TRY(print_v2(model.name(), model.version(), request, outputs));
  if (!encoded.header_length) return HttpResponse::text(200, std::move(encoded.body), kJson);
  HttpResponse response = HttpResponse::text(200, std::move(encoded.body), "application/octet-stream");
  response.headers.set(kHeaderLength, std::to_string(*encoded.header_length));
  return response;
}

Result<std::unique_ptr<InferenceCall>> make_call(const Model& model, Exchange& exchange) {
  const auto length = TRY(header_length(exchange.http));
  exchange.request = TRY(parse_v2(exchange.http.body, length, model.inputs(), model.outputs()));
  auto call = std::make_unique<InferenceCall>();
  call->inputs = exchange.request->inputs;
  for (const V2Output& output : exchange.request->outputs) call->outputs.push_back(output.name);
  if (auto timeout = exchange.request->timeout_us; timeout && *timeout > 0 && *timeout < int64_t{1} << 40)
    call->deadline = exchange.start + std::chrono::microseconds(*timeout);
  return call;
}

void infer(Model& model, HttpRequest http, Respond respond) {
  auto exchange = std::make_shared<Exchange>();
  exchange->http = std::move(http);
  exchange->respond = std::move(respond);
  auto call = make_call(model, *exchange);
  if (!call) return finish(model, *exchange, tl::unexpected(std::move(call).error()));
  (*call)->done = [&model, exchange](Result<std::vector<OutputTensor>> outputs) {
    if (!outputs) return finish(model, *exchange, tl::unexpected(std::move(outputs).error()));
    finish(model, *exchange, encode(model, *exchange->request, *outputs));
  };
  model.submit(std::move(*call));
}

HttpResponse model_metadata(const Model& model) {
  return json_response(200, Json{{"name", model.name()},
                                 {"versions", Json::array({model.version()})},
                                 {"platform", kV2Platform},
                                 {"inputs", v2_tensor_metadata(model.inputs())},
                                 {"outputs", v2_tensor_metadata(model.outputs())}});
}

HttpResponse not_found(const HttpRequest& request) {
  return json_response(404,
                       Json{{"error", fmt::format("no such path: {} {}", request.method, request.path)}});
}

// "/v2/models/{m}[/versions/{v}][/{action}]".
struct ModelPath {
  std::string model, version, action;
};
std::optional<ModelPath> parse_model_path(std::string_view path) {
  constexpr std::string_view kModels = "/v2/models/";
  if (!path.starts_with(kModels)) return std::nullopt;
  std::vector<std::string> parts = split(path.substr(kModels.size()), '/');
  ModelPath out{url_decode(parts[0]), "", ""};
  size_t next = 1;
  if (parts.size() >= 3 && parts[1] == "versions") {
    out.version = url_decode(parts[2]);
    next = 3;
  }
  if (next < parts.size()) out.action = parts[next++];
  if (next != parts.size()) return std::nullopt;
  return out;
}

void handle_model(Model& model, bool ready, const ModelPath& path, HttpRequest request, Respond respond) {
  const bool get = request.method == "GET", post = request.method == "POST";
  const bool known =
      (get && (path.action.empty() || path.action == "ready")) || (post && path.action == "infer");
  if (!known) return respond(not_found(request));
  if (auto ok = model.check_name(path.model, path.version); !ok)
    return respond(json_response(
        404, Json{{"error", fmt::format("this server has model '{}' version '{}', not '{}' version '{}'",
                                        model.name(), model.version(), path.model, path.version)}}));
  if (post) return infer(model, std::move(request), std::move(respond));
  if (path.action == "ready")
    return respond(json_response(ready ? 200 : 503, Json{{"name", model.name()}, {"ready", ready}}));
  respond(model_metadata(model));
}

}  // namespace

void handle_v2(Model& model, bool ready, HttpRequest request, Respond respond) {
  if (auto path = parse_model_path(request.path))
    return handle_model(model, ready, *path, std::move(request), std::move(respond));
  if (request.method == "GET") {
    if (request.path == "/v2" || request.path == "/v2/")
      return respond(json_response(200, Json{{"name", kV2ServerName},
                                             {"version", TIDEMILL_VERSION},
                                             {"extensions", Json::array({kV2Extension})}}));
    if (request.path == "/v2/health/live") return respond(json_response(200, Json{{"live", true}}));
    if (request.path == "/v2/health/ready")
      return respond(json_response(ready ? 200 : 503, Json{{"ready", ready}}));
  }
  respond(not_found(request));
}

}  // namespace tidemill::serving
