// The files as the programs they are for read them: PyTorch, the ONNX checker, ONNX Runtime, TensorBoard.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "base/text.h"
#include "nn/export_onnx.h"
#include "nn/pth.h"
#include "nn/safetensors.h"
#include "nn/tensorboard.h"

namespace tidemill::nn {
namespace {

// A small net with every kind of layer, named as the matching module in formats_check.py.
const NetSpec kNet{ModelType::kSimple,
                   10,
                   {{LayerKind::kConv, "features.0", 3, 8, 3, 1},
                    {LayerKind::kBatchNorm, "features.1", 8, 8},
                    {LayerKind::kRelu, "features.2", 8, 8},
                    {LayerKind::kMaxPool, "features.3", 8, 8, 2},
                    {LayerKind::kConv, "features.4", 8, 20, 5, 2},
                    {LayerKind::kRelu, "features.5", 20, 20},
                    {LayerKind::kMaxPool, "features.6", 20, 20, 2},
                    {LayerKind::kFlatten, "flatten", 20, 1280},
                    {LayerKind::kLinear, "classifier.0", 1280, 16},
                    {LayerKind::kRelu, "classifier.1", 16, 16},
                    {LayerKind::kDropout, "classifier.2", 16, 16},
                    {LayerKind::kLinear, "classifier.3", 16, 10}}};

NamedTensor random_tensor(std::string name, std::vector<int64_t> shape, float low, float high) {
  std::mt19937 random(static_cast<uint32_t>(std::hash<std::string>{}(name)));
  int64_t count = 1;
  for (int64_t extent : shape) count *= extent;
  NamedTensor tensor{std::move(name), std::move(shape), {}};
  for (int64_t i = 0; i < count; ++i)
    tensor.values.push_back(low + (high - low) * static_cast<float>(random() >> 8) / (1 << 24));
  return tensor;
}

std::vector<NamedTensor> random_net() {
  return {random_tensor("features.0.weight", {8, 3, 3, 3}, -0.5F, 0.5F),
          random_tensor("features.1.weight", {8}, 0.5F, 2),
          random_tensor("features.1.bias", {8}, -1, 1),
          random_tensor("features.1.running_mean", {8}, -1, 1),
          random_tensor("features.1.running_var", {8}, 0.1F, 2),
          random_tensor("features.4.weight", {20, 8, 5, 5}, -0.2F, 0.2F),
          random_tensor("features.4.bias", {20}, -1, 1),
          random_tensor("classifier.0.weight", {16, 1280}, -0.1F, 0.1F),
          random_tensor("classifier.0.bias", {16}, -1, 1),
          random_tensor("classifier.3.weight", {10, 16}, -0.3F, 0.3F),
          random_tensor("classifier.3.bias", {10}, -1, 1)};
}

std::string python() {
  if (const char* given = std::getenv("TIDEMILL_PYTHON")) return given;
  const char* home = std::getenv("HOME");
  return fmt::format("{}/.cache/tidemill/venv/bin/python", home ? home : "");
}

// Empty when formats_check.py agrees; what it said otherwise.
std::string check(std::string_view what, const fs::path& folder) {
  const fs::path log = folder / "log";
  const std::string command =
      fmt::format("{} {} {} {} > {} 2>&1", shell_quote(python()),
                  shell_quote(std::string(TIDEMILL_SOURCE_DIR) + "/src/nn/formats_check.py"), what,
                  shell_quote(folder.string()), shell_quote(log.string()));
  return std::system(command.c_str()) == 0 ? "" : read_file(log).value_or("no output");
}

class Formats : public testing::Test {
 protected:
  void need(std::string_view module) {
    const std::string command = fmt::format("{} -c 'import {}' 2> /dev/null", shell_quote(python()), module);
    if (std::system(command.c_str()) != 0)
      GTEST_SKIP() << "no " << module << " for " << python() << " (set TIDEMILL_PYTHON)";
  }
  TempDir dir_ = TempDir::create().value();
  fs::path path(std::string_view name) const { return dir_.path() / name; }
};

TEST_F(Formats, TorchLoadsThePthWithWeightsOnlyToTheBit) {
  need("torch");
  const auto net = random_net();
  ASSERT_TRUE(write_pth(net, path("net.pth")));
  ASSERT_TRUE(write_safetensors(net, path("net.safetensors")));
  EXPECT_EQ(check("pth", dir_.path()), "");
}

TEST_F(Formats, OnnxPassesTheCheckerAndOnnxRuntimeGivesTorchsLogits) {
  need("torch, onnx, onnxruntime");
  const auto net = random_net();
  ASSERT_TRUE(write_pth(net, path("net.pth")));
  OnnxOptions options;
  options.metadata = {{"classes", "a,b"}};
  ASSERT_TRUE(write_onnx(kNet, net, options, path("f32.onnx")));
  options.weights = OnnxWeights::kBf16;
  ASSERT_TRUE(write_onnx(kNet, net, options, path("bf16.onnx")));
  EXPECT_EQ(check("onnx", dir_.path()), "");
  EXPECT_LT(fs::file_size(path("bf16.onnx")) * 10, fs::file_size(path("f32.onnx")) * 6);
}

TEST_F(Formats, TensorBoardReadsTheEvents) {
  need("tensorboard");
  auto writer = EventWriter::create(path("events"));
  ASSERT_TRUE(writer) << writer.error().message;
  for (int64_t step : {0, 1, 300}) {
    ASSERT_TRUE(writer->add_scalar("loss/train", 2.5F / static_cast<float>(step + 1), step,
                                   1'700'000'000'000 + step));
    ASSERT_TRUE(writer->add_scalar("accuracy", 0.25F, step, 1'700'000'000'000 + step));
  }
  EXPECT_EQ(check("tensorboard", dir_.path()), "");
}

TEST(ExportOnnx, AMissingTensorIsNamed) {
  auto net = random_net();
  net.erase(net.begin() + 3);
  auto model = to_onnx(kNet, net, {});
  ASSERT_FALSE(model);
  EXPECT_EQ(model.error().code, Code::kNotFound);
  EXPECT_THAT(model.error().message, testing::HasSubstr("features.1.running_mean"));
}

TEST(ExportOnnx, ATensorOfAnotherShapeIsNamed) {
  auto net = random_net();
  net.back().shape = {5, 2};
  auto model = to_onnx(kNet, net, {});
  ASSERT_FALSE(model);
  EXPECT_THAT(model.error().message, testing::HasSubstr("classifier.3.bias"));
}

TEST(TensorBoard, ChecksumIsCastagnolisMasked) {
  // RFC 3720, B.4: CRC-32C of 32 zero bytes is 0x8a9136aa.
  const uint32_t crc = 0x8a9136aa;
  EXPECT_EQ(masked_crc32c(std::string(32, '\0')), (crc >> 15 | crc << 17) + 0xa282ead8U);
}

}  // namespace
}  // namespace tidemill::nn
