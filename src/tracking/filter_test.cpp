#include "tracking/filter.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "base/files.h"
#include "base/text.h"
#include "test_database.h"
#include "tracking/lineage.h"
#include "tracking/page_token.h"
#include "tracking/store.h"

namespace tidemill::tracking {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::UnorderedElementsAre;

// Three runs: "one" (oldest), "two", "three".
struct SearchTest : testing::Test {
  TempDir folder = TempDir::create().value();
  Store store = Store::open({.uri = test::new_database(folder.path() / "x.db"),
                             .default_artifact_root = "mlflow-artifacts:"})
                    .value();
  std::vector<std::string> ids;

  void SetUp() override {
    add("one", 1000,
        {.metrics = {{"m", 1.5, 1, 0}, {"my key", 1, 1, 0}},
         .params = {{"p", "1"}, {"q", "x"}},
         .tags = {{"t", "Alpha"}}});
    add("two", 2000,
        {.metrics = {{"m", -3, 1, 0}, {"n", std::nan(""), 1, 0}},
         .params = {{"p", "10"}},
         .tags = {{"t", "beta"}, {"a.b", "c"}, {"path", "C:\\New_100%"}}});
    add("three", 3000, {.metrics = {{"n", 7, 1, 0}}, .params = {}, .tags = {}});
    EXPECT_TRUE(
        store.update_run({.run_id = ids[0], .status = RunStatus::kFinished, .end_time = 1500, .name = {}}));
  }
  void add(const char* name, int64_t start, const Batch& batch) {
    CreateRun create;
    create.name = name;
    create.start_time = start;
    create.user = std::string("user of ") + name;
    ids.push_back(store.create_run(create).value().info.id);
    EXPECT_TRUE(store.log_batch(ids.back(), batch));
  }
  static SearchRuns search_for(std::string filter, std::vector<std::string> order_by = {}) {
    SearchRuns search;
    search.experiment_ids = {"0"};
    search.filter = std::move(filter);
    search.order_by = std::move(order_by);
    return search;
  }
  std::vector<std::string> names(const SearchRuns& search) {
    std::vector<std::string> out;
    auto page = store.search_runs(search);
    EXPECT_TRUE(page) << search.filter << ": " << page.error().message;
    if (page)
      for (const auto& run : page->items) out.push_back(run.info.name);
    return out;
  }
  std::vector<std::string> found(const std::string& filter) { return names(search_for(filter)); }
  std::vector<std::string> ordered(std::vector<std::string> order_by) {
    return names(search_for("", std::move(order_by)));
  }
  void refused(const std::string& filter, std::string_view message) {
    auto page = store.search_runs(search_for(filter));
    ASSERT_FALSE(page) << filter;
    EXPECT_EQ(page.error().code, Code::kInvalid);
    EXPECT_THAT(page.error().message, HasSubstr(std::string(message))) << filter;
  }
};

TEST_F(SearchTest, without_a_filter_the_newest_run_comes_first_with_its_data) {
  auto page = store.search_runs(search_for("")).value();
  ASSERT_EQ(page.items.size(), 3u);
  EXPECT_EQ(page.items[0].info.name, "three");
  EXPECT_EQ(page.items[2].info.name, "one");
  EXPECT_EQ(page.items[2].param("q"), "x");
  EXPECT_EQ(page.items[2].metric("m"), 1.5);
  EXPECT_EQ(page.items[2].tag("t"), "Alpha");
  EXPECT_EQ(page.next_page_token, "");
}

TEST_F(SearchTest, without_experiments_nothing_is_found) {
  SearchRuns search;
  EXPECT_TRUE(store.search_runs(search).value().items.empty());
}

TEST_F(SearchTest, metrics_compare_as_numbers) {
  EXPECT_THAT(found("metrics.m = 1.5"), ElementsAre("one"));
  EXPECT_THAT(found("metric.m > -4"), ElementsAre("two", "one"));
  EXPECT_THAT(found("metrics.m >= 1.5"), ElementsAre("one"));
  EXPECT_THAT(found("metrics.m < 1e-3"), ElementsAre("two"));
  EXPECT_THAT(found("metrics.m <= -3"), ElementsAre("two"));
  EXPECT_THAT(found("metrics.m>-3"), ElementsAre("one"));
  EXPECT_THAT(found("metrics.m != 1.5"), ElementsAre("two"));
  EXPECT_THAT(found("metrics.`my key` = 1"), ElementsAre("one"));
  EXPECT_THAT(found("metrics.\"my key\" = 1"), ElementsAre("one"));
}

// PostgreSQL looked for the best order to join them, for minutes.
TEST_F(SearchTest, a_filter_may_ask_for_many_values) {
  std::vector<std::string> tests;
  for (int i = 0; i < 100; ++i) tests.push_back(fmt::format("params.p != 'x{}'", i));
  EXPECT_THAT(found(join(tests, " AND ")), ElementsAre("two", "one"));
  EXPECT_THAT(found(join(tests, " OR ") + " OR tags.t = 'none'"), ElementsAre("two", "one"));
}

TEST_F(SearchTest, an_integer_that_no_metric_can_hold_is_the_next_to_it) {
  add("large", 4000, {.metrics = {{"l", 9007199254740993.0, 1, 0}}, .params = {}, .tags = {}});
  EXPECT_THAT(found("metrics.l = 9007199254740993"), ElementsAre("large"));
  EXPECT_THAT(found("metrics.l > 9007199254740992"), IsEmpty());
}

TEST_F(SearchTest, a_nan_compares_with_nothing_but_is_unequal_to_all) {
  EXPECT_THAT(found("metrics.n > -1"), ElementsAre("three"));
  EXPECT_THAT(found("metrics.n = 0"), IsEmpty());
  EXPECT_THAT(found("metrics.n != 7"), ElementsAre("two"));
}

TEST_F(SearchTest, params_and_tags_compare_as_text) {
  EXPECT_THAT(found("params.p = '1'"), ElementsAre("one"));
  EXPECT_THAT(found("params.p = \"1\""), ElementsAre("one"));
  EXPECT_THAT(found("parameters.`p` != '1'"), ElementsAre("two"));
  EXPECT_THAT(found("param.p LIKE '1%'"), ElementsAre("two", "one"));
  EXPECT_THAT(found("tags.t LIKE 'alpha'"), IsEmpty());
  EXPECT_THAT(found("tag.t ILIKE 'ALPH_'"), ElementsAre("one"));
  EXPECT_THAT(found("tags.a.b = 'c'"), ElementsAre("two"));
  for (const char* like : {"LIKE", "ILIKE"}) {  // a backslash is one, a % behind it is none the less
    EXPECT_THAT(found(fmt::format("tags.path {} 'C:\\%'", like)), ElementsAre("two"));
    EXPECT_THAT(found(fmt::format("tags.path {} '%\\New%'", like)), ElementsAre("two"));
    EXPECT_THAT(found(fmt::format("tags.path {} '%\\'", like)), IsEmpty());
    EXPECT_THAT(found(fmt::format("tags.path {} '%100\\%'", like)), IsEmpty());
  }
  EXPECT_THAT(found("tags.\"t\" = 'beta' and params.p = '10'"), ElementsAre("two"));
}

TEST_F(SearchTest, a_missing_key_matches_only_is_null) {
  EXPECT_THAT(found("params.zz != '1'"), IsEmpty());
  EXPECT_THAT(found("metrics.zz != 1"), IsEmpty());
  EXPECT_THAT(found("params.p IS NULL"), ElementsAre("three"));
  EXPECT_THAT(found("params.zz IS NULL"), ElementsAre("three", "two", "one"));
  EXPECT_THAT(found("tags.t is not null AND params.q IS NOT NULL"), ElementsAre("one"));
  EXPECT_THAT(found("dataset.name = 'x'"), IsEmpty());
  EXPECT_THAT(found("datasets.digest != 'x'"), IsEmpty());
}

TEST_F(SearchTest, attributes_have_aliases_and_need_no_entity) {
  EXPECT_THAT(found("attributes.status = 'FINISHED'"), ElementsAre("one"));
  EXPECT_THAT(found("status != 'FINISHED'"), ElementsAre("three", "two"));
  EXPECT_THAT(found("attr.status LIKE 'RUN%'"), ElementsAre("three", "two"));
  EXPECT_THAT(found("run.start_time >= 2000"), ElementsAre("three", "two"));
  EXPECT_THAT(found("created < 2000"), ElementsAre("one"));
  EXPECT_THAT(found("attributes.end_time > 0"), ElementsAre("one"));
  EXPECT_THAT(found("attributes.`run name` = 'two'"), ElementsAre("two"));
  EXPECT_THAT(found("run_name ILIKE 'T%'"), ElementsAre("three", "two"));
  EXPECT_THAT(found("user_id = 'user of one'"), ElementsAre("one"));
  EXPECT_THAT(found("artifact_uri LIKE 'mlflow%'"), ElementsAre("three", "two", "one"));
}

TEST_F(SearchTest, runs_are_found_by_their_data_sets) {
  auto dataset = [](std::string name, std::string digest) {
    return Dataset{.name = std::move(name), .digest = std::move(digest), .source_type = "s", .source = "x"};
  };
  ASSERT_TRUE(Lineage(store).log_inputs(
      ids[0], {{dataset("train", "d1"), {{"mlflow.data.context", "training"}}}, {dataset("test", "d2"), {}}},
      {}));
  ASSERT_TRUE(Lineage(store).log_inputs(ids[1], {{dataset("train", "d3"), {}}}, {}));
  EXPECT_THAT(found("dataset.name = 'train'"), ElementsAre("two", "one"));
  EXPECT_THAT(found("datasets.name = 'train' AND dataset.digest IN ('d1', 'd9')"), ElementsAre("one"));
  EXPECT_THAT(found("dataset.context = 'training'"), ElementsAre("one"));
  EXPECT_THAT(found("dataset.digest != 'd1'"), ElementsAre("two", "one")) << "one has d2 besides";
  EXPECT_THAT(found("dataset.name IS NULL"), ElementsAre("three"));
  EXPECT_THAT(found("dataset.name LIKE 'te%'"), ElementsAre("one"));
  refused("dataset.size = 'x'", "Invalid dataset key 'size' specified.");
}

TEST_F(SearchTest, run_ids_can_be_listed) {
  EXPECT_THAT(found("run_id IN ('" + ids[0] + "', \"" + ids[2] + "\")"), ElementsAre("three", "one"));
  EXPECT_THAT(found("attributes.run_id not in ('" + ids[0] + "')"), ElementsAre("three", "two"));
  EXPECT_THAT(found("run_id = '" + ids[1] + "'"), ElementsAre("two"));
}

TEST_F(SearchTest, text_with_quotes_semicolons_and_sql_is_only_text) {
  ASSERT_TRUE(store.set_tag(ids[0], "evil", "x'; DROP TABLE runs; --"));
  EXPECT_THAT(found("tags.evil = \"x'; DROP TABLE runs; --\""), ElementsAre("one"));
  EXPECT_THAT(found("tags.evil = 'x''; DROP TABLE runs; --'"), ElementsAre("one"));
  EXPECT_THAT(found("tags.`') OR 1=1 --` = 'x'"), IsEmpty());
}

TEST_F(SearchTest, conditions_are_joined_negated_and_grouped) {
  EXPECT_THAT(found("metrics.m > 1 OR metrics.n = 7"), ElementsAre("three", "one"));
  EXPECT_THAT(found("metrics.m > 1 or metrics.n = 7 and params.p = '1'"), ElementsAre("one"))
      << "AND binds tighter";
  EXPECT_THAT(found("(metrics.m > 1 OR metrics.n = 7) AND run_name != 'one'"), ElementsAre("three"));
  EXPECT_THAT(found("NOT run_name = 'one'"), ElementsAre("three", "two"));
  EXPECT_THAT(found("not (run_name = 'one' OR run_name = 'two')"), ElementsAre("three"));
  EXPECT_THAT(found("NOT NOT ((run_name = 'one'))"), ElementsAre("one"));
  EXPECT_THAT(found("NOT metrics.m > 1"), ElementsAre("three", "two")) << "three has no m";
  EXPECT_THAT(found("NOT end_time > 0"), ElementsAre("three", "two"));
}

TEST_F(SearchTest, lists_and_null_tests_go_with_everything) {
  EXPECT_THAT(found("params.p IN ('1', '10')"), ElementsAre("two", "one"));
  EXPECT_THAT(found("params.p NOT IN ('1')"), ElementsAre("two"));
  EXPECT_THAT(found("tags.t IN ('alpha', 'Alpha')"), ElementsAre("one"));
  EXPECT_THAT(found("metrics.m IN (1.5, 7, -3)"), ElementsAre("two", "one"));
  EXPECT_THAT(found("metrics.n NOT IN (8)"), ElementsAre("three", "two"));
  EXPECT_THAT(found("run_name IN (\"two\")"), ElementsAre("two"));
  EXPECT_THAT(found("start_time IN (1000, 3000)"), ElementsAre("three", "one"));
  EXPECT_THAT(found("end_time IS NULL"), ElementsAre("three", "two"));
  EXPECT_THAT(found("metrics.m IS NULL"), ElementsAre("three"));
  EXPECT_THAT(found("metrics.n IS NOT NULL AND end_time IS NULL"), ElementsAre("three", "two"));
}

TEST_F(SearchTest, regular_expressions_are_found_anywhere_in_the_text) {
  EXPECT_THAT(found("run_name RLIKE '^t'"), ElementsAre("three", "two"));
  EXPECT_THAT(found("tags.t rlike '(?i)ALPHA|gamma'"), ElementsAre("one"));
  EXPECT_THAT(found("params.p RLIKE '^1.$'"), ElementsAre("two"));
  EXPECT_THAT(found("NOT params.p RLIKE '0'"), ElementsAre("three", "one"));
  ASSERT_TRUE(store.set_tag(ids[0], "long", std::string(8000, 'a')));
  EXPECT_THAT(found("tags.long RLIKE '^(a+)+$'"), ElementsAre("one"));
  EXPECT_THAT(found("tags.long RLIKE '^(a+)+b$'"), IsEmpty());
  refused("run_name RLIKE '(a'", "Invalid regular expression '(a': missing ): (a (column 16 of the filter)");
  refused("run_name RLIKE '(((a{1000}){1000}){1000})'", "Invalid regular expression");
  refused("run_name RLIKE '" + std::string(2000, 'a') + "'", "longer than 1000 bytes");
  refused("tags.t ILIKE '" + std::string(50'001, '%') + "'", "A pattern has at most 50000 bytes");
  refused("metrics.m RLIKE '1'", "Invalid comparator 'RLIKE' not one of '{");
}

TEST_F(SearchTest, errors_point_at_the_column) {
  refused("metrics.m > 1 AND params.p = 5", "Got value 5 (column 30 of the filter)");
  refused("tags.ü = 'grüße' AND x.y = 1", "Invalid entity type 'x'");
  refused("tags.ü = 'grüße' AND x.y = 1", "(column 22 of the filter)");
  refused("(metrics.m > 1", "'1' (column 14 of the filter)");
  refused("metrics.m > 1)", "')' (column 14 of the filter)");
}

TEST_F(SearchTest, what_is_no_filter_is_refused_in_mlflows_words) {
  refused("OR metrics.m < 0", "Invalid clause(s) in filter string: 'OR'");
  refused("metrics.m > 1 AND", "Invalid clause(s) in filter string: 'AND'");
  refused("metrics.m > 1 AND OR metrics.m < 0", "Invalid clause(s) in filter string: 'OR'");
  refused("NOT", "Invalid clause(s) in filter string: 'NOT'");
  refused("()", "Invalid clause(s) in filter string: ')'");
  refused("metrics.m > 1 metrics.m < 2", "Invalid clause(s) in filter string: 'metrics.m'");
  refused("params.p", "Invalid clause(s) in filter string: 'params.p'");
  refused("params.p = 'open", "Invalid clause(s)");
  refused("params.p = ('a')", "Invalid clause(s)");
  refused("params.p IN 'a'", "Invalid clause(s)");
  refused("run_id IN ('a'", "ill-formed list. (column 15 of the filter)");
  refused(std::string(5000, '(') + "metrics.m > 1" + std::string(5000, ')'), "nested deeper");
  refused("params.p = 1", "Expected a quoted string value for parameter (e.g. 'my-value'). Got value 1");
  refused("metrics.m = '1'", "Expected numeric value type for metric. Found '1'");
  refused("start_time = '1'", "Expected numeric value type for numeric attribute: start_time. Found '1'");
  refused(
      "foo.m > 1",
      "Invalid entity type 'foo'. Valid values are ['metric', 'parameter', 'tag', 'attribute', 'dataset']");
  refused("attributes.zzz = \"1\"", "Invalid attribute key 'zzz' specified. Valid keys are '{'");
  refused("metrics.m LIKE 1", "Invalid comparator 'LIKE' not one of '{");
  refused("params.p > '1'", "Invalid comparator '>' not one of '{");
  refused("run_id IN ()", "got empty list");
  refused("run_id IN ('a' 'b')", "ill-formed list");
  refused("run_id IN (1)", "different type in list");
  refused("metrics.m IN ('a')", "Expected numeric value type for metric. Found 'a'");
}

TEST_F(SearchTest, metrics_order_nan_after_numbers_and_missing_last_in_both_directions) {
  add("four", 4000, {.metrics = {{"n", 8, 1, 0}}, .params = {}, .tags = {}});
  EXPECT_THAT(ordered({"metrics.n"}), ElementsAre("three", "four", "two", "one"));
  EXPECT_THAT(ordered({"metrics.n DESC"}), ElementsAre("four", "three", "two", "one"));
}

TEST_F(SearchTest, params_order_as_text_and_ties_go_to_the_newest) {
  EXPECT_THAT(ordered({"params.p asc"}), ElementsAre("one", "two", "three"));
  EXPECT_THAT(ordered({"params.p DESC"}), ElementsAre("two", "one", "three"));
  EXPECT_THAT(ordered({"tags.unknown"}), ElementsAre("three", "two", "one"));
  EXPECT_THAT(ordered({"attributes.start_time ASC"}), ElementsAre("one", "two", "three"));
  EXPECT_THAT(ordered({"end_time DESC"}), ElementsAre("one", "three", "two"));
  EXPECT_THAT(ordered({"status", "metrics.`my key`", "created"}), ElementsAre("one", "two", "three"));
}

TEST_F(SearchTest, a_bad_order_is_refused_in_mlflows_words) {
  auto refused_order = [&](std::vector<std::string> order_by, std::string_view message) {
    auto page = store.search_runs(search_for("", std::move(order_by)));
    ASSERT_FALSE(page);
    EXPECT_EQ(page.error().message, message);
  };
  refused_order(
      {"metrics.m FOO"},
      "Invalid ordering key in order_by clause 'metrics.m FOO'. (column 11 of the order_by clause)");
  refused_order({"metrics.m", "metrics.m DESC"},
                "`order_by` contains duplicate fields: ['metrics.m', 'metrics.m DESC']");
  refused_order({"metrics.m DESC x"},
                "Invalid order_by clause 'metrics.m DESC x'. Could not be parsed. "
                "(column 16 of the order_by clause)");
  refused_order({""}, "Invalid order_by clause ''. Could not be parsed. (column 1 of the order_by clause)");
}

TEST(Filter, every_error_in_an_order_names_the_column) {
  struct Case {
    Subject subject;
    std::string clause;
    int column;
  };
  for (const auto& [subject, clause, column] : {Case{Subject::kRuns, "metrics.m", 0},
                                                {Subject::kRuns, " foo DESC", 2},
                                                {Subject::kRuns, "metrics.m FOO BAR", 11},
                                                {Subject::kRuns, "metrics.m DESC BAR", 16},
                                                {Subject::kRuns, "min(params.p) DESC", 5},
                                                {Subject::kRuns, "min(metrics.m) SIDEWAYS", 16},
                                                {Subject::kRuns, "'x'", 1},
                                                {Subject::kRuns, "  dataset.name", 3},
                                                {Subject::kExperiments, " tags.t", 2},
                                                {Subject::kLoggedModels, " params.p", 2},
                                                {Subject::kRegisteredModels, " version_number", 2},
                                                {Subject::kModelVersions, " tags.t ASC", 2}}) {
    auto order = parse_order({clause}, subject);
    EXPECT_EQ(order.has_value(), column == 0) << clause;
    if (!order) {
      EXPECT_THAT(order.error().message, HasSubstr(fmt::format("(column {} of the order_by clause)", column)))
          << clause;
    }
  }
}

TEST_F(SearchTest, pages_meet_without_gap_or_overlap) {
  SearchRuns search = search_for("");
  search.max_results = 2;
  auto first = store.search_runs(search).value();
  ASSERT_EQ(first.items.size(), 2u);
  EXPECT_EQ(first.next_page_token, "eyJvZmZzZXQiOiAyfQ==");
  search.page_token = first.next_page_token;
  auto second = store.search_runs(search).value();
  ASSERT_EQ(second.items.size(), 1u);
  EXPECT_EQ(second.items[0].info.name, "one");
  EXPECT_EQ(second.next_page_token, "");
  search.page_token = "xx";
  EXPECT_EQ(store.search_runs(search).error().message, "Invalid page token, could not base64-decode");
  search.page_token = "";
  search.max_results = 50'001;
  EXPECT_EQ(store.search_runs(search).error().message,
            "Invalid value 50001 for parameter 'max_results' supplied:  Hint: Value was of type 'int'. See "
            "the API docs "
            "for more information about request parameters.");
}

// Large experiments are searched along an index of values: same answers as by looking at every run.
TEST_F(SearchTest, many_runs_come_in_the_order_of_a_metric) {
  std::string experiment = store.create_experiment("many").value();
  constexpr int kRuns = 2100;
  std::vector<Change> changes;
  std::string deleted;
  for (int i = 0; i < kRuns; ++i) {
    CreateRun create;
    create.experiment_id = experiment;
    create.name = std::to_string(i);
    create.start_time = 10 + i;
    tracking::Run run = Store::make_run(create).value();
    std::string id = run.info.id;
    changes.push_back(NewRun{std::move(run)});
    double value = i == 5 ? std::nan("") : (i * 7919) % 700;  // three runs have the same value
    Batch batch;
    if (i != 6) batch.metrics = {{"order", value, 1, 0}};
    if (i % 2 == 0) batch.params = {{"even", "yes"}};
    changes.push_back(LogBatch{id, batch});
    if (i % 3 == 0)
      changes.push_back(UpdateRun{.run_id = id, .status = RunStatus::kFinished, .end_time = 1, .name = {}});
    if (i == 7) deleted = id;
  }
  ASSERT_TRUE(store.apply(changes));
  ASSERT_TRUE(store.delete_run(deleted));
  for (const char* filter : {"", "params.even = 'yes' AND metrics.order > 100", "params.even IS NULL"})
    for (const char* order :
         {"metrics.order", "metrics.order DESC", "min(metrics.order)", "max(metrics.order) DESC"}) {
      SearchRuns search = search_for(filter, {order});
      search.experiment_ids = {experiment};
      search.max_results = 50'000;  // more than the walk takes
      std::vector<std::string> all = names(search);
      search.max_results = 30;
      for (size_t at : {size_t{0}, size_t{30}, size_t{60}}) {
        auto page = store.search_runs(search).value();
        ASSERT_EQ(page.items.size(), 30u);
        for (size_t i = 0; i < 30; ++i) EXPECT_EQ(page.items[i].info.name, all[at + i]) << filter << order;
        search.page_token = page.next_page_token;
      }
    }
  SearchRuns rest = search_for("", {"metrics.order"});
  rest.experiment_ids = {experiment};
  rest.max_results = 5000;
  std::vector<std::string> all = names(rest);
  ASSERT_EQ(all.size(), kRuns - 1u);
  EXPECT_EQ(all[kRuns - 3], "5") << "NaN behind all numbers";
  EXPECT_EQ(all[kRuns - 2], "6") << "and those without last";
}

TEST_F(SearchTest, runs_that_lie_between_on_disk_lend_nothing) {
  CreateRun create;
  create.experiment_id = store.create_experiment("other").value();
  for (int i = 0; i < 12; ++i) {
    // Two apart, so that one walk passes over the strangers, then far apart.
    for (int k = 0; k < (i < 6 ? 1 : 9); ++k) {
      std::string stranger = store.create_run(create).value().info.id;
      ASSERT_TRUE(store.log_batch(
          stranger, {.metrics = {{"m", -1, 1, 0}}, .params = {{"p", "x"}}, .tags = {{"t", "x"}}}));
    }
    std::string n = std::to_string(i);
    add(n.c_str(), 10'000 + i, {.metrics = {{"m", 1.0 * i, 1, 0}}, .params = {{"p", n}}, .tags = {{"t", n}}});
  }
  auto page = store.search_runs(search_for("start_time >= 10000")).value();
  ASSERT_EQ(page.items.size(), 12u);
  for (const auto& run : page.items) {
    EXPECT_EQ(run.param("p"), run.info.name);
    EXPECT_EQ(run.tag("t"), run.info.name);
    EXPECT_EQ(run.metrics.size(), 1u);
    EXPECT_EQ(run.metric("m"), std::stod(run.info.name));
    EXPECT_EQ(run.tags.size(), 2u);
  }
}

TEST_F(SearchTest, deleted_runs_are_found_only_when_asked_for) {
  ASSERT_TRUE(store.delete_run(ids[1]));
  SearchRuns search = search_for("");
  EXPECT_THAT(names(search), ElementsAre("three", "one"));
  search.view = ViewType::kDeletedOnly;
  EXPECT_THAT(names(search), ElementsAre("two"));
  search.view = ViewType::kAll;
  EXPECT_THAT(names(search), ElementsAre("three", "two", "one"));
}

struct ExperimentSearchTest : SearchTest {
  std::vector<std::string> experiments(const std::string& filter, std::vector<std::string> order_by = {}) {
    SearchExperiments search;
    search.filter = filter;
    search.order_by = std::move(order_by);
    auto page = store.search_experiments(search);
    EXPECT_TRUE(page) << page.error().message;
    std::vector<std::string> out;
    if (page)
      for (const auto& experiment : page->items) out.push_back(experiment.name);
    return out;
  }
};

TEST_F(ExperimentSearchTest, experiments_are_found_by_name_tags_and_time) {
  ASSERT_TRUE(store.create_experiment("alpha", "", {{"team", "a"}}));
  ASSERT_TRUE(store.create_experiment("beta", "", {{"team", "b"}}));
  EXPECT_THAT(experiments("name LIKE 'a%'"), ElementsAre("alpha"));
  EXPECT_THAT(experiments("tags.team = 'b'"), ElementsAre("beta"));
  EXPECT_THAT(experiments("tags.team IS NULL"), ElementsAre("Default"));
  EXPECT_THAT(experiments("attribute.creation_time > 0 AND name != 'beta'"),
              UnorderedElementsAre("alpha", "Default"));
  EXPECT_THAT(experiments("", {"name DESC"}), ElementsAre("beta", "alpha", "Default"));
  EXPECT_THAT(experiments("", {"experiment_id"}), ElementsAre("Default", "alpha", "beta"));
  ASSERT_TRUE(store.delete_experiment("1"));
  EXPECT_THAT(experiments("", {"experiment_id"}), ElementsAre("Default", "beta"));
}

TEST_F(ExperimentSearchTest, a_bad_search_is_refused_in_mlflows_words) {
  SearchExperiments search;
  search.max_results = 0;
  EXPECT_EQ(store.search_experiments(search).error().message,
            "Invalid value 0 for parameter 'max_results' supplied. It must be a positive integer");
  search.max_results = 50'001;
  EXPECT_EQ(store.search_experiments(search).error().message,
            "Invalid value 50001 for parameter 'max_results' supplied. It must be at most 50000");
  search.max_results = 1;
  search.filter = "foo = 1";
  EXPECT_THAT(store.search_experiments(search).error().message,
              HasSubstr("Invalid attribute key 'foo' specified."));
  search.filter = "metrics.m = 1";
  EXPECT_THAT(store.search_experiments(search).error().message, HasSubstr("Invalid entity type 'metrics'"));
}

TEST_F(ExperimentSearchTest, experiment_pages_meet) {
  ASSERT_TRUE(store.create_experiment("a"));
  SearchExperiments search;
  search.max_results = 1;
  auto first = store.search_experiments(search).value();
  search.page_token = first.next_page_token;
  auto second = store.search_experiments(search).value();
  ASSERT_EQ(second.items.size(), 1u);
  EXPECT_NE(first.items[0].name, second.items[0].name);
  EXPECT_EQ(second.next_page_token, "");
}

TEST(PageToken, any_offset_comes_back) {
  for (int64_t offset : {int64_t{1}, int64_t{10}, int64_t{123}, int64_t{50'000}, INT64_MAX})
    EXPECT_EQ(parse_page_token(make_page_token(offset)), offset);
  for (const char* bad : {"x", "====", "eyJvZmZzZXQiOiAtMX0=", "AAAA", "eyJvZmZzZXQiOiAxe", "!!!!"})
    EXPECT_FALSE(parse_page_token(bad)) << bad;
}

TEST(Filter, hostile_lengths_are_refused) {
  EXPECT_FALSE(parse_filter(std::string(2 << 20, 'a'), Subject::kRuns));
  std::string many = "metrics.m > 1";
  for (int i = 0; i < 500; ++i) many += " AND metrics.m > 1";
  EXPECT_FALSE(parse_filter(many, Subject::kRuns));
}

}  // namespace
}  // namespace tidemill::tracking
