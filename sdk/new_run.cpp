#include "new_run.h"

#include <pwd.h>
#include <unistd.h>

#include "base/time.h"
#include "server.h"

namespace tidemill::sdk {
namespace {

// As MLflow's clients: who logs in there, else who is logged in here.
std::string user_name() {
  const std::string here = first_of(env("LOGNAME"), env("USER"));
  if (std::string name = first_of(env("MLFLOW_TRACKING_USERNAME"), here); !name.empty()) return name;
  char buffer[1024];
  passwd entry{}, *found = nullptr;
  getpwuid_r(getuid(), &entry, buffer, sizeof buffer, &found);
  return found ? found->pw_name : "";
}

std::string program_name() {
  std::error_code error;
  return fs::read_symlink("/proc/self/exe", error).string();
}

}  // namespace

Json tags_to_json(const Tags& tags) {
  Json list = Json::array();
  for (const auto& [key, value] : tags) list.push_back({{"key", key}, {"value", value}});
  return list;
}

Json to_json(const NewRun& run) {
  Tags tags = run.tags;
  tags.emplace("mlflow.user", user_name());
  tags.emplace("mlflow.source.name", program_name());
  tags.emplace("mlflow.source.type", "LOCAL");
  if (!run.parent_run_id.empty()) tags["mlflow.parentRunId"] = run.parent_run_id;
  Json body = {{"experiment_id", run.experiment_id},
               {"user_id", user_name()},
               {"start_time", run.start_time ? run.start_time : now_ms()}};
  if (!run.name.empty()) body["run_name"] = run.name;
  body["tags"] = tags_to_json(tags);
  return body;
}

}  // namespace tidemill::sdk
