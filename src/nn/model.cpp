#include "nn/model.h"

#include <array>
#include <initializer_list>

namespace tidemill::nn {
namespace {

constexpr std::array<std::string_view, 3> kTypeNames = {"simple", "vgg11", "vgg16"};

class Builder {
 public:
  explicit Builder(NetSpec& net) : net_(net) {}

  void section(std::string_view name) {
    section_ = name;
    next_ = 0;
  }
  void add(LayerKind kind, int out, int kernel = 0, int padding = 0) {
    net_.layers.push_back({kind, fmt::format("{}.{}", section_, next_++), width_, out, kernel, padding});
    width_ = out;
  }
  void keep(LayerKind kind, int kernel = 0) { add(kind, width_, kernel); }
  void flatten(int positions) {
    net_.layers.push_back({LayerKind::kFlatten, "flatten", width_, width_ * positions, 0, 0});
    width_ *= positions;
  }

 private:
  NetSpec& net_;
  std::string section_;
  int next_ = 0;
  int width_ = NetSpec::kChannels;
};

constexpr int kPool = 0;

void build_vgg(NetSpec& net, std::initializer_list<int> plan) {
  Builder b(net);
  b.section("features");
  for (int channels : plan) {
    if (channels == kPool) {
      b.keep(LayerKind::kMaxPool, 2);
      continue;
    }
    b.add(LayerKind::kConv, channels, 3, 1);
    b.keep(LayerKind::kBatchNorm);
    b.keep(LayerKind::kRelu);
  }
  b.flatten(1);
  b.section("classifier");
  for (int width : {512, 32}) {
    b.add(LayerKind::kLinear, width);
    b.keep(LayerKind::kRelu);
    b.keep(LayerKind::kDropout);
  }
  b.add(LayerKind::kLinear, net.classes);
}

void build_simple(NetSpec& net) {
  Builder b(net);
  b.section("features");
  for (int channels : {6, 16}) {
    b.add(LayerKind::kConv, channels, 5, 0);
    b.keep(LayerKind::kRelu);
    b.keep(LayerKind::kMaxPool, 2);
  }
  b.flatten(5 * 5);
  b.section("classifier");
  for (int width : {120, 84}) {
    b.add(LayerKind::kLinear, width);
    b.keep(LayerKind::kRelu);
  }
  b.add(LayerKind::kLinear, net.classes);
}

}  // namespace

std::string_view to_string(ModelType type) { return kTypeNames[static_cast<size_t>(type)]; }

Result<ModelType> parse_model_type(std::string_view text) {
  for (size_t i = 0; i < kTypeNames.size(); ++i)
    if (text == kTypeNames[i]) return static_cast<ModelType>(i);
  return fail(Code::kInvalid, "unknown model type '{}': use simple, vgg11 or vgg16", text);
}

Result<NetSpec> make_net(ModelType type, int classes) {
  if (classes != 10 && classes != 100)
    return fail(Code::kInvalid, "a net of {} classes is not supported: use 10 (CIFAR-10) or 100 (CIFAR-100)",
                classes);
  NetSpec net{type, classes, {}};
  switch (type) {
    case ModelType::kSimple:
      build_simple(net);
      break;
    case ModelType::kVgg11:
      build_vgg(net, {64, kPool, 128, kPool, 256, 256, kPool, 512, 512, kPool, 512, 512, kPool});
      break;
    case ModelType::kVgg16:
      build_vgg(net, {64, 64, kPool, 128, 128, kPool, 256, 256, 256, kPool, 512, 512, 512, kPool, 512, 512,
                      512, kPool});
      break;
  }
  return net;
}

}  // namespace tidemill::nn
