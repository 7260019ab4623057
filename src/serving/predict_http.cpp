#include "serving/predict_http.h"

#include "base/id.h"
#include "base/log.h"
#include "base/text.h"
#include "serving/predict_codec.h"
#include "serving/status.h"

namespace tidemill::serving {

namespace {

using ::onnxruntime::server::PredictRequest;
using ::onnxruntime::server::PredictResponse;

enum class Codec { kJson, kProtobuf };

constexpr std::string_view kJson = "application/json";
constexpr std::string_view kProtobufTypes[] = {"application/octet-stream", "application/x-protobuf",
                                               "application/vnd.google.protobuf"};

std::optional<Codec> codec_of(std::string_view media_type) {
  if (media_type == kJson) return Codec::kJson;
  for (std::string_view type : kProtobufTypes)
    if (media_type == type) return Codec::kProtobuf;
  return std::nullopt;
}

// "Application/JSON; charset=utf-8" -> "application/json".
std::string media_type(std::string_view field) { return to_lower(trim(field.substr(0, field.find(';')))); }

struct Accepted {
  Codec codec;
  std::string content_type;
};

// The first type of the list that the server speaks. No Accept header, or a wildcard, is protobuf.
std::optional<Accepted> negotiate(std::string_view accept) {
  if (trim(accept).empty()) return Accepted{Codec::kProtobuf, std::string(kProtobufTypes[0])};
  for (const std::string& item : split(accept, ',')) {
    const std::string type = media_type(item);
    if (type == "*/*" || type == "application/*")
      return Accepted{Codec::kProtobuf, std::string(kProtobufTypes[0])};
    if (auto codec = codec_of(type)) return Accepted{*codec, type};
  }
  return std::nullopt;
}

// The contract's escapes; everything else goes out as it is.
std::string escape(std::string_view text) {
  std::string out;
  for (char c : text) {
    switch (c) {
      case '"':
        out += "\\\"";
        break;
      case '\\':
        out += "\\\\";
        break;
      case '\b':
        out += "\\b";
        break;
      case '\f':
        out += "\\f";
        break;
      case '\n':
        out += "\\n";
        break;
      case '\r':
        out += "\\r";
        break;
      case '\t':
        out += "\\t";
        break;
      default:
        if (static_cast<unsigned char>(c) < 0x20)
          out += fmt::format("\\u{:04x}", static_cast<int>(c));
        else
          out += c;
    }
  }
  return out;
}

void add_ids(HttpResponse& response, const HttpRequest& request) {
  response.headers.set("x-ms-request-id", new_uuid());
  if (std::string_view id = request.headers.get("x-ms-client-request-id"); !id.empty())
    response.headers.set("x-ms-client-request-id", std::string(id));
}

bool is_digits(std::string_view text) {
  return !text.empty() && text.find_first_not_of("0123456789") == std::string_view::npos;
}

// Everything a call needs until it is answered.
struct Exchange {
  HttpRequest http;
  Respond respond;
  PredictRequest request;
  TensorMemory memory;
  Accepted accepted;
  std::vector<std::string> outputs;
  Clock::time_point start = Clock::now();
};

void finish(Model& model, Exchange& exchange, Result<HttpResponse> outcome) {
  const Clock::duration duration = Clock::now() - exchange.start;
  model.metrics().answered(Door::kPredictHttp, outcome ? nullptr : &outcome.error(), duration);
  if (!outcome) {
    const int status = predict_http_status(outcome.error());
    HttpResponse response = predict_error(status, outcome.error().message, exchange.http);
    if (status == 503) response.headers.set("Retry-After", "1");
    return exchange.respond(std::move(response));
  }
  add_ids(*outcome, exchange.http);
  exchange.respond(std::move(*outcome));
}

Result<> decode(Exchange& exchange) {
  auto content = codec_of(media_type(exchange.http.headers.get("Content-Type")));
  if (!content) return fail(Code::kInvalid, "Missing or unknown 'Content-Type' header field in the request");
  auto accepted = negotiate(exchange.http.headers.get("Accept"));
  if (!accepted) return fail(Code::kInvalid, "Unknown 'Accept' header field in the request");
  exchange.accepted = *accepted;
  if (*content == Codec::kJson) return parse_predict_json(exchange.http.body, exchange.request);
  if (!exchange.request.ParseFromString(exchange.http.body)) return fail(Code::kInvalid, "Invalid payload.");
  return {};
}

Result<HttpResponse> encode(const Exchange& exchange, std::span<const OutputTensor> outputs) {
  PredictResponse response;
  fill_response(outputs, exchange.outputs, response_elements(exchange.request), response);
  if (exchange.accepted.codec == Codec::kJson)
    return HttpResponse::text(200, TRY(print_predict_json(response)), kJson);
  return HttpResponse::text(200, response.SerializeAsString(), exchange.accepted.content_type);
}

Result<std::unique_ptr<InferenceCall>> make_call(const Model& model, const PredictRoute& route,
                                                 Exchange& exchange) {
  TRY(decode(exchange));
  TRY(model.check_name(route.name.empty() ? model.name() : route.name, route.version));
  auto call = std::make_unique<InferenceCall>();
  call->inputs = TRY(tensors_of(exchange.request, exchange.memory));
  exchange.outputs = requested_outputs(exchange.request, model.outputs());
  call->outputs = exchange.outputs;
  return call;
}

}  // namespace

std::optional<PredictRoute> parse_predict_route(std::string_view path) {
  constexpr std::string_view kModels = "/v1/models/", kVersions = "/versions/";
  if (path == "/score") return PredictRoute{"", "", "predict"};
  if (!path.starts_with(kModels)) return std::nullopt;
  path.remove_prefix(kModels.size());
  const size_t colon = path.find(':');
  if (colon == std::string_view::npos) return std::nullopt;
  PredictRoute route;
  route.action = path.substr(colon + 1);
  if (route.action != "predict" && route.action != "classify" && route.action != "regress")
    return std::nullopt;
  path = path.substr(0, colon);
  if (size_t slash = path.find('/'); slash != std::string_view::npos) {
    std::string_view rest = path.substr(slash);
    if (!rest.starts_with(kVersions) || !is_digits(rest.substr(kVersions.size()))) return std::nullopt;
    route.version = rest.substr(kVersions.size());
    path = path.substr(0, slash);
  }
  if (path.empty()) return std::nullopt;
  route.name = path;
  return route;
}

void handle_predict(Model& model, const PredictRoute& route, HttpRequest request, Respond respond) {
  auto exchange = std::make_shared<Exchange>();
  exchange->http = std::move(request);
  exchange->respond = std::move(respond);
  log_debug("Model Name: {}, Version: {}, Action: {}", route.name, route.version, route.action);
  auto call = make_call(model, route, *exchange);
  if (!call) return finish(model, *exchange, tl::unexpected(std::move(call).error()));
  (*call)->done = [&model, exchange](Result<std::vector<OutputTensor>> outputs) {
    if (!outputs) return finish(model, *exchange, tl::unexpected(std::move(outputs).error()));
    finish(model, *exchange, encode(*exchange, *outputs));
  };
  model.submit(std::move(*call));
}

HttpResponse predict_error(int status, std::string_view message, const HttpRequest& request) {
  HttpResponse response = HttpResponse::text(
      status, fmt::format("{{\"error_code\": {}, \"error_message\": \"{}\"}}\n", status, escape(message)),
      kJson);
  add_ids(response, request);
  return response;
}

}  // namespace tidemill::serving
