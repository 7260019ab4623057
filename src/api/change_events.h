// The store's changes as server-sent events (WHATWG HTML, section 9.2), for pages that stay up to date:
//   open        {}  the stream begins
//   run         {"run_id", "experiment_id", "created", "updated", "finished", "metrics": [keys that got
//   points]}, with
//               "metrics": null for more than two hundred of them
//   experiment  {"experiment_id"}  made, renamed, tagged, deleted or restored
//   store       {}  another process has written: it is not known what
//   reload      {}  something was missed: fetch anew what is shown
// What happens within a quarter of a second is told together. Last-Event-ID continues a stream that broke.
#pragma once

#include <chrono>
#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "auth/permission.h"
#include "net/response_stream.h"
#include "tracking/changes.h"

namespace tidemill::api {

// Whose changes are told: of these runs, and of all runs of these experiments; of everything when both are
// empty. In any case only what the sender may read.
struct EventFilter {
  std::set<std::string> run_ids;
  std::set<int64_t> experiments;
  std::optional<auth::Access> sender;  // nullopt: nobody has to log in
};

class ChangeEvents {
 public:
  // The store must outlive it.
  explicit ChangeEvents(tracking::Store& store) : store_(store) {}
  ~ChangeEvents() { stop(); }
  ChangeEvents(const ChangeEvents&) = delete;
  ChangeEvents& operator=(const ChangeEvents&) = delete;

  // A new stream. Of somebody who had to log in it ends after five minutes: browsers come back by themselves,
  // with the rights that they have then. kUnavailable when there are a thousand already.
  Result<std::shared_ptr<ResponseStream>> open(EventFilter filter, std::string_view last_event_id);
  void stop();

 private:
  using Clock = std::chrono::steady_clock;
  struct Event {
    uint64_t number;
    int64_t experiment;  // kEverybody: for all
    std::string run_id;  // "" of an experiment itself
    std::string text;
  };
  struct Listener {
    EventFilter filter;
    std::shared_ptr<ResponseStream> stream;
    Clock::time_point until;
  };

  void begin();
  void run();
  void tell(const tracking::Changes& changes);
  void tell(std::string_view name, std::string_view data, int64_t experiment, std::string run_id = {});
  void greet(const Listener& listener, std::string_view last_event_id) const;
  std::string id_of(uint64_t number) const;
  // The number of the first event that the client lacks; nullopt: they are not known any more.
  std::optional<uint64_t> resumed(std::string_view last_event_id) const;
  void send_to_all(std::string_view text);

  tracking::Store& store_;
  std::mutex mutex_;
  std::condition_variable wake_;
  bool stopping_ = false;
  std::thread thread_;                            // works while somebody listens, or did so a minute ago
  std::unique_ptr<tracking::ChangeWatch> watch_;  // while the thread runs
  std::string epoch_;                             // of event numbers
  uint64_t next_ = 1;
  std::deque<Event> recent_;
  std::vector<Listener> listeners_;
  Clock::time_point last_listened_, last_heartbeat_;
};

}  // namespace tidemill::api
