#include "api/change_events.h"

#include <charconv>

#include "api/json_writer.h"
#include "base/id.h"
#include "base/log.h"

namespace tidemill::api {
namespace {

using namespace std::chrono_literals;

constexpr auto kTick = 250ms;
constexpr auto kHeartbeat = 15s;  // shorter than what proxies wait for
constexpr auto kLifeOfLoggedIn = 5min;
constexpr auto kPatience = 60s;  // for listeners that come back
constexpr size_t kMaxListeners = 1'000;
constexpr size_t kMaxRecent = 4'096;
constexpr size_t kMaxListedMetrics = 200;
constexpr int64_t kEverybody = -1;

std::string data_of(const std::string& run_id, const tracking::RunChange& change) {
  JsonWriter json;
  json.begin_object().field("run_id", run_id).field("experiment_id", std::to_string(change.experiment));
  json.key("created").boolean(change.created).key("updated").boolean(change.updated);
  json.key("finished").boolean(change.finished).key("metrics");
  if (change.metrics.size() > kMaxListedMetrics) {
    json.null();
  } else {
    json.begin_array();
    for (const std::string& key : change.metrics) json.text(key);
    json.end_array();
  }
  json.end_object();
  return json.take();
}

std::string data_of(int64_t experiment) {
  JsonWriter json;
  json.begin_object().field("experiment_id", std::to_string(experiment)).end_object();
  return json.take();
}

std::string event_text(std::string_view id, std::string_view name, std::string_view data) {
  return fmt::format("id: {}\nevent: {}\ndata: {}\n\n", id, name, data);
}

bool passes(const EventFilter& filter, int64_t experiment, const std::string& run_id) {
  if (experiment == kEverybody) return true;
  if (filter.sender &&
      !filter.sender->may(auth::Right::kRead, auth::Kind::kExperiment, std::to_string(experiment)))
    return false;
  if (filter.run_ids.empty() && filter.experiments.empty()) return true;
  return filter.experiments.contains(experiment) || filter.run_ids.contains(run_id);
}

}  // namespace

Result<std::shared_ptr<ResponseStream>> ChangeEvents::open(EventFilter filter,
                                                           std::string_view last_event_id) {
  auto stream = std::make_shared<ResponseStream>();
  auto now = Clock::now();
  std::lock_guard lock(mutex_);
  if (stopping_) return fail(Code::kUnavailable, "The server stops");
  if (listeners_.size() >= kMaxListeners)
    return fail(Code::kUnavailable, "{} streams of events are open already: close some", listeners_.size());
  auto until = filter.sender ? now + kLifeOfLoggedIn : Clock::time_point::max();
  listeners_.push_back({std::move(filter), stream, until});
  last_listened_ = now;
  begin();
  greet(listeners_.back(), last_event_id);
  wake_.notify_all();
  return stream;
}

// Under the mutex.
void ChangeEvents::begin() {
  if (watch_) return;
  if (thread_.joinable()) thread_.join();  // one that has ended
  watch_ = std::make_unique<tracking::ChangeWatch>(store_);
  epoch_ = fmt::format("{:016x}", random_u64());
  next_ = 1;
  recent_.clear();
  last_heartbeat_ = Clock::now();
  thread_ = std::thread([this] { run(); });
}

std::string ChangeEvents::id_of(uint64_t number) const { return fmt::format("{}-{}", epoch_, number); }

std::optional<uint64_t> ChangeEvents::resumed(std::string_view last_event_id) const {
  if (!last_event_id.starts_with(epoch_ + "-")) return std::nullopt;
  std::string_view digits = last_event_id.substr(epoch_.size() + 1);
  uint64_t last = 0;
  auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), last);
  if (error != std::errc() || end != digits.data() + digits.size() || last >= next_) return std::nullopt;
  uint64_t oldest = recent_.empty() ? next_ : recent_.front().number;
  return last + 1 >= oldest ? std::optional(last + 1) : std::nullopt;
}

void ChangeEvents::greet(const Listener& listener, std::string_view last_event_id) const {
  std::string text = "retry: 1000\n\n";
  std::optional<uint64_t> from = resumed(last_event_id);
  text += event_text(id_of(from ? *from - 1 : next_ - 1), last_event_id.empty() || from ? "open" : "reload",
                     "{}");
  for (const Event& event : recent_)
    if (from && event.number >= *from && passes(listener.filter, event.experiment, event.run_id))
      text += event.text;
  listener.stream->write(text);
}

void ChangeEvents::send_to_all(std::string_view text) {
  for (const Listener& listener : listeners_) listener.stream->write(text);
}

void ChangeEvents::tell(std::string_view name, std::string_view data, int64_t experiment,
                        std::string run_id) {
  Event event{next_, experiment, std::move(run_id), event_text(id_of(next_), name, data)};
  ++next_;
  for (const Listener& listener : listeners_)
    if (passes(listener.filter, event.experiment, event.run_id)) listener.stream->write(event.text);
  recent_.push_back(std::move(event));
  if (recent_.size() > kMaxRecent) recent_.pop_front();
}

void ChangeEvents::tell(const tracking::Changes& changes) {
  if (changes.lost) tell("reload", "{}", kEverybody);
  for (int64_t experiment : changes.experiments) tell("experiment", data_of(experiment), experiment);
  for (const auto& [run_id, change] : changes.runs)
    tell("run", data_of(run_id, change), change.experiment, run_id);
  if (changes.elsewhere) tell("store", "{}", kEverybody);
}

void ChangeEvents::run() {
  bool failing = false;
  std::unique_lock lock(mutex_);
  while (!wake_.wait_for(lock, kTick, [&] { return stopping_; })) {
    lock.unlock();
    auto changes = watch_->take();
    lock.lock();
    auto now = Clock::now();
    if (changes)
      tell(*changes);
    else if (!failing)
      log_warning("events: cannot look for changes: {}", changes.error().message);
    failing = !changes;
    if (now - last_heartbeat_ >= kHeartbeat) {
      send_to_all(":\n\n");
      last_heartbeat_ = now;
    }
    for (const Listener& listener : listeners_)
      if (now >= listener.until) listener.stream->end();
    std::erase_if(listeners_, [](const Listener& listener) { return listener.stream->ended(); });
    if (!listeners_.empty()) last_listened_ = now;
    if (now - last_listened_ >= kPatience) break;
  }
  watch_.reset();
}

void ChangeEvents::stop() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  if (thread_.joinable()) thread_.join();
  std::lock_guard lock(mutex_);
  for (const Listener& listener : listeners_) listener.stream->end();
  listeners_.clear();
}

}  // namespace tidemill::api
