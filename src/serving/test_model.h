// Small ONNX models for tests, built from nothing.
#pragma once

#include <array>
#include <string>

#include "base/files.h"
#include "serving/tensor.h"

namespace tidemill::serving {

// "input" float [batch, 4] -> "output" float [batch, 3]: gemm(x) below.
std::string gemm_model();
std::array<float, 3> gemm(const std::array<float, 4>& x);

// "input" -> "output", the same, of this type and shape [n].
std::string identity_model(ElementType type);

// "trips" int64 [1] -> "output" float [1]: counts to trips, one by one, in about a microsecond each.
std::string loop_model();

// A file with these bytes in a folder of its own.
class ModelFile {
 public:
  explicit ModelFile(const std::string& bytes);
  const fs::path& path() const { return path_; }

 private:
  TempDir dir_;
  fs::path path_;
};

}  // namespace tidemill::serving
