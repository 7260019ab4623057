// Random graphs and random edits: exactly the steps run again whose result is not known yet. What is expected
// comes from a model of a few lines, which knows only the rule: a result depends on the command, the code,
// the parameter and the contents of the inputs.
#include <random>
#include <set>

#include "base/text.h"
#include "engine/engine_fixture.h"

namespace tidemill::engine {
namespace {

using tracking::RunStatus;

struct Node {
  int command = 0, file = 0, parameter = 0;  // versions
  bool constant = false;                     // makes the same whatever it gets
  std::vector<size_t> inputs;                // of the nodes before it
  std::set<size_t> needs;                    // waited for without being read
};

class Edits : public EngineTest {
 protected:
  static constexpr size_t kNodes = 7;

  void make_graph() {
    nodes_.assign(kNodes, {});
    for (size_t i = 0; i < kNodes; ++i) {
      nodes_[i].constant = random_() % 4 == 0;
      for (size_t k = 0; k < i; ++k)
        if (random_() % 3 == 0) nodes_[i].inputs.push_back(k);
    }
  }

  // One change, told in words for the failure message.
  std::string edit() {
    size_t index = random_() % kNodes;
    Node& node = nodes_[index];
    switch (random_() % 7) {
      case 0:
        node.file = static_cast<int>(random_() % 3);  // also back to one it had before
        return fmt::format("file of {}", index);
      case 1:
        node.parameter = static_cast<int>(random_() % 3);
        return fmt::format("parameter of {}", index);
      case 2:
        ++node.command;
        return fmt::format("command of {}", index);
      case 3:
        if (index > 0) node.inputs.push_back(random_() % index);
        return fmt::format("one more input of {}", index);
      case 4:
        if (!node.inputs.empty()) node.inputs.pop_back();
        return fmt::format("one input less of {}", index);
      case 5:
        if (index > 0) node.needs.insert(random_() % index);
        return fmt::format("{} waits for another", index);
      default:
        touch_all_ = true;
        return "times only";
    }
  }

  std::string write_pipeline() {
    std::string yaml = "name: p\nsteps:\n";
    for (size_t i = 0; i < kNodes; ++i) {
      const Node& node = nodes_[i];
      std::string parameters = "p: string", passed = fmt::format("p: {}", node.parameter), cat;
      for (size_t k = 0; k < node.inputs.size(); ++k) {
        parameters += fmt::format(", in{}: path", k);
        passed += fmt::format(", in{}: '${{steps.s{}.artifacts}}/out'", k, node.inputs[k]);
        cat += fmt::format(" {{in{}}}", k);
      }
      std::string make = node.constant ? fmt::format("echo constant {}", i)
                                       : fmt::format("cat file{} && echo {{p}} {}", cat, node.command);
      add_step(
          fmt::format("s{}", i),
          fmt::format(": {}; echo s{} >> ../ran; ({}) > $TIDEMILL_OUTPUT_DIR/out", node.command, i, make),
          "{" + parameters + "}");
      if (touch_all_ || text_of(fmt::format("s{}/file", i)) != fmt::format("{} {}", i, node.file))
        write(fmt::format("s{}/file", i), fmt::format("{} {}", i, node.file));
      std::vector<std::string> needs;
      for (size_t need : node.needs) needs.push_back(fmt::format("s{}", need));
      yaml += fmt::format("  s{}: {{project: s{}, needs: [{}], params: {{{}}}}}\n", i, i, join(needs, ", "),
                          passed);
    }
    touch_all_ = false;
    return yaml;
  }

  // What the model says: the steps whose inputs have never been seen together.
  std::set<std::string> expected() {
    std::set<std::string> run;
    std::vector<std::string> value(kNodes);
    for (size_t i = 0; i < kNodes; ++i) {
      const Node& node = nodes_[i];
      std::string key =
          fmt::format("{} {} {} {} {}(", i, node.constant, node.command, node.file, node.parameter);
      for (size_t input : node.inputs) key += value[input] + ",";
      key += ")";
      value[i] = node.constant ? fmt::format("constant {}", i) : key;
      if (seen_.insert(key).second) run.insert(fmt::format("s{}", i));
    }
    return run;
  }

  std::set<std::string> actual() {
    std::error_code ignored;
    fs::remove(dir_.path() / "ran", ignored);
    options_.max_parallel = 2;
    auto [as_a_whole, outcome] = run_or_recognise(write_pipeline());
    as_a_whole_ = as_a_whole;
    EXPECT_EQ(outcome.status, RunStatus::kFinished);
    EXPECT_EQ(store_->step_records(outcome.run_id)->size(), kNodes);
    std::set<std::string> names;
    if (!fs::exists(dir_.path() / "ran")) return names;
    for (const auto& line : split(trim(text_of("ran")), '\n')) EXPECT_TRUE(names.insert(line).second) << line;
    return names;
  }

  std::mt19937 random_{20261124};
  std::vector<Node> nodes_;
  std::set<std::string> seen_;
  bool touch_all_ = false;
  bool as_a_whole_ = false;  // the last run was recognised as one in which nothing has changed
};

TEST_F(Edits, ExactlyTheAffectedStepsRun) {
  for (int graph = 0; graph < 5; ++graph) {
    make_graph();
    EXPECT_EQ(actual(), expected()) << "graph " << graph << ", for the first time";
    for (int round = 0; round < 6; ++round) {
      std::string what = edit();
      if (random_() % 3 == 0) what += " and " + edit();
      std::string yaml = write_pipeline();
      auto foreseen = foresee(plan(yaml), &*store_, options_);
      ASSERT_TRUE(foreseen) << foreseen.error().message;
      auto wanted = expected();
      for (const auto& step : *foreseen) {
        if (step.what == Foreseen::What::kDepends) continue;
        EXPECT_EQ(wanted.count(step.step), step.what == Foreseen::What::kRun ? 1u : 0u)
            << what << step.reason;
      }
      ASSERT_EQ(actual(), wanted) << "graph " << graph << ", round " << round << ": " << what << "\n" << yaml;
      EXPECT_TRUE(actual().empty()) << "again, with nothing changed";
      EXPECT_TRUE(as_a_whole_) << "graph " << graph << ", round " << round;
    }
  }
}

}  // namespace
}  // namespace tidemill::engine
