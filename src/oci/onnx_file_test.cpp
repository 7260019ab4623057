#include "oci/onnx_file.h"

#include <gmock/gmock.h>

namespace tidemill::oci {
namespace {

using testing::HasSubstr;

// ir_version 8, producer "t", a graph of three bytes.
constexpr std::string_view kModel("\x08\x08\x12\x01t\x3a\x03\x0a\x01g", 10);

std::string verdict(std::string_view bytes) {
  TempDir dir = TempDir::create().value();
  EXPECT_TRUE(write_file_atomic(dir.path() / "m.onnx", bytes, Durable::no));
  auto checked = check_onnx_file(dir.path() / "m.onnx");
  return checked ? "good" : checked.error().message;
}

TEST(OnnxFile, AWholeModelPasses) { EXPECT_EQ(verdict(kModel), "good"); }

TEST(OnnxFile, ACutModelIsRefusedWithTheByte) {
  EXPECT_THAT(verdict(kModel.substr(0, 8)), HasSubstr("broken at byte 5"));
}

TEST(OnnxFile, OtherFilesAreRefused) {
  EXPECT_THAT(verdict("garbage"), HasSubstr("not a whole ONNX model"));
  EXPECT_THAT(verdict(""), HasSubstr("holds no graph"));
  EXPECT_THAT(verdict(kModel.substr(0, 5)), HasSubstr("holds no graph"));
  EXPECT_THAT(verdict(std::string_view("\x3a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 11)),
              HasSubstr("broken at byte 0"));
  EXPECT_FALSE(check_onnx_file("/no/such/model.onnx"));
}

}  // namespace
}  // namespace tidemill::oci
