// The registered models of a store, or of a server.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "exchange/mlflow_api.h"
#include "tracking/registry.h"

namespace tidemill::exchange {

class ModelRecords {
 public:
  virtual ~ModelRecords() = default;

  virtual Result<tracking::RegisteredModel> create(const tracking::CreateModel& create) = 0;
  virtual Result<tracking::RegisteredModel> model(const std::string& name) = 0;
  virtual Result<tracking::RegisteredModel> rename(const std::string& name, const std::string& new_name) = 0;
  virtual Result<> remove(const std::string& name) = 0;
  virtual Result<tracking::Page<tracking::RegisteredModel>> search(
      const tracking::SearchRegistry& search) = 0;

  virtual Result<tracking::ModelVersion> create_version(const tracking::CreateVersion& create) = 0;
  virtual Result<tracking::ModelVersion> transition(const std::string& name, int64_t version,
                                                    tracking::Stage stage, tracking::Others others) = 0;
  virtual Result<> remove_version(const std::string& name, int64_t version) = 0;
  virtual Result<tracking::Page<tracking::ModelVersion>> search_versions(
      const tracking::SearchRegistry& search) = 0;
  virtual Result<std::vector<tracking::ModelVersion>> latest_versions(
      const std::string& name, const std::vector<tracking::Stage>& stages) = 0;
  // Where the version's files are: an artifact URI, or runs:/RUN/PATH.
  virtual Result<std::string> location(const std::string& name, int64_t version) = 0;

  virtual Result<> set_alias(const std::string& name, const std::string& alias, int64_t version) = 0;
  virtual Result<> delete_alias(const std::string& name, const std::string& alias) = 0;
  virtual Result<tracking::ModelVersion> version_by_alias(const std::string& name,
                                                          const std::string& alias) = 0;
};

// The store must outlive it.
std::unique_ptr<ModelRecords> models_in(tracking::Store& store);
std::unique_ptr<ModelRecords> models_at(std::shared_ptr<MlflowApi> api);

// All of its versions that a search finds, for a filter: name = 'it''s'.
std::string name_filter(std::string_view model);
// What stands for one in models:/NAME/WHICH: its number, "latest", or a stage.
Result<int64_t> named_version(ModelRecords& models, const std::string& name, const std::string& which);

}  // namespace tidemill::exchange
