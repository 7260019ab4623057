#include "train/training.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cstdlib>

#include "base/json.h"
#include "base/log.h"
#include "base/text.h"
#include "base/time.h"
#include "common/dataset.h"
#include "nn/export_onnx.h"
#include "nn/pth.h"
#include "nn/safetensors.h"
#include "nn/tensorboard.h"
#include "sys/signals.h"
#include "sys/terminal.h"
#include "train/checkpoints.h"

namespace tidemill::cifar10 {
namespace {

// Turns an interrupt into the flag that the training loop looks at.
class InterruptFlag {
 public:
  InterruptFlag() : end_(eventfd(0, EFD_CLOEXEC)), thread_([this] { watch(); }) {}
  ~InterruptFlag() {
    const uint64_t one = 1;
    (void)!write(end_.get(), &one, sizeof one);
  }
  const std::atomic<bool>* flag() const { return &flag_; }

 private:
  void watch() {
    pollfd fds[] = {{interrupt_fd(), POLLIN, 0}, {end_.get(), POLLIN, 0}};
    while (poll(fds, 2, -1) < 0) {
    }
    if (fds[0].revents) flag_ = true;
  }

  std::atomic<bool> flag_ = false;
  Fd end_;
  std::jthread thread_;
};

nn::Dataset view_of(const DataSplit& split) { return {split.pixels, split.labels}; }

Result<DataSplit> read_images(const fs::path& folder, std::string_view part) {
  DataSplit split = TRY(read_split(folder, part));
  if (split.width != nn::NetSpec::kImageSize || split.height != nn::NetSpec::kImageSize)
    return fail(Code::kInvalid, "{}: images of {} x {} pixels; this net takes {} x {}", folder.string(),
                split.width, split.height, nn::NetSpec::kImageSize, nn::NetSpec::kImageSize);
  return split;
}

class Training {
 public:
  Training(const Settings& settings, Recorder& recorder) : settings_(settings), recorder_(recorder) {}

  Result<> run() {
    TRY(prepare());
    record_params();
    TRY(resume());
    const nn::FitResult result = TRY(fit());
    recorder_.metrics({{"accuracy", result.test.accuracy}, {"training_seconds", result.seconds}},
                      static_cast<int64_t>(trainer_->step()));
    return write_results(result);
  }

 private:
  Result<> prepare() {
    TRY(make_dirs(settings_.output));
    data_ = TRY(resolve_data_folder(settings_.data));
    classes_ = TRY(read_classes(data_));
    train_ = TRY(read_images(data_, "train"));
    test_ = TRY(read_images(data_, "test"));
    net_ = TRY(nn::make_net(settings_.model_type, static_cast<int>(classes_.size())));
    trainer_ = TRY(nn::Trainer::create(trainer_config(settings_, net_)));
    checkpoints_.emplace(settings_.output / "checkpoints", fixed_settings());
    // A pipeline keeps this folder from one attempt of the step to the next.
    if (const char* folder = std::getenv("TIDEMILL_CHECKPOINT_DIR"); folder != nullptr && *folder != '\0')
      attempt_checkpoints_.emplace(folder, fixed_settings());
    events_.emplace(TRY(nn::EventWriter::create(settings_.output / "tensorboard")));
    return {};
  }

  ResultSettings fixed_settings() const {
    return result_settings(settings_, trainer_->precision(), train_.count(), net_.classes);
  }

  void record_params() {
    for (const auto& [name, value] : fixed_settings()) recorder_.param(name, value);
    recorder_.param("num_workers", std::to_string(settings_.num_workers));
    recorder_.param("threads", std::to_string(trainer_->threads()));
    recorder_.param("device", "cpu");
    recorder_.param("experiment", settings_.experiment);
    recorder_.param("data", data_.string());
    recorder_.param("preprocess",
                    fmt::format("normalise mean ({}) std ({}), augment {}", fmt::join(nn::kMean, ", "),
                                fmt::join(nn::kStd, ", "), to_string(settings_.augment)));
  }

  Result<> resume() {
    if (TRY(resume_attempt())) return {};
    if (settings_.resume == "none") return {};
    std::optional<fs::path> file = settings_.resume;
    if (settings_.resume == "auto") file = checkpoints_->latest();
    if (!file) {
      log_info("no checkpoint in {}: starting at the beginning", settings_.output.string());
      return {};
    }
    return go_on_from(TRY(checkpoints_->load(*file)), *file);
  }

  // What an earlier attempt has left, unless it was another training.
  Result<bool> resume_attempt() {
    auto file = attempt_checkpoints_ ? attempt_checkpoints_->latest() : std::nullopt;
    if (!file) return false;
    auto state = attempt_checkpoints_->load(*file);
    if (!state) {
      log_warning("what an earlier attempt left is of no use: {}", state.error().message);
      return false;
    }
    TRY(go_on_from(std::move(*state), *file));
    return true;
  }

  Result<> go_on_from(nn::TrainerState state, const fs::path& file) {
    TRY(trainer_->set_state(std::move(state)));
    log_info("going on from step {} ({})", trainer_->step(), file.string());
    recorder_.tag("resumed_from_step", std::to_string(trainer_->step()));
    return {};
  }

  Result<nn::FitResult> fit() {
    InterruptFlag interrupt;
    const auto batch = static_cast<uint64_t>(settings_.batch_size);
    const uint64_t steps = train_.count() / batch * static_cast<uint64_t>(settings_.epochs);
    Progress progress(fmt::format("train {}", to_string(settings_.model_type)), steps * batch, "images");
    progress.set(trainer_->step() * batch);
    nn::FitCallbacks callbacks;
    callbacks.cancelled = interrupt.flag();
    callbacks.on_interval = [&](const nn::IntervalReport& report) {
      progress.set(report.step * batch);
      progress.note(fmt::format("loss {:.3f}", report.loss));
      on_interval(report);
    };
    callbacks.on_epoch = [&](const nn::EpochReport& report) { return on_epoch(report); };
    auto result = nn::fit(*trainer_, view_of(train_), view_of(test_), fit_config(settings_), callbacks);
    progress.finish();
    if (!result && result.error().code == Code::kCancelled) TRY(keep_interrupted());
    return result;
  }

  Result<> keep_interrupted() {
    if (trainer_->step() == 0) return {};
    const Checkpoints& kept = attempt_checkpoints_ ? *attempt_checkpoints_ : *checkpoints_;
    const fs::path file = TRY(kept.save(trainer_->state()));
    log_info("interrupted; --resume goes on from {}", file.string());
    return {};
  }

  void on_interval(const nn::IntervalReport& report) {
    record({{"loss", report.loss},
            {"images_per_second", report.images_per_second},
            {"learning_rate", report.learning_rate},
            {"active_fraction", report.active_fraction}},
           report.step);
    keep_for_next_attempt();
  }

  void keep_for_next_attempt() {
    if (!attempt_checkpoints_ || since_checkpoint_.seconds() < settings_.checkpoint_seconds) return;
    if (auto saved = attempt_checkpoints_->save(trainer_->state()); !saved)
      log_warning("no checkpoint could be kept for a further attempt: {}", saved.error().message);
    since_checkpoint_.restart();
  }

  Result<> on_epoch(const nn::EpochReport& report) {
    record({{"train_loss", report.loss},
            {"train_accuracy", report.accuracy},
            {"test_loss", report.test.loss},
            {"test_accuracy", report.test.accuracy},
            {"epoch_seconds", report.seconds}},
           static_cast<uint64_t>(report.epoch) + 1);
    fmt::print(stderr,
               "epoch {:3}  loss {:.4f}  accuracy {:5.2f} %  test loss {:.4f}  test accuracy {:5.2f} %  {}\n",
               report.epoch + 1, report.loss, 100 * report.accuracy, report.test.loss,
               100 * report.test.accuracy, human_duration(report.seconds));
    TRY(checkpoints_->save(trainer_->state()));
    return std::move(event_error_);
  }

  void record(const std::vector<std::pair<std::string, double>>& metrics, uint64_t step) {
    const auto at = static_cast<int64_t>(step);
    recorder_.metrics(metrics, at);
    for (const auto& [name, value] : metrics) {
      auto written = events_->add_scalar(name, static_cast<float>(value), at, now_ms());
      if (!written && event_error_) event_error_ = std::move(written);
    }
  }

  nn::OnnxWeights onnx_weights() const {
    const bool bf16 =
        settings_.onnx_weights == OnnxChoice::kBf16 ||
        (settings_.onnx_weights == OnnxChoice::kAuto && trainer_->precision() == nn::Precision::kBf16);
    return bf16 ? nn::OnnxWeights::kBf16 : nn::OnnxWeights::kF32;
  }

  Result<> write_results(const nn::FitResult& result) {
    const std::vector<nn::NamedTensor> tensors = trainer_->state_dict();
    auto file = [&](std::string_view extension) {
      return settings_.output / fmt::format("cifar10_{}.{}", settings_.experiment, extension);
    };
    nn::OnnxOptions options;
    options.graph_name = fmt::format("cifar10_{}", to_string(settings_.model_type));
    options.weights = onnx_weights();
    options.metadata = {{"classes", join(classes_, ",")},
                        {"mean", fmt::format("{}", fmt::join(nn::kMean, ","))},
                        {"std", fmt::format("{}", fmt::join(nn::kStd, ","))}};
    TRY(nn::write_safetensors(tensors, file("safetensors")));
    TRY(nn::write_pth(tensors, file("pth")));
    TRY(nn::write_onnx(net_, tensors, options, file("onnx")));
    TRY(write_predictions(result));
    for (std::string_view extension : {"safetensors", "pth", "onnx"})
      TRY(recorder_.artifact(file(extension)));
    return recorder_.artifact(settings_.output / "test_predictions.json");
  }

  Result<> write_predictions(const nn::FitResult& result) {
    const Json json = {{"accuracy", result.test.accuracy}, {"predictions", result.test.predictions}};
    return write_file_atomic(settings_.output / "test_predictions.json", dump_json(json) + "\n");
  }

  const Settings& settings_;
  Recorder& recorder_;
  fs::path data_;
  std::vector<std::string> classes_;
  DataSplit train_, test_;
  nn::NetSpec net_;
  std::unique_ptr<nn::Trainer> trainer_;
  std::optional<Checkpoints> checkpoints_;
  std::optional<Checkpoints> attempt_checkpoints_;
  Stopwatch since_checkpoint_;
  std::optional<nn::EventWriter> events_;
  Result<> event_error_;  // the first one, told at the end of the epoch
};

}  // namespace

Result<> train(const Settings& settings, Recorder& recorder) { return Training(settings, recorder).run(); }

}  // namespace tidemill::cifar10
