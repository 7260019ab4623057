// The model registry of the tracking server, for gates of a run that is recorded there.
#pragma once

#include "engine/gates.h"
#include "engine/mirror.h"

namespace tidemill::engine {

// Its calls may take as long as the server is away, and are made on one thread. A model is registered when
// its files are there.
class ServerRegistry final : public ModelRegistry {
 public:
  // Both outlive this.
  static Result<ServerRegistry> connect(Mirror& mirror, tracking::Store& store);
  Result<std::optional<Champion>> champion(const config::Gate& gate, const Candidate& candidate) override;
  Result<std::string> promote(const config::Gate& gate, const Candidate& candidate,
                              const std::string& why) override;

 private:
  ServerRegistry(Mirror& mirror, tracking::Store& store, std::shared_ptr<exchange::MlflowApi> api)
      : mirror_(mirror), store_(store), api_(std::move(api)), models_(exchange::models_at(api_)) {}
  struct Source {
    std::string run, uri;  // both there
  };
  bool is_result(const tracking::Run& there, const Origin& result) const;
  Result<Source> source_there(const Candidate& candidate);

  Mirror& mirror_;
  tracking::Store& store_;
  std::shared_ptr<exchange::MlflowApi> api_;
  std::unique_ptr<exchange::ModelRecords> models_;
};

// The same as pass(), with that registry. Whatever keeps the server from answering keeps the gate closed:
// kInvalid; kCancelled after an interrupt.
Result<pipeline::GateVerdict> pass_there(const config::Gate& gate, const Candidate& candidate, Mirror& mirror,
                                         tracking::Store& store);

}  // namespace tidemill::engine
