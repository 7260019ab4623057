#include "api/access.h"

#include "api/model_source.h"
#include "api/service.h"
#include "artifacts/folder_repository.h"
#include "auth/roles.h"
#include "tracking/logged_models.h"
#include "tracking/validate.h"

namespace tidemill::api {
namespace {

using auth::Access;
using auth::Kind;
using auth::Right;

constexpr size_t kMaxOwners = 100'000;

tl::unexpected<Error> denied() { return fail(Code::kDenied, "Permission denied"); }

Result<> need(bool allowed) {
  if (allowed) return {};
  return denied();
}

// The spelling that grants have: 7 of "007".
std::string canonical(const std::string& experiment_id) {
  auto number = tracking::parse_experiment_id(experiment_id);
  return number ? std::to_string(*number) : experiment_id;
}

Result<> check_experiment(const Access& sender, const std::string& id, Right right) {
  return need(sender.may(right, Kind::kExperiment, canonical(id)));
}

Result<> check_logged_model(Service& service, const Access& sender, const std::string& id, Right right) {
  auto experiment = tracking::LoggedModels(service.store).experiment_of(id);
  if (experiment) return check_experiment(sender, *experiment, right);
  if (experiment.error().code == Code::kNotFound) return sender.manages_workspace() ? Result<>() : denied();
  return tl::unexpected<Error>(std::move(experiment).error());
}

Result<> check_experiment_name(Service& service, const Access& sender, const Params& params, Right right) {
  auto experiment = service.store.experiment_by_name(TRY(params.required_text("experiment_name")));
  if (experiment) return check_experiment(sender, experiment->id, right);
  if (experiment.error().code == Code::kNotFound) return {};  // the call says so
  return tl::unexpected<Error>(std::move(experiment).error());
}

Result<> check_run_and_models(Service& service, const Access& sender, const Params& params, Right right) {
  TRY(check_run(service, sender, TRY(params.run_id()), right));
  std::vector<std::string> models = {TRY(params.text("model_id"))};
  for (std::string_view list : {"metrics", "models"})
    for (const Params& item : TRY(params.objects(list))) models.push_back(TRY(item.text("model_id")));
  for (const std::string& model : models)
    if (!model.empty()) TRY(check_logged_model(service, sender, model, right));
  return {};
}

Result<> check_runs(Service& service, const Access& sender, const Params& params, Right right) {
  for (std::string_view list : {"run_id", "run_ids"})
    for (const std::string& run : TRY(params.texts(list))) TRY(check_run(service, sender, run, right));
  return {};
}

Result<> check_experiments(const Access& sender, const Params& params, Right right) {
  for (const std::string& id : TRY(params.texts("experiment_ids"))) TRY(check_experiment(sender, id, right));
  return {};
}

Result<> check_new_version(Service& service, const Access& sender, const Params& params) {
  TRY(need(sender.may(Right::kEdit, Kind::kModel, TRY(params.required_text("name")))));
  NamedModel named = model_in(TRY(params.text("source")));
  if (!named.name.empty()) return need(sender.may(Right::kRead, Kind::kModel, named.name));
  std::string run = TRY(params.text("run_id"));
  if (!run.empty()) TRY(check_run(service, sender, run, Right::kRead));
  for (const std::string& model : {TRY(params.text("model_id")), named.model_id})
    if (!model.empty()) TRY(check_logged_model(service, sender, model, Right::kRead));
  return {};
}

Result<> check_granted(const Access& sender, const Params& params, Right right) {
  Kind kind = TRY(auth::parse_kind(TRY(params.required_text("resource_type"))));
  std::string id = TRY(params.required_text("resource_id"));
  if (kind == Kind::kWorkspace || id == "*") return need(sender.manages_workspace());
  return need(sender.may(right, kind, kind == Kind::kExperiment ? canonical(id) : id));
}

}  // namespace

Result<std::string> RunOwners::experiment_of(tracking::Store& store, const std::string& run_id) {
  {
    std::lock_guard lock(mutex_);
    if (auto found = experiments_.find(run_id); found != experiments_.end()) return found->second;
  }
  std::string experiment = TRY(store.experiment_of_run(run_id));
  std::lock_guard lock(mutex_);
  if (experiments_.size() >= kMaxOwners) experiments_.clear();
  experiments_.emplace(run_id, experiment);
  return experiment;
}

Result<> check_run(Service& service, const Access& sender, const std::string& run_id, Right right) {
  if (sender.manages_workspace()) return {};
  auto experiment = service.run_owners.experiment_of(service.store, run_id);
  if (experiment) return check_experiment(sender, *experiment, right);
  if (experiment.error().code == Code::kNotFound) return denied();
  return tl::unexpected<Error>(std::move(experiment).error());
}

Result<> check_artifact(const Access& sender, std::string_view path, Right right) {
  std::string first(path.substr(0, path.find('/')));
  bool is_experiment = !first.empty() && canonical(first) == first && tracking::parse_experiment_id(first);
  return is_experiment ? check_experiment(sender, first, right)
                       : need(allows(sender.permission(Kind::kExperiment), right));
}

bool lies_in_readable_root(const Service& service, const std::string& place) {
  return std::any_of(service.readable_roots.begin(), service.readable_roots.end(),
                     [&](const std::string& root) {
                       if (!artifacts::is_s3(root) && !artifacts::is_s3(place))
                         return artifacts::lies_in(place, root);
                       std::string folder = root + (root.ends_with('/') ? "" : "/");
                       return artifacts::is_s3(root) && (place + "/").starts_with(folder);
                     });
}

Result<> check_artifact_location(const Service& service, const Access& sender, std::string_view location) {
  if (location.empty() || sender.user().is_admin) return {};
  bool elsewhere = !artifacts::proxied_path(location) && !artifacts::local_folder(location) &&
                   !lies_in_readable_root(service, std::string(location));
  if (elsewhere) return {};
  return fail(
      Code::kDenied,
      "Permission denied: only administrators may choose a place that this server reads ('{}'); leave the "
      "artifact location out, or name a storage of your own",
      location);
}

std::vector<std::string> readable_experiments(const Params& params, std::vector<std::string> ids) {
  if (const Access* sender = params.sender())
    std::erase_if(ids, [&](const std::string& id) { return !check_experiment(*sender, id, Right::kRead); });
  return ids;
}

Result<> grant_to_creator(Service& service, const Params& params, Kind kind, const std::string& name) {
  if (!params.sender()) return {};
  TRY(auth::Roles(service.store).set(params.sender()->user().name, {kind, name}, auth::Permission::kManage));
  service.login->look_again();
  return {};
}

Result<> check_access(Service& service, const Params& params, const Rule& rule) {
  if (!params.sender()) return {};
  const Access& sender = *params.sender();
  Right right = rule.right();
  switch (rule.of()) {
    case Of::kNothing:
    case Of::kOwn:
      return {};
    case Of::kSelf:
      return need(sender.user().is_admin || TRY(params.required_text("username")) == sender.user().name);
    case Of::kSelfOrManaged:
      return need(sender.manages_workspace() || TRY(params.required_text("username")) == sender.user().name);
    case Of::kWorkspace:
      return need(sender.manages_workspace());
    case Of::kAdministration:
      return need(sender.user().is_admin);
    case Of::kNewExperiment:
      TRY(check_artifact_location(service, sender, TRY(params.text("artifact_location"))));
      return need(sender.may_create(Kind::kExperiment));
    case Of::kExperiment:
      return check_experiment(sender, TRY(params.required_text("experiment_id")), right);
    case Of::kExperimentName:
      return check_experiment_name(service, sender, params, right);
    case Of::kExperiments:
      return check_experiments(sender, params, right);
    case Of::kNewRun: {
      std::string id = TRY(params.text("experiment_id"));
      return check_experiment(sender, id.empty() ? "0" : id, right);
    }
    case Of::kRun:
      return check_run(service, sender, TRY(params.run_id()), right);
    case Of::kRunAndModels:
      return check_run_and_models(service, sender, params, right);
    case Of::kRuns:
      return check_runs(service, sender, params, right);
    case Of::kRunsAndExperiments:
      TRY(check_experiments(sender, params, right));
      return check_runs(service, sender, params, right);
    case Of::kNewLoggedModel: {
      TRY(check_experiment(sender, TRY(params.required_text("experiment_id")), right));
      std::string run = TRY(params.text("source_run_id"));
      return run.empty() ? Result<>() : check_run(service, sender, run, Right::kRead);
    }
    case Of::kLoggedModel:
      return check_logged_model(service, sender, TRY(params.required_text("model_id")), right);
    case Of::kRunOrLoggedModel: {
      std::string model = TRY(params.text("model_id"));
      return model.empty() ? check_run(service, sender, TRY(params.run_id()), right)
                           : check_logged_model(service, sender, model, right);
    }
    case Of::kNewModel:
      return need(sender.may_create(Kind::kModel));
    case Of::kModel:
      return need(sender.may(right, Kind::kModel, TRY(params.required_text("name"))));
    case Of::kNewVersion:
      return check_new_version(service, sender, params);
    case Of::kGranted:
      return check_granted(sender, params, right);
  }
  return denied();
}

}  // namespace tidemill::api
