#include "pipeline/diagram.h"

#include <gmock/gmock.h>

namespace tidemill::pipeline {
namespace {

using testing::HasSubstr;

// The CIFAR-10 example.
Diagram diamond() {
  return {"cifar10",
          {{"preprocess", "", {}}, {"train", "best", {0}}, {"build", "", {1}}, {"evaluate", "", {0, 1, 2}}}};
}

TEST(Diagram, DrawsALaneForEachResultThatIsStillWaitedFor) {
  EXPECT_EQ(draw_text(diamond()),
            "●      preprocess\n"
            "├─╮\n"
            "│ ●    train       best\n"
            "│ ├─╮\n"
            "│ │ ●  build\n"
            "├─┴─╯\n"
            "●      evaluate\n");
}

TEST(Diagram, StepsThatDoNotNeedEachOtherAreNotConnected) {
  EXPECT_EQ(draw_text({"p", {{"a", "", {}}, {"b", "", {}}, {"c", "", {0}}, {"d", "", {1}}}}),
            "●    a\n"
            "│ ●  b\n"
            "│ │\n"
            "● │  c\n"
            "  │\n"
            "  ●  d\n");
}

TEST(Diagram, ALaneThatIsNotMeantIsCrossed) {
  EXPECT_EQ(
      draw_text({"p", {{"a", "", {}}, {"b", "", {}}, {"c", "", {}}, {"d", "", {0, 2}}, {"e", "", {1, 3}}}}),
      "●      a\n"
      "│ ●    b\n"
      "│ │ ●  c\n"
      "├─│─╯\n"
      "● │    d\n"
      "├─╯\n"
      "●      e\n");
}

TEST(Diagram, NamesAreQuotedForOtherPrograms) {
  Diagram diagram{"a \"b\"", {{"x[rate=\"1\"]", "", {}}, {"<y>", "", {0}}}};
  EXPECT_THAT(draw_dot(diagram), HasSubstr("digraph \"a \\\"b\\\"\" {"));
  EXPECT_THAT(draw_dot(diagram), HasSubstr("s0 [label=\"x[rate=\\\"1\\\"]\"];"));
  EXPECT_THAT(draw_dot(diagram), HasSubstr("s0 -> s1;"));
  EXPECT_THAT(draw_mermaid(diagram), HasSubstr("s0[\"x#91;rate=#34;1#34;#93;\"]"));
  EXPECT_THAT(draw_mermaid(diagram), HasSubstr("s0 --> s1"));
  EXPECT_THAT(draw_svg(diagram), HasSubstr("&lt;y&gt;"));
}

TEST(Diagram, EveryStepAndEdgeOfALargeGraphIsInTheSvg) {
  Diagram diagram{"large", {}};
  size_t edges = 0;
  for (size_t i = 0; i < 2000; ++i) {
    Diagram::Node node{fmt::format("s{}", i), "", {}};
    if (i > 0) node.needs.push_back(i / 2);
    if (i > 900) node.needs.push_back(0);
    edges += node.needs.size();
    diagram.nodes.push_back(std::move(node));
  }
  std::string svg = draw_svg(diagram);
  auto count = [&](std::string_view word) {
    size_t found = 0;
    for (size_t at = svg.find(word); at != std::string::npos; at = svg.find(word, at + 1)) ++found;
    return found;
  };
  EXPECT_EQ(count("<text"), 2000u);
  EXPECT_EQ(count("marker-end"), edges);
}

}  // namespace
}  // namespace tidemill::pipeline
