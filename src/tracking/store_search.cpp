#include "tracking/page_token.h"
#include "tracking/run_search.h"
#include "tracking/store_state.h"

namespace tidemill::tracking {

// Finds the page's runs and lets load(runs, reader) load them. Returns the next page's token.
template <class Load>
static Result<std::string> search(Store::State& state, const SearchRuns& search, Load load) {
  RunSearch parsed = TRY(parse_run_search(search));
  return state.read_metrics<std::string>([&](Reader& reader) -> Result<std::string> {
    RunRows runs = TRY(find_runs(*reader.connection, parsed));
    std::string next_page_token;
    if (static_cast<int64_t>(runs.size()) > parsed.max_results) {
      runs.remove_last();
      next_page_token = make_page_token(parsed.offset + parsed.max_results);
    }
    TRY(load(runs, reader));
    return next_page_token;
  });
}

Result<Page<Run>> Store::search_runs(const SearchRuns& asked) {
  Page<Run> page;
  page.next_page_token = TRY(search(*state_, asked, [&](RunRows& runs, Reader& reader) -> Result<> {
    page.items = TRY(runs.load(*state_, reader));
    return {};
  }));
  return page;
}

Result<std::string> Store::search_runs(const SearchRuns& asked, const TakeRuns& take) {
  return search(*state_, asked,
                [&](RunRows& runs, Reader& reader) { return runs.load(*state_, reader, take); });
}

}  // namespace tidemill::tracking
