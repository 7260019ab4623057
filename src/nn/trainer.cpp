#include "nn/trainer.h"

#include <algorithm>
#include <array>
#include <numeric>

#include <dnnl.hpp>

#include "nn/batch.h"
#include "nn/network.h"
#include "nn/threads.h"

namespace tidemill::nn {
namespace {

constexpr std::array<std::string_view, 3> kPrecisionNames = {"auto", "bf16", "f32"};
constexpr std::array<std::string_view, 3> kAugmentNames = {"none", "flip", "flip+shift"};

constexpr std::string_view kFirstMoment = "adam.m.", kSecondMoment = "adam.v.";

const NamedTensor* find(std::span<const NamedTensor> tensors, std::string_view name) {
  for (const NamedTensor& t : tensors)
    if (t.name == name) return &t;
  return nullptr;
}

// The tensor of this slot under this name, checked.
Result<const NamedTensor*> take(std::span<const NamedTensor> tensors, const std::string& name,
                                const Slot& slot) {
  const NamedTensor* tensor = find(tensors, name);
  if (!tensor) return fail(Code::kInvalid, "tensor '{}' is missing", name);
  if (tensor->shape != slot.shape || tensor->values.size() != slot.count())
    return fail(Code::kInvalid, "tensor '{}' has shape [{}], the net needs [{}]", name,
                fmt::join(tensor->shape, ", "), fmt::join(slot.shape, ", "));
  return tensor;
}

template <class T>
class TrainerOf final : public Trainer {
 public:
  TrainerOf(const TrainerConfig& config, Precision precision, int threads, Isa isa)
      : config_(config),
        precision_(precision),
        threads_(threads),
        isa_(isa),
        seed_(config.seed),
        net_(make_plan(config.net),
             {config.batch_size, config.dropout, config.label_smoothing, config.seed, isa}) {
    net_.initialise(config.init);
  }

  StepResult train_step(const Dataset& data, std::span<const uint32_t> indices,
                        float learning_rate) override {
    net_.clear_times();
    fill(data, indices, config_.augment);
    net_.forward(Mode::kTraining, step_);
    const LossResult loss = net_.head().loss(labels_, config_.batch_size);
    net_.backward(learning_rate, ++step_);
    return {loss.loss / config_.batch_size, loss.correct};
  }

  Evaluation evaluate(const Dataset& data) override {
    Evaluation result;
    result.predictions.reserve(data.size());
    each_batch(data, [&](std::span<const uint32_t> indices) {
      const int count = static_cast<int>(indices.size());
      const LossResult loss = net_.head().loss(labels_, count);
      result.loss += loss.loss;
      result.correct += loss.correct;
      for (int n = 0; n < count; ++n) {
        const float* z = net_.head().logits() + static_cast<size_t>(n) * config_.net.classes;
        result.predictions.push_back(static_cast<uint8_t>(std::max_element(z, z + config_.net.classes) - z));
      }
    });
    result.total = data.size();
    if (result.total == 0) return result;
    result.loss /= static_cast<double>(result.total);
    result.accuracy = static_cast<double>(result.correct) / static_cast<double>(result.total);
    return result;
  }

  std::vector<float> logits(const Dataset& data) override {
    std::vector<float> all;
    all.reserve(data.size() * config_.net.classes);
    each_batch(data, [&](std::span<const uint32_t> indices) {
      const float* z = net_.head().logits();
      all.insert(all.end(), z, z + indices.size() * config_.net.classes);
    });
    return all;
  }

  double active_fraction() const override { return net_.head().active_fraction(); }

  std::vector<NamedTensor> state_dict() const override {
    std::vector<NamedTensor> tensors;
    for (const Slot& s : net_.slots()) {
      if (s.param)
        tensors.push_back({s.name, s.shape, s.gather(s.param->p.data())});
      else if (s.buffer)
        tensors.push_back({s.name, s.shape, s.gather(s.buffer)});
      else
        tensors.push_back({s.name, s.shape, std::vector<float>(s.count(), frozen_value(s))});
    }
    return tensors;
  }

  Result<> load_state_dict(std::span<const NamedTensor> tensors) override {
    TRY(check(tensors, ""));
    store(tensors);
    for (Slot& s : net_.slots()) {
      if (!s.param) continue;
      std::fill_n(s.param->m.data(), s.param->m.size(), 0.F);
      std::fill_n(s.param->v.data(), s.param->v.size(), 0.F);
    }
    step_ = 0;
    return {};
  }

  TrainerState state() const override {
    TrainerState state{step_, seed_, state_dict()};
    for (const Slot& s : net_.slots()) {
      if (!s.param) continue;
      state.tensors.push_back({std::string(kFirstMoment) + s.name, s.shape, s.gather(s.param->m.data())});
      state.tensors.push_back({std::string(kSecondMoment) + s.name, s.shape, s.gather(s.param->v.data())});
    }
    return state;
  }

  Result<> set_state(const TrainerState& state) override {
    if (state.seed != seed_)
      return fail(Code::kInvalid, "the state was trained with seed {}, not {}", state.seed, seed_);
    TRY(check(state.tensors, ""));
    TRY(check(state.tensors, kFirstMoment));
    TRY(check(state.tensors, kSecondMoment));
    store(state.tensors);
    for (Slot& s : net_.slots()) {
      if (!s.param) continue;
      s.scatter(find(state.tensors, std::string(kFirstMoment) + s.name)->values, s.param->m.data());
      s.scatter(find(state.tensors, std::string(kSecondMoment) + s.name)->values, s.param->v.data());
    }
    step_ = state.step;
    return {};
  }

  uint64_t step() const override { return step_; }
  Precision precision() const override { return precision_; }
  int threads() const override { return threads_; }
  const TrainerConfig& config() const override { return config_; }
  std::vector<PieceTime> piece_times() const override { return net_.piece_times(); }

 private:
  float frozen_value(const Slot& s) const {
    return s.frozen == Slot::Frozen::kStepCount ? static_cast<float>(step_) : 0.F;
  }

  void fill(const Dataset& data, std::span<const uint32_t> indices, Augment augment) {
    labels_.resize(indices.size());
    for (size_t i = 0; i < indices.size(); ++i) labels_[i] = data.labels[indices[i]];
    const Kernels<T>* kernels;
    if constexpr (sizeof(T) == 2)
      kernels = &bf16_kernels(isa_);
    else
      kernels = &f32_kernels(isa_);
    fill_batch(data, indices, config_.batch_size, augment, seed_, step_, *kernels, net_.images());
  }

  template <class F>
  void each_batch(const Dataset& data, F use) {
    std::vector<uint32_t> indices(config_.batch_size);
    for (size_t first = 0; first < data.size(); first += indices.size()) {
      indices.resize(std::min<size_t>(config_.batch_size, data.size() - first));
      std::iota(indices.begin(), indices.end(), static_cast<uint32_t>(first));
      fill(data, indices, Augment::kNone);
      net_.forward(Mode::kEvaluation, step_);
      use(std::span<const uint32_t>(indices));
    }
  }

  // A moment's tensors exist for trained slots only; the frozen ones need not be there.
  Result<> check(std::span<const NamedTensor> tensors, std::string_view prefix) const {
    for (const Slot& s : net_.slots())
      if (s.param || (s.buffer && prefix.empty())) TRY(take(tensors, std::string(prefix) + s.name, s));
    return {};
  }

  void store(std::span<const NamedTensor> tensors) {
    const std::vector<float>* conv_bias = nullptr;
    for (Slot& s : net_.slots()) {
      const NamedTensor* tensor = find(tensors, s.name);
      if (s.frozen == Slot::Frozen::kZeroBias)
        conv_bias = tensor && tensor->values.size() == s.count() ? &tensor->values : nullptr;
      if (s.param) s.scatter(tensor->values, s.param->p.data());
      if (!s.buffer) continue;
      s.scatter(tensor->values, s.buffer);
      if (conv_bias && s.name.ends_with(".running_mean"))
        for (size_t c = 0; c < conv_bias->size(); ++c) s.buffer[c] -= (*conv_bias)[c];
    }
    net_.publish();
  }

  TrainerConfig config_;
  Precision precision_;
  int threads_;
  Isa isa_;
  uint64_t seed_;
  uint64_t step_ = 0;
  Network<T> net_;
  std::vector<uint8_t> labels_;
};

Result<> check_config(const TrainerConfig& config) {
  if (config.batch_size < 2 || config.batch_size > 4096)
    return fail(Code::kInvalid, "batch size {} is outside 2..4096", config.batch_size);
  if (!(config.dropout >= 0 && config.dropout < 1))
    return fail(Code::kInvalid, "dropout {} is outside [0, 1)", config.dropout);
  if (!(config.label_smoothing >= 0 && config.label_smoothing < 1))
    return fail(Code::kInvalid, "label smoothing {} is outside [0, 1)", config.label_smoothing);
  if (config.threads < 0 || config.threads > 1024)
    return fail(Code::kInvalid, "{} threads are outside 0..1024", config.threads);
  if (config.net.layers.empty()) return fail(Code::kInvalid, "the net has no layers: make one with make_net");
  return {};
}

template <size_t N>
Result<int> parse_name(std::string_view what, std::string_view text,
                       const std::array<std::string_view, N>& names) {
  for (size_t i = 0; i < N; ++i)
    if (text == names[i]) return static_cast<int>(i);
  return fail(Code::kInvalid, "unknown {} '{}': use {}", what, text, fmt::join(names, ", "));
}

}  // namespace

std::string_view to_string(Precision precision) { return kPrecisionNames[static_cast<size_t>(precision)]; }
Result<Precision> parse_precision(std::string_view text) {
  return static_cast<Precision>(TRY(parse_name("precision", text, kPrecisionNames)));
}
std::string_view to_string(Augment augment) { return kAugmentNames[static_cast<size_t>(augment)]; }
Result<Augment> parse_augment(std::string_view text) {
  return static_cast<Augment>(TRY(parse_name("augmentation", text, kAugmentNames)));
}

Result<std::unique_ptr<Trainer>> Trainer::create(const TrainerConfig& config) {
  TRY(check_config(config));
  const Isa isa = config.kernels == KernelPath::kPortable ? Isa::kPortable : best_isa();
  Precision precision = config.precision;
  if (precision == Precision::kAuto)
    precision = best_isa() >= Isa::kAvx512Bf16 ? Precision::kBf16 : Precision::kF32;
  const int threads = prepare_threads(config.threads);
  try {
    if (precision == Precision::kBf16)
      return std::make_unique<TrainerOf<Bf16>>(config, precision, threads, isa);
    return std::make_unique<TrainerOf<float>>(config, precision, threads, isa);
  } catch (const dnnl::error& e) {
    return fail(Code::kInvalid, "this processor cannot train in {}: {}; use --precision f32",
                to_string(precision), e.what());
  } catch (const std::bad_alloc&) {
    return fail(Code::kUnavailable, "not enough memory for batch size {}: use a smaller one",
                config.batch_size);
  }
}

}  // namespace tidemill::nn
