#include "engine/mirror.h"

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <functional>
#include <thread>

#include "artifacts/artifact_repository.h"
#include "artifacts/folder_repository.h"
#include "base/log.h"
#include "base/text.h"
#include "base/time.h"
#include "engine/provenance.h"
#include "engine/record.h"
#include "exchange/mlflow_json.h"
#include "exchange/remote_source.h"
#include "sys/signals.h"

namespace tidemill::engine {
namespace {

using exchange::MlflowApi;
using exchange::PushedRun;
using tracking::KeyValue;
using tracking::RunStatus;

constexpr std::string_view kParentTag = "mlflow.parentRunId", kReusedTag = "tidemill.reused_run";
constexpr std::chrono::milliseconds kPause{500};
constexpr double kPatienceSeconds = 60;           // of what the engine waits for
constexpr double kPatienceAtTheEndSeconds = 120;  // without anything being accepted
constexpr double kPatienceAfterInterruptSeconds = 5;
constexpr double kReportSeconds = 10;

bool is_away(const Error& error) { return error.code == Code::kUnavailable; }

bool has(const std::vector<KeyValue>& pairs, const std::string& key) {
  return std::any_of(pairs.begin(), pairs.end(), [&](const KeyValue& pair) { return pair.first == key; });
}

// What is of use only where the runner is.
void drop_local(std::vector<KeyValue>& tags) {
  std::erase_if(tags, [](const KeyValue& tag) { return tag.first == kRunnerTag || tag.first == kLogsToTag; });
}

// Until it is done, is refused, or patience has an end.
template <class Call>
auto patiently(Call call) -> decltype(call()) {
  for (Stopwatch waiting;;) {
    auto done = call();
    if (done || !is_away(done.error()) || waiting.seconds() > kPatienceSeconds || interrupted()) return done;
    std::this_thread::sleep_for(kPause);
  }
}

}  // namespace

// A thread that makes calls one after the other, each until it is answered.
class Mirror::Lane {
 public:
  using Call = std::function<Result<>(MlflowApi&)>;

  Lane(MlflowApi api, std::string server)
      : api_(std::move(api)), server_(std::move(server)), thread_([this] { work(); }) {}
  ~Lane() {
    {
      std::lock_guard lock(mutex_);
      ending_ = true;
    }
    changed_.notify_all();
    thread_.join();
  }

  void add(Call call) {
    {
      std::lock_guard lock(mutex_);
      calls_.push_back(std::move(call));
    }
    changed_.notify_all();
  }
  // Until there are no more calls, or nothing has been answered for too long.
  Result<> drain() {
    std::unique_lock lock(mutex_);
    size_t before = answered_;
    Stopwatch quiet, silent;
    while (!calls_.empty()) {
      changed_.wait_for(lock, kPause);
      if (silent.seconds() > kReportSeconds) {
        log_info("{}: {} more to send", server_, human_count(calls_.size()));
        silent.restart();
      }
      if (answered_ != before) quiet.restart();
      before = answered_;
      const double patience = interrupted() ? kPatienceAfterInterruptSeconds : kPatienceAtTheEndSeconds;
      if (quiet.seconds() > patience)
        return fail(interrupted() ? Code::kCancelled : Code::kUnavailable, "{} does not answer", server_);
    }
    if (refused_ > 0) return fail(Code::kInvalid, "{} has refused {} of what it was sent", server_, refused_);
    return {};
  }

 private:
  void work() {
    std::unique_lock lock(mutex_);
    for (;;) {
      changed_.wait(lock, [this] { return ending_ || !calls_.empty(); });
      if (ending_) return;
      const Call call = calls_.front();
      lock.unlock();
      Result<> done = call(api_);
      lock.lock();
      if (!done && is_away(done.error())) {
        changed_.wait_for(lock, kPause, [this] { return ending_; });
        continue;
      }
      if (!done && refused_++ == 0) log_warning("{}: {}", server_, done.error().message);
      calls_.pop_front();
      ++answered_;
      changed_.notify_all();
    }
  }

  MlflowApi api_;
  const std::string server_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Call> calls_;
  size_t answered_ = 0, refused_ = 0;
  bool ending_ = false;
  std::thread thread_;
};

Mirror::Mirror(Address address, MlflowApi api, tracking::Store& store, fs::path artifact_root,
               std::string experiment)
    : address_(std::move(address)),
      api_(std::move(api)),
      store_(store),
      artifact_root_(std::move(artifact_root)),
      experiment_(std::move(experiment)) {}

Mirror::~Mirror() = default;

Result<std::unique_ptr<Mirror>> Mirror::open(const exchange::ServerAddress& server, tracking::Store& store,
                                             fs::path artifact_root, const std::string& experiment) {
  auto api = TRY(MlflowApi::connect(server));
  Address address{server, api.name()};
  const std::string name = address.name;
  auto facts = TRY(MlflowApi::connect(server));
  auto files = TRY(MlflowApi::connect(server));
  auto there = TRY_IN(fmt::format("{}: experiment {}", name, experiment),
                      exchange::push_experiment(api, experiment, {}));
  std::unique_ptr<Mirror> mirror(
      new Mirror(std::move(address), std::move(api), store, std::move(artifact_root), std::move(there.id)));
  mirror->facts_ = std::make_unique<Lane>(std::move(facts), name);
  mirror->files_ = std::make_unique<Lane>(std::move(files), name);
  return mirror;
}

// A copy that was imported there carries the tag; a run of the same store does not.
Result<bool> Mirror::is_of_this_store(const std::string& run) {
  auto found = patiently([&] { return api_.get("runs/get", {{"run_id", run}}); });
  if (!found && !is_away(found.error())) return false;
  TRY(std::move(found));
  return !TRY(patiently([&] { return exchange::find_pushed_run(api_, experiment_, run); }));
}

Result<std::string> Mirror::id_of(const std::string& run) {
  return TRY(patiently([&] { return run_there(api_, run); })).id;
}

Result<PushedRun> Mirror::holder_of(const std::string& maker, const std::string& own) {
  return patiently([&]() -> Result<PushedRun> {
    if (auto known = known_there(maker)) return *known;
    if (auto found = TRY(exchange::find_pushed_run(api_, experiment_, maker))) return *found;
    return run_there(api_, own);
  });
}

std::optional<PushedRun> Mirror::known_there(const std::string& run) {
  std::lock_guard lock(making_);
  auto known = runs_.find(run);
  return known != runs_.end() ? std::optional(known->second) : std::nullopt;
}

Result<PushedRun> Mirror::run_there(MlflowApi& api, const std::string& run) {
  std::lock_guard lock(making_);
  return find_or_make(api, run);
}

Result<PushedRun> Mirror::find_or_make(MlflowApi& api, const std::string& id) {
  if (auto known = runs_.find(id); known != runs_.end()) return known->second;
  auto found = is_fresh(id) ? std::nullopt : TRY(exchange::find_pushed_run(api, experiment_, id));
  if (!found) {
    tracking::Run run = TRY(store_.run(id));
    drop_local(run.tags);
    for (auto& [key, value] : run.tags)
      // A parent that the store does not know is one there.
      if (key == kParentTag && store_.run(value)) value = TRY(find_or_make(api, value)).id;
    std::vector<KeyValue> tags = std::move(run.tags);
    found = TRY(exchange::create_pushed_run(api, experiment_, run, std::move(tags)));
  }
  runs_.emplace(id, *found);
  return *found;
}

void Mirror::follow(std::span<const tracking::Change> committed) {
  for (const auto& change : committed) std::visit([this](const auto& one) { follow_one(one); }, change);
}

void Mirror::follow_one(const tracking::NewRun& made) {
  const std::string& id = made.run.info.id;
  {
    std::lock_guard lock(mutex_);
    fresh_.insert(id);
  }
  facts_->add([this, id](MlflowApi& api) -> Result<> {
    TRY(run_there(api, id));
    return {};
  });
  if (made.data_of.empty()) return;
  files_->add([this, id, maker = made.data_of](MlflowApi& api) { return send_reused(api, id, maker); });
  follow_one(tracking::UpdateRun{id, made.run.info.status, made.run.info.end_time, {}});
}

// Its data were copied here; its artifacts are those of the run that made them, which may have been recorded
// here alone.
Result<> Mirror::send_reused(MlflowApi& api, const std::string& id, const std::string& maker) {
  const std::string there = TRY(run_there(api, id)).id;
  tracking::Run run = TRY(store_.run(id));
  TRY(exchange::push_batch(api, there, {.metrics = run.metrics, .params = run.params, .tags = {}}));
  auto found = known_there(maker);
  if (!found) found = TRY(exchange::find_pushed_run(api, experiment_, maker));
  if (found)
    return exchange::push_batch(
        api, there, {.metrics = {}, .params = {}, .tags = {{std::string(kReusedTag), found->id}}});
  for (const auto& file : TRY(store_.artifacts(maker)))
    if (!is_there(id, file.path)) TRY(upload(api, id, file.path));
  return {};
}

// A run ends when its artifacts are there.
void Mirror::follow_one(const tracking::UpdateRun& update) {
  files_->add([this, update](MlflowApi& api) -> Result<> {
    Json body{{"run_id", TRY(run_there(api, update.run_id)).id}};
    if (update.status) body["status"] = tracking::to_string(*update.status);
    if (update.end_time && *update.end_time > 0) body["end_time"] = *update.end_time;
    if (update.name) body["run_name"] = *update.name;
    TRY(api.post("runs/update", body));
    return {};
  });
}

void Mirror::follow_one(const tracking::LogBatch& logged) {
  tracking::Batch batch = logged.batch;
  drop_local(batch.tags);
  if (batch.metrics.empty() && batch.params.empty() && batch.tags.empty()) return;
  facts_->add([this, run = logged.run_id, batch = std::move(batch)](MlflowApi& api) -> Result<> {
    return exchange::push_batch(api, TRY(run_there(api, run)).id, batch);
  });
}

void Mirror::follow_one(const tracking::RecordArtifacts& recorded) {
  for (const auto& entry : recorded.entries)
    files_->add([this, run = recorded.run_id, path = entry.path](MlflowApi& api) {
      return is_there(run, path) ? Result<>() : upload(api, run, path);
    });
}

void Mirror::catch_up(const std::string& run) {
  files_->add([this, run](MlflowApi& api) -> Result<> {
    tracking::Run here = TRY(store_.run(run));
    if (here.info.status == RunStatus::kRunning) return {};
    const std::string there = TRY(run_there(api, run)).id;
    Json reply = TRY(api.get("runs/get", {{"run_id", there}}));
    // Its end is what is sent last.
    if (TRY(exchange::run_from(reply.value("run", Json::object()))).info.status != RunStatus::kRunning)
      return {};
    drop_local(here.tags);
    std::erase_if(here.tags, [](const KeyValue& tag) { return tag.first == kParentTag; });
    TRY(exchange::push_batch(api, there,
                             {.metrics = std::move(here.metrics),
                              .params = std::move(here.params),
                              .tags = std::move(here.tags)}));
    for (const auto& file : TRY(store_.artifacts(run)))
      if (!is_there(run, file.path)) TRY(upload(api, run, file.path));
    Json body{{"run_id", there}, {"status", tracking::to_string(here.info.status)}};
    if (here.info.end_time) body["end_time"] = *here.info.end_time;
    TRY(api.post("runs/update", body));
    return {};
  });
}

bool Mirror::is_fresh(const std::string& run) {
  std::lock_guard lock(mutex_);
  return fresh_.count(run) > 0;
}

bool Mirror::is_there(const std::string& run, const std::string& path) {
  std::lock_guard lock(mutex_);
  auto found = there_.find(run);
  return found != there_.end() && found->second.count(path) > 0;
}

Result<> Mirror::upload(MlflowApi& api, const std::string& run, const std::string& path) {
  const PushedRun there = TRY(run_there(api, run));
  const std::string uri = TRY(store_.run(run)).info.artifact_uri;
  auto folder = artifacts::local_folder(uri, artifact_root_);
  if (!folder) return fail(Code::kInvalid, "{} is not a folder of this machine", uri);
  if (auto place = artifacts::proxied_path(there.artifact_uri)) {
    TRY(api.upload(fmt::format("{}/{}", *place, path), *folder / path));
  } else {
    auto local = artifacts::local_folder(there.artifact_uri);
    auto repository = TRY(artifacts::open_repository(local ? local->string() : there.artifact_uri));
    TRY(repository->put_file(path, *folder / path, artifacts::ArtifactRepository::Source::kKeep));
  }
  note_there(run, path);
  return {};
}

void Mirror::note_there(const std::string& run, const std::string& path) {
  std::lock_guard lock(mutex_);
  there_[run].insert(path);
}

Result<> Mirror::fetch(const std::string& id, const fs::path& artifacts) {
  const PushedRun there = TRY(patiently([&] { return run_there(api_, id); }));
  Json reply = TRY(patiently([&] { return api_.get("runs/get", {{"run_id", there.id}}); }));
  tracking::Run logged = TRY(exchange::run_from(reply.value("run", Json::object())));
  tracking::Run here = TRY(store_.run(id));
  tracking::Batch news{.metrics = std::move(logged.metrics), .params = {}, .tags = {}};
  for (auto& [key, value] : logged.params)
    if (!has(here.params, key)) news.params.emplace_back(key, value);
  for (auto& [key, value] : logged.tags)
    if (!has(here.tags, key) && key != exchange::kPushedFromTag) news.tags.emplace_back(key, value);
  TRY(store_.log_batch(id, news));
  if (logged.info.status != RunStatus::kRunning && here.info.status == RunStatus::kRunning)
    TRY(store_.update_run(
        {.run_id = id, .status = logged.info.status, .end_time = logged.info.end_time, .name = {}}));
  return patiently([&] { return fetch_files(there, id, artifacts); });
}

Result<> Mirror::fetch_files(const PushedRun& there, const std::string& run, const fs::path& artifacts) {
  exchange::RemoteSource source(TRY(MlflowApi::connect(address_.server)));
  exchange::Report report;
  return source.files(
      there.artifact_uri,
      [&](const exchange::ArtifactFile& file) -> Result<> {
        std::error_code ignored;
        const fs::path target = artifacts / file.path;
        if (fs::exists(target, ignored)) return {};
        TRY(make_dirs(target.parent_path()));
        fs::path fetched = TRY(file.fetch());
        std::error_code error;
        fs::copy_file(fetched, target, fs::copy_options::none, error);
        if (error) return tl::unexpected<Error>(errno_error("write " + target.string(), error.value()));
        note_there(run, file.path);
        return {};
      },
      report);
}

Result<> Mirror::finish() {
  Result<> facts = facts_->drain(), files = files_->drain();
  return facts ? files : facts;
}

}  // namespace tidemill::engine
