// What every handler works with, and the handlers by family. A call answers with the text of a JSON object.
#pragma once

#include <functional>
#include <string>

#include "api/access.h"
#include "api/change_events.h"
#include "api/params.h"
#include "artifacts/folder_repository.h"
#include "auth/login.h"
#include "net/http_server.h"
#include "tracking/lineage.h"
#include "tracking/logged_models.h"
#include "tracking/metric_history.h"
#include "tracking/store.h"

namespace tidemill::api {

struct Service {
  tracking::Store& store;
  // What lies behind mlflow-artifacts:/ ; nullptr: the proxy is off.
  std::unique_ptr<artifacts::ArtifactRepository> destination;
  // Local folders, and s3:// URIs, in which runs may keep artifacts that this endpoint shows.
  std::vector<std::string> readable_roots;
  bool any_place = false;  // or anywhere
  // The folder behind mlflow-artifacts:/ when what lies in it is told by such URIs; "": by where it lies.
  std::string told_as_proxied = {};
  // The artifact URI of a run or model, as clients are told it.
  std::string told(std::string uri) const;
  // nullptr: nobody has to log in.
  std::unique_ptr<auth::Login> login = {};
  RunOwners run_owners = {};
  ChangeEvents events{store};
};

using Call = Result<std::string> (*)(Service&, const Params&);
using FileCall = Result<HttpResponse> (*)(Service&, const HttpRequest&, const Params&);
// The calls of a training loop: they never wait, and `reply` is called once the data is on disk.
using Reply = std::function<void(Result<std::string>)>;
using LogCall = void (*)(Service&, const Params&, Reply);

Result<std::string> create_experiment(Service&, const Params&);
Result<std::string> get_experiment(Service&, const Params&);
Result<std::string> get_experiment_by_name(Service&, const Params&);
Result<std::string> search_experiments(Service&, const Params&);
Result<std::string> update_experiment(Service&, const Params&);
Result<std::string> delete_experiment(Service&, const Params&);
Result<std::string> restore_experiment(Service&, const Params&);
Result<std::string> set_experiment_tag(Service&, const Params&);
Result<std::string> delete_experiment_tag(Service&, const Params&);

void create_run(Service&, const Params&, Reply);
void log_metric(Service&, const Params&, Reply);
void log_parameter(Service&, const Params&, Reply);
void log_batch(Service&, const Params&, Reply);
void set_tag(Service&, const Params&, Reply);
Result<std::string> get_run(Service&, const Params&);
Result<std::string> update_run(Service&, const Params&);
Result<std::string> delete_run(Service&, const Params&);
Result<std::string> restore_run(Service&, const Params&);
Result<std::string> search_runs(Service&, const Params&);
Result<std::string> log_model(Service&, const Params&);
Result<std::string> delete_tag(Service&, const Params&);

Result<std::string> metric_history(Service&, const Params&);
Result<std::string> metric_histories(Service&, const Params&);
Result<std::string> sampled_metric_histories(Service&, const Params&);

Result<std::string> window_of_runs(Service&, const Params&);
Result<std::string> series_of_metrics(Service&, const Params&);

Result<std::string> log_inputs(Service&, const Params&);
Result<std::string> log_outputs(Service&, const Params&);
Result<std::string> search_datasets(Service&, const Params&);

// The model's id, and the key of a tag, come as path variables "model_id" and "tag_key".
Result<std::string> create_logged_model(Service&, const Params&);
Result<std::string> get_logged_model(Service&, const Params&);
Result<std::string> finalize_logged_model(Service&, const Params&);
Result<std::string> delete_logged_model(Service&, const Params&);
Result<std::string> search_logged_models(Service&, const Params&);
Result<std::string> set_logged_model_tags(Service&, const Params&);
Result<std::string> delete_logged_model_tag(Service&, const Params&);
Result<std::string> log_logged_model_params(Service&, const Params&);

Result<std::string> create_registered_model(Service&, const Params&);
Result<std::string> get_registered_model(Service&, const Params&);
Result<std::string> rename_registered_model(Service&, const Params&);
Result<std::string> update_registered_model(Service&, const Params&);
Result<std::string> delete_registered_model(Service&, const Params&);
Result<std::string> search_registered_models(Service&, const Params&);
Result<std::string> get_latest_versions(Service&, const Params&);
Result<std::string> set_registered_model_tag(Service&, const Params&);
Result<std::string> delete_registered_model_tag(Service&, const Params&);
Result<std::string> set_registered_model_alias(Service&, const Params&);
Result<std::string> delete_registered_model_alias(Service&, const Params&);
Result<std::string> get_model_version_by_alias(Service&, const Params&);

Result<std::string> create_model_version(Service&, const Params&);
Result<std::string> get_model_version(Service&, const Params&);
Result<std::string> update_model_version(Service&, const Params&);
Result<std::string> delete_model_version(Service&, const Params&);
Result<std::string> search_model_versions(Service&, const Params&);
Result<std::string> transition_stage(Service&, const Params&);
Result<std::string> get_download_uri(Service&, const Params&);
Result<std::string> set_model_version_tag(Service&, const Params&);
Result<std::string> delete_model_version_tag(Service&, const Params&);

Result<std::string> list_artifacts(Service&, const Params&);
Result<std::string> presign_artifact_upload(Service&, const Params&);
Result<std::string> presign_artifact_download(Service&, const Params&);
Result<std::string> list_logged_model_artifacts(Service&, const Params&);

// A stream of events that goes on, of the query's run_ids and experiment_ids.
Result<HttpResponse> watch_changes(Service&, const HttpRequest&, const Params&);
// A file of a run, by the query's run_uuid and path.
Result<HttpResponse> get_artifact(Service&, const HttpRequest&, const Params&);
// A file of a version of a registered model, by the query's name, version and path.
Result<HttpResponse> get_model_version_artifact(Service&, const HttpRequest&, const Params&);
// A file of a logged model, by the path's model_id and the query's artifact_file_path.
Result<HttpResponse> get_logged_model_file(Service&, const HttpRequest&, const Params&);
// The proxy: everything below /mlflow-artifacts/. path: what follows, still percent-encoded.
Result<HttpResponse> proxy_artifacts(Service& service, HttpRequest& request, std::string_view path,
                                     const auth::Access* sender);

Result<std::string> create_user(Service&, const Params&);
Result<std::string> get_user(Service&, const Params&);
Result<std::string> list_users(Service&, const Params&);
Result<std::string> get_current_user(Service&, const Params&);
Result<std::string> list_own_permissions(Service&, const Params&);
Result<std::string> list_user_permissions(Service&, const Params&);
Result<std::string> update_user_password(Service&, const Params&);
Result<std::string> update_user_admin(Service&, const Params&);
Result<std::string> delete_user(Service&, const Params&);
Result<std::string> grant_user_permission(Service&, const Params&);
Result<std::string> revoke_user_permission(Service&, const Params&);
Result<std::string> get_user_permission(Service&, const Params&);

// Older clients have calls for each kind of thing.
Result<std::string> create_experiment_permission(Service&, const Params&);
Result<std::string> get_experiment_permission(Service&, const Params&);
Result<std::string> update_experiment_permission(Service&, const Params&);
Result<std::string> delete_experiment_permission(Service&, const Params&);
Result<std::string> create_model_permission(Service&, const Params&);
Result<std::string> get_model_permission(Service&, const Params&);
Result<std::string> update_model_permission(Service&, const Params&);
Result<std::string> delete_model_permission(Service&, const Params&);

Result<std::string> create_role(Service&, const Params&);
Result<std::string> get_role(Service&, const Params&);
Result<std::string> list_roles(Service&, const Params&);
Result<std::string> update_role(Service&, const Params&);
Result<std::string> delete_role(Service&, const Params&);
Result<std::string> add_role_permission(Service&, const Params&);
Result<std::string> remove_role_permission(Service&, const Params&);
Result<std::string> list_role_permissions(Service&, const Params&);
Result<std::string> update_role_permission(Service&, const Params&);
Result<std::string> assign_role(Service&, const Params&);
Result<std::string> unassign_role(Service&, const Params&);
Result<std::string> list_user_roles(Service&, const Params&);
Result<std::string> list_role_users(Service&, const Params&);

}  // namespace tidemill::api
