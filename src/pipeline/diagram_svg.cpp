#include <algorithm>
#include <numeric>

#include "pipeline/diagram.h"

namespace tidemill::pipeline {
namespace {

// In SVG's user units (pixels).
constexpr double kCharWidth = 7.9, kPadding = 14, kBoxHeight = 44, kRowGap = 18, kLayerGap = 56, kMargin = 16;
constexpr int kOrderSweeps = 8, kPlaceSweeps = 6;
// Beyond so many bends, edges go straight through: the picture is unreadable anyhow, and would take long.
constexpr size_t kMostBends = 20'000;

double text_width(std::string_view text) {
  return kCharWidth * static_cast<double>(std::count_if(text.begin(), text.end(),
                                                        [](unsigned char c) { return (c & 0xC0) != 0x80; }));
}

// A node, or the bend of an edge in a layer that it passes.
struct Spot {
  size_t layer = 0;
  double width = 0, height = 0;
  double x = 0, y = 0;                // of the middle of its left side
  std::vector<size_t> before, after;  // neighbours in the layers beside
};

class Layout {
 public:
  explicit Layout(const Diagram& diagram) {
    for (const auto& node : diagram.nodes) {
      size_t layer = 0;
      for (size_t need : node.needs) layer = std::max(layer, spots_[need].layer + 1);
      add({.layer = layer,
           .width = std::max(text_width(node.name), 0.85 * text_width(node.note)) + 2 * kPadding,
           .height = kBoxHeight,
           .before = {},
           .after = {}});
    }
    for (size_t i = 0; i < diagram.nodes.size(); ++i)
      for (size_t need : diagram.nodes[i].needs) connect(need, i);
    for (int sweep = 0; sweep < kOrderSweeps; ++sweep) order(sweep % 2 == 0);
    for (auto& layer : layers_) stack(layer);
    for (int sweep = 0; sweep < kPlaceSweeps; ++sweep) straighten(sweep % 2 == 0);
    place();
  }

  const Spot& spot(size_t node) const { return spots_[node]; }
  // The spots that an edge goes through.
  const std::vector<std::vector<size_t>>& edges() const { return edges_; }
  double width() const { return width_; }
  double height() const { return height_; }

 private:
  size_t add(Spot spot) {
    if (layers_.size() <= spot.layer) layers_.resize(spot.layer + 1);
    layers_[spot.layer].push_back(spots_.size());
    spots_.push_back(std::move(spot));
    return spots_.size() - 1;
  }

  void connect(size_t from, size_t to) {
    std::vector<size_t> way = {from};
    for (size_t layer = spots_[from].layer + 1; layer < spots_[to].layer && bends_ < kMostBends; ++layer) {
      way.push_back(add({.layer = layer, .before = {}, .after = {}}));
      ++bends_;
    }
    way.push_back(to);
    for (size_t i = 1; i < way.size(); ++i) {
      spots_[way[i - 1]].after.push_back(way[i]);
      spots_[way[i]].before.push_back(way[i - 1]);
    }
    edges_.push_back(std::move(way));
  }

  // Sorts each layer by the mean place of the neighbours in the layer before (or after) it.
  void order(bool forward) {
    std::vector<double> place(spots_.size());
    auto sort_layer = [&](std::vector<size_t>& layer) {
      std::vector<std::pair<double, size_t>> weighted;
      for (size_t i = 0; i < layer.size(); ++i) {
        const auto& beside = forward ? spots_[layer[i]].before : spots_[layer[i]].after;
        double sum = 0;
        for (size_t spot : beside) sum += place[spot];
        weighted.emplace_back(
            beside.empty() ? static_cast<double>(i) : sum / static_cast<double>(beside.size()), layer[i]);
      }
      std::stable_sort(weighted.begin(), weighted.end(),
                       [](const auto& a, const auto& b) { return a.first < b.first; });
      for (size_t i = 0; i < layer.size(); ++i) {
        layer[i] = weighted[i].second;
        place[layer[i]] = static_cast<double>(i);
      }
    };
    if (forward) {
      std::for_each(layers_.begin(), layers_.end(), sort_layer);
    } else {
      std::for_each(layers_.rbegin(), layers_.rend(), sort_layer);
    }
  }

  double least_distance(size_t above, size_t below) const {
    return (spots_[above].height + spots_[below].height) / 2 + kRowGap;
  }

  void stack(const std::vector<size_t>& layer) {
    double y = 0;
    for (size_t i = 0; i < layer.size(); ++i) {
      if (i > 0) y += least_distance(layer[i - 1], layer[i]);
      spots_[layer[i]].y = y;
    }
    for (size_t spot : layer) spots_[spot].y -= y / 2;
  }

  // Moves spots towards the height of their neighbours, as far as those above and below in the layer let
  // them.
  void straighten(bool forward) {
    for (size_t step = 0; step < layers_.size(); ++step) {
      const auto& layer = layers_[forward ? step : layers_.size() - 1 - step];
      double shift = 0, lowest = 0;
      for (size_t i = 0; i < layer.size(); ++i) {
        Spot& spot = spots_[layer[i]];
        const auto& beside = forward ? spot.before : spot.after;
        double wanted = spot.y;
        if (!beside.empty()) {
          wanted = 0;
          for (size_t other : beside) wanted += spots_[other].y / static_cast<double>(beside.size());
        }
        spot.y = i == 0 ? wanted : std::max(wanted, lowest + least_distance(layer[i - 1], layer[i]));
        lowest = spot.y;
        shift += (wanted - spot.y) / static_cast<double>(layer.size());
      }
      for (size_t spot : layer) spots_[spot].y += shift;
    }
  }

  void place() {
    double top = 0, bottom = 0, x = kMargin;
    for (const auto& spot : spots_) {
      top = std::min(top, spot.y - spot.height / 2);
      bottom = std::max(bottom, spot.y + spot.height / 2);
    }
    for (const auto& layer : layers_) {
      double widest = 0;
      for (size_t spot : layer) widest = std::max(widest, spots_[spot].width);
      for (size_t spot : layer) {
        if (spots_[spot].height == 0) spots_[spot].width = widest;
        spots_[spot].x = x;
        spots_[spot].y += kMargin - top;
      }
      x += widest + kLayerGap;
    }
    width_ = x - kLayerGap + kMargin;
    height_ = bottom - top + 2 * kMargin;
  }

  std::vector<Spot> spots_;
  std::vector<std::vector<size_t>> layers_, edges_;
  size_t bends_ = 0;
  double width_ = 0, height_ = 0;
};

std::string escaped(std::string_view text) {
  std::string out;
  for (char c : text) {
    if (c == '&') {
      out += "&amp;";
    } else if (c == '<') {
      out += "&lt;";
    } else if (c == '>') {
      out += "&gt;";
    } else {
      out += static_cast<unsigned char>(c) < 0x20 ? ' ' : c;
    }
  }
  return out;
}

std::string path_of(const Layout& layout, const std::vector<size_t>& way) {
  std::string path;
  for (size_t i = 1; i < way.size(); ++i) {
    const Spot& from = layout.spot(way[i - 1]);
    const Spot& to = layout.spot(way[i]);
    double x = from.x + from.width, bend = std::max(kLayerGap, to.x - x) / 2;
    if (i == 1) path = fmt::format("M{:.1f},{:.1f}", x, from.y);
    if (i > 1) path += fmt::format(" H{:.1f}", x);
    path += fmt::format(" C{:.1f},{:.1f} {:.1f},{:.1f} {:.1f},{:.1f}", x + bend, from.y, to.x - bend, to.y,
                        to.x, to.y);
  }
  return path;
}

constexpr std::string_view kStyle =
    "  <style>\n"
    "    rect { fill: #f6f8fa; stroke: #57606a; }\n"
    "    path { fill: none; stroke: #57606a; stroke-width: 1.4; }\n"
    "    text { font: 13px ui-monospace, monospace; fill: #1f2328; text-anchor: middle; }\n"
    "    text.note { font-size: 11px; fill: #57606a; }\n"
    "    marker path { fill: #57606a; stroke: none; }\n"
    "    @media (prefers-color-scheme: dark) {\n"
    "      rect { fill: #161b22; stroke: #8b949e; } path { stroke: #8b949e; } text { fill: #e6edf3; }\n"
    "      text.note { fill: #8b949e; } marker path { fill: #8b949e; }\n"
    "    }\n"
    "  </style>\n"
    "  <defs><marker id=\"tip\" viewBox=\"0 0 8 8\" refX=\"8\" refY=\"4\" markerWidth=\"8\" "
    "markerHeight=\"8\" "
    "orient=\"auto\"><path d=\"M0,0 L8,4 L0,8 z\"/></marker></defs>\n";

}  // namespace

std::string draw_svg(const Diagram& diagram) {
  Layout layout(diagram);
  std::string text = fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {0:.0f} {1:.0f}\" width=\"{0:.0f}\" "
      "height=\"{1:.0f}\" role=\"img\">\n  <title>{2}</title>\n{3}",
      layout.width(), layout.height(), escaped(diagram.title), kStyle);
  for (const auto& way : layout.edges())
    text += fmt::format("  <path d=\"{}\" marker-end=\"url(#tip)\"/>\n", path_of(layout, way));
  for (size_t i = 0; i < diagram.nodes.size(); ++i) {
    const Spot& box = layout.spot(i);
    const auto& node = diagram.nodes[i];
    double middle = box.x + box.width / 2;
    text += fmt::format(
        "  <rect x=\"{:.1f}\" y=\"{:.1f}\" width=\"{:.1f}\" height=\"{:.1f}\" rx=\"8\"/>\n"
        "  <text x=\"{:.1f}\" y=\"{:.1f}\">{}</text>\n",
        box.x, box.y - box.height / 2, box.width, box.height, middle, box.y + (node.note.empty() ? 4.5 : -3),
        escaped(node.name));
    if (!node.note.empty())
      text += fmt::format("  <text class=\"note\" x=\"{:.1f}\" y=\"{:.1f}\">{}</text>\n", middle, box.y + 13,
                          escaped(node.note));
  }
  return text + "</svg>\n";
}

}  // namespace tidemill::pipeline
