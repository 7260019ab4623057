// Reads an image archive back: OCI layout or docker archive in one tar. The file may be hostile: every size
// is bounded, every digest is checked before its bytes are used.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "base/files.h"
#include "base/json.h"
#include "base/result.h"
#include "oci/image.h"

namespace tidemill::oci {

struct ImageConfig {
  std::string architecture, os, created, user, working_dir, stop_signal;
  std::vector<std::string> entrypoint, command, env, ports, diff_ids;
  Pairs labels;
};

struct ArchiveLayer {
  std::string media_type;
  std::string digest;  // "" in a pure docker archive, which has none
  std::string diff_id;
  std::string comment;  // from the history
  uint64_t size = 0;    // of the blob
  uint64_t offset = 0;  // of the blob inside the archive
};

struct ImageArchive {
  fs::path file;
  uint64_t bytes = 0;
  std::string format;  // "oci+docker", "oci" or "docker"
  std::string name;    // "localhost/cifar10:latest" or ""
  std::string digest;  // of the manifest; "" in a pure docker archive
  std::string image_id;
  ImageConfig config;
  Pairs annotations;  // of the manifest
  Pairs index_notes;  // beside the image in index.json
  std::vector<ArchiveLayer> layers;
};

// kInvalid says what is damaged; digests of manifest and config are checked, those of layers when they are
// unpacked.
Result<ImageArchive> read_archive(const fs::path& file);
// The same from memory (for the fuzzer).
Result<ImageArchive> read_archive_bytes(std::string_view bytes);

struct UnpackLimits {
  uint64_t max_bytes = uint64_t{2} << 30;  // of all files
  uint64_t max_entries = 1'000'000;
};

// The image's files under `root`, which must be an empty folder. Nothing is written outside it, whatever
// names and links the layers hold. Device nodes and set-id bits are left out. Returns the number of bytes of
// all files.
Result<uint64_t> unpack_image(const ImageArchive& image, const fs::path& root,
                              const UnpackLimits& limits = {});

}  // namespace tidemill::oci
