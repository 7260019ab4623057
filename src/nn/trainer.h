// Trains one net on the CPU: a step (forward, backward, Adam), evaluation, and the whole state in and out.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "nn/model.h"

namespace tidemill::nn {

enum class Precision { kAuto, kBf16, kF32 };  // kAuto: bf16 where the processor multiplies it, else f32
enum class Init { kHe, kPytorch };            // normal by He; PyTorch's default uniform
enum class Augment { kNone, kFlip, kFlipShift };
enum class KernelPath { kBest, kPortable };  // kPortable: as on a processor without AVX-512

std::string_view to_string(Precision precision);
Result<Precision> parse_precision(std::string_view text);  // auto, bf16, f32
std::string_view to_string(Augment augment);
Result<Augment> parse_augment(std::string_view text);  // none, flip, flip+shift

// Borrowed, not copied. images: 3072 bytes each, [channel][row][column]; labels: one byte each, below the
// class count.
struct Dataset {
  std::span<const uint8_t> images;
  std::span<const uint8_t> labels;
  size_t size() const { return labels.size(); }
};

struct TrainerConfig {
  NetSpec net;
  int batch_size = 32;  // 2..4096
  Precision precision = Precision::kAuto;
  Init init = Init::kHe;
  uint64_t seed = 1;
  float dropout = 0;          // [0, 1)
  float label_smoothing = 0;  // [0, 1)
  Augment augment = Augment::kNone;
  int threads = 0;  // 0: one for each processor this process may use
  KernelPath kernels = KernelPath::kBest;
};

struct StepResult {
  double loss = 0;  // mean cross-entropy of the batch against the true labels, smoothing left out
  int correct = 0;
};

struct Evaluation {
  double loss = 0;
  double accuracy = 0;  // 0..1
  size_t correct = 0;
  size_t total = 0;
  std::vector<uint8_t> predictions;  // the class of each image
};

// All that a bit-identical continuation in f32 needs, layouts and thread count left out. Random draws depend
// on seed and step only.
struct TrainerState {
  uint64_t step = 0;  // steps done
  uint64_t seed = 1;
  std::vector<NamedTensor>
      tensors;  // the state_dict, then Adam's moments as "adam.m.<name>" and "adam.v.<name>"
};

// Time of one kind of work in a step.
struct PieceTime {
  std::string name;  // "conv fwd", "adam", ..
  double seconds = 0;
};

// One trainer at a time may compute in a process: it uses all its threads. Not thread-safe.
class Trainer {
 public:
  // kInvalid: a setting outside its range, or a precision this processor cannot do.
  static Result<std::unique_ptr<Trainer>> create(const TrainerConfig& config);
  virtual ~Trainer() = default;

  // indices: batch_size positions in data. One Adam update at this learning rate.
  virtual StepResult train_step(const Dataset& data, std::span<const uint32_t> indices,
                                float learning_rate) = 0;
  // With the running statistics, no dropout, no augmentation. Any number of images.
  virtual Evaluation evaluate(const Dataset& data) = 0;
  // Evaluation's logits, [images][classes].
  virtual std::vector<float> logits(const Dataset& data) = 0;

  // Share of open units of the layer before the last linear one in the latest train_step (a net that has died
  // stays near 0).
  virtual double active_fraction() const = 0;

  virtual std::vector<NamedTensor> state_dict() const = 0;
  // Every tensor of the net by name and shape; kInvalid names the first that is missing or wrong. A
  // convolution's bias before batch normalisation is folded into the running mean. Leaves the moments at
  // zero.
  virtual Result<> load_state_dict(std::span<const NamedTensor> tensors) = 0;

  virtual TrainerState state() const = 0;
  virtual Result<> set_state(const TrainerState& state) = 0;

  virtual uint64_t step() const = 0;
  virtual Precision precision() const = 0;  // never kAuto
  virtual int threads() const = 0;
  virtual const TrainerConfig& config() const = 0;

  // Times of the latest train_step by piece, in order of execution, equal names added up.
  virtual std::vector<PieceTime> piece_times() const = 0;
};

}  // namespace tidemill::nn
