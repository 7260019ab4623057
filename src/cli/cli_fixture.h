// The program as a child process, with a store and a folder of its own.
#pragma once

#include <gtest/gtest.h>

#include "base/json.h"
#include "sys/process.h"

namespace tidemill {

inline const std::string kProgram = TIDEMILL_BINARY_DIR "/bin/tidemill";

class Cli : public testing::Test {
 protected:
  fs::path path(std::string_view name) const { return dir_.path() / name; }
  std::string store() const { return path("tidemill.db").string(); }

  void write(std::string_view name, std::string_view text) const {
    ASSERT_TRUE(make_dirs(path(name).parent_path()));
    ASSERT_TRUE(write_file_atomic(path(name), text, Durable::no));
  }
  void write_project(const std::string& name, const std::string& command,
                     const std::string& parameters = "{}") const {
    write(name + "/MLproject",
          fmt::format("entry_points:\n  main:\n    parameters: {}\n    command: |\n      {}\n", parameters,
                      command));
  }

  Captured tidemill(std::vector<std::string> words) const {
    words.insert(words.begin(), kProgram);
    auto captured = run_command(words, std::chrono::seconds(120));
    EXPECT_TRUE(captured) << captured.error().message;
    return captured.value_or(Captured{});
  }
  // With this test's store behind the command.
  Captured in_store(std::vector<std::string> words) const {
    words.insert(words.end(), {"--store", store()});
    return tidemill(words);
  }
  Json json_of(std::vector<std::string> words) const {
    words.push_back("--json");
    Captured captured = in_store(words);
    EXPECT_EQ(captured.exit.status, 0) << captured.errors;
    return parse_json(captured.output).value_or(Json());
  }
  // The list below this name, of a command that lists.
  Json listed(const std::string& name, const std::vector<std::string>& words) const {
    return json_of(words).value(name, Json());
  }
  std::map<std::string, std::string> statuses() const {
    std::map<std::string, std::string> found;
    for (const auto& run : listed("runs", {"runs", "list"}))
      found[json_string(run, "run_name")] = json_string(run, "status");
    return found;
  }

  TempDir dir_ = TempDir::create().value();
};

}  // namespace tidemill
