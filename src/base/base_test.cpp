#include <gmock/gmock.h>

#include <cmath>
#include <fstream>
#include <limits>

#include "base/base64.h"
#include "base/files.h"
#include "base/hash.h"
#include "base/id.h"
#include "base/json.h"
#include "base/json_numbers.h"
#include "base/shared.h"
#include "base/text.h"
#include "base/time.h"

namespace tidemill {
namespace {

Result<int> half(int n) {
  if (n % 2) return fail(Code::kInvalid, "{} is odd", n);
  return n / 2;
}
Result<int> quarter(int n) { return TRY_IN("outer", half(TRY(half(n)))); }

TEST(Result, TryReturnsTheErrorWithItsContext) {
  EXPECT_EQ(quarter(8).value(), 2);
  EXPECT_EQ(quarter(6).error().message, "outer: 3 is odd");
  EXPECT_EQ(exit_code(quarter(6).error().code), 2);
}

TEST(Json, RefusesBrokenTextWithThePosition) {
  EXPECT_EQ(parse_json("{\"a\": [1, 2]}").value()["a"][1], 2);
  EXPECT_THAT(parse_json("{\"a\": }").error().message, testing::HasSubstr("byte 7"));
  EXPECT_FALSE(parse_json("{} x"));
  EXPECT_FALSE(parse_json(""));
}

TEST(Json, RefusesDeepNestingInsteadOfExhaustingTheStack) {
  EXPECT_FALSE(parse_json(std::string(100000, '[')));
  EXPECT_FALSE(parse_json(std::string(1000, '[') + std::string(1000, ']')));
  EXPECT_TRUE(parse_json(std::string(100, '[') + std::string(100, ']')));
}

// Searching the object from its start for each key would take minutes here.
TEST(Json, ReadsAnObjectOfVeryManyKeysInOrderAndTheLastOfARepeatedKeyWins) {
  constexpr int kKeys = 400000;
  std::string text = "{";
  for (int i = 0; i < kKeys; ++i) text += fmt::format("\"{}\":{},", i, i);
  const Json object = parse_json(text + R"("7":{"a":1,"a":2},"last":[]})").value();
  ASSERT_EQ(object.size(), kKeys + 1u);
  EXPECT_EQ(object.begin().key(), "0");
  EXPECT_EQ(std::prev(object.end()).key(), "last");
  EXPECT_EQ(dump_json(object["7"]), R"({"a":2})");
}

TEST(Json, RefusesANumberThatFitsNoDouble) {
  EXPECT_THAT(parse_json("[1e999]").error().message, testing::HasSubstr("number overflow"));
}

TEST(Json, PrintsKeysInTheOrderTheyWereSetAndSurvivesBadUtf8) {
  EXPECT_EQ(dump_json(Json{{"b", 1}, {"a", "x"}}), R"({"b":1,"a":"x"})");
  EXPECT_EQ(dump_json(Json("\xff")), "\"\xEF\xBF\xBD\"");
}

TEST(Shared, ACopyThatIsChangedLeavesTheOthersAlone) {
  Shared<std::string> first("a"), second = first, none;
  EXPECT_EQ(&*first, &*second) << "what is alike is there once";
  second.edit() += "b";
  EXPECT_EQ(*first, "a");
  EXPECT_EQ(*second, "ab");
  const std::string* place = &*second;
  EXPECT_EQ(&second.edit(), place) << "what is one's own is changed in place";
  none.edit() = "c";
  EXPECT_EQ(*Shared<std::string>(), "") << "what begins as nothing is shared too";
}

TEST(Text, ShowsUrlsWithoutWhatTheyLogInWith) {
  EXPECT_EQ(without_credentials("'https://ada:p@ss@host/a@b' and http://token@b:80?q"),
            "'https://host/a@b' and http://b:80?q");
  EXPECT_EQ(without_credentials("ssh://git@host/a.git"), "ssh://git@host/a.git") << "no secret";
  EXPECT_EQ(without_credentials("a://"), "a://");
}

TEST(Text, FindsTheNearestName) {
  EXPECT_EQ(nearest("tarin", {"preprocess", "train", "build"}), "train");
  EXPECT_EQ(nearest("zebra", {"preprocess", "train"}), "");
}

TEST(Text, PrintsHumanFigures) {
  EXPECT_EQ(human_bytes(999), "999 B");
  EXPECT_EQ(human_bytes(38000000), "38.0 MB");
  EXPECT_EQ(human_duration(0.25), "250 ms");
  EXPECT_EQ(human_duration(75), "1 min 15 s");
  EXPECT_EQ(human_count(60000), "60 000");
}

TEST(Text, QuotesForTheShellLikePython) {
  EXPECT_EQ(shell_quote("plain-1.0"), "plain-1.0");
  EXPECT_EQ(shell_quote("it's"), R"('it'"'"'s')");
  EXPECT_EQ(shell_quote(""), "''");
}

TEST(Text, DecodesUrls) {
  EXPECT_EQ(url_decode("a%2Fb%zz+c"), "a/b%zz+c");
  EXPECT_EQ(url_decode("a+b", true), "a b");
  EXPECT_EQ(url_encode("a b/ä", "/"), "a%20b/%C3%A4");
}

TEST(Text, ChecksUtf8) {
  EXPECT_TRUE(is_utf8("aä€😀"));
  EXPECT_FALSE(is_utf8("\xC0\x80"));      // overlong
  EXPECT_FALSE(is_utf8("\xED\xA0\x80"));  // surrogate
  EXPECT_FALSE(is_utf8("\xE2\x82"));      // cut off
}

TEST(Id, RunIdsAreVersion4Uuids) {
  std::string id = new_run_id();
  EXPECT_THAT(id, testing::MatchesRegex("[0-9a-f]{12}4[0-9a-f]{3}[89ab][0-9a-f]{15}"));
  EXPECT_NE(id, new_run_id());
}

TEST(Hash, MatchesThePublishedVector) {
  EXPECT_EQ(sha256_hex("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(md5_hex("abc"), "900150983cd24fb0d6963f7d28e17f72");
}

TEST(Hash, HmacMatchesThePublishedVector) {  // RFC 4231, test case 2
  EXPECT_EQ(to_hex(hmac_sha256("Jefe", "what do ya want for nothing?")),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
}

TEST(Base64, MatchesThePublishedVectorsBothWays) {  // RFC 4648, section 10
  for (auto [bytes, text] : {std::pair("", ""), std::pair("f", "Zg=="), std::pair("fo", "Zm8="),
                             std::pair("foo", "Zm9v"), std::pair("foobar", "Zm9vYmFy")}) {
    EXPECT_EQ(base64_encode(bytes), text);
    EXPECT_EQ(base64_decode(text), bytes);
  }
  EXPECT_EQ(base64url_encode("\xfb\xff"), "-_8");
  for (std::string_view bad : {"Zg=", "Z===", "Zm9v\n", "Zg==Zg==", "Z!==", "-_8="})
    EXPECT_FALSE(base64_decode(bad)) << bad;
}

TEST(Time, FormatsUtc) { EXPECT_EQ(format_utc(1795381784145), "2026-11-22T21:09:44Z"); }

TEST(Files, AtomicWriteReplacesAndLeavesNothingBehind) {
  TempDir dir = TempDir::create().value();
  ASSERT_TRUE(write_file_atomic(dir.path() / "f", "one"));
  ASSERT_TRUE(write_file_atomic(dir.path() / "f", "two"));
  EXPECT_EQ(read_file(dir.path() / "f").value(), "two");
  EXPECT_EQ(std::distance(fs::directory_iterator(dir.path()), {}), 1);
  EXPECT_EQ(write_file_atomic(dir.path() / "none" / "f", "x").error().message,
            fmt::format("create {}: No such file or directory", (dir.path() / "none" / "f").string()));
}

TEST(Files, what_is_created_never_takes_anothers_place) {
  TempDir dir = TempDir::create().value();
  ASSERT_TRUE(create_file_atomic(dir.path() / "f", "one"));
  fs::create_symlink("nowhere", dir.path() / "link");
  for (std::string_view name : {"f", "link"})
    EXPECT_EQ(create_file_atomic(dir.path() / name, "two").error().code, Code::kConflict) << name;
  EXPECT_EQ(read_file(dir.path() / "f").value(), "one");
  EXPECT_EQ(std::distance(fs::directory_iterator(dir.path()), {}), 2);
}

TEST(Files, no_memory_is_taken_for_a_file_that_is_refused) {
  TempDir dir = TempDir::create().value();
  fs::path sparse = dir.path() / "sparse";
  ASSERT_TRUE(write_file_atomic(sparse, ""));
  fs::resize_file(sparse, uint64_t{1} << 43);
  EXPECT_THAT(read_file(sparse).error().message, testing::HasSubstr("larger than"));
}

TEST(Files, AtomicWriteOntoAFullDiskKeepsTheOldFile) {
  if (!fs::exists("/dev/full")) GTEST_SKIP() << "no /dev/full";
  Fd full = open_file("/dev/full", 1).value();
  auto written = write_all(full, "x");
  ASSERT_FALSE(written);
  EXPECT_EQ(written.error().code, Code::kUnavailable);
}

TEST(Files, PathInsideRefusesEveryWayOut) {
  TempDir dir = TempDir::create().value();
  ASSERT_TRUE(make_dirs(dir.path() / "root" / "sub"));
  fs::create_directory_symlink("/etc", dir.path() / "root" / "link");
  fs::path root = dir.path() / "root";
  for (std::string_view bad :
       {"../x", "a/../../x", "/etc/passwd", "a//b", ".", "a/./b", "link/passwd", "a\\b"})
    EXPECT_FALSE(path_inside(root, bad)) << bad;
  EXPECT_FALSE(path_inside(root, std::string_view("a\0b", 3)));
  EXPECT_EQ(path_inside(root, "sub/new.txt").value(), root / "sub/new.txt");
}

TEST(JsonNumbers, integers_come_as_strings_too_and_must_be_whole) {
  EXPECT_EQ(json_integer(Json("9223372036854775807")), INT64_MAX);
  EXPECT_EQ(json_integer(Json(17.0)), 17);
  for (const Json& bad :
       {Json(17.5), Json(1e300), Json(uint64_t{1} << 63), Json("17x"), Json(""), Json(true), Json()})
    EXPECT_FALSE(json_integer(bad)) << bad;
}

TEST(JsonNumbers, what_json_has_no_word_for_is_a_string_and_comes_back) {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  EXPECT_EQ(json_of_real(-kInfinity), "-Infinity");
  EXPECT_TRUE(std::isnan(json_real(json_of_real(std::nan(""))).value()));
  for (double value : {kInfinity, -kInfinity, 0.1}) EXPECT_EQ(json_real(json_of_real(value)), value);
  for (const Json& bad : {Json("nan"), Json("0.1"), Json(), Json(true)}) EXPECT_FALSE(json_real(bad)) << bad;
}

TEST(Durations, are_written_with_their_units) {
  EXPECT_EQ(parse_duration("1d2h3m4.5s"), ((26 * 60 + 3) * 60 + 4) * 1000 + 500);
  EXPECT_EQ(parse_duration("0.5h"), 1'800'000);
  for (const char* bad : {"", "5", "5x", "3m2h", "-1s", "nans", "1e3s", "99999999999999d", "1s ", " 1s"})
    EXPECT_EQ(parse_duration(bad), std::nullopt) << bad;
}

}  // namespace
}  // namespace tidemill
