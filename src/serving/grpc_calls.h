// gRPC's asynchronous calls. One thread takes what the network brings, begins to answer it, and watches the
// network for a moment longer before it sleeps: to be woken costs more than a short answer does.
#pragma once

#include <grpcpp/grpcpp.h>

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <thread>

namespace tidemill::serving {

// Something gRPC was asked for, which has now happened, or (ok false) cannot happen any more.
class GrpcEvent {
 public:
  virtual void happened(bool ok) = 0;

 protected:
  ~GrpcEvent() = default;
};

// An event that calls a member of its owner.
template <class Owner>
class MemberEvent final : public GrpcEvent {
 public:
  using Member = void (Owner::*)(bool ok);
  MemberEvent(Owner& owner, Member member) : owner_(owner), member_(member) {}
  void happened(bool ok) override { (owner_.*member_)(ok); }

 private:
  Owner& owner_;
  Member member_;
};

// The events of all calls, and the thread that answers to them.
class GrpcQueue {
 public:
  // `queue` is the server's only one. After an event the thread polls for `busy_poll` as long as `is_idle`
  // says that the cores have nothing better to do, provided that the last pause was that short: a client
  // that calls seldom costs no polling.
  GrpcQueue(std::unique_ptr<grpc::ServerCompletionQueue> queue, std::chrono::microseconds busy_poll,
            std::function<bool()> is_idle);
  // Returns when the last call has ended. A server that was started has been shut down before.
  ~GrpcQueue();

  grpc::ServerCompletionQueue* get() { return queue_.get(); }
  void start();
  // For the calls, on the queue's thread. Open calls are counted, because gRPC allows nothing to be asked of
  // a queue that is shut down.
  bool is_open() const { return !closing_; }
  void call_began() { ++calls_; }
  void call_ended();

 private:
  enum class Next { kEvent, kNothing, kEnd };
  struct Happened {
    void* event = nullptr;
    bool ok = false;
  };
  void run();
  Next poll(Happened& happened);
  Next wait(Happened& happened);
  void close(bool);

  const std::unique_ptr<grpc::ServerCompletionQueue> queue_;
  const std::chrono::microseconds busy_poll_;
  const std::function<bool()> is_idle_;
  bool polls_ = true;  // the last pause was short; this and what follows is the thread's own
  bool closing_ = false;
  size_t calls_ = 0;
  MemberEvent<GrpcQueue> close_{*this, &GrpcQueue::close};
  std::thread thread_;
};

// One call with one request and one response, from awaiting it to the end of its answer. It keeps itself
// alive for so long; whoever answers later than in the handler holds a pointer of his own.
template <class Request, class Response>
class UnaryCall final : public std::enable_shared_from_this<UnaryCall<Request, Response>> {
 public:
  using Writer = grpc::ServerAsyncResponseWriter<Response>;
  struct Method {
    GrpcQueue& queue;
    std::function<void(grpc::ServerContext*, Request*, Writer*, void* accepted)> request;
    std::function<void(UnaryCall&)> handle;  // on the queue's thread; leads to finish() sooner or later
  };

  static void await(std::shared_ptr<const Method> method) {
    auto call = std::make_shared<UnaryCall>(std::move(method));
    call->self_ = call;
    call->context_.AsyncNotifyWhenDone(&call->done_);
    call->method_->request(&call->context_, &call->request_, &call->writer_, &call->accepted_);
  }
  explicit UnaryCall(std::shared_ptr<const Method> method) : method_(std::move(method)) {}

  grpc::ServerContext& context() { return context_; }
  const Request& request() const { return request_; }
  Response& response() { return response_; }
  bool is_cancelled() const { return cancelled_; }
  // Exactly once, from any thread.
  void finish(const grpc::Status& status = grpc::Status::OK) {
    writer_.Finish(response_, status, &finished_);
  }

 private:
  using Event = MemberEvent<UnaryCall>;
  void accepted(bool ok) {
    if (!ok) return self_.reset();
    method_->queue.call_began();
    const auto keep = self_;
    method_->handle(*this);
    if (method_->queue.is_open()) await(method_);
  }
  void done(bool) {
    if (context_.IsCancelled()) cancelled_ = true;
    release();
  }
  void finished(bool) { release(); }
  void release() {
    if (--to_come_ > 0) return;
    method_->queue.call_ended();
    self_.reset();
  }

  const std::shared_ptr<const Method> method_;
  Event accepted_{*this, &UnaryCall::accepted}, done_{*this, &UnaryCall::done},
      finished_{*this, &UnaryCall::finished};
  grpc::ServerContext context_;
  Request request_;
  Response response_;
  Writer writer_{&context_};
  std::atomic<bool> cancelled_ = false;
  int to_come_ = 2;  // done and finished
  std::shared_ptr<UnaryCall> self_;
};

// Answers one method of a service: `handle` gets each call. So many calls are awaited in advance, whose
// answers need not wait until the next is.
template <class Service, class Base, class Request, class Response, class Handle>
void serve_unary(GrpcQueue& queue, Service& service,
                 void (Base::*request)(grpc::ServerContext*, Request*,
                                       grpc::ServerAsyncResponseWriter<Response>*, grpc::CompletionQueue*,
                                       grpc::ServerCompletionQueue*, void*),
                 Handle handle, int awaited = 1) {
  using Call = UnaryCall<Request, Response>;
  auto method = std::make_shared<const typename Call::Method>(typename Call::Method{
      queue,
      [&queue, &service, request](grpc::ServerContext* context, Request* message, auto* writer, void* tag) {
        (service.*request)(context, message, writer, queue.get(), queue.get(), tag);
      },
      std::move(handle)});
  for (int i = 0; i < awaited; ++i) Call::await(method);
}

}  // namespace tidemill::serving
