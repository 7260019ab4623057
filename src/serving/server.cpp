#include "serving/server.h"

#include <future>
#include <optional>

#include "base/log.h"
#include "net/http_server.h"
#include "serving/grpc_server.h"
#include "serving/model.h"
#include "serving/predict_http.h"
#include "serving/v2_http.h"

namespace tidemill::serving {

struct Server::State {
  std::unique_ptr<Model> model;
  std::atomic<bool> ready = true;
  std::unique_ptr<GrpcServer> grpc;
  std::optional<HttpServer> http;

  void answer(HttpRequest request, Respond respond);
};

void Server::State::answer(HttpRequest request, Respond respond) {
  if (request.path.starts_with("/v2/") || request.path == "/v2")
    return handle_v2(*model, ready, std::move(request), std::move(respond));
  if (request.method == "GET" && request.path == "/") {
    HttpResponse healthy;
    healthy.body = std::string("Healthy");
    return respond(std::move(healthy));
  }
  if (request.method == "GET" && request.path == "/metrics")
    return respond(HttpResponse::text(
        200, model->metrics().print({model->name(), model->version(), model->queued(), ready}),
        "text/plain; version=0.0.4; charset=utf-8"));
  std::optional<PredictRoute> route;
  if (request.method == "POST") route = parse_predict_route(request.path);
  if (route) return handle_predict(*model, *route, std::move(request), std::move(respond));
  const int status = request.method == "POST" ? 404 : 405;
  respond(predict_error(status,
                        fmt::format("{}. For HTTP method: {} and request path: {}", reason_phrase(status),
                                    request.method, request.target),
                        request));
}

Server::Server(std::unique_ptr<State> state) : state_(std::move(state)) {}

Server::~Server() {
  if (state_->http) drain(std::chrono::milliseconds(0));
}

uint16_t Server::http_port() const { return state_->http->port(); }
uint16_t Server::grpc_port() const { return state_->grpc->port(); }

Result<std::unique_ptr<Server>> Server::start(const Options& options) {
  auto state = std::make_unique<State>();
  ModelOptions model;
  model.name = options.model_name;
  model.version = options.model_version;
  model.workers = options.num_workers;
  model.max_queue_size = options.max_queue_size;
  model.max_batch_size = options.max_batch_size;
  model.session.library = options.ort_library;
  state->model = TRY(Model::load(options.model_path, model));
  state->grpc = TRY(GrpcServer::start(
      {options.address, options.grpc_port, options.max_request_bytes, options.busy_poll}, *state->model));
  HttpServerOptions http;
  http.host = options.address;
  http.port = options.http_port;
  http.threads = options.num_http_threads;
  http.max_body_bytes = options.max_request_bytes;
  state->http.emplace(
      TRY(HttpServer::start(std::move(http), [s = state.get()](HttpRequest request, Respond respond) {
        s->answer(std::move(request), std::move(respond));
      })));
  return std::unique_ptr<Server>(new Server(std::move(state)));
}

void Server::set_not_ready() {
  state_->ready = false;
  state_->grpc->set_ready(false);
}

bool Server::drain(std::chrono::milliseconds timeout) {
  const Clock::time_point deadline = Clock::now() + timeout;
  set_not_ready();
  // Both fronts stop accepting at once and end when their requests are answered. When the time is up the
  // model gives up its work, which answers what is left.
  auto grpc = std::async(std::launch::async, [&] { state_->grpc->stop(deadline); });
  auto http = std::async(std::launch::async, [&] { state_->http->stop(timeout); });
  grpc.wait_until(deadline);
  http.wait_until(deadline);
  const bool clean = state_->model->drain(deadline);
  grpc.get();
  http.get();
  return clean;
}

}  // namespace tidemill::serving
