// A run recorded on another tracking server as well, where people look for it. The store here stays what the
// engine works with; the steps log there, and what they have logged comes here when they have ended.
//
// A run there has an id of that server's and carries its id here in the tag tidemill.pushed_from, so that a
// resumed run finds it again, and `tidemill export` can send what could not be sent while the server was
// away.
#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <span>
#include <string>

#include "base/files.h"
#include "exchange/mlflow_api.h"
#include "exchange/pushed.h"
#include "tracking/store.h"

namespace tidemill::engine {

class Mirror {
 public:
  // Makes the experiment there. kUnavailable: the server is away. The store outlives this.
  static Result<std::unique_ptr<Mirror>> open(const exchange::ServerAddress& server, tracking::Store& store,
                                              fs::path artifact_root, const std::string& experiment);
  ~Mirror();  // what has not been sent by then is not

  const std::string& server() const { return address_.name; }       // without a password
  const std::string& experiment_id() const { return experiment_; }  // there
  const exchange::ServerAddress& address() const { return address_.server; }

  // Sends what has been committed here, in order, from threads of its own; artifacts beside the rest. What is
  // refused is logged as a warning, what finds the server away waits for it.
  void follow(std::span<const tracking::Change> committed);
  // Whether the server is one over the very same store: it knows a run that has been committed here.
  Result<bool> is_of_this_store(const std::string& run);
  // Sends what an earlier runner has recorded here of a run that has ended, and could not send.
  void catch_up(const std::string& run);
  // The run there, made if need be. Waits some time for a server that is away; then kUnavailable.
  Result<std::string> id_of(const std::string& run);
  // The run there that has the files of a result: the one that made it, or, when that was recorded here
  // alone, the step's own that reuses it. Waits as id_of().
  Result<exchange::PushedRun> holder_of(const std::string& maker, const std::string& own);
  // Brings here what the step's program has logged there: how it has ended its run, latest metrics,
  // parameters, tags, and the artifacts that are not in this folder. Waits as id_of().
  Result<> fetch(const std::string& run, const fs::path& artifacts);
  // Waits until everything is there. kUnavailable when the server stays away, kCancelled after an interrupt,
  // kInvalid when it has refused some of it.
  Result<> finish();

 private:
  class Lane;
  struct Address {
    exchange::ServerAddress server;
    std::string name;
  };

  Mirror(Address address, exchange::MlflowApi api, tracking::Store& store, fs::path artifact_root,
         std::string experiment);

  Result<exchange::PushedRun> run_there(exchange::MlflowApi& api, const std::string& run);
  std::optional<exchange::PushedRun> known_there(const std::string& run);
  Result<exchange::PushedRun> find_or_make(exchange::MlflowApi& api, const std::string& run);
  void follow_one(const tracking::NewRun& made);
  void follow_one(const tracking::UpdateRun& update);
  void follow_one(const tracking::LogBatch& logged);
  void follow_one(const tracking::RecordArtifacts& recorded);
  template <class Other>
  void follow_one(const Other&) {}
  Result<> send_reused(exchange::MlflowApi& api, const std::string& run, const std::string& maker);
  Result<> upload(exchange::MlflowApi& api, const std::string& run, const std::string& path);
  Result<> fetch_files(const exchange::PushedRun& there, const std::string& run, const fs::path& artifacts);
  bool is_fresh(const std::string& run);
  bool is_there(const std::string& run, const std::string& path);
  void note_there(const std::string& run, const std::string& path);

  Address address_;
  exchange::MlflowApi api_;  // for calls that somebody waits for, on any thread
  tracking::Store& store_;
  const fs::path artifact_root_;
  const std::string experiment_;
  std::mutex making_;  // a run there is made once
  std::map<std::string, exchange::PushedRun> runs_;
  std::mutex mutex_;
  std::set<std::string> fresh_;  // made by this process, so that they are not there yet
  std::map<std::string, std::set<std::string>> there_;  // by run: files that have been sent
  std::unique_ptr<Lane> facts_, files_;
};

}  // namespace tidemill::engine
