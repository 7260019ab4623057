// Any bytes as a stored chunk: decoded or refused, never read beyond; what loads goes on taking points.
#include <cstdlib>
#include <string_view>
#include <vector>

#include "tracking/chunk.h"

using namespace tidemill::tracking;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string_view bytes(reinterpret_cast<const char*>(data), size);
  std::vector<Point> points;
  bool good = decode_chunk(bytes, points).has_value();
  auto chunk = Chunk::load(bytes);
  if (chunk && !good) std::abort();
  if (!chunk || !chunk->append({1, 2, 3.5})) return 0;
  std::vector<Point> again;
  if (!decode_chunk(chunk->bytes(), again) || again.size() != points.size() + 1) std::abort();
  for (size_t i = 0; i < points.size(); ++i)
    if (!same_point(points[i], again[i])) std::abort();
  if (!same_point(again.back(), {1, 2, 3.5})) std::abort();
  return 0;
}
