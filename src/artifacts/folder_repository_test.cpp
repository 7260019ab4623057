#include "artifacts/folder_repository.h"

#include <gtest/gtest.h>

#include <thread>

namespace tidemill::artifacts {
namespace {

class FolderRepositoryTest : public ::testing::Test {
 protected:
  TempDir dir_ = TempDir::create().value();
  FolderRepository files_{dir_.path() / "root"};

  std::string names(std::string_view folder) {
    std::string all;
    auto entries = files_.list(folder);
    for (const FileInfo& info : *entries)
      all += info.name + (info.is_folder ? "/ " : fmt::format("={} ", info.size));
    return all;
  }
};

TEST_F(FolderRepositoryTest, FilesArePutListedFoundAndRemoved) {
  ASSERT_TRUE(files_.put("b/c/x.txt", "hello"));
  ASSERT_TRUE(files_.put("a.txt", "1"));
  ASSERT_TRUE(files_.put("a.txt", "22"));
  EXPECT_EQ(names(""), "a.txt=2 b/ ");
  EXPECT_EQ(names("b/c"), "x.txt=5 ");
  EXPECT_EQ(names("b/c/"), "x.txt=5 ");
  EXPECT_EQ(names("none/such"), "");
  EXPECT_EQ(names("a.txt"), "");
  EXPECT_EQ(read_file(files_.find("b/c/x.txt").value()).value(), "hello");
  EXPECT_EQ(files_.find("b/c").error().code, Code::kNotFound);
  ASSERT_TRUE(files_.remove("b"));
  EXPECT_EQ(files_.find("b/c/x.txt").error().code, Code::kNotFound);
  EXPECT_EQ(files_.remove("b").error().code, Code::kNotFound);
}

TEST_F(FolderRepositoryTest, PathsThatLeadOutAreRefused) {
  ASSERT_TRUE(write_file_atomic(dir_.path() / "secret", "s", Durable::no));
  ASSERT_TRUE(files_.put("in.txt", "x"));
  fs::create_symlink(dir_.path(), files_.root() / "out");
  fs::create_symlink(files_.root() / "in.txt", files_.root() / "good");
  std::string_view nul("a\0b", 3);
  for (std::string_view path :
       {std::string_view("../secret"), std::string_view("a/../../secret"), std::string_view("/etc/passwd"),
        std::string_view("%2e%2e/secret"), std::string_view("a/%252e%252e/%252e%252e/secret"),
        std::string_view("out/secret"), std::string_view("a\\..\\b"), nul, std::string_view("./a"),
        std::string_view("a//b"), std::string_view(".incoming/x")}) {
    EXPECT_EQ(files_.find(path).error().message, "Invalid path") << path;
    EXPECT_EQ(files_.put(path, "x").error().code, Code::kInvalid) << path;
    EXPECT_EQ(files_.remove(path).error().code, Code::kInvalid) << path;
  }
  EXPECT_EQ(names(""), "good=1 in.txt=1 ");
  EXPECT_FALSE(files_.remove(""));
  EXPECT_EQ(read_file(dir_.path() / "secret").value(), "s");
}

TEST_F(FolderRepositoryTest, PercentSignsInNamesAreKept) {
  ASSERT_TRUE(files_.put("100%.txt", "x"));
  ASSERT_TRUE(files_.put("a%20b", "x"));
  EXPECT_EQ(names(""), "100%.txt=1 a%20b=1 ");
}

TEST_F(FolderRepositoryTest, AFileInTheWayIsNamed) {
  ASSERT_TRUE(files_.put("a", "x"));
  EXPECT_EQ(files_.put("a/b", "y").error().code, Code::kConflict);
  ASSERT_TRUE(files_.put("d/e", "x"));
  EXPECT_EQ(files_.put("d", "y").error().code, Code::kConflict);
  EXPECT_EQ(names(""), "a=1 d/ ");
  EXPECT_TRUE(fs::is_empty(files_.incoming().value())) << "a refused file was left behind";
}

TEST_F(FolderRepositoryTest, AFileIsCopiedOrMoved) {
  fs::path source = dir_.path() / "source";
  ASSERT_TRUE(write_file_atomic(source, "s", Durable::no));
  ASSERT_TRUE(files_.put_file("copy", source, FolderRepository::Source::kKeep));
  EXPECT_TRUE(fs::exists(source));
  ASSERT_TRUE(files_.put_file("moved", source, FolderRepository::Source::kMove));
  EXPECT_FALSE(fs::exists(source));
  EXPECT_EQ(names(""), "copy=1 moved=1 ");
}

TEST_F(FolderRepositoryTest, ALargeFileIsReplacedAndItsSpaceGivenBackSoon) {
  auto holds_removed_files = [] {
    std::error_code gone;  // what lists the folder is in it, too
    for (const auto& file : fs::directory_iterator("/proc/self/fd"))
      if (fs::read_symlink(file, gone).string().ends_with("(deleted)")) return true;
    return false;
  };
  ASSERT_TRUE(files_.put("large", std::string(20 << 20, 'a')));
  ASSERT_TRUE(files_.put("large", std::string(17 << 20, 'b')));
  EXPECT_EQ(names(""), fmt::format("large={} ", 17 << 20));
  for (int patience = 500; holds_removed_files() && patience > 0; --patience)
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  EXPECT_FALSE(holds_removed_files());
}

TEST(ArtifactUri, LocalAndProxiedOnesAreTold) {
  EXPECT_EQ(local_folder("/a/b"), fs::path("/a/b"));
  EXPECT_EQ(local_folder("file:///a%20b/c"), fs::path("/a b/c"));
  EXPECT_EQ(local_folder("file://localhost/a"), fs::path("/a"));
  EXPECT_EQ(local_folder("./rel:ative/x"), fs::path("./rel:ative/x"));
  EXPECT_EQ(local_folder("file://elsewhere/a"), std::nullopt);
  EXPECT_EQ(local_folder("s3://b/a"), std::nullopt);
  EXPECT_EQ(local_folder("mlflow-artifacts:/7/a"), std::nullopt);
  EXPECT_EQ(proxied_path("mlflow-artifacts:/7/ab/artifacts"), "7/ab/artifacts");
  EXPECT_EQ(proxied_path("mlflow-artifacts://host:5000/7/ab"), "7/ab");
  EXPECT_EQ(proxied_path("/7"), std::nullopt);
}

}  // namespace
}  // namespace tidemill::artifacts
