#include "pipeline/diagram.h"

#include <algorithm>
#include <optional>

#include "base/text.h"

namespace tidemill::pipeline {
namespace {

// --- Lines of text ---

constexpr unsigned kUp = 1, kDown = 2, kLeft = 4, kRight = 8;

std::string_view line_sign(unsigned ways) {
  constexpr std::string_view kSigns[16] = {" ", "╵", "╷", "│", "╴", "╯", "╮", "┤",
                                           "╶", "╰", "╭", "├", "─", "┴", "┬", "┼"};
  return kSigns[ways];
}

// A lane belongs to a node from its line until that of the last node which needs it.
class Lanes {
 public:
  explicit Lanes(const Diagram& diagram) : diagram_(diagram), waited_for_(diagram.nodes.size()) {
    for (const auto& node : diagram.nodes)
      for (size_t need : node.needs) ++waited_for_[need];
  }

  // The lines of a node: one that joins what it needs, when it needs something, and its own.
  std::vector<std::string> lines_of(size_t node) {
    const auto& needs = diagram_.nodes[node].needs;
    std::vector<bool> joined(lanes_.size()), ended(lanes_.size());
    for (size_t lane = 0; lane < lanes_.size(); ++lane) {
      if (!lanes_[lane] || std::find(needs.begin(), needs.end(), *lanes_[lane]) == needs.end()) continue;
      joined[lane] = true;
      ended[lane] = --waited_for_[*lanes_[lane]] == 0;
    }
    size_t own = lane_for(joined, ended);
    joined.resize(lanes_.size());
    ended.resize(lanes_.size());
    std::vector<std::string> lines;
    if (!needs.empty()) lines.push_back(joining_line(own, joined, ended));
    for (size_t lane = 0; lane < lanes_.size(); ++lane)
      if (ended[lane]) lanes_[lane].reset();
    lanes_[own] = node;
    lines.push_back(own_line(own));
    if (waited_for_[node] == 0) lanes_[own].reset();
    return lines;
  }

 private:
  // The first that ends here; else a free one, to the right of what is joined where there is one.
  size_t lane_for(const std::vector<bool>& joined, const std::vector<bool>& ended) {
    size_t first_joined = 0;
    for (size_t lane = 0; lane < lanes_.size(); ++lane)
      if (ended[lane]) return lane;
    while (first_joined < joined.size() && !joined[first_joined]) ++first_joined;
    if (first_joined == joined.size()) first_joined = 0;
    for (size_t lane = first_joined; lane < lanes_.size(); ++lane)
      if (!lanes_[lane]) return lane;
    lanes_.emplace_back();
    return lanes_.size() - 1;
  }

  std::string joining_line(size_t own, const std::vector<bool>& joined,
                           const std::vector<bool>& ended) const {
    size_t first = own, last = own;
    for (size_t lane = 0; lane < joined.size(); ++lane)
      if (joined[lane]) first = std::min(first, lane), last = std::max(last, lane);
    std::string line;
    for (size_t lane = 0; lane < lanes_.size(); ++lane) {
      unsigned ways = lanes_[lane] ? kUp : 0;
      if (lane == own || (lanes_[lane] && !ended[lane])) ways |= kDown;
      bool meets = joined[lane] || lane == own;
      bool crossed = ways == 0 && lane > first && lane < last;
      if ((meets || crossed) && lane > first) ways |= kLeft;
      if ((meets || crossed) && lane < last) ways |= kRight;
      line += line_sign(ways);
      line += lane >= first && lane < last ? "─" : " ";
    }
    return line;
  }

  std::string own_line(size_t own) const {
    std::string line;
    for (size_t lane = 0; lane < lanes_.size(); ++lane)
      line += fmt::format("{} ", lane == own ? "●" : lanes_[lane] ? "│" : " ");
    return line;
  }

  const Diagram& diagram_;
  std::vector<size_t> waited_for_;  // of each node: how many still need it
  std::vector<std::optional<size_t>> lanes_;
};

size_t columns(std::string_view text) {
  return static_cast<size_t>(
      std::count_if(text.begin(), text.end(), [](unsigned char c) { return (c & 0xC0) != 0x80; }));
}

// --- Languages of other programs ---

std::string dot_text(std::string_view text) {
  std::string out = "\"";
  for (char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    out += c == '\n' ? ' ' : c;
  }
  return out + '"';
}

std::string mermaid_text(std::string_view text) {
  std::string out;
  for (char c : text) {
    bool plain = std::isalnum(static_cast<unsigned char>(c)) || (c & 0x80) || c == ' ' || c == '_' ||
                 c == '-' || c == '.' || c == ',' || c == '=';
    out += plain ? std::string(1, c) : fmt::format("#{};", static_cast<int>(c));
  }
  return out;
}

// What a step runs, where its name does not say so, and when: "train best, 3 x rate, on_failure".
std::string note_of(const Plan& plan, const PlannedStep& step) {
  std::vector<std::string> parts;
  std::string what = step.project->folder == plan.folder
                         ? std::string()
                         : step.project->folder.lexically_relative(plan.folder).string();
  if (what == step.name || what == step.group) what.clear();
  bool own_command = step.entry->name == step.name || step.entry->name == step.group;
  if (step.entry->name != "main" && !own_command) what += (what.empty() ? "" : " ") + step.entry->name;
  if (!what.empty()) parts.push_back(std::move(what));
  if (!step.group.empty()) {
    std::vector<std::string> names;
    for (const auto& [name, value] : step.each) names.push_back(name);
    parts.push_back(fmt::format("{} × {}", plan.groups.at(step.group).size(), join(names, ", ")));
  }
  if (step.settings->when) parts.push_back("when " + step.settings->when->text);
  if (step.phase != config::Phase::kMain) parts.emplace_back(config::to_string(step.phase));
  return join(parts, ", ");
}

}  // namespace

Diagram diagram_of(const Plan& plan) {
  Diagram diagram{plan.name, {}};
  std::vector<size_t> node_of(plan.steps.size());
  for (size_t i = 0; i < plan.steps.size(); ++i) {
    const auto& step = plan.steps[i];
    const std::string& name = step.group.empty() ? step.name : step.group;
    if (step.group.empty() || plan.groups.at(step.group).front() == i)
      diagram.nodes.push_back({name, note_of(plan, step), {}});
    node_of[i] = diagram.nodes.size() - 1;
    auto& needs = diagram.nodes.back().needs;
    for (size_t need : step.needs)
      if (std::find(needs.begin(), needs.end(), node_of[need]) == needs.end()) needs.push_back(node_of[need]);
  }
  return diagram;
}

Diagram diagram_of(const Plan& plan, const std::vector<std::string>& states) {
  Diagram diagram = diagram_of(plan);
  for (auto& node : diagram.nodes) {
    std::vector<std::pair<std::string, size_t>> counts;
    const std::vector<size_t> steps = plan.instances(node.name);
    for (size_t step : steps) {
      auto same = std::find_if(counts.begin(), counts.end(),
                               [&](const auto& count) { return count.first == states[step]; });
      if (same == counts.end())
        counts.emplace_back(states[step], 1);
      else
        ++same->second;
    }
    std::vector<std::string> parts;
    for (const auto& [state, count] : counts)
      parts.push_back(steps.size() == 1 ? state : fmt::format("{} {}", count, state));
    node.note = join(parts, ", ");
  }
  return diagram;
}

std::string draw_text(const Diagram& diagram) {
  struct Line {
    std::string lanes;
    const Diagram::Node* node;  // whose own line it is
  };
  std::vector<Line> lines;
  Lanes lanes(diagram);
  size_t lanes_width = 0, name_width = 0;
  for (size_t i = 0; i < diagram.nodes.size(); ++i) {
    auto drawn = lanes.lines_of(i);
    for (auto& line : drawn) {
      lanes_width = std::max(lanes_width, columns(line));
      lines.push_back({std::move(line), &line == &drawn.back() ? &diagram.nodes[i] : nullptr});
    }
    name_width = std::max(name_width, columns(diagram.nodes[i].name));
  }
  std::string text;
  for (const auto& [drawn, node] : lines) {
    std::string line = drawn;
    if (node != nullptr) line += std::string(lanes_width - columns(drawn) + 1, ' ') + node->name;
    if (node != nullptr && !node->note.empty())
      line += std::string(name_width - columns(node->name) + 2, ' ') + node->note;
    line.erase(line.find_last_not_of(' ') + 1);
    text += line + "\n";
  }
  return text;
}

std::string draw_dot(const Diagram& diagram) {
  std::string text = fmt::format(
      "digraph {} {{\n  rankdir=LR;\n  node [shape=box, style=rounded, fontname=\"sans-serif\"];\n",
      dot_text(diagram.title));
  for (size_t i = 0; i < diagram.nodes.size(); ++i) {
    const auto& node = diagram.nodes[i];
    std::string label = node.note.empty() ? node.name : node.name + " (" + node.note + ")";
    text += fmt::format("  s{} [label={}];\n", i, dot_text(label));
  }
  for (size_t i = 0; i < diagram.nodes.size(); ++i)
    for (size_t need : diagram.nodes[i].needs) text += fmt::format("  s{} -> s{};\n", need, i);
  return text + "}\n";
}

std::string draw_mermaid(const Diagram& diagram) {
  std::string text = "flowchart LR\n";
  for (size_t i = 0; i < diagram.nodes.size(); ++i) {
    const auto& node = diagram.nodes[i];
    std::string note = node.note.empty() ? "" : "<br/>" + mermaid_text(node.note);
    text += fmt::format("  s{}[\"{}{}\"]\n", i, mermaid_text(node.name), note);
  }
  for (size_t i = 0; i < diagram.nodes.size(); ++i)
    for (size_t need : diagram.nodes[i].needs) text += fmt::format("  s{} --> s{}\n", need, i);
  return text;
}

}  // namespace tidemill::pipeline
