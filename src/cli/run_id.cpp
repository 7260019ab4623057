#include "cli/run_id.h"

#include "base/text.h"

namespace tidemill::cli {
namespace {

constexpr size_t kShortest = 4, kWhole = 32;

bool is_beginning(const std::string& given) {
  return given.size() >= kShortest && given.size() < kWhole &&
         given.find_first_not_of("0123456789abcdef") == std::string::npos;
}

// Where: a store or a server.
template <class Where>
Result<std::vector<std::string>> all_experiment_ids(Where& where) {
  std::vector<std::string> ids;
  tracking::SearchExperiments search{.view = tracking::ViewType::kAll};
  do {
    auto page = TRY(where.search_experiments(search));
    for (const auto& experiment : page.items) ids.push_back(experiment.id);
    search.page_token = page.next_page_token;
  } while (!search.page_token.empty());
  return ids;
}

template <class Where>
Result<std::string> find_run(Where& where, const std::string& given) {
  if (!is_beginning(given)) return given;
  tracking::SearchRuns search{.experiment_ids = TRY(all_experiment_ids(where)),
                              .filter = fmt::format("attributes.run_id LIKE '{}%'", given),
                              .view = tracking::ViewType::kAll,
                              .max_results = 5,
                              .order_by = {},
                              .page_token = {}};
  auto found = TRY(where.search_runs(search)).items;
  if (found.empty()) return fail(Code::kNotFound, "there is no run whose id begins with {}", given);
  if (found.size() == 1) return found[0].info.id;
  std::vector<std::string> names;
  for (const auto& run : found) names.push_back(fmt::format("{} ({})", run.info.id, run.info.name));
  return fail(Code::kInvalid, "the ids of several runs begin with {}: {}", given, join(names, ", "));
}

}  // namespace

Result<std::string> full_run_id(tracking::Store& store, const std::string& given) {
  return find_run(store, given);
}
Result<std::string> full_run_id(Records& records, const std::string& given) {
  return find_run(records, given);
}
Result<std::string> full_run_id(const Context& context, const std::string& given) {
  if (!is_beginning(given)) return given;
  auto records = TRY(open_records(context));
  return find_run(*records, given);
}

}  // namespace tidemill::cli
