#include "engine/file_tree.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/stat.h>

#include <fstream>

#include "base/hash.h"

namespace tidemill::engine {
namespace {

using testing::ElementsAre;
using testing::Field;
using tracking::ArtifactEntry;

class Trees : public testing::Test {
 protected:
  void SetUp() override { ASSERT_TRUE(make_dirs(root_)); }

  void write(const std::string& path, std::string_view text) {
    ASSERT_TRUE(make_dirs((root_ / path).parent_path()));
    std::ofstream(root_ / path, std::ios::trunc) << text;
  }
  // As if it had been written an hour ago: only then are hashes believed without reading the file.
  void age(const std::string& path) {
    timespec times[2] = {{1'000'000'000, 5}, {1'000'000'000, 5}};
    ASSERT_EQ(utimensat(AT_FDCWD, (root_ / path).c_str(), times, 0), 0);
  }
  std::string digest() { return hashes_.tree(root_).value().digest; }

  TempDir dir_ = TempDir::create().value();
  fs::path root_ = dir_.path() / "data";
  FileHashes hashes_{dir_.path() / "memory"};
};

TEST_F(Trees, HoldRegularFilesByPath) {
  write("sub/b", std::string(1 << 20, 'x'));
  write("a", "");
  mkfifo((root_ / "pipe").c_str(), 0600);
  FileTree tree = hashes_.tree(root_).value();
  ASSERT_EQ(tree.files.size(), 2u);
  EXPECT_EQ(tree.files[0].path, "a");
  EXPECT_EQ(tree.files[1].path, "sub/b");
  EXPECT_EQ(tree.files[1].size, 1u << 20);
  EXPECT_EQ(tree.files[1].sha256, sha256_hex(std::string(1 << 20, 'x')));
  EXPECT_TRUE(hashes_.tree(root_ / "missing")->files.empty());
}

TEST_F(Trees, ALinkCountsAsWhatItLeadsTo) {
  write("../real/deep/x", "one");
  write("../real/y", "one");
  write("own", "own");
  fs::create_symlink(dir_.path() / "real/deep", root_ / "folder");
  fs::create_symlink("../real/y", root_ / "file");
  TreeStamps stamps;
  const FileTree tree = hashes_.tree(root_, nullptr, &stamps).value();
  EXPECT_THAT(tree.files,
              ElementsAre(Field(&ArtifactEntry::path, "file"), Field(&ArtifactEntry::path, "folder/x"),
                          Field(&ArtifactEntry::path, "own")));
  EXPECT_EQ(tree.files[0].sha256, sha256_hex("one"));
  EXPECT_TRUE(is_untouched(root_, stamps));
  write("../real/deep/x", "two!");
  EXPECT_NE(digest(), tree.digest) << "what a link leads to was edited";
  EXPECT_FALSE(is_untouched(root_, stamps));
}

TEST_F(Trees, LinksThatLeadNowhereOrInCirclesAreLeftOut) {
  write("a/one", "1");
  write("../beside/two", "2");
  fs::create_symlink("..", root_ / "a/up");
  fs::create_symlink(dir_.path() / "beside", root_ / "a/over");
  fs::create_symlink(root_, dir_.path() / "beside/back");
  fs::create_symlink("self", root_ / "self");
  fs::create_symlink(dir_.path() / "later", root_ / "later");
  TreeStamps stamps;
  const FileTree tree = hashes_.tree(root_, nullptr, &stamps).value();
  EXPECT_THAT(tree.files,
              ElementsAre(Field(&ArtifactEntry::path, "a/one"), Field(&ArtifactEntry::path, "a/over/two")));
  write("../later", "there now");
  EXPECT_FALSE(is_untouched(root_, stamps));
  EXPECT_EQ(hashes_.tree(root_)->files.size(), 3u);
}

TEST_F(Trees, AnotherTimeIsNotAnotherContent) {
  write("a", "one");
  std::string before = digest();
  age("a");
  EXPECT_EQ(digest(), before);
}

TEST_F(Trees, OtherBytesWithTheOldTimeAndSizeAreNoticed) {
  write("a", "one");
  age("a");
  std::string before = digest();
  write("a", "two");
  age("a");
  EXPECT_NE(digest(), before);
}

TEST_F(Trees, AFileWrittenAMomentAgoIsReadAgain) {
  write("a", "one");
  std::string before = digest();
  KnownFile stamp =
      decode_known(read_file(fs::directory_iterator(dir_.path() / "memory")->path()).value())[0];
  EXPECT_FALSE(stamp.settled);
  EXPECT_EQ(digest(), before);
}

TEST_F(Trees, NamesAndExecutableBitsCountAndAddedAndRemovedFilesAreNoticed) {
  write("a", "one");
  std::vector<std::string> seen = {digest()};
  fs::rename(root_ / "a", root_ / "b");
  seen.push_back(digest());
  chmod((root_ / "b").c_str(), 0755);
  seen.push_back(digest());
  write("c", "one");
  seen.push_back(digest());
  EXPECT_EQ((std::set<std::string>(seen.begin(), seen.end()).size()), 4u);
  fs::remove(root_ / "c");
  EXPECT_EQ(digest(), seen[2]);
}

TEST_F(Trees, APlaceInATreeHasADigestOfItsOwn) {
  write("x/a", "1");
  write("x/b", "2");
  write("y", "3");
  FileTree tree = hashes_.tree(root_).value();
  EXPECT_EQ(tree.digest_of("y"), sha256_hex("3"));
  auto x = tree.digest_of("x");
  ASSERT_TRUE(x);
  EXPECT_FALSE(tree.digest_of("z"));
  write("y", "4");
  EXPECT_EQ(hashes_.tree(root_)->digest_of("x/"), x);
  write("x/b", "4");
  EXPECT_NE(hashes_.tree(root_)->digest_of("x"), x);
}

TEST_F(Trees, LargeFilesAmongSmallOnesHaveTheirOwnHashes) {
  for (int i = 0; i < 200; ++i)
    write(fmt::format("{}", i),
          std::string(i % 50 == 7 ? 3'000'000 + i : i, static_cast<char>('a' + i % 26)));
  FileTree found = hashes_.tree(root_).value();
  ASSERT_EQ(found.files.size(), 200u);
  for (const auto& file : found.files)
    EXPECT_EQ(file.sha256, sha256_file(root_ / file.path).value()) << file.path;
}

TEST_F(Trees, AFileIsATreeOfItselfAlsoThroughALink) {
  write("a", "one");
  fs::create_symlink(root_ / "a", root_ / "link");
  EXPECT_EQ(hashes_.file(root_ / "a").value(), sha256_hex("one"));
  EXPECT_EQ(hashes_.file(root_ / "link").value(), sha256_hex("one"));
  EXPECT_EQ(hashes_.file(root_ / "none").error().code, Code::kNotFound);
}

TEST_F(Trees, DamagedMemoryIsNotBelieved) {
  write("a", "one");
  age("a");
  std::string before = digest();
  fs::path memory = fs::directory_iterator(dir_.path() / "memory")->path();
  std::string bytes = read_file(memory).value();
  for (size_t length : {bytes.size() - 1, bytes.size() / 2, size_t{3}, size_t{0}}) {
    ASSERT_TRUE(write_file_atomic(memory, bytes.substr(0, length)));
    EXPECT_EQ(digest(), before);
  }
}

}  // namespace
}  // namespace tidemill::engine
