// One layer of an image as a blob, made or taken from the cache.
#pragma once

#include <string>

#include "oci/image.h"

namespace tidemill::oci {

struct Layer {
  LayerInfo info;
  std::string blob;
};

// The layer's tar, compressed. Entries are sorted by path, parents first; two entries with one path are
// refused.
Result<Layer> make_layer(const LayerSpec& spec, int64_t mtime, const fs::path& cache_dir);

// Keeps the most recently used layers, up to max_bytes.
void prune_layer_cache(const fs::path& cache_dir, uint64_t max_bytes);

}  // namespace tidemill::oci
