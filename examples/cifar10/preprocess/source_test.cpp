#include "preprocess/source.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <libdeflate.h>

#include "base/json.h"
#include "common/png.h"
#include "preprocess/archive.h"
#include "preprocess/pickle.h"

namespace tidemill::cifar10 {
namespace {

using testing::HasSubstr;

std::span<const uint8_t> bytes_of(std::string_view text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

// Writes images in the published layouts.
class SourceTest : public testing::Test {
 protected:
  static void SetUpTestSuite() { images_ = new Images(synthetic_images(DataSet::kCifar10, 50'000, 10'000)); }
  static void TearDownTestSuite() { delete images_; }

  std::span<const uint8_t> pixels(size_t image) {
    return {&images_->pixels[image * kImageBytes], kImageBytes};
  }

  std::string planes(size_t image) {
    std::string out(kImageBytes, '\0');
    for (size_t i = 0; i < kImageBytes; ++i) out[i % 3 * 1024 + i / 3] = static_cast<char>(pixels(image)[i]);
    return out;
  }
  void write(const std::string& name, const std::string& content) {
    ASSERT_TRUE(write_file_atomic(dir_.path() / name, content, Durable::no));
  }
  void for_each_batch(const std::function<void(const std::string&, size_t)>& write_batch) {
    for (size_t i = 0; i < 5; ++i) write_batch(fmt::format("data_batch_{}", i + 1), i * 10'000);
    write_batch("test_batch", 50'000);
  }
  void write_binary() {
    for_each_batch([&](const std::string& name, size_t first) {
      std::string content;
      for (size_t i = first; i < first + 10'000; ++i)
        content += static_cast<char>(images_->labels[i]) + planes(i);
      write(name + ".bin", content);
    });
  }
  // As Python 2's cPickle wrote the official files.
  std::string pickle_batch(size_t first) {
    auto short_text = [](std::string_view text) {
      return "U" + std::string(1, static_cast<char>(text.size())) + std::string(text);
    };
    std::string labels;
    for (size_t i = first; i < first + 10'000; ++i) labels += {'K', static_cast<char>(images_->labels[i])};
    std::string data;
    for (size_t i = first; i < first + 10'000; ++i) data += planes(i);
    const auto size = static_cast<uint32_t>(data.size());
    using namespace std::string_literals;
    return "\x80\x02}q\x01("s + short_text("labels") + "q\x02]q\x03(" + labels + "e" + short_text("data") +
           "cnumpy.core.multiarray\n_reconstruct\nq\x04" + "cnumpy\nndarray\nq\x05" + "K\x00\x85"s + "U\x01" +
           "b\x87Rq\x06(K\x01" + "M\x10'M\x00\x0c\x86"s + "cnumpy\ndtype\n" +
           "U\x02u1K\x00K\x01\x87R(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89T"s +
           std::string(reinterpret_cast<const char*>(&size), 4) + data + "tbu.";
  }
  void expect_same(const Images& read) {
    EXPECT_EQ(read.train_count, 50'000U);
    EXPECT_EQ(read.classes, images_->classes);
    EXPECT_TRUE(read.labels == images_->labels);
    EXPECT_TRUE(read.pixels == images_->pixels);
  }

  TempDir dir_ = TempDir::create().value();
  static Images* images_;
};
Images* SourceTest::images_;

TEST_F(SourceTest, BinaryFolderGivesTheImagesAndATruncatedFileIsNamedWithItsByte) {
  write_binary();
  auto read = load_images(DataSet::kCifar10, dir_.path().string());
  ASSERT_TRUE(read) << read.error().message;
  expect_same(*read);

  fs::resize_file(dir_.path() / "data_batch_3.bin", 12'345);
  auto truncated = load_images(DataSet::kCifar10, dir_.path().string());
  ASSERT_FALSE(truncated);
  EXPECT_THAT(truncated.error().message,
              testing::AllOf(HasSubstr("data_batch_3.bin"), HasSubstr("byte 12345")));
}

TEST_F(SourceTest, ALabelOutOfRangeIsNamedWithItsByte) {
  write_binary();
  std::string content = read_file(dir_.path() / "test_batch.bin").value();
  content[3073 * 7] = 10;
  write("test_batch.bin", content);
  auto read = load_images(DataSet::kCifar10, dir_.path().string());
  ASSERT_FALSE(read);
  EXPECT_THAT(read.error().message,
              testing::AllOf(HasSubstr("test_batch.bin"), HasSubstr("byte 21511"), HasSubstr("label 10")));
}

TEST_F(SourceTest, PickledFolderGivesTheImages) {
  for_each_batch([&](const std::string& name, size_t first) { write(name, pickle_batch(first)); });
  auto read = load_images(DataSet::kCifar10, dir_.path().string());
  ASSERT_TRUE(read) << read.error().message;
  expect_same(*read);
}

TEST_F(SourceTest, PngRowsGiveTheImages) {
  PngEncoder encoder(1024, 10'000);
  Json train = Json::array(), test = Json::array();
  for_each_batch([&](const std::string& name, size_t first) {
    auto png = encoder.encode({&images_->pixels[first * kImageBytes], 10'000 * kImageBytes});
    write(name + ".png", std::string(png.begin(), png.end()));
    for (size_t i = first; i < first + 10'000; ++i)
      (first < 50'000 ? train : test).push_back(images_->labels[i]);
  });
  write("train_lables.json", dump_json(train));
  write("test_lables.json", dump_json(test));
  auto read = load_images(DataSet::kCifar10, dir_.path().string());
  ASSERT_TRUE(read) << read.error().message;
  expect_same(*read);
}

TEST_F(SourceTest, AnIncompleteDownloadOfAKnownArchiveIsRefused) {
  write("cifar-10-binary.tar.gz", "short");
  auto read = load_images(DataSet::kCifar10, (dir_.path() / "cifar-10-binary.tar.gz").string());
  ASSERT_FALSE(read);
  EXPECT_EQ(read.error().code, Code::kInvalid);
  EXPECT_THAT(read.error().message, HasSubstr("incomplete"));
}

TEST_F(SourceTest, Cifar100WithoutAPathSaysWhatToGive) {
  auto read = load_images(DataSet::kCifar100, "auto");
  ASSERT_FALSE(read);
  EXPECT_THAT(read.error().message, HasSubstr("cifar-100-python.tar.gz"));
}

TEST_F(SourceTest, AFolderWithoutTheDataSaysSo) {
  auto read = load_images(DataSet::kCifar10, dir_.path().string());
  ASSERT_FALSE(read);
  EXPECT_THAT(read.error().message, HasSubstr(dir_.path().string()));
}

std::string tar_of(const std::string& name, const std::string& content) {
  std::string header(512, '\0');
  header.replace(0, name.size(), name);
  header.replace(124, 11, fmt::format("{:011o}", content.size()));
  header[156] = '0';
  header.replace(148, 8, "        ");
  unsigned sum = 0;
  for (char c : header) sum += static_cast<uint8_t>(c);
  header.replace(148, 7, fmt::format("{:06o}", sum) + '\0');
  std::string padded = content;
  padded.resize((content.size() + 511) / 512 * 512);
  return header + padded + std::string(1024, '\0');
}

std::string gzip_of(const std::string& content) {
  auto* deflater = libdeflate_alloc_compressor(6);
  std::string out(libdeflate_gzip_compress_bound(deflater, content.size()), '\0');
  out.resize(libdeflate_gzip_compress(deflater, content.data(), content.size(), out.data(), out.size()));
  libdeflate_free_compressor(deflater);
  return out;
}

TEST(Archive, AFileOfATarIsFoundByItsName) {
  auto dir = TempDir::create().value();
  ASSERT_TRUE(
      write_file_atomic(dir.path() / "a.tar.gz", gzip_of(tar_of("folder/data.bin", "hello")), Durable::no));
  auto files = SourceFiles::open(dir.path() / "a.tar.gz", std::nullopt);
  ASSERT_TRUE(files) << files.error().message;
  EXPECT_TRUE(files->has("data.bin"));
  auto content = files->read("data.bin").value();
  EXPECT_EQ(std::string(content.begin(), content.end()), "hello");
  EXPECT_EQ(files->read("other").error().code, Code::kNotFound);
}

TEST(Archive, ADamagedOrTruncatedArchiveIsRefusedAnywhere) {
  const std::string gzip = gzip_of(tar_of("data.bin", std::string(3000, 'x') + "end"));
  for (size_t size = 0; size < gzip.size(); ++size)
    EXPECT_FALSE(gunzip(bytes_of(gzip).first(size), 1 << 20)) << size;
  const std::string tar = tar_of("data.bin", std::string(700, 'x'));
  for (size_t size : {0UL, 100UL, 512UL, 1000UL, 1536UL}) {
    auto index = index_tar(bytes_of(tar).first(size));
    ASSERT_FALSE(index) << size;
    EXPECT_THAT(index.error().message, HasSubstr("byte"));
  }
}

TEST(Archive, AChecksumOtherThanThePublishedIsRefused) {
  auto dir = TempDir::create().value();
  const std::string gzip = gzip_of(tar_of("data.bin", "hello"));
  ASSERT_TRUE(write_file_atomic(dir.path() / "a.tar.gz", gzip, Durable::no));
  auto files = SourceFiles::open(dir.path() / "a.tar.gz",
                                 Expected{gzip.size(), "00000000000000000000000000000000", {}});
  ASSERT_FALSE(files);
  EXPECT_THAT(files.error().message, HasSubstr("MD5"));
}

TEST(Pickle, AClassOtherThanNumpysIsRefusedAndNeverCalled) {
  auto batch =
      read_pickled_batch(bytes_of("\x80\x02"
                                  "cposix\nsystem\nU\x04"
                                  "true\x85R."));
  ASSERT_FALSE(batch);
  EXPECT_THAT(batch.error().message, testing::AllOf(HasSubstr("byte 2"), HasSubstr("posix.system")));
}

TEST(Pickle, TruncatedInputSaysWhere) {
  using namespace std::string_literals;
  const std::string pickle =
      "\x80\x02}q\x01(U\x06labels]q\x02(K\x01K\x02"
      "eu."s;
  ASSERT_TRUE(read_pickled_batch(bytes_of(pickle)));
  EXPECT_EQ(read_pickled_batch(bytes_of(pickle))->labels, (std::vector<int64_t>{1, 2}));
  for (size_t size = 0; size < pickle.size(); ++size) {
    auto batch = read_pickled_batch(bytes_of(pickle).first(size));
    ASSERT_FALSE(batch) << size;
    EXPECT_THAT(batch.error().message, HasSubstr("byte"));
  }
}

}  // namespace
}  // namespace tidemill::cifar10
