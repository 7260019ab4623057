// tidemill init: a project to start from, or a pipeline.yaml for the Python driver that runs one now.
#include "base/json.h"
#include "base/text.h"
#include "cli/commands.h"
#include "cli/scaffold.h"
#include "config/driver.h"
#include "config/pipeline_file.h"
#include "engine/step_check.h"
#include "pipeline/plan.h"

#include <CLI/CLI.hpp>

namespace tidemill::cli {
namespace {

struct InitOptions {
  fs::path folder = ".";
  std::string language = "python";
  fs::path from;
};

Result<> refuse_existing(const fs::path& file) {
  std::error_code ignored;
  if (fs::exists(file, ignored))
    return fail(Code::kConflict, "{} is there already; it is left as it is", file.string());
  return {};
}

Result<> report(const Context& context, const std::vector<fs::path>& files, const config::Problems& left,
                size_t steps_left_out) {
  if (context.json) {
    Json json = {{"files", Json::array()}, {"left", Json::array()}};
    for (const auto& file : files) json["files"].push_back(file.string());
    for (const auto& error : left.list()) json["left"].push_back(error.message);
    json["steps_left_out"] = steps_left_out;
    return print(dump_json(json, 2) + "\n");
  }
  for (const auto& file : files) TRY(print(file.string() + "\n"));
  for (const auto& error : left.list()) fmt::print(stderr, "{}\n", error.message);
  if (steps_left_out > 0)
    fmt::print(stderr, "\n{} of the driver's steps {} missing in the pipeline\n", steps_left_out,
               steps_left_out == 1 ? "is" : "are");
  return {};
}

Result<int> make_project(const Context& context, const InitOptions& options) {
  const auto language = options.language == "cpp" ? Language::kCpp : Language::kPython;
  std::vector<fs::path> files;
  for (const auto& file : scaffold_files(language)) {
    files.push_back((options.folder / file.name).lexically_normal());
    TRY(refuse_existing(files.back()));
  }
  TRY(make_dirs(options.folder));
  for (size_t i = 0; i < files.size(); ++i)
    TRY(write_file_atomic(files[i], scaffold_files(language)[i].text, Durable::no));
  TRY(report(context, files, {}, 0));
  fmt::print(stderr, "\nNext:\n  tidemill run {}\n", shell_quote(options.folder.string()));
  return 0;
}

// What a check of the new file finds is left to do as well.
void check_pipeline(const fs::path& file, config::Problems& left) {
  auto pipeline = config::load_pipeline(file, left);
  if (!pipeline) return;
  auto plan = pipeline::make_plan(*pipeline, {}, pipeline::Missing::kAllowed, left);
  if (!plan) return;
  for (const auto& step : plan->steps) left.keep(engine::check_step(*plan, step));
}

Result<int> read_project(const Context& context, const InitOptions& options) {
  std::error_code ignored;
  const bool is_file = fs::is_regular_file(options.from, ignored);
  const fs::path folder = is_file ? options.from.parent_path() : options.from;
  auto project = TRY(config::load_project(folder.empty() ? "." : folder));
  const fs::path script =
      is_file ? options.from : TRY(config::find_driver(project)).lexically_relative(project.folder);
  const fs::path shown = is_file ? script : (folder / script).lexically_normal();
  const fs::path file = (folder / "pipeline.yaml").lexically_normal();
  TRY(refuse_existing(file));
  auto driver = TRY(config::read_driver(TRY(read_file(shown, 1 << 20)), shown.string(), project));
  TRY(write_file_atomic(file, config::pipeline_text(driver, script.filename().string()), Durable::no));
  config::Problems left;
  for (auto& error : driver.left) left.add(std::move(error));
  check_pipeline(file, left);
  TRY(report(context, {file}, left, driver.steps_left_out));
  fmt::print(stderr, "\nNext:\n  tidemill graph {}\n  tidemill run {} --dry-run\n",
             shell_quote(file.string()), shell_quote(file.string()));
  return 0;
}

}  // namespace

void add_init(CLI::App& app, Context& context) {
  CLI::App* command = app.add_subcommand("init", "Start a project, or move one here from a Python driver");
  auto options = std::make_shared<InitOptions>();
  CLI::Option* folder =
      command->add_option("DIR", options->folder, "The new project's folder")->capture_default_str();
  CLI::Option* language =
      command->add_option("-l,--language", options->language, "What its steps are written in")
          ->check(CLI::IsMember({"python", "cpp"}))
          ->capture_default_str();
  command
      ->add_option("--from-mlproject", options->from,
                   "A folder with a main.py (or what its MLproject runs) that calls mlflow.run() for one "
                   "project after "
                   "the other, or that file: a pipeline.yaml beside it does the same")
      ->check(CLI::ExistingPath)
      ->excludes(folder)
      ->excludes(language);
  command->add_flag("--json", context.json, "Print JSON");
  command->footer(
      "Examples:\n"
      "  tidemill init churn && tidemill run churn\n"
      "  tidemill init churn --language cpp\n"
      "  tidemill init --from-mlproject ~/projects/cifar10     what it could not read is listed");
  command->callback([&context, options] {
    context.action = [&context, options] {
      return options->from.empty() ? make_project(context, *options) : read_project(context, *options);
    };
  });
}

}  // namespace tidemill::cli
