#include "nn/safetensors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace tidemill::nn {
namespace {

using testing::HasSubstr;

std::string file_of(std::string_view header, std::string_view data) {
  const uint64_t size = header.size();
  return std::string(reinterpret_cast<const char*>(&size), 8) + std::string(header) + std::string(data);
}

std::string error_of(std::string_view bytes) {
  auto read = parse_safetensors(bytes);
  return read ? "" : read.error().message;
}

const std::vector<NamedTensor> kTensors = {
    {"features.0.weight", {2, 3}, {1, 2, 3, 4, 5, -6.5F}}, {"scalar", {}, {7}}, {"none", {0, 4}, {}}};

TEST(Safetensors, WhatIsWrittenIsReadBack) {
  auto read = parse_safetensors(to_safetensors(kTensors));
  ASSERT_TRUE(read) << read.error().message;
  ASSERT_EQ(read->size(), kTensors.size());
  for (size_t i = 0; i < kTensors.size(); ++i) {
    EXPECT_EQ((*read)[i].name, kTensors[i].name);
    EXPECT_EQ((*read)[i].shape, kTensors[i].shape);
    EXPECT_EQ((*read)[i].values, kTensors[i].values);
  }
}

TEST(Safetensors, TruncatedAnywhereIsRefused) {
  const std::string bytes = to_safetensors(kTensors);
  for (size_t size = 0; size < bytes.size(); ++size) EXPECT_NE(error_of(bytes.substr(0, size)), "") << size;
}

TEST(Safetensors, DataThatDoesNotFitItsShapeIsRefusedByName) {
  const std::string data(8, '\0');
  for (std::string_view entry : {R"({"dtype":"F32","shape":[3],"data_offsets":[0,8]})",
                                 R"({"dtype":"F32","shape":[2],"data_offsets":[0,12]})",
                                 R"({"dtype":"F32","shape":[2],"data_offsets":[8,0]})",
                                 R"({"dtype":"F32","shape":[-2],"data_offsets":[0,8]})",
                                 R"({"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,8]})",
                                 R"({"dtype":"F32","shape":[2],"data_offsets":[0]})",
                                 R"({"dtype":"I64","shape":[1],"data_offsets":[0,8]})", R"(5)"})
    EXPECT_THAT(error_of(file_of(fmt::format(R"({{"w":{}}})", entry), data)), HasSubstr("'w'")) << entry;
}

TEST(Safetensors, HolesAndOverlapsAreRefused) {
  const std::string data(8, '\0');
  EXPECT_THAT(error_of(file_of(R"({"w":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}})", data)),
              HasSubstr("cover"));
  EXPECT_THAT(error_of(file_of(R"({"v":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},)"
                               R"("w":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}})",
                               data)),
              HasSubstr("cover"));
}

TEST(Safetensors, AHeaderLongerThanTheFileIsRefused) {
  EXPECT_THAT(error_of(std::string("\xff\xff\xff\xff\xff\xff\xff\x7f{}", 10)), HasSubstr("byte 0"));
}

}  // namespace
}  // namespace tidemill::nn
