#include "api/routes.h"

#include "base/text.h"

namespace tidemill::api {
namespace {

using enum Of;

constexpr Rule read(Of of) { return {of, auth::Right::kRead}; }
constexpr Rule edit(Of of) { return {of, auth::Right::kEdit}; }
constexpr Rule erase(Of of) { return {of, auth::Right::kDelete}; }
constexpr Rule manage(Of of) { return {of, auth::Right::kManage}; }

}  // namespace

Guarded<Call> Route::of(std::string_view method) const {
  if (method == "GET" || method == "HEAD") return get;
  if (method == "POST") return post;
  if (method == "PATCH") return patch;
  return method == "DELETE" ? remove : Guarded<Call>();
}

const Routes& tracking_routes() {
  static const Routes table = {
      {"experiments/create", {.post = {create_experiment, edit(kNewExperiment)}}},
      {"experiments/get", {.get = {get_experiment, read(kExperiment)}}},
      {"experiments/get-by-name", {.get = {get_experiment_by_name, read(kExperimentName)}}},
      {"experiments/search",
       {.get = {search_experiments, read(kOwn)}, .post = {search_experiments, read(kOwn)}}},
      {"experiments/search-datasets", {.post = {search_datasets, read(kExperiments)}}},
      {"experiments/update", {.post = {update_experiment, edit(kExperiment)}}},
      {"experiments/delete", {.post = {delete_experiment, erase(kExperiment)}}},
      {"experiments/restore", {.post = {restore_experiment, erase(kExperiment)}}},
      {"experiments/set-experiment-tag", {.post = {set_experiment_tag, edit(kExperiment)}}},
      {"experiments/delete-experiment-tag", {.post = {delete_experiment_tag, edit(kExperiment)}}},
      {"runs/create", {.log = {create_run, edit(kNewRun)}}},
      {"runs/get", {.get = {get_run, read(kRun)}}},
      {"runs/update", {.post = {update_run, edit(kRun)}}},
      {"runs/delete", {.post = {delete_run, erase(kRun)}}},
      {"runs/restore", {.post = {restore_run, erase(kRun)}}},
      {"runs/search", {.post = {search_runs, read(kOwn)}}},
      {"runs/log-metric", {.log = {log_metric, edit(kRunAndModels)}}},
      {"runs/log-parameter", {.log = {log_parameter, edit(kRun)}}},
      {"runs/log-batch", {.log = {log_batch, edit(kRunAndModels)}}},
      {"runs/log-model", {.post = {log_model, edit(kRun)}}},
      {"runs/log-inputs", {.post = {log_inputs, edit(kRunAndModels)}}},
      {"runs/outputs", {.post = {log_outputs, edit(kRunAndModels)}}},
      {"runs/set-tag", {.log = {set_tag, edit(kRun)}}},
      {"runs/delete-tag", {.post = {delete_tag, edit(kRun)}}},
      {"metrics/get-history", {.get = {metric_history, read(kRun)}}},
      {"metrics/get-history-bulk", {.get = {metric_histories, read(kRuns)}}},
      {"metrics/get-history-bulk-interval", {.get = {sampled_metric_histories, read(kRuns)}}},
      {"artifacts/list", {.get = {list_artifacts, read(kRun)}}},
      {"artifacts/presigned-upload-url", {.post = {presign_artifact_upload, edit(kRunOrLoggedModel)}}},
      {"artifacts/presigned-download-url", {.post = {presign_artifact_download, read(kRun)}}},
      {"logged-models", {.post = {create_logged_model, edit(kNewLoggedModel)}}},
      {"logged-models/search", {.post = {search_logged_models, read(kOwn)}}},
      {"logged-models/*",
       {.get = {get_logged_model, read(kLoggedModel)},
        .patch = {finalize_logged_model, edit(kLoggedModel)},
        .remove = {delete_logged_model, erase(kLoggedModel)}}},
      {"logged-models/*/tags", {.patch = {set_logged_model_tags, edit(kLoggedModel)}}},
      {"logged-models/*/tags/*", {.remove = {delete_logged_model_tag, erase(kLoggedModel)}}},
      {"logged-models/*/params", {.post = {log_logged_model_params, edit(kLoggedModel)}}},
      {"logged-models/*/artifacts/directories", {.get = {list_logged_model_artifacts, read(kLoggedModel)}}},
      {"logged-models/*/artifacts/files", {.file = {get_logged_model_file, read(kLoggedModel)}}},
      {"registered-models/create", {.post = {create_registered_model, edit(kNewModel)}}},
      {"registered-models/get", {.get = {get_registered_model, read(kModel)}}},
      {"registered-models/rename", {.post = {rename_registered_model, edit(kModel)}}},
      {"registered-models/update", {.patch = {update_registered_model, edit(kModel)}}},
      {"registered-models/delete", {.remove = {delete_registered_model, erase(kModel)}}},
      {"registered-models/search", {.get = {search_registered_models, read(kOwn)}}},
      {"registered-models/get-latest-versions",
       {.get = {get_latest_versions, read(kModel)}, .post = {get_latest_versions, read(kModel)}}},
      {"registered-models/set-tag", {.post = {set_registered_model_tag, edit(kModel)}}},
      {"registered-models/delete-tag", {.remove = {delete_registered_model_tag, edit(kModel)}}},
      {"registered-models/alias",
       {.get = {get_model_version_by_alias, read(kModel)},
        .post = {set_registered_model_alias, edit(kModel)},
        .remove = {delete_registered_model_alias, erase(kModel)}}},
      {"model-versions/create", {.post = {create_model_version, edit(kNewVersion)}}},
      {"model-versions/get", {.get = {get_model_version, read(kModel)}}},
      {"model-versions/update", {.patch = {update_model_version, edit(kModel)}}},
      {"model-versions/delete", {.remove = {delete_model_version, erase(kModel)}}},
      {"model-versions/search", {.get = {search_model_versions, read(kOwn)}}},
      {"model-versions/transition-stage", {.post = {transition_stage, edit(kModel)}}},
      {"model-versions/get-download-uri", {.get = {get_download_uri, read(kModel)}}},
      {"model-versions/set-tag", {.post = {set_model_version_tag, edit(kModel)}}},
      {"model-versions/delete-tag", {.remove = {delete_model_version_tag, erase(kModel)}}},
  };
  return table;
}

const Routes& user_routes() {
  static const Routes table = {
      {"users/create", {.post = {create_user, manage(kWorkspace)}}},
      {"users/get", {.get = {get_user, read(kSelf)}}},
      {"users/list", {.get = {list_users, read(kNothing)}}},
      {"users/current", {.get = {get_current_user, read(kNothing)}}},
      {"users/current/permissions", {.get = {list_own_permissions, read(kNothing)}}},
      {"users/update-password", {.patch = {update_user_password, edit(kSelf)}}},
      {"users/update-admin", {.patch = {update_user_admin, manage(kAdministration)}}},
      {"users/delete", {.remove = {delete_user, manage(kAdministration)}}},
      {"users/permissions/list", {.get = {list_user_permissions, read(kSelfOrManaged)}}},
      {"users/permissions/grant", {.post = {grant_user_permission, manage(kGranted)}}},
      {"users/permissions/revoke", {.post = {revoke_user_permission, manage(kGranted)}}},
      {"users/permissions/get", {.get = {get_user_permission, read(kSelfOrManaged)}}},
      {"users/roles/list", {.get = {list_user_roles, read(kSelfOrManaged)}}},
      {"experiments/permissions/create", {.post = {create_experiment_permission, manage(kExperiment)}}},
      {"experiments/permissions/get", {.get = {get_experiment_permission, manage(kExperiment)}}},
      {"experiments/permissions/update", {.patch = {update_experiment_permission, manage(kExperiment)}}},
      {"experiments/permissions/delete", {.remove = {delete_experiment_permission, manage(kExperiment)}}},
      {"registered-models/permissions/create", {.post = {create_model_permission, manage(kModel)}}},
      {"registered-models/permissions/get", {.get = {get_model_permission, manage(kModel)}}},
      {"registered-models/permissions/update", {.patch = {update_model_permission, manage(kModel)}}},
      {"registered-models/permissions/delete", {.remove = {delete_model_permission, manage(kModel)}}},
      {"roles/create", {.post = {create_role, manage(kWorkspace)}}},
      {"roles/get", {.get = {get_role, manage(kWorkspace)}}},
      {"roles/list", {.get = {list_roles, manage(kWorkspace)}}},
      {"roles/update", {.patch = {update_role, manage(kWorkspace)}}},
      {"roles/delete", {.remove = {delete_role, manage(kWorkspace)}}},
      {"roles/permissions/add", {.post = {add_role_permission, manage(kWorkspace)}}},
      {"roles/permissions/remove", {.remove = {remove_role_permission, manage(kWorkspace)}}},
      {"roles/permissions/list", {.get = {list_role_permissions, manage(kWorkspace)}}},
      {"roles/permissions/update", {.patch = {update_role_permission, manage(kWorkspace)}}},
      {"roles/assign", {.post = {assign_role, manage(kWorkspace)}}},
      {"roles/unassign", {.remove = {unassign_role, manage(kWorkspace)}}},
      {"roles/users/list", {.get = {list_role_users, manage(kWorkspace)}}},
  };
  return table;
}

const Routes& page_routes() {
  static const Routes table = {
      {"/get-artifact", {.file = {get_artifact, read(kRun)}}},
      {"/model-versions/get-artifact", {.file = {get_model_version_artifact, read(kModel)}}},
      {"/ajax-api/tidemill/runs", {.post = {window_of_runs, read(kOwn)}}},
      {"/ajax-api/tidemill/series", {.post = {series_of_metrics, read(kRuns)}}},
      {"/ajax-api/tidemill/events", {.file = {watch_changes, read(kRunsAndExperiments)}}},
  };
  return table;
}

Address address_of(std::string_view name) {
  constexpr std::string_view kModels = "logged-models/";
  constexpr std::string_view kTags = "/tags/";
  if (!name.starts_with(kModels) || name == "logged-models/search") return {std::string(name), {}};
  std::string_view id = name.substr(kModels.size());
  std::string_view rest = id.substr(std::min(id.find('/'), id.size()));
  id.remove_suffix(rest.size());
  Address address{.route = "logged-models/*", .variables = {{"model_id", url_decode(id)}}};
  if (rest.size() > kTags.size() && rest.starts_with(kTags)) {
    address.variables.emplace_back("tag_key", url_decode(rest.substr(kTags.size())));
    rest = "/tags/*";
  }
  address.route += rest;
  return address;
}

}  // namespace tidemill::api
