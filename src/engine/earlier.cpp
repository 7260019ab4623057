#include "engine/earlier.h"

#include "sys/minded_process.h"

namespace tidemill::engine {

fs::path attempts_folder(const fs::path& state_dir) { return state_dir / "attempts"; }
fs::path process_record(const fs::path& folder, const std::string& step_run) { return folder / step_run; }
fs::path progress_file(const fs::path& folder, const std::string& step_run) {
  return folder / (step_run + ".progress");
}

fs::path command_file(const fs::path& folder, const std::string& step_run) {
  return folder / (step_run + ".command");
}

fs::path raw_progress_file(const fs::path& folder, const std::string& step_run) {
  return folder / (step_run + ".progress.raw");
}

bool is_running(const fs::path& folder, const std::string& step_run) {
  return is_minded(process_record(folder, step_run));
}

fs::path log_file(const fs::path& artifacts, const std::string& step, int attempt) {
  std::string number = attempt > 1 ? fmt::format(".{}", attempt) : "";
  return artifacts / "logs" / fmt::format("{}{}.log", step, number);
}

bool was_done(const tracking::StepRecord& record) {
  return record.state == to_string(StepState::kFinished) || record.state == to_string(StepState::kReused);
}

Result<Earlier> Earlier::load(const pipeline::Plan& plan, tracking::Store& store, const std::string& run_id,
                              const fs::path& attempts) {
  Earlier earlier;
  for (auto& record : TRY(store.step_records(run_id))) {
    if (auto step = plan.index(record.step)) {
      earlier.records_.emplace(*step, std::move(record));
    } else if (record.state == to_string(StepState::kRunning)) {
      if (auto process = TRY(MindedProcess::find(process_record(attempts, record.step_run)))) {
        process->stop();
        process->wait();
      }
    }
  }
  return earlier;
}

const tracking::StepRecord* Earlier::find(size_t step) const {
  auto found = records_.find(step);
  return found == records_.end() ? nullptr : &found->second;
}

std::optional<tracking::StepRecord> Earlier::take(size_t step) {
  auto found = records_.extract(step);
  return found ? std::optional(std::move(found.mapped())) : std::nullopt;
}

std::vector<size_t> Earlier::running() const {
  std::vector<size_t> steps;
  for (const auto& [step, record] : records_)
    if (record.state == to_string(StepState::kRunning)) steps.push_back(step);
  return steps;
}

}  // namespace tidemill::engine
