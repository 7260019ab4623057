// A model loaded into ONNX Runtime. The library is opened at run time, so that nothing here is linked to one
// version of it, and its telemetry is switched off before that.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/files.h"
#include "base/result.h"
#include "serving/tensor.h"

namespace tidemill::serving {

struct TensorInfo {
  std::string name;
  ElementType type = ElementType::kUndefined;
  std::vector<int64_t> shape;   // -1: any size
  std::string first_dimension;  // the name of one of any size, "" otherwise
};

// A tensor that ONNX Runtime made, or some of its rows. Freed with the last object that refers to it.
class OutputTensor {
 public:
  // Owns `value`, an OrtValue*.
  static Result<OutputTensor> adopt(void* value);
  OutputTensor(OutputTensor&&) noexcept = default;
  OutputTensor& operator=(OutputTensor&&) noexcept = default;

  // Rows [first, first + count) of the first dimension; kNotImplemented for strings.
  Result<OutputTensor> rows(int64_t first, int64_t count) const;

  ElementType type() const { return type_; }
  const std::vector<int64_t>& dims() const { return dims_; }
  uint64_t count() const { return count_; }
  std::string_view bytes() const { return bytes_; }                     // all types but kString
  const std::vector<std::string>& strings() const { return strings_; }  // kString only

 private:
  struct Free {
    void operator()(void* value) const;
  };
  OutputTensor() = default;
  std::shared_ptr<void> value_;
  ElementType type_ = ElementType::kUndefined;
  std::vector<int64_t> dims_;
  uint64_t count_ = 0;
  std::string_view bytes_;
  std::vector<std::string> strings_;
};

// Opens ONNX Runtime once for this process: `library` if given, else TIDEMILL_ORT_LIBRARY, else beside the
// running program, in ../lib, and where the build found it. kNotFound lists the places. Later calls return
// the first result.
Result<> load_onnxruntime(const fs::path& library = {});
std::string onnxruntime_version();  // "1.26.0" once loaded

struct SessionOptions {
  fs::path library;          // see load_onnxruntime
  int threads_per_call = 1;  // with 1 ONNX Runtime makes no threads of its own
};

class Session {
 public:
  // kNotFound, kDenied for the file; kInvalid when it is no model that ONNX Runtime takes.
  static Result<std::unique_ptr<Session>> load(const fs::path& model, const SessionOptions& options = {});
  ~Session();

  const std::vector<TensorInfo>& inputs() const;
  const std::vector<TensorInfo>& outputs() const;

  // Any number of threads may call it at once. `outputs` are names; empty: all. Results are in that order.
  // Errors carry ONNX Runtime's code (serving/status.h); a wrong name or type is found before the model runs.
  Result<std::vector<OutputTensor>> run(std::span<const TensorView> inputs,
                                        std::span<const std::string> outputs);
  // Calls in progress and to come fail soon.
  void terminate();

 private:
  struct State;
  explicit Session(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace tidemill::serving
