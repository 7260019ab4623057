#include "tracking/registry.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

#include "base/files.h"
#include "test_database.h"

namespace tidemill::tracking {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::UnorderedElementsAre;

struct RegistryTest : testing::Test {
  TempDir folder = TempDir::create().value();
  std::string uri = test::new_database(folder.path() / "tidemill.db");
  Store store = Store::open({.uri = uri}).value();
  Registry registry{store};

  ModelVersion add_version(std::string name, std::string run_id = "", std::vector<KeyValue> tags = {}) {
    auto made = registry.create_version({.name = std::move(name),
                                         .source = "s3://b/m",
                                         .storage_location = "",
                                         .run_id = std::move(run_id),
                                         .run_link = "",
                                         .model_id = "",
                                         .description = "",
                                         .tags = std::move(tags)});
    EXPECT_TRUE(made) << made.error().message;
    return made.value_or(ModelVersion{});
  }
  void add_model(std::string name, std::vector<KeyValue> tags = {}) {
    auto made = registry.create_model({.name = std::move(name), .description = "", .tags = std::move(tags)});
    EXPECT_TRUE(made) << made.error().message;
  }
  std::vector<std::string> found_models(std::string filter, std::vector<std::string> order_by = {}) {
    auto page = registry.search_models({.filter = filter, .order_by = order_by, .page_token = ""});
    EXPECT_TRUE(page) << filter << ": " << page.error().message;
    std::vector<std::string> names;
    for (const auto& model : page.value_or(Page<RegisteredModel>{}).items) names.push_back(model.name);
    return names;
  }
  // "name/version"
  std::vector<std::string> found_versions(std::string filter, std::vector<std::string> order_by = {}) {
    auto page = registry.search_versions({.filter = filter, .order_by = order_by, .page_token = ""});
    EXPECT_TRUE(page) << filter << ": " << page.error().message;
    std::vector<std::string> found;
    for (const auto& version : page.value_or(Page<ModelVersion>{}).items)
      found.push_back(fmt::format("{}/{}", version.name, version.version));
    return found;
  }
};

template <class T>
void expect_error(const Result<T>& result, Code code, std::string_view message) {
  ASSERT_FALSE(result) << "expected: " << message;
  EXPECT_EQ(result.error().code, code) << to_string(result.error().code);
  EXPECT_EQ(result.error().message, message);
}

TEST_F(RegistryTest, a_model_comes_back_with_all_that_was_given) {
  auto made = registry.create_model({.name = "m", .description = "d", .tags = {{"k", "v"}, {"a", "b"}}});
  ASSERT_TRUE(made);
  EXPECT_GT(made->created, 0);
  EXPECT_EQ(made->created, made->updated);
  Registry reopened{store};
  auto model = reopened.model("m").value();
  EXPECT_EQ(model.description, "d");
  EXPECT_EQ(model.created, made->created);
  EXPECT_THAT(model.tags, ElementsAre(KeyValue{"a", "b"}, KeyValue{"k", "v"}));
  EXPECT_THAT(model.latest_versions, IsEmpty());
}

TEST_F(RegistryTest, a_name_is_given_once) {
  add_model("m");
  expect_error(registry.create_model({.name = "m", .description = "", .tags = {}}), Code::kConflict,
               "Registered Model (name=m) already exists.");
  expect_error(
      registry.create_model(
          {.name = "m", .description = "", .tags = {{std::string("mlflow.prompt.is_prompt"), "true"}}}),
      Code::kConflict,
      "Tried to create a prompt with name 'm', but the name is already taken by a registered model. A "
      "model and a prompt cannot have the same name.");
}

TEST_F(RegistryTest, names_that_are_paths_or_nothing_are_refused) {
  for (std::string name : {"a/b", "a:b"})
    expect_error(registry.create_model({.name = name, .description = "", .tags = {}}), Code::kInvalid,
                 fmt::format("Invalid model name '{}'. Names cannot contain '/' or ':'.", name));
  for (std::string name : {"", "  "})
    expect_error(registry.create_model({.name = name, .description = "", .tags = {}}), Code::kInvalid,
                 "Missing value for required parameter 'name'.");
  expect_error(registry.create_model({.name = "..", .description = "", .tags = {}}), Code::kInvalid,
               "Invalid value \"..\" for parameter 'name' supplied: Names may be treated as files in certain "
               "cases, and must not resolve to other names when treated as such. This name would resolve to "
               "'..'");
  EXPECT_EQ(registry.model(std::string(10 << 20, 'a')).error().code, Code::kInvalid);
  EXPECT_EQ(registry.model(std::string_view("a\0b", 3)).error().code, Code::kInvalid);
  EXPECT_EQ(registry.model("\xff\xfe").error().code, Code::kInvalid);
}

TEST_F(RegistryTest, sql_in_any_text_is_only_text) {
  const std::string evil = "x'); DROP TABLE registered_models; --";
  add_model(evil, {{"k", evil}});
  auto version = registry.create_version({.name = evil,
                                          .source = evil,
                                          .storage_location = evil,
                                          .run_id = evil,
                                          .run_link = evil,
                                          .model_id = "",
                                          .description = evil,
                                          .tags = {{"k", evil}}});
  ASSERT_TRUE(version);
  EXPECT_EQ(version->source, evil);
  EXPECT_THAT(found_models("name = \"" + evil + "\""), ElementsAre(evil));
  EXPECT_THAT(found_versions("run_id IN ('a', \"" + evil + "\")"), ElementsAre(evil + "/1"));
  EXPECT_EQ(registry.set_alias(evil, evil, 1).error().code, Code::kInvalid);
  EXPECT_EQ(registry.set_model_tag(evil, evil, "v").error().code, Code::kInvalid);
  EXPECT_EQ(registry.search_models({.filter = evil, .order_by = {}, .page_token = ""}).error().code,
            Code::kInvalid);
  EXPECT_EQ(registry.search_models({.filter = "", .order_by = {evil}, .page_token = ""}).error().code,
            Code::kInvalid);
  EXPECT_THAT(found_models(""), ElementsAre(evil));
}

TEST_F(RegistryTest, versions_count_up_and_a_deleted_number_is_not_given_again) {
  add_model("m");
  add_model("other");
  EXPECT_EQ(add_version("m").version, 1);
  EXPECT_EQ(add_version("m").version, 2);
  EXPECT_EQ(add_version("other").version, 1);
  ASSERT_TRUE(registry.delete_version("m", 2));
  EXPECT_EQ(add_version("m").version, 3);
  expect_error(registry.version("m", 2), Code::kNotFound, "Model Version (name=m, version=2) not found");
  expect_error(registry.delete_version("m", 2), Code::kNotFound,
               "Model Version (name=m, version=2) not found");
}

TEST_F(RegistryTest, two_who_register_at_once_get_two_numbers) {
  add_model("m");
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i)
    threads.emplace_back([this] {
      for (int j = 0; j < 25; ++j) add_version("m");
    });
  for (auto& thread : threads) thread.join();
  auto page = registry
                  .search_versions(
                      {.filter = "", .max_results = 200, .order_by = {"version_number"}, .page_token = ""})
                  .value();
  ASSERT_EQ(page.items.size(), 100u);
  for (size_t i = 0; i < 100; ++i) EXPECT_EQ(page.items[i].version, static_cast<int64_t>(i) + 1);
}

TEST_F(RegistryTest, a_version_of_no_model_is_refused_and_leaves_nothing) {
  expect_error(registry.create_version({.name = "none",
                                        .source = "s3://b",
                                        .storage_location = "",
                                        .run_id = "",
                                        .run_link = "",
                                        .model_id = "",
                                        .description = "",
                                        .tags = {}}),
               Code::kNotFound, "Registered Model with name=none not found");
  EXPECT_THAT(found_versions(""), IsEmpty());
}

TEST_F(RegistryTest, entering_a_stage_can_archive_who_was_there) {
  add_model("m");
  for (int i = 0; i < 3; ++i) add_version("m");
  ASSERT_TRUE(registry.transition("m", 1, Stage::kProduction, Others::kStay));
  ASSERT_TRUE(registry.transition("m", 2, Stage::kProduction, Others::kStay));
  EXPECT_EQ(registry.version("m", 1)->stage, Stage::kProduction);
  auto moved = registry.transition("m", 3, Stage::kProduction, Others::kArchive);
  ASSERT_TRUE(moved);
  EXPECT_EQ(moved->stage, Stage::kProduction);
  EXPECT_EQ(registry.version("m", 1)->stage, Stage::kArchived);
  EXPECT_EQ(registry.version("m", 2)->stage, Stage::kArchived);
  EXPECT_EQ(registry.transition("m", 3, Stage::kNone, Others::kArchive).error().code, Code::kInvalid);
  EXPECT_EQ(registry.model("m")->updated, moved->updated);
  // Once more, into the stage where it is: it stays.
  EXPECT_EQ(registry.transition("m", 3, Stage::kProduction, Others::kArchive)->stage, Stage::kProduction);
}

TEST_F(RegistryTest, the_newest_version_of_each_stage) {
  add_model("m");
  for (int i = 0; i < 4; ++i) add_version("m");
  ASSERT_TRUE(registry.transition("m", 2, Stage::kStaging, Others::kStay));
  ASSERT_TRUE(registry.transition("m", 1, Stage::kStaging, Others::kStay));
  auto numbers = [](const std::vector<ModelVersion>& versions) {
    std::vector<int64_t> out;
    for (const auto& version : versions) out.push_back(version.version);
    return out;
  };
  EXPECT_THAT(numbers(registry.latest_versions("m", {}).value()), UnorderedElementsAre(4, 2));
  EXPECT_THAT(numbers(registry.latest_versions("m", {Stage::kStaging}).value()), ElementsAre(2));
  EXPECT_THAT(numbers(registry.latest_versions("m", {Stage::kArchived}).value()), IsEmpty());
  EXPECT_THAT(numbers(registry.model("m")->latest_versions), UnorderedElementsAre(4, 2));
  EXPECT_EQ(parse_stage("pRoDuction").value(), Stage::kProduction);
  expect_error(parse_stage("foo"), Code::kInvalid,
               "Invalid Model Version stage: foo. Value must be one of None, Staging, Production, Archived.");
}

TEST_F(RegistryTest, an_alias_points_at_one_version_and_moves) {
  add_model("m");
  add_version("m");
  add_version("m");
  ASSERT_TRUE(registry.set_alias("m", "champion", 1));
  ASSERT_TRUE(registry.set_alias("m", "ältester-1", 1));
  EXPECT_THAT(registry.version("m", 1)->aliases, ElementsAre("champion", "ältester-1"));
  ASSERT_TRUE(registry.set_alias("m", "champion", 2));
  EXPECT_EQ(registry.version_by_alias("m", "champion")->version, 2);
  EXPECT_THAT(registry.version("m", 1)->aliases, ElementsAre("ältester-1"));
  EXPECT_EQ(registry.version_by_alias("m", "Latest")->version, 2);
  ASSERT_TRUE(registry.delete_alias("m", "champion"));
  ASSERT_TRUE(registry.delete_alias("m", "champion"));
  expect_error(registry.version_by_alias("m", "champion"), Code::kInvalid,
               "Registered model alias champion not found.");
  ASSERT_TRUE(registry.delete_version("m", 1));
  expect_error(registry.version_by_alias("m", "ältester-1"), Code::kInvalid,
               "Registered model alias ältester-1 not found.");
}

TEST_F(RegistryTest, aliases_that_read_like_versions_are_refused) {
  add_model("m");
  add_version("m");
  expect_error(registry.set_alias("m", "LATEST", 1), Code::kInvalid,
               "'latest' alias name (case insensitive) is reserved.");
  expect_error(registry.set_alias("m", "v1", 1), Code::kInvalid, "Version alias name 'v1' is reserved.");
  expect_error(
      registry.set_alias("m", "a b", 1), Code::kInvalid,
      "Invalid alias name: 'a b'. Names may only contain alphanumerics, underscores (_), and dashes (-).");
  expect_error(registry.set_alias("m", "", 1), Code::kInvalid,
               "Registered model alias name cannot be empty.");
  expect_error(registry.set_alias("m", std::string(256, 'a'), 1), Code::kInvalid,
               "'Registered model alias name' exceeds the maximum length of 255 characters");
  expect_error(registry.set_alias("m", "x", 9), Code::kNotFound,
               "Model Version (name=m, version=9) not found");
  EXPECT_TRUE(registry.set_alias("m", "v", 1));
  EXPECT_TRUE(registry.set_alias("m", "v1a", 1));
}

TEST_F(RegistryTest, a_renamed_model_keeps_versions_tags_and_aliases) {
  add_model("m", {{"k", "v"}});
  add_version("m", "", {{"x", "y"}});
  ASSERT_TRUE(registry.set_alias("m", "champion", 1));
  add_model("taken");
  expect_error(registry.rename_model("m", "taken"), Code::kConflict,
               "Registered Model (name=taken) already exists.");
  expect_error(registry.rename_model("none", "new"), Code::kNotFound,
               "Registered Model with name=none not found");
  expect_error(registry.rename_model("m", " "), Code::kInvalid,
               "Missing value for required parameter 'new_name'.");
  auto renamed = registry.rename_model("m", "n");
  ASSERT_TRUE(renamed);
  EXPECT_THAT(renamed->tags, ElementsAre(KeyValue{"k", "v"}));
  auto version = registry.version_by_alias("n", "champion").value();
  EXPECT_EQ(version.name, "n");
  EXPECT_EQ(version.updated, renamed->updated);
  EXPECT_THAT(version.tags, ElementsAre(KeyValue{"x", "y"}));
  EXPECT_EQ(registry.model("m").error().code, Code::kNotFound);
  EXPECT_TRUE(registry.rename_model("n", "n"));
}

TEST_F(RegistryTest, a_deleted_model_leaves_nothing_to_its_successor) {
  add_model("m", {{"k", "v"}});
  add_version("m", "r", {{"x", "y"}});
  ASSERT_TRUE(registry.set_alias("m", "champion", 1));
  ASSERT_TRUE(registry.delete_model("m"));
  expect_error(registry.delete_model("m"), Code::kNotFound, "Registered Model with name=m not found");
  EXPECT_THAT(found_versions(""), IsEmpty());
  add_model("m");
  EXPECT_THAT(registry.model("m")->tags, IsEmpty());
  EXPECT_THAT(registry.model("m")->aliases, IsEmpty());
  auto version = add_version("m");
  EXPECT_EQ(version.version, 1);
  EXPECT_THAT(version.tags, IsEmpty());
}

TEST_F(RegistryTest, descriptions_and_tags_change) {
  add_model("m");
  add_version("m");
  EXPECT_EQ(registry.update_model("m", "new")->description, "new");
  EXPECT_EQ(registry.update_version("m", 1, "text")->description, "text");
  EXPECT_EQ(registry.update_version("m", 1, std::nullopt)->description, std::nullopt);
  ASSERT_TRUE(registry.set_model_tag("m", "k", "1"));
  ASSERT_TRUE(registry.set_model_tag("m", "k", "2"));
  ASSERT_TRUE(registry.set_version_tag("m", 1, "k", "3"));
  EXPECT_THAT(registry.model("m")->tags, ElementsAre(KeyValue{"k", "2"}));
  EXPECT_THAT(registry.version("m", 1)->tags, ElementsAre(KeyValue{"k", "3"}));
  ASSERT_TRUE(registry.delete_model_tag("m", "k"));
  ASSERT_TRUE(registry.delete_version_tag("m", 1, "k"));
  ASSERT_TRUE(registry.delete_version_tag("m", 1, "k"));
  EXPECT_THAT(registry.version("m", 1)->tags, IsEmpty());
  expect_error(registry.set_model_tag("m", std::string(251, 'k'), "v"), Code::kInvalid,
               "'key' exceeds the maximum length of 250 characters");
  expect_error(registry.set_version_tag("m", 1, "k", std::string(100'001, 'v')), Code::kInvalid,
               "'value' exceeds the maximum length of 100000 characters");
  expect_error(registry.set_version_tag("m", 2, "k", "v"), Code::kNotFound,
               "Model Version (name=m, version=2) not found");
}

TEST_F(RegistryTest, models_are_found_by_name_and_tags) {
  add_model("alpha", {{"team", "a"}, {"odd key", "x"}});
  add_model("Beta", {{"team", "b"}});
  add_model("gamma");
  EXPECT_THAT(found_models(""), ElementsAre("Beta", "alpha", "gamma"));
  EXPECT_THAT(found_models("name = 'alpha'"), ElementsAre("alpha"));
  EXPECT_THAT(found_models("name != 'alpha'"), ElementsAre("Beta", "gamma"));
  EXPECT_THAT(found_models("name LIKE '%a'"), ElementsAre("Beta", "alpha", "gamma"));
  EXPECT_THAT(found_models("name LIKE 'b%'"), IsEmpty());
  EXPECT_THAT(found_models("name ILIKE 'b%'"), ElementsAre("Beta"));
  EXPECT_THAT(found_models("name IN ('alpha', 'Beta')"), ElementsAre("Beta", "alpha"));
  EXPECT_THAT(found_models("tags.team != 'a'"), ElementsAre("Beta"));
  EXPECT_THAT(found_models("tags.`odd key` = 'x' AND name LIKE 'al%'"), ElementsAre("alpha"));
  EXPECT_THAT(found_models("", {"name DESC"}), ElementsAre("gamma", "alpha", "Beta"));
  EXPECT_THAT(found_models("", {"last_updated_timestamp DESC", "name DESC"}).size(), 3u);
}

TEST_F(RegistryTest, wrong_searches_say_what_is_wrong) {
  auto refuse = [&](std::string filter, std::string_view message) {
    expect_error(registry.search_models({.filter = std::move(filter), .order_by = {}, .page_token = ""}),
                 Code::kInvalid, message);
  };
  refuse("foo = 'x'",
         "Invalid attribute key 'foo' specified. Valid keys are '{'name'}' (column 1 of the filter)");
  refuse("metrics.m = 1",
         "Invalid entity type 'metrics'. Valid entity types are ('attribute', 'tag', 'tags') (column 1 of "
         "the filter)");
  refuse("name > 'x'", "Invalid comparator for attribute: > (column 6 of the filter)");
  refuse("tags.t > 'x'", "Invalid comparator for tag: > (column 8 of the filter)");
  refuse("name = 5",
         "Expected a quoted string value or a list of quoted string values for attributes. Got value 5 "
         "(column 8 of the filter)");
  expect_error(
      registry.search_versions({.filter = "version_number = 'abc'", .order_by = {}, .page_token = ""}),
      Code::kInvalid,
      "Invalid value for numeric attribute 'version_number': 'abc' (column 18 of the filter)");
  expect_error(
      registry.search_versions({.filter = "version_number LIKE '1'", .order_by = {}, .page_token = ""}),
      Code::kInvalid, "Invalid comparator for attribute version_number: LIKE (column 16 of the filter)");
  expect_error(
      registry.search_models({.filter = "", .max_results = 1001, .order_by = {}, .page_token = ""}),
      Code::kInvalid,
      "Invalid value for request parameter max_results. It must be from 1 to 1000, but got value 1001");
  expect_error(
      registry.search_models({.filter = "", .max_results = -1, .order_by = {}, .page_token = ""}),
      Code::kInvalid,
      "Invalid value for request parameter max_results. It must be from 1 to 1000, but got value -1");
  expect_error(registry.search_versions({.filter = "", .max_results = 0, .order_by = {}, .page_token = ""}),
               Code::kInvalid, "Invalid value for max_results. It must be a positive integer, but got 0");
  expect_error(registry.search_versions({.filter = "", .order_by = {}, .page_token = "!"}), Code::kInvalid,
               "Invalid page token, could not base64-decode");
}

TEST_F(RegistryTest, versions_are_found_and_ordered) {
  add_model("a");
  add_model("b");
  add_version("a", "run1", {{"t", "x"}});
  add_version("a", "run2");
  add_version("b", "run1");
  EXPECT_THAT(found_versions("name = 'a'", {"version_number ASC"}), ElementsAre("a/1", "a/2"));
  EXPECT_THAT(found_versions("name IN ('b')"), ElementsAre("b/1"));
  EXPECT_THAT(found_versions("run_id = 'run1'"), UnorderedElementsAre("a/1", "b/1"));
  EXPECT_THAT(found_versions("run_id IN ('run2', 'none')"), ElementsAre("a/2"));
  EXPECT_THAT(found_versions("version_number > 1"), ElementsAre("a/2"));
  EXPECT_THAT(found_versions("version_number = '1'"), UnorderedElementsAre("a/1", "b/1"));
  EXPECT_THAT(found_versions("source_path LIKE 's3:%' AND tags.t = 'x'"), ElementsAre("a/1"));
  EXPECT_THAT(found_versions("", {"name DESC"}), ElementsAre("b/1", "a/2", "a/1"));
  ASSERT_TRUE(registry.delete_version("a", 1));
  EXPECT_THAT(found_versions("", {"name"}), ElementsAre("a/2", "b/1"));
}

TEST_F(RegistryTest, the_last_changed_version_comes_first) {
  add_model("m");
  for (int i = 0; i < 3; ++i) add_version("m");
  // Time stands still within a millisecond: wait until the clock moves.
  int64_t before = registry.version("m", 3)->updated;
  while (registry.update_version("m", 1, "changed")->updated == before) {
  }
  EXPECT_THAT(found_versions(""), ElementsAre("m/1", "m/3", "m/2"));
}

TEST_F(RegistryTest, pages_cover_everything_once) {
  for (int i = 0; i < 5; ++i) add_model(fmt::format("m{}", i));
  for (int i = 0; i < 5; ++i) add_version("m0");
  SearchRegistry search{.filter = "", .max_results = 2, .order_by = {"name DESC"}, .page_token = ""};
  std::vector<std::string> names;
  do {
    auto page = registry.search_models(search).value();
    EXPECT_LE(page.items.size(), 2u);
    for (const auto& model : page.items) names.push_back(model.name);
    search.page_token = page.next_page_token;
  } while (!search.page_token.empty());
  EXPECT_THAT(names, ElementsAre("m4", "m3", "m2", "m1", "m0"));
  auto page = registry.search_versions({.filter = "", .max_results = 5, .order_by = {}, .page_token = ""});
  EXPECT_EQ(page->items.size(), 5u);
  EXPECT_EQ(page->next_page_token, "");
}

TEST_F(RegistryTest, prompts_are_found_only_by_asking_for_them) {
  add_model("model");
  add_model("prompt", {{"mlflow.prompt.is_prompt", "true"}});
  add_version("model");
  add_version("prompt", "", {{"mlflow.prompt.is_prompt", "true"}});
  EXPECT_THAT(found_models(""), ElementsAre("model"));
  EXPECT_THAT(found_models("tags.`mlflow.prompt.is_prompt` != 'true'"), ElementsAre("model"));
  EXPECT_THAT(found_models("name LIKE '%' AND tags.`mlflow.prompt.is_prompt` = 'false'"),
              ElementsAre("model"));
  EXPECT_THAT(found_models("tags.`mlflow.prompt.is_prompt` = 'true'"), ElementsAre("prompt"));
  EXPECT_THAT(found_versions(""), ElementsAre("model/1"));
  EXPECT_THAT(found_versions("tags.`mlflow.prompt.is_prompt` = 'true'"), ElementsAre("prompt/1"));
}

TEST_F(RegistryTest, more_versions_than_fit_into_one_list_of_ids_keep_their_tags) {
  add_model("m");
  for (int i = 0; i < 501; ++i) add_version("m", "", {{"i", std::to_string(i)}});
  auto page = registry
                  .search_versions(
                      {.filter = "", .max_results = 1000, .order_by = {"version_number"}, .page_token = ""})
                  .value();
  ASSERT_EQ(page.items.size(), 501u);
  for (size_t i = 0; i < 501; ++i)
    EXPECT_THAT(page.items[i].tags, ElementsAre(KeyValue{"i", std::to_string(i)}));
}

TEST_F(RegistryTest, what_was_answered_is_in_a_second_process) {
  add_model("m");
  add_version("m");
  ASSERT_TRUE(registry.set_alias("m", "champion", 1));
  Store other = Store::open({.uri = uri}).value();
  EXPECT_EQ(Registry(other).version_by_alias("m", "champion")->version, 1);
}

}  // namespace
}  // namespace tidemill::tracking
