#include "nn/plan.h"

namespace tidemill::nn {
namespace {

int pad16(int n) { return (n + 15) / 16 * 16; }

}  // namespace

size_t BlockPlan::weight_at(int o, int i, int kh, int kw) const {
  const size_t out_block = o / 16, lane = o % 16;
  if (first) return (((out_block * kernel + kh) * kernel + kw) * padded_in + i) * 16 + lane;
  const size_t block = (out_block * (padded_in / 16) + i / 16) * kernel * kernel + kh * kernel + kw;
  return block * 256 + (i % 16) * 16 + lane;
}

NetPlan make_plan(const NetSpec& net) {
  NetPlan plan;
  int size = NetSpec::kImageSize;
  for (const Layer& layer : net.layers) {
    switch (layer.kind) {
      case LayerKind::kConv: {
        BlockPlan b;
        b.conv_name = layer.name;
        b.first = plan.blocks.empty();
        b.in = layer.in, b.out = layer.out;
        b.padded_in = b.first ? b.in : pad16(b.in);
        b.padded_out = pad16(b.out);
        b.kernel = layer.kernel, b.padding = layer.padding;
        b.in_size = size;
        b.out_size = size + 2 * layer.padding - layer.kernel + 1;
        if (b.kernel == 3 && b.padding == 1 && !b.first && b.padded_in % 32 == 0 && b.padded_out % 32 == 0) {
          b.winograd = b.in_size % 4 == 0;
          b.tiny = b.in_size == 2;
        }
        size = b.out_size;
        plan.blocks.push_back(b);
        break;
      }
      case LayerKind::kBatchNorm:
        plan.blocks.back().norm_name = layer.name;
        break;
      case LayerKind::kMaxPool:
        plan.blocks.back().pool = true;
        size /= 2;
        break;
      case LayerKind::kLinear:
        plan.linears.push_back({layer.name, layer.in, layer.out});
        break;
      case LayerKind::kRelu:
        if (!plan.linears.empty()) plan.linears.back().hidden = true;
        break;
      case LayerKind::kDropout:
        plan.linears.back().dropout = true;
        break;
      case LayerKind::kFlatten:
        break;
    }
  }
  return plan;
}

}  // namespace tidemill::nn
