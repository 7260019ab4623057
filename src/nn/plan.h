// From a net's description to what the step walks: blocks of convolution, normalisation, ReLU and pool, then
// linear layers.
#pragma once

#include <string>
#include <vector>

#include "nn/model.h"

namespace tidemill::nn {

struct BlockPlan {
  std::string conv_name,
      norm_name;        // norm_name is empty without batch normalisation: the convolution has a bias
  int in = 0, out = 0;  // channels of the net
  int padded_in = 0, padded_out = 0;  // multiples of 16; padded_in of the first block is in (plain images)
  int kernel = 0, padding = 0;
  int in_size = 0, out_size = 0;  // of the convolution
  bool pool = false;
  bool first = false;
  bool winograd = false;  // all three passes in Winograd's domain
  bool tiny = false;      // own kernels for all three passes on 2x2 maps

  int result_size() const { return pool ? out_size / 2 : out_size; }
  size_t weights() const { return static_cast<size_t>(padded_out) * padded_in * kernel * kernel; }
  // Position of weight [o][i][kh][kw] in the blocked layout (first block: [out / 16][kh][kw][in][16]).
  size_t weight_at(int o, int i, int kh, int kw) const;
};

struct LinearPlan {
  std::string name;
  int in = 0, out = 0;
  bool hidden = false;   // followed by ReLU
  bool dropout = false;  // and by dropout
};

struct NetPlan {
  std::vector<BlockPlan> blocks;
  std::vector<LinearPlan> linears;
};

NetPlan make_plan(const NetSpec& net);

}  // namespace tidemill::nn
