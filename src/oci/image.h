// Writes a container image without a daemon: one tar that is an OCI layout and a docker archive at once.
// The same input gives the same bytes (image-spec v1.1; times are SOURCE_DATE_EPOCH or 0).
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "base/files.h"
#include "base/result.h"

namespace tidemill::oci {

using Pairs = std::vector<std::pair<std::string, std::string>>;

// A file, folder or link of a layer. Parent folders are added by themselves with mode 0755.
struct LayerEntry {
  enum class Kind { kFile, kBytes, kDirectory, kSymlink };
  Kind kind = Kind::kFile;
  std::string path;           // inside the image, without the leading slash
  uint32_t mode = 0644;       // of files and folders
  fs::path source;            // kFile: where its bytes are
  std::string text;           // kBytes: its content; kSymlink: its target
  bool drop_symbols = false;  // kFile: leave out what the loader never maps
};

enum class Compression { kNone, kGzip };

struct LayerSpec {
  std::string name;  // "libc", "runtime", "server", "model": shown in the history
  std::vector<LayerEntry> entries;
  Compression compression = Compression::kGzip;
  bool cached = true;  // kept in the layer cache for the next build
};

struct ImageSpec {
  std::string name;  // "cifar10-server:1.0", see normal_name()
  std::string architecture = "amd64";
  std::vector<LayerSpec> layers;  // base first
  std::vector<std::string> entrypoint;
  std::vector<std::string> env;  // "KEY=value"
  std::vector<uint16_t> ports;
  std::string user = "65532:65532";
  std::string stop_signal = "SIGTERM";
  Pairs labels;         // in the config and as annotations of the manifest: part of the digest
  Pairs index_notes;    // annotations beside the image in index.json: not part of the image's digest
  int64_t created = 0;  // seconds since 1970; every time stamp of the image
};

struct LayerInfo {
  std::string name;
  std::string digest;     // "sha256:..." of the blob
  std::string diff_id;    // "sha256:..." of the tar: the promise that holds for any compressor
  uint64_t size = 0;      // of the blob
  uint64_t unpacked = 0;  // of the files in it
  bool from_cache = false;
};

struct ImageInfo {
  std::string digest;    // of the manifest
  std::string image_id;  // digest of the config, docker's IMAGE ID
  uint64_t archive_bytes = 0;
  uint64_t unpacked_bytes = 0;
  std::vector<LayerInfo> layers;
};

// Writes the archive in one step (a reader sees the old or the new one). cache_dir "" works without a cache.
Result<ImageInfo> write_image(const ImageSpec& spec, const fs::path& archive, const fs::path& cache_dir);

// $XDG_CACHE_HOME/tidemill/layers or ~/.cache/tidemill/layers; "" when neither is set.
fs::path default_layer_cache();
// SOURCE_DATE_EPOCH (https://reproducible-builds.org/specs/source-date-epoch/), or 0. kInvalid when it is no
// number.
Result<int64_t> source_date_epoch();

// The full form that loaders store: "cifar10" -> "localhost/cifar10:latest". kInvalid says what is wrong with
// a name.
Result<std::string> normal_name(std::string_view name);

}  // namespace tidemill::oci
