#include <unistd.h>

#include "base/json.h"
#include "cli/commands.h"
#include "cli/findings.h"
#include "sys/terminal.h"

#include <CLI/CLI.hpp>

namespace tidemill::cli {
namespace {

using Level = Finding::Level;

struct Word {
  std::string_view text;
  Style style;
};
Word word_of(Level level) {
  if (level == Level::kError) return {"error", Style::kRed};
  return level == Level::kWarning ? Word{"warning", Style::kYellow} : Word{"ok", Style::kGreen};
}

std::string as_json(const Findings& findings) {
  Json json = Json::array();
  for (const Finding& finding : findings)
    json.push_back(Json{{"level", word_of(finding.level).text},
                        {"subject", finding.subject},
                        {"text", finding.text},
                        {"fix", finding.fix}});
  return dump_json(json, 2) + "\n";
}

std::string as_text(const Findings& findings) {
  bool colour = use_colour(STDOUT_FILENO);
  std::string text;
  for (const Finding& finding : findings) {
    Word word = word_of(finding.level);
    text += fmt::format("{}{} {}: {}\n", styled(word.text, word.style, colour),
                        std::string(8 - word.text.size(), ' '), finding.subject, finding.text);
    if (!finding.fix.empty()) text += fmt::format("         fix: {}\n", finding.fix);
  }
  return text;
}

Result<int> examine(const Context& context, uint16_t port) {
  Findings findings;
  check_versions(findings);
  check_store(context, findings);
  check_disk(context, findings);
  check_containers(findings);
  check_port(port, findings);
  TRY(print(context.json ? as_json(findings) : as_text(findings)));
  bool errors = std::any_of(findings.begin(), findings.end(),
                            [](const Finding& finding) { return finding.level == Level::kError; });
  return errors ? 1 : 0;
}

}  // namespace

void add_doctor(CLI::App& app, Context& context) {
  auto port = std::make_shared<uint16_t>(5000);
  CLI::App* command = app.add_subcommand("doctor", "Look for what is wrong with the store and this machine");
  command->add_option("-p,--port", *port, "The port that `tidemill server` is to have")
      ->capture_default_str();
  add_common_options(*command, context);
  command->footer("Exit status 1: there are errors. Example: tidemill doctor --store /data/tidemill.db");
  command->callback(
      [&context, port] { context.action = [&context, port] { return examine(context, *port); }; });
}

}  // namespace tidemill::cli
