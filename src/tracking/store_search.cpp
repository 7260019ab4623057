#include "tracking/page_token.h"
#include "tracking/run_search.h"
#include "tracking/store_state.h"

namespace tidemill::tracking {

Result<Page<Run>> Store::search_runs(const SearchRuns& search) {
  RunSearch parsed = TRY(parse_run_search(search));
  return state_->read_metrics<Page<Run>>([&](Reader& reader) -> Result<Page<Run>> {
    RunRows runs = TRY(find_runs(*reader.connection, parsed));
    Page<Run> page;
    if (static_cast<int64_t>(runs.size()) > parsed.max_results) {
      runs.remove_last();
      page.next_page_token = make_page_token(parsed.offset + parsed.max_results);
    }
    page.items = TRY(runs.load(*state_, reader));
    return page;
  });
}

}  // namespace tidemill::tracking
