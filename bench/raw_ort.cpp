#include "raw_ort.h"

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <thread>

namespace tidemill::bench {
namespace {

std::vector<serving::OutputTensor> outputs_of(serving::Session& session, const std::vector<float>& image) {
  const serving::TensorView view{"input",
                                 serving::ElementType::kFloat,
                                 {1, 3, 32, 32},
                                 {reinterpret_cast<const char*>(image.data()), image.size() * sizeof(float)},
                                 {}};
  auto outputs = session.run({&view, 1}, {});
  if (outputs) return std::move(*outputs);
  std::fprintf(stderr, "ONNX Runtime: %s\n", outputs.error().message.c_str());
  std::exit(1);
}

int largest(const serving::OutputTensor& output) {
  std::vector<float> values(output.count());
  std::memcpy(values.data(), output.bytes().data(), output.bytes().size());
  return static_cast<int>(std::max_element(values.begin(), values.end()) - values.begin());
}

}  // namespace

std::function<void()> raw_caller(serving::Session& session, const std::vector<float>& image) {
  return [&session, &image] { outputs_of(session, image); };
}

std::vector<int> classify_raw(serving::Session& session, size_t count, int threads,
                              const std::function<void(size_t, std::vector<float>&)>& fill) {
  std::vector<int> answers(count, -1);
  std::atomic<size_t> next{0};
  std::vector<std::jthread> workers;
  workers.reserve(static_cast<size_t>(threads));
  for (int i = 0; i < threads; ++i)
    workers.emplace_back([&] {
      std::vector<float> image(kImageFloats);
      for (size_t at = next++; at < count; at = next++) {
        fill(at, image);
        answers[at] = largest(outputs_of(session, image).front());
      }
    });
  workers.clear();
  return answers;
}

}  // namespace tidemill::bench
