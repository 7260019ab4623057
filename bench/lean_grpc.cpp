#include "lean_grpc.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <nghttp2/nghttp2.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <vector>

#include <arpa/inet.h>

#include "base/files.h"

namespace tidemill::bench {
namespace {

constexpr size_t kPrefix = 5;  // compressed or not, and the length, before each message
constexpr int32_t kWindow = 64 << 20;

nghttp2_nv header(std::string_view name, std::string_view value) {
  auto bytes = [](std::string_view text) {
    return reinterpret_cast<uint8_t*>(const_cast<char*>(text.data()));  // nghttp2 only reads
  };
  return {bytes(name), bytes(value), name.size(), value.size(), NGHTTP2_NV_FLAG_NONE};
}

Error broken(std::string_view what) { return {Code::kUnavailable, fmt::format("HTTP/2: {}", what)}; }

}  // namespace

struct LeanGrpcClient::State {
  Fd socket;
  nghttp2_session* session = nullptr;
  std::string request, answer, grpc_status;
  size_t sent = 0;
  bool closed = true;

  ~State() { nghttp2_session_del(session); }

  static int on_data(nghttp2_session*, uint8_t, int32_t, const uint8_t* bytes, size_t size, void* self) {
    static_cast<State*>(self)->answer.append(reinterpret_cast<const char*>(bytes), size);
    return 0;
  }
  static int on_header(nghttp2_session*, const nghttp2_frame*, const uint8_t* name, size_t name_size,
                       const uint8_t* value, size_t size, uint8_t, void* self) {
    if (std::string_view(reinterpret_cast<const char*>(name), name_size) == "grpc-status")
      static_cast<State*>(self)->grpc_status.assign(reinterpret_cast<const char*>(value), size);
    return 0;
  }
  static int on_close(nghttp2_session*, int32_t, uint32_t, void* self) {
    static_cast<State*>(self)->closed = true;
    return 0;
  }
  static ssize_t read_request(nghttp2_session*, int32_t, uint8_t* to, size_t room, uint32_t* flags,
                              nghttp2_data_source* source, void*) {
    auto* self = static_cast<State*>(source->ptr);
    const size_t size = std::min(room, self->request.size() - self->sent);
    std::memcpy(to, self->request.data() + self->sent, size);
    self->sent += size;
    if (self->sent == self->request.size()) *flags |= NGHTTP2_DATA_FLAG_EOF;
    return static_cast<ssize_t>(size);
  }

  Result<> open() {
    nghttp2_session_callbacks* callbacks = nullptr;
    nghttp2_session_callbacks_new(&callbacks);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_close);
    nghttp2_session_client_new(&session, callbacks, this);
    nghttp2_session_callbacks_del(callbacks);
    const nghttp2_settings_entry window{NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, kWindow};
    nghttp2_submit_settings(session, NGHTTP2_FLAG_NONE, &window, 1);
    nghttp2_session_set_local_window_size(session, NGHTTP2_FLAG_NONE, 0, kWindow);
    return write_all();
  }

  // In one piece: a frame's header in a packet of its own would cost the server another wake-up.
  Result<> write_all() {
    std::string pending;
    const uint8_t* bytes = nullptr;
    for (;;) {
      const ssize_t size = nghttp2_session_mem_send(session, &bytes);
      if (size < 0) return tl::unexpected(broken(nghttp2_strerror(static_cast<int>(size))));
      if (size == 0) break;
      pending.append(reinterpret_cast<const char*>(bytes), static_cast<size_t>(size));
    }
    for (size_t done = 0; done < pending.size();) {
      const ssize_t size = ::send(socket.get(), pending.data() + done, pending.size() - done, MSG_NOSIGNAL);
      if (size < 0) return tl::unexpected(errno_error("send", errno));
      done += static_cast<size_t>(size);
    }
    return {};
  }

  Result<> read_some() {
    std::array<uint8_t, 64 << 10> buffer;
    const ssize_t size = ::recv(socket.get(), buffer.data(), buffer.size(), 0);
    if (size < 0) return tl::unexpected(errno_error("receive", errno));
    if (size == 0) return tl::unexpected(broken("the server closed the connection"));
    const ssize_t used = nghttp2_session_mem_recv(session, buffer.data(), static_cast<size_t>(size));
    if (used < 0) return tl::unexpected(broken(nghttp2_strerror(static_cast<int>(used))));
    return {};
  }

  void submit(std::string_view method, std::string_view message) {
    request.assign(kPrefix, '\0');
    const uint32_t length = htonl(static_cast<uint32_t>(message.size()));
    std::memcpy(request.data() + 1, &length, sizeof length);
    request += message;
    sent = 0, answer.clear(), grpc_status.clear(), closed = false;
    const std::array headers = {header(":method", "POST"), header(":scheme", "http"),
                                header(":path", method),   header(":authority", "127.0.0.1"),
                                header("te", "trailers"),  header("content-type", "application/grpc")};
    nghttp2_data_provider body{{.ptr = this}, read_request};
    nghttp2_submit_request(session, nullptr, headers.data(), headers.size(), &body, nullptr);
  }
};

LeanGrpcClient::LeanGrpcClient(std::unique_ptr<State> state) : state_(std::move(state)) {}
LeanGrpcClient::~LeanGrpcClient() = default;

Result<std::unique_ptr<LeanGrpcClient>> LeanGrpcClient::connect(int port) {
  auto state = std::make_unique<State>();
  state->socket = Fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const int on = 1;
  setsockopt(state->socket.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  sockaddr_in to{};
  to.sin_family = AF_INET, to.sin_port = htons(static_cast<uint16_t>(port));
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (::connect(state->socket.get(), reinterpret_cast<const sockaddr*>(&to), sizeof to) != 0)
    return tl::unexpected(errno_error(fmt::format("connect to port {}", port), errno));
  TRY(state->open());
  return std::unique_ptr<LeanGrpcClient>(new LeanGrpcClient(std::move(state)));
}

Result<std::string> LeanGrpcClient::call(std::string_view method, std::string_view message) {
  state_->submit(method, message);
  for (;;) {
    TRY(state_->write_all());
    if (state_->closed) break;
    TRY(state_->read_some());
  }
  if (state_->grpc_status != "0" || state_->answer.size() < kPrefix)
    return tl::unexpected(broken(fmt::format("gRPC status '{}'", state_->grpc_status)));
  return state_->answer.substr(kPrefix);
}

}  // namespace tidemill::bench
