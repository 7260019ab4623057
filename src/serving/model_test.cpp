#include "serving/model.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <future>

#include "serving/test_model.h"

namespace tidemill::serving {
namespace {

using testing::HasSubstr;
using Outputs = Result<std::vector<OutputTensor>>;

class ModelTest : public testing::Test {
 protected:
  void load(int workers, size_t max_queue_size) {
    ModelOptions options;
    options.workers = workers;
    options.max_queue_size = max_queue_size;
    model_ = Model::load(file_.path(), options).value();
  }
  std::unique_ptr<InferenceCall> call(std::promise<Outputs>& answer) {
    auto out = std::make_unique<InferenceCall>();
    out->inputs = {
        {"input", ElementType::kFloat, {1, 4}, {reinterpret_cast<const char*>(x_.data()), sizeof x_}, {}}};
    out->done = [&answer](Outputs outputs) { answer.set_value(std::move(outputs)); };
    return out;
  }
  // A call that keeps its worker until release_ is set, and tells when it has one.
  std::unique_ptr<InferenceCall> blocking_call(std::promise<Outputs>& answer, std::promise<void>& taken) {
    auto out = call(answer);
    out->cancelled = [this, &taken] {
      taken.set_value();
      release_.get_future().wait();
      return false;
    };
    return out;
  }

  // Brings a call and waits for its answer. Where it ran.
  std::thread::id bring_call() {
    std::promise<Outputs> answer;
    std::thread::id ran_on;
    auto brought = call(answer);
    brought->cancelled = [&] {
      ran_on = std::this_thread::get_id();
      return false;
    };
    model_->submit(std::move(brought), RunOn::kCaller);
    EXPECT_TRUE(answer.get_future().get());
    while (!model_->is_idle()) std::this_thread::yield();
    return ran_on;
  }

  ModelFile file_{gemm_model()};
  std::array<float, 4> x_{1, 2, 3, 4};
  std::promise<void> release_;
  std::unique_ptr<Model> model_;
};

TEST_F(ModelTest, a_call_gets_the_models_answer) {
  load(2, 8);
  std::promise<Outputs> answer;
  model_->submit(call(answer));
  Outputs outputs = answer.get_future().get();
  ASSERT_TRUE(outputs) << outputs.error().message;
  std::array<float, 3> y;
  std::memcpy(y.data(), (*outputs)[0].bytes().data(), sizeof y);
  EXPECT_EQ(y, gemm(x_));
}

TEST_F(ModelTest, a_full_queue_refuses_and_what_waits_is_still_answered) {
  load(1, 1);
  std::promise<Outputs> running, waiting, refused;
  std::promise<void> taken;
  model_->submit(blocking_call(running, taken));
  taken.get_future().wait();
  model_->submit(call(waiting));
  model_->submit(call(refused));
  EXPECT_EQ(refused.get_future().get().error().code, Code::kUnavailable);
  release_.set_value();
  EXPECT_TRUE(running.get_future().get());
  EXPECT_TRUE(waiting.get_future().get());
}

TEST_F(ModelTest, a_call_that_waited_past_its_deadline_or_whose_client_has_gone_does_not_run) {
  load(1, 8);
  std::promise<Outputs> running, late, gone;
  std::promise<void> taken;
  model_->submit(blocking_call(running, taken));
  taken.get_future().wait();
  auto late_call = call(late);
  late_call->deadline = Clock::now();
  auto gone_call = call(gone);
  gone_call->cancelled = [] { return true; };
  model_->submit(std::move(late_call));
  model_->submit(std::move(gone_call));
  release_.set_value();
  EXPECT_EQ(late.get_future().get().error().code, Code::kTimeout);
  EXPECT_EQ(gone.get_future().get().error().code, Code::kCancelled);
}

TEST_F(ModelTest, calls_that_wait_together_run_as_one_and_each_gets_its_own_answer) {
  load(1, 16);
  std::promise<Outputs> running;
  std::promise<void> taken;
  model_->submit(blocking_call(running, taken));
  taken.get_future().wait();
  std::array<std::array<float, 4>, 6> x{};
  std::array<std::promise<Outputs>, 6> answers;
  for (size_t i = 0; i < x.size(); ++i) {
    x[i] = {static_cast<float>(i), 1, -static_cast<float>(i), 2};
    auto waiting = call(answers[i]);
    waiting->inputs[0].bytes = {reinterpret_cast<const char*>(x[i].data()), sizeof x[i]};
    model_->submit(std::move(waiting));
  }
  release_.set_value();
  for (size_t i = 0; i < x.size(); ++i) {
    Outputs outputs = answers[i].get_future().get();
    ASSERT_TRUE(outputs) << outputs.error().message;
    EXPECT_THAT((*outputs)[0].dims(), testing::ElementsAre(1, 3));
    std::array<float, 3> y{};
    ASSERT_EQ((*outputs)[0].bytes().size(), sizeof y);
    std::memcpy(y.data(), (*outputs)[0].bytes().data(), sizeof y);
    EXPECT_EQ(y, gemm(x[i])) << i;
  }
  EXPECT_EQ(model_->metrics().inferences, 2U);
}

TEST_F(ModelTest, a_wrong_call_does_not_spoil_those_that_wait_with_it) {
  load(1, 16);
  std::promise<Outputs> running, good, wrong_name, wrong_shape, long_batch;
  std::promise<void> taken;
  model_->submit(blocking_call(running, taken));
  taken.get_future().wait();
  auto misnamed = call(wrong_name);
  misnamed->inputs[0].name = "inptu";
  auto misshaped = call(wrong_shape);
  misshaped->inputs[0].dims = {2, 2};
  std::array<float, 80> many{};
  auto many_rows = call(long_batch);
  many_rows->inputs[0].dims = {20, 4};
  many_rows->inputs[0].bytes = {reinterpret_cast<const char*>(many.data()), sizeof many};
  for (auto* next : {&misnamed, &misshaped, &many_rows}) model_->submit(std::move(*next));
  model_->submit(call(good));
  release_.set_value();
  EXPECT_EQ(wrong_name.get_future().get().error().code, Code::kInvalid);
  EXPECT_FALSE(wrong_shape.get_future().get());
  EXPECT_TRUE(good.get_future().get());
  Outputs rows = long_batch.get_future().get();
  ASSERT_TRUE(rows);
  EXPECT_THAT((*rows)[0].dims(), testing::ElementsAre(20, 3));
}

TEST_F(ModelTest, draining_answers_what_runs_and_what_waits) {
  load(1, 8);
  std::promise<Outputs> running, waiting;
  std::promise<void> taken;
  model_->submit(blocking_call(running, taken));
  taken.get_future().wait();
  model_->submit(call(waiting));
  auto drained = std::async(std::launch::async, [&] { return model_->drain(Clock::time_point::max()); });
  release_.set_value();
  EXPECT_TRUE(drained.get());
  EXPECT_TRUE(running.get_future().get());
  EXPECT_TRUE(waiting.get_future().get());
}

TEST_F(ModelTest, when_the_time_to_drain_is_up_what_waits_is_refused) {
  load(1, 8);
  std::promise<Outputs> running, waiting, late;
  std::promise<void> taken;
  model_->submit(blocking_call(running, taken));
  taken.get_future().wait();
  model_->submit(call(waiting));
  auto drained = std::async(std::launch::async, [&] { return model_->drain(Clock::now()); });
  EXPECT_EQ(waiting.get_future().get().error().code, Code::kUnavailable);
  model_->submit(call(late));
  EXPECT_THAT(late.get_future().get().error().message, HasSubstr("shutting down"));
  release_.set_value();
  EXPECT_FALSE(drained.get());
  running.get_future().get();
}

TEST_F(ModelTest, a_quick_model_runs_a_lone_call_on_the_thread_that_brings_it) {
  load(2, 8);
  EXPECT_NE(bring_call(), std::this_thread::get_id()) << "nobody knows yet how long it takes";
  for (int i = 0; i < 16; ++i) bring_call();
  EXPECT_EQ(bring_call(), std::this_thread::get_id());
}

TEST_F(ModelTest, a_thread_that_brings_calls_is_free_now_and_then_to_see_others) {
  load(2, 8);
  for (int i = 0; i < 16; ++i) bring_call();
  int free = 0;
  for (int i = 0; i < 64; ++i) free += bring_call() != std::this_thread::get_id();
  EXPECT_GE(free, 2);
  EXPECT_LE(free, 8);
}

TEST_F(ModelTest, calls_that_overlapped_leave_the_threads_that_bring_them_free_for_a_while) {
  load(2, 8);
  for (int i = 0; i < 16; ++i) bring_call();
  std::promise<Outputs> running;
  std::promise<void> taken;
  model_->submit(blocking_call(running, taken));
  taken.get_future().wait();
  std::promise<Outputs> second;
  model_->submit(call(second), RunOn::kCaller);
  EXPECT_TRUE(second.get_future().get());
  release_.set_value();
  EXPECT_TRUE(running.get_future().get());
  while (!model_->is_idle()) std::this_thread::yield();
  EXPECT_NE(bring_call(), std::this_thread::get_id());
  for (int i = 0; i < 32; ++i) bring_call();
  EXPECT_EQ(bring_call(), std::this_thread::get_id());
}

TEST_F(ModelTest, a_caller_in_the_model_takes_a_workers_place_and_draining_waits_for_it) {
  load(1, 8);
  for (int i = 0; i < 16; ++i) bring_call();
  std::promise<Outputs> running, waiting;
  std::promise<void> taken;
  std::jthread caller([&] { model_->submit(blocking_call(running, taken), RunOn::kCaller); });
  taken.get_future().wait();
  bool ran_too_early = true;
  auto next = call(waiting);
  next->cancelled = [&] {
    ran_too_early = model_->metrics().inferences == 16;
    return false;
  };
  model_->submit(std::move(next), RunOn::kCaller);
  EXPECT_EQ(model_->queued(), 1u);
  auto drained = std::async(std::launch::async, [&] { return model_->drain(Clock::time_point::max()); });
  release_.set_value();
  EXPECT_TRUE(drained.get());
  EXPECT_TRUE(running.get_future().get());
  EXPECT_TRUE(waiting.get_future().get());
  EXPECT_FALSE(ran_too_early);
}

TEST_F(ModelTest, bad_model_files_are_named) {
  EXPECT_EQ(Model::load("/no/such.onnx", {}).error().code, Code::kNotFound);
  ModelFile damaged(gemm_model().substr(0, 60));
  auto error = Model::load(damaged.path(), {}).error();
  EXPECT_THAT(error.message, HasSubstr(damaged.path().string()));
  EXPECT_THAT(error.message, HasSubstr("ONNX Runtime Status Code: 7."));
  ModelFile empty("");
  EXPECT_FALSE(Model::load(empty.path(), {}));
}

}  // namespace
}  // namespace tidemill::serving
