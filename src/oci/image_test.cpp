#include "oci/image.h"

#include <gmock/gmock.h>

#include <cstdlib>

#include "base/hash.h"
#include "oci/archive.h"

namespace tidemill::oci {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

LayerEntry bytes_entry(std::string path, std::string text, uint32_t mode = 0644) {
  LayerEntry entry;
  entry.kind = LayerEntry::Kind::kBytes;
  entry.path = std::move(path);
  entry.text = std::move(text);
  entry.mode = mode;
  return entry;
}

class Image : public ::testing::Test {
 protected:
  ImageSpec spec() {
    ImageSpec image;
    image.name = "test:1.0";
    image.layers.push_back({.name = "base", .entries = {bytes_entry("etc/os", std::string(50'000, 'o'))}});
    image.layers.push_back({.name = "model",
                            .entries = {bytes_entry("model/m.onnx", "weights"), bytes_entry("etc/os2", "x")},
                            .compression = Compression::kNone,
                            .cached = false});
    image.entrypoint = {"/usr/bin/server"};
    image.env = {"HTTP_PORT=8001", "MODEL_PATH=/model/m.onnx"};
    image.ports = {8001, 50051};
    image.labels = {{"ml.tidemill.model.digest", "sha256:abc"}};
    return image;
  }
  fs::path archive(std::string_view name = "image.tar") const { return dir_.path() / name; }
  fs::path cache() const { return dir_.path() / "cache"; }
  TempDir dir_ = TempDir::create().value();
};

TEST_F(Image, SameInputGivesTheSameBytes) {
  auto first = write_image(spec(), archive("1.tar"), "");
  auto second = write_image(spec(), archive("2.tar"), cache());
  auto third = write_image(spec(), archive("3.tar"), cache());
  ASSERT_TRUE(first && second && third);
  EXPECT_EQ(first->digest, second->digest);
  EXPECT_FALSE(second->layers[0].from_cache);
  EXPECT_TRUE(third->layers[0].from_cache);
  EXPECT_EQ(sha256_file(archive("1.tar")).value(), sha256_file(archive("2.tar")).value());
  EXPECT_EQ(sha256_file(archive("1.tar")).value(), sha256_file(archive("3.tar")).value());
}

TEST_F(Image, RunIdBesideTheImageDoesNotChangeItsDigest) {
  auto plain = write_image(spec(), archive("1.tar"), "").value();
  ImageSpec noted = spec();
  noted.index_notes = {{"ml.tidemill.run_id", "abc"}};
  EXPECT_EQ(write_image(noted, archive("2.tar"), "").value().digest, plain.digest);
  EXPECT_THAT(read_archive(archive("2.tar")).value().index_notes,
              Contains(testing::Pair("ml.tidemill.run_id", "abc")));
}

TEST_F(Image, TimeOfTheImageChangesItsDigest) {
  ImageSpec later = spec();
  later.created = 1'700'000'000;
  EXPECT_NE(write_image(later, archive("1.tar"), "").value().digest,
            write_image(spec(), archive("2.tar"), "").value().digest);
  EXPECT_EQ(read_archive(archive("1.tar")).value().config.created, "2023-11-14T22:13:20Z");
}

TEST_F(Image, ArchiveReadsBackWithEverySetting) {
  ImageInfo written = write_image(spec(), archive(), "").value();
  auto image = read_archive(archive());
  ASSERT_TRUE(image) << image.error().message;
  EXPECT_EQ(image->format, "oci+docker");
  EXPECT_EQ(image->name, "localhost/test:1.0");
  EXPECT_EQ(image->digest, written.digest);
  EXPECT_EQ(image->image_id, written.image_id);
  EXPECT_THAT(image->config.entrypoint, ElementsAre("/usr/bin/server"));
  EXPECT_THAT(image->config.env, ElementsAre("HTTP_PORT=8001", "MODEL_PATH=/model/m.onnx"));
  EXPECT_THAT(image->config.ports, ElementsAre("8001/tcp", "50051/tcp"));
  EXPECT_EQ(image->config.user, "65532:65532");
  EXPECT_EQ(image->config.stop_signal, "SIGTERM");
  ASSERT_EQ(image->layers.size(), 2u);
  EXPECT_EQ(image->layers[0].comment, "base");
  EXPECT_EQ(image->layers[0].digest, written.layers[0].digest);
  EXPECT_LT(image->layers[0].size, 10'000u) << "compressed";
}

TEST_F(Image, UnpacksToTheFilesThatWentIn) {
  ASSERT_TRUE(write_image(spec(), archive(), ""));
  fs::path root = dir_.path() / "root";
  ASSERT_TRUE(make_dirs(root));
  auto bytes = unpack_image(read_archive(archive()).value(), root);
  ASSERT_TRUE(bytes) << bytes.error().message;
  EXPECT_EQ(*bytes, 50'008u);
  EXPECT_EQ(read_file(root / "model/m.onnx").value(), "weights");
  EXPECT_FALSE(unpack_image(read_archive(archive()).value(), root)) << "not empty any more";
}

TEST_F(Image, EveryDamagedByteOfALayerIsNoticed) {
  ImageInfo written = write_image(spec(), archive(), "").value();
  ImageArchive image = read_archive(archive()).value();
  std::string bytes = read_file(archive()).value();
  for (const ArchiveLayer& layer : image.layers) {
    std::string damaged = bytes;
    damaged[layer.offset + layer.size / 2] ^= 1;
    ASSERT_TRUE(write_file_atomic(archive("damaged.tar"), damaged));
    fs::path root = dir_.path() / layer.digest.substr(7);
    ASSERT_TRUE(make_dirs(root));
    auto result = unpack_image(read_archive(archive("damaged.tar")).value(), root);
    ASSERT_FALSE(result);
    EXPECT_EQ(result.error().code, Code::kInvalid);
    EXPECT_THAT(result.error().message, HasSubstr("damaged"));
  }
}

TEST_F(Image, DamagedManifestAndCutFileAreNoticed) {
  ASSERT_TRUE(write_image(spec(), archive(), ""));
  std::string bytes = read_file(archive()).value();
  std::string damaged = bytes;
  size_t at = damaged.find("\"schemaVersion\":2,\"mediaType\":\"application/vnd.oci.image.manifest");
  ASSERT_NE(at, std::string::npos);
  damaged[at + 2] ^= 1;
  ASSERT_TRUE(write_file_atomic(archive("damaged.tar"), damaged));
  EXPECT_FALSE(read_archive(archive("damaged.tar")));
  for (size_t size : {bytes.size() / 2, size_t{700}, size_t{0}}) {
    ASSERT_TRUE(write_file_atomic(archive("cut.tar"), bytes.substr(0, size)));
    auto cut = read_archive(archive("cut.tar"));
    ASSERT_FALSE(cut) << size;
    EXPECT_THAT(cut.error().message, HasSubstr("cut.tar"));
  }
}

TEST_F(Image, DamagedCacheEntryIsMadeAnew) {
  ImageInfo written = write_image(spec(), archive("1.tar"), cache()).value();
  for (const auto& entry : fs::directory_iterator(cache()))
    if (entry.path().extension() == ".blob") {
      std::string blob = read_file(entry.path()).value();
      blob[blob.size() / 2] ^= 1;
      ASSERT_TRUE(write_file_atomic(entry.path(), blob));
    }
  ImageInfo again = write_image(spec(), archive("2.tar"), cache()).value();
  EXPECT_FALSE(again.layers[0].from_cache);
  EXPECT_EQ(again.digest, written.digest);
}

TEST_F(Image, PathsThatLeaveTheImageAreRefused) {
  for (std::string_view path : {"/etc/passwd", "../x", "a/../b", "a//b", "", "a/"}) {
    ImageSpec image = spec();
    image.layers[0].entries.push_back(bytes_entry(std::string(path), "x"));
    EXPECT_FALSE(write_image(image, archive(), "")) << path;
  }
  ImageSpec twice = spec();
  twice.layers[0].entries.push_back(bytes_entry("etc/os", "again"));
  EXPECT_FALSE(write_image(twice, archive(), ""));
  EXPECT_FALSE(fs::exists(archive()));
}

TEST_F(Image, UnwritableFolderIsNamed) {
  auto result = write_image(spec(), dir_.path() / "no/such/folder/image.tar", "");
  ASSERT_FALSE(result);
  EXPECT_THAT(result.error().message, HasSubstr("no/such/folder/image.tar"));
}

TEST(ImageName, ShortNamesGetTheirFullForm) {
  EXPECT_EQ(normal_name("cifar10").value(), "localhost/cifar10:latest");
  EXPECT_EQ(normal_name("team/cifar10:1.0").value(), "localhost/team/cifar10:1.0");
  EXPECT_EQ(normal_name("registry.example:5000/a/b").value(), "registry.example:5000/a/b:latest");
  for (std::string_view bad : {"", "Upper", "a b", "a:b:c", "a:", "-a", "a/"})
    EXPECT_FALSE(normal_name(bad)) << bad;
}

TEST(SourceDateEpoch, OnlyNumbers) {
  ::unsetenv("SOURCE_DATE_EPOCH");
  EXPECT_EQ(source_date_epoch().value(), 0);
  ::setenv("SOURCE_DATE_EPOCH", "1700000000", 1);
  EXPECT_EQ(source_date_epoch().value(), 1'700'000'000);
  for (const char* bad : {"-1", "tomorrow", "12x", "99999999999999"}) {
    ::setenv("SOURCE_DATE_EPOCH", bad, 1);
    EXPECT_FALSE(source_date_epoch()) << bad;
  }
  ::unsetenv("SOURCE_DATE_EPOCH");
}

}  // namespace
}  // namespace tidemill::oci
