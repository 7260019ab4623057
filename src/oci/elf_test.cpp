#include "oci/elf.h"

#include <gmock/gmock.h>

#include "base/files.h"
#include "oci/libraries.h"

namespace tidemill::oci {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;

std::string own_program() { return read_file(fs::read_symlink("/proc/self/exe")).value(); }

TEST(Elf, NeededLibrariesAndInterpreterOfARealProgram) {
  auto elf = parse_elf(own_program());
  ASSERT_TRUE(elf) << elf.error().message;
  EXPECT_THAT(elf->needed, Contains("libc.so.6"));
  EXPECT_THAT(elf->interpreter, HasSubstr("/ld-"));
  EXPECT_FALSE(oci_architecture(elf->machine).empty());
}

TEST(Elf, TruncatedFileIsRefusedNotReadBeyond) {
  std::string bytes = own_program();
  for (size_t size : {size_t{0}, size_t{3}, size_t{16}, size_t{63}, size_t{64}, size_t{200}, size_t{900}}) {
    std::string part = bytes.substr(0, size);
    EXPECT_FALSE(parse_elf(part)) << size;
    EXPECT_EQ(without_symbols(part), part);
  }
}

TEST(Elf, TextIsNotElf) {
  auto elf = parse_elf("#!/bin/sh\necho no\n");
  ASSERT_FALSE(elf);
  EXPECT_THAT(elf.error().message, HasSubstr("not an ELF file"));
}

TEST(Elf, DroppingSymbolsKeepsTheProgramRunning) {
  auto dir = TempDir::create().value();
  std::string stripped = without_symbols(own_program());
  EXPECT_LT(stripped.size(), own_program().size());
  EXPECT_EQ(without_symbols(stripped), stripped);
  fs::path program = dir.path() / "program";
  ASSERT_TRUE(write_file_atomic(program, stripped));
  fs::permissions(program, fs::perms::owner_all);
  std::string command = program.string() + " --gtest_list_tests > /dev/null";
  EXPECT_EQ(std::system(command.c_str()), 0);
}

TEST(Libraries, EveryLibraryOfARealProgramIsFound) {
  auto libraries = needed_libraries("/proc/self/exe");
  ASSERT_TRUE(libraries) << libraries.error().message;
  std::vector<std::string> names;
  for (const Library& library : libraries->needed) {
    names.push_back(library.name);
    EXPECT_TRUE(fs::is_regular_file(library.file)) << library.file;
    EXPECT_FALSE(fs::is_symlink(library.file)) << library.file;
  }
  EXPECT_THAT(names, Contains("libc.so.6"));
  EXPECT_THAT(names, Contains("libstdc++.so.6"));
}

TEST(Libraries, MissingProgramIsNamed) {
  auto libraries = needed_libraries("/nowhere/server");
  ASSERT_FALSE(libraries);
  EXPECT_EQ(libraries.error().code, Code::kNotFound);
  EXPECT_THAT(libraries.error().message, HasSubstr("/nowhere/server"));
}

TEST(Libraries, SearchPathFollowsIncludesAndSurvivesACycle) {
  auto dir = TempDir::create().value();
  fs::path conf = dir.path() / "ld.so.conf";
  ASSERT_TRUE(write_file_atomic(conf, "# comment\ninclude more/*.conf\n/opt/one # here\n"));
  ASSERT_TRUE(make_dirs(dir.path() / "more"));
  ASSERT_TRUE(write_file_atomic(dir.path() / "more/a.conf", "/opt/two\ninclude " + conf.string() + "\n"));
  auto path = loader_search_path(conf);
  EXPECT_THAT(path, Contains(fs::path("/opt/one")));
  EXPECT_THAT(path, Contains(fs::path("/opt/two")));
  EXPECT_EQ(path.back(), fs::path("/usr/lib"));
}

}  // namespace
}  // namespace tidemill::oci
