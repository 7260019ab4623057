#include "oci/tar.h"

#include <gmock/gmock.h>

#include "base/files.h"
#include "oci/gzip.h"
#include "oci/unpack.h"

namespace tidemill::oci {
namespace {

using ::testing::HasSubstr;

struct Tar {
  std::string bytes;
  TarWriter writer{[this](std::string_view part) -> Result<> {
                     bytes.append(part);
                     return {};
                   },
                   0};
};

std::vector<TarItem> items_of(std::string_view bytes) {
  TarReader reader(bytes);
  std::vector<TarItem> items;
  while (true) {
    auto item = reader.next();
    EXPECT_TRUE(item) << item.error().message;
    if (!item || !*item) return items;
    items.push_back(**item);
  }
}

TEST(Tar, WhatIsWrittenIsReadBackWithNamesOfAnyLength) {
  std::string split_name = std::string(120, 'd') + "/" + std::string(90, 'f');
  std::string long_name = std::string(300, 'n');
  Tar tar;
  ASSERT_TRUE(tar.writer.directory("a", 0755));
  ASSERT_TRUE(tar.writer.file("a/b", 0644, "hello"));
  ASSERT_TRUE(tar.writer.file(split_name, 0600, ""));
  ASSERT_TRUE(tar.writer.file(long_name, 0755, std::string(512, 'x')));
  ASSERT_TRUE(tar.writer.symlink("link", std::string(200, 't')));
  ASSERT_TRUE(tar.writer.finish());
  EXPECT_EQ(tar.bytes.size() % 512, 0u);

  auto items = items_of(tar.bytes);
  ASSERT_EQ(items.size(), 5u);
  EXPECT_EQ(items[0].kind, TarKind::kDirectory);
  EXPECT_EQ(items[1].path, "a/b");
  EXPECT_EQ(tar.bytes.substr(items[1].offset, items[1].size), "hello");
  EXPECT_EQ(items[2].path, split_name);
  EXPECT_EQ(items[3].path, long_name);
  EXPECT_EQ(items[3].mode, 0755u);
  EXPECT_EQ(items[4].link, std::string(200, 't'));
}

TEST(Tar, SystemTarAgrees) {
  auto dir = TempDir::create().value();
  Tar tar;
  std::string long_name = std::string(150, 'd') + "/" + std::string(150, 'n');
  ASSERT_TRUE(tar.writer.file(long_name, 0644, "content"));
  ASSERT_TRUE(tar.writer.symlink("s", "target"));
  ASSERT_TRUE(tar.writer.finish());
  ASSERT_TRUE(write_file_atomic(dir.path() / "x.tar", tar.bytes));
  std::string command = "cd '" + dir.path().string() + "' && tar --no-same-owner -xf x.tar";
  ASSERT_EQ(std::system(command.c_str()), 0);
  EXPECT_EQ(read_file(dir.path() / long_name).value(), "content");
  EXPECT_EQ(fs::read_symlink(dir.path() / "s"), "target");
}

TEST(Tar, WrongSizeAnnouncedIsCaught) {
  Tar tar;
  ASSERT_TRUE(tar.writer.begin_file("x", 0644, 10));
  ASSERT_TRUE(tar.writer.append("short"));
  EXPECT_FALSE(tar.writer.end_file());
}

TEST(Tar, DamagedAndCutArchivesAreRefused) {
  Tar tar;
  ASSERT_TRUE(tar.writer.file("x", 0644, std::string(2000, 'x')));
  ASSERT_TRUE(tar.writer.finish());
  std::string damaged = tar.bytes;
  damaged[10] ^= 1;
  EXPECT_FALSE(TarReader(damaged).next());
  EXPECT_FALSE(TarReader(std::string_view(tar.bytes).substr(0, 1000)).next());
  EXPECT_FALSE(TarReader(std::string_view(tar.bytes).substr(0, 300)).next());
}

TEST(Gzip, ComesBackAndIsTheSameTwice) {
  std::string text(100'000, 'a');
  auto once = gzip(text, 6).value();
  EXPECT_EQ(once, gzip(text, 6).value());
  EXPECT_EQ(gunzip(once, 1 << 20).value(), text);
  EXPECT_EQ(gunzip(once + once, 1 << 20).value(), text + text) << "two members";
}

TEST(Gzip, BombsAndDamageAreRefused) {
  auto bomb = gzip(std::string(10'000'000, '\0'), 9).value();
  auto result = gunzip(bomb, 1'000'000);
  ASSERT_FALSE(result);
  EXPECT_THAT(result.error().message, HasSubstr("more than"));
  bomb[bomb.size() / 2] ^= 0x55;
  EXPECT_FALSE(gunzip(bomb, 1 << 30));
  EXPECT_FALSE(gunzip("\x1f\x8b\x08", 100));
}

class Unpack : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(make_dirs(root()));
    ASSERT_TRUE(make_dirs(outside()));
    ASSERT_TRUE(write_file_atomic(outside() / "secret", "untouched"));
  }
  fs::path root() const { return dir_.path() / "root"; }
  fs::path outside() const { return dir_.path() / "outside"; }
  Result<> apply(const Tar& tar, UnpackLimits limits = {}) {
    UnpackCounters counters;
    return apply_layer(tar.bytes, root(), limits, counters);
  }
  TempDir dir_ = TempDir::create().value();
};

TEST_F(Unpack, FilesFoldersAndLinksArrive) {
  Tar tar;
  ASSERT_TRUE(tar.writer.directory("usr", 0755));
  ASSERT_TRUE(tar.writer.symlink("lib", "usr/lib"));
  ASSERT_TRUE(tar.writer.directory("usr/lib", 0755));
  ASSERT_TRUE(tar.writer.file("lib/x.so", 0755, "code"));
  ASSERT_TRUE(tar.writer.file("deep/er/y", 0600, "y"));
  ASSERT_TRUE(apply(tar));
  EXPECT_EQ(read_file(root() / "usr/lib/x.so").value(), "code");
  EXPECT_EQ(read_file(root() / "deep/er/y").value(), "y");
  EXPECT_EQ(fs::status(root() / "usr/lib/x.so").permissions(), fs::perms(0755));
}

TEST_F(Unpack, DotDotIsRefused) {
  Tar tar;
  ASSERT_TRUE(tar.writer.file("a/../../outside/secret", 0644, "owned"));
  EXPECT_FALSE(apply(tar));
  EXPECT_EQ(read_file(outside() / "secret").value(), "untouched");
}

TEST_F(Unpack, LinkOutOfTheImageIsNotFollowed) {
  Tar tar;
  ASSERT_TRUE(tar.writer.symlink("up", "../outside"));
  ASSERT_TRUE(tar.writer.symlink("absolute", outside().string()));
  ASSERT_TRUE(tar.writer.symlink("file", (outside() / "secret").string()));
  ASSERT_TRUE(tar.writer.file("file", 0644, "owned"));
  ASSERT_TRUE(apply(tar));
  Tar through;
  ASSERT_TRUE(through.writer.file("up/secret", 0644, "owned"));
  (void)apply(through);
  Tar absolute;
  ASSERT_TRUE(absolute.writer.file("absolute/secret", 0644, "owned"));
  (void)apply(absolute);
  EXPECT_EQ(read_file(outside() / "secret").value(), "untouched");
  EXPECT_FALSE(fs::is_symlink(root() / "file")) << "a file replaces the link, it does not write through it";
}

TEST_F(Unpack, WhiteoutsRemoveOnlyInside) {
  Tar first;
  ASSERT_TRUE(first.writer.file("a/one", 0644, "1"));
  ASSERT_TRUE(first.writer.file("a/two", 0644, "2"));
  ASSERT_TRUE(first.writer.file("b/three", 0644, "3"));
  ASSERT_TRUE(first.writer.symlink("out", outside().string()));
  ASSERT_TRUE(apply(first));
  Tar second;
  ASSERT_TRUE(second.writer.file("a/.wh.one", 0644, ""));
  ASSERT_TRUE(second.writer.file("b/.wh..wh..opq", 0644, ""));
  ASSERT_TRUE(second.writer.file(".wh.out", 0644, ""));
  ASSERT_TRUE(apply(second));
  EXPECT_FALSE(fs::exists(root() / "a/one"));
  EXPECT_TRUE(fs::exists(root() / "a/two"));
  EXPECT_FALSE(fs::exists(root() / "b/three"));
  EXPECT_FALSE(fs::is_symlink(root() / "out"));
  EXPECT_EQ(read_file(outside() / "secret").value(), "untouched");
  Tar parent;
  ASSERT_TRUE(parent.writer.file("a/.wh...", 0644, ""));
  EXPECT_FALSE(apply(parent)) << "a whiteout named '..'";
}

TEST_F(Unpack, LimitsHold) {
  Tar tar;
  ASSERT_TRUE(tar.writer.file("x", 0644, std::string(2000, 'x')));
  ASSERT_TRUE(tar.writer.file("y", 0644, std::string(2000, 'y')));
  EXPECT_FALSE(apply(tar, {.max_bytes = 3000}));
  EXPECT_FALSE(apply(tar, {.max_entries = 1}));
}

}  // namespace
}  // namespace tidemill::oci
