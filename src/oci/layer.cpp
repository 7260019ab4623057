#include "oci/layer.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <map>

#include "base/hash.h"
#include "base/json.h"
#include "oci/elf.h"
#include "oci/gzip.h"
#include "oci/tar.h"

namespace tidemill::oci {
namespace {

// Part of every cache key: raise it when the bytes of a layer come out differently.
constexpr std::string_view kFormat = "tidemill-layer-1";
// libdeflate on the 23 MB of ONNX Runtime (image_bench --levels, one core of an EPYC with AVX-512, other load
// beside): level 1 0.25 s for 9.00 MB, level 6 0.45 s for 8.33 MB, level 9 1.12 s for 8.28 MB, level 12 4.3 s
// for 8.11 MB.
constexpr int kLevel = 6;
constexpr uint64_t kMaxFileBytes = uint64_t{16} << 30;

struct Loaded {
  const LayerEntry* entry = nullptr;  // null: a parent folder that nobody listed
  std::string bytes;
};
using Tree = std::map<std::string, Loaded>;  // byte order: parents come before their children

Result<> add_parents(const std::string& path, Tree& tree) {
  for (size_t at = path.find('/'); at != std::string::npos; at = path.find('/', at + 1))
    tree.try_emplace(path.substr(0, at));
  return {};
}

Result<> check_path(const std::string& path) {
  bool bad =
      path.empty() || path.front() == '/' || path.back() == '/' || path.find('\0') != std::string::npos;
  for (size_t begin = 0; !bad && begin <= path.size();) {
    size_t end = std::min(path.find('/', begin), path.size());
    std::string_view part = std::string_view(path).substr(begin, end - begin);
    bad = part.empty() || part == "." || part == "..";
    begin = end + 1;
  }
  if (bad) return fail(Code::kInvalid, "'{}' is not a path for a file in an image", path);
  return {};
}

Result<Tree> load(const LayerSpec& spec) {
  Tree tree;
  for (const LayerEntry& entry : spec.entries) {
    TRY(check_path(entry.path));
    TRY(add_parents(entry.path, tree));
    Loaded& loaded = tree[entry.path];
    if (loaded.entry) return fail(Code::kInvalid, "layer {}: '{}' is there twice", spec.name, entry.path);
    loaded.entry = &entry;
    if (entry.kind == LayerEntry::Kind::kFile) loaded.bytes = TRY(read_file(entry.source, kMaxFileBytes));
  }
  return tree;
}

std::string cache_key(const LayerSpec& spec, const Tree& tree, int64_t mtime) {
  Json key = {std::string(kFormat), spec.compression == Compression::kGzip ? kLevel : 0, mtime};
  for (const auto& [path, loaded] : tree) {
    if (!loaded.entry) {
      key.push_back({path});
      continue;
    }
    const LayerEntry& entry = *loaded.entry;
    std::string content = entry.kind == LayerEntry::Kind::kFile ? sha256_hex(loaded.bytes) : entry.text;
    key.push_back({path, static_cast<int>(entry.kind), entry.mode, content, entry.drop_symbols});
  }
  return sha256_hex(dump_json(key));
}

Result<std::string> make_tar(Tree& tree, int64_t mtime, uint64_t& unpacked) {
  std::string tar;
  uint64_t total = 1024;
  for (const auto& [path, loaded] : tree) total += loaded.bytes.size() + 1024;
  tar.reserve(total);
  TarWriter writer(
      [&tar](std::string_view bytes) -> Result<> {
        tar.append(bytes);
        return {};
      },
      mtime);
  for (auto& [path, loaded] : tree) {
    if (!loaded.entry) {
      TRY(writer.directory(path, 0755));
      continue;
    }
    const LayerEntry& entry = *loaded.entry;
    switch (entry.kind) {
      case LayerEntry::Kind::kDirectory:
        TRY(writer.directory(path, entry.mode));
        break;
      case LayerEntry::Kind::kSymlink:
        TRY(writer.symlink(path, entry.text));
        break;
      case LayerEntry::Kind::kBytes:
        TRY(writer.file(path, entry.mode, entry.text));
        unpacked += entry.text.size();
        break;
      case LayerEntry::Kind::kFile:
        if (entry.drop_symbols) loaded.bytes = without_symbols(std::move(loaded.bytes));
        TRY(writer.file(path, entry.mode, loaded.bytes));
        unpacked += loaded.bytes.size();
        std::string().swap(loaded.bytes);
    }
  }
  TRY(writer.finish());
  return tar;
}

fs::path blob_path(const fs::path& cache_dir, const std::string& key) { return cache_dir / (key + ".blob"); }
fs::path note_path(const fs::path& cache_dir, const std::string& key) { return cache_dir / (key + ".json"); }

// Damaged or half-written entries are made anew: the cache never decides what an image holds.
std::optional<Layer> from_cache(const fs::path& cache_dir, const std::string& key) {
  auto text = read_file(note_path(cache_dir, key), 1 << 16);
  auto note = text ? parse_json(*text) : Result<Json>(fail(Code::kNotFound, ""));
  auto blob = read_file(blob_path(cache_dir, key));
  if (!note || !blob) return std::nullopt;
  Layer layer;
  layer.info.digest = json_string(*note, "digest");
  layer.info.diff_id = json_string(*note, "diff_id");
  layer.info.unpacked = static_cast<uint64_t>(json_int(*note, "unpacked"));
  layer.info.size = blob->size();
  layer.info.from_cache = true;
  if (layer.info.digest != "sha256:" + sha256_hex(*blob) || layer.info.diff_id.size() != 71)
    return std::nullopt;
  layer.blob = std::move(*blob);
  ::utimensat(AT_FDCWD, blob_path(cache_dir, key).c_str(), nullptr, 0);
  return layer;
}

// A cache that cannot be written (no space, no permission) costs time at the next build, nothing else.
void to_cache(const fs::path& cache_dir, const std::string& key, const Layer& layer) {
  Json note = {
      {"digest", layer.info.digest}, {"diff_id", layer.info.diff_id}, {"unpacked", layer.info.unpacked}};
  if (!make_dirs(cache_dir)) return;
  if (!write_file_atomic(blob_path(cache_dir, key), layer.blob, Durable::no)) return;
  (void)write_file_atomic(note_path(cache_dir, key), dump_json(note), Durable::no);
}

}  // namespace

Result<Layer> make_layer(const LayerSpec& spec, int64_t mtime, const fs::path& cache_dir) {
  Tree tree = TRY(load(spec));
  bool cached = spec.cached && !cache_dir.empty();
  std::string key = cached ? cache_key(spec, tree, mtime) : "";
  if (cached) {
    if (auto layer = from_cache(cache_dir, key)) {
      layer->info.name = spec.name;
      return std::move(*layer);
    }
  }
  Layer layer;
  layer.info.name = spec.name;
  layer.blob = TRY(make_tar(tree, mtime, layer.info.unpacked));
  layer.info.diff_id = "sha256:" + sha256_hex(layer.blob);
  layer.info.digest = layer.info.diff_id;
  if (spec.compression == Compression::kGzip) {
    layer.blob = TRY(gzip(layer.blob, kLevel));
    layer.info.digest = "sha256:" + sha256_hex(layer.blob);
  }
  layer.info.size = layer.blob.size();
  if (cached) to_cache(cache_dir, key, layer);
  return layer;
}

void prune_layer_cache(const fs::path& cache_dir, uint64_t max_bytes) {
  struct Entry {
    fs::file_time_type used;
    fs::path blob;
    uint64_t size;
  };
  std::vector<Entry> entries;
  std::error_code error;
  for (fs::directory_iterator it(cache_dir, error), end; !error && it != end; it.increment(error)) {
    if (it->path().extension() != ".blob") continue;
    std::error_code ignored;
    entries.push_back({it->last_write_time(ignored), it->path(), it->file_size(ignored)});
  }
  std::sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) { return a.used > b.used; });
  uint64_t kept = 0;
  for (const Entry& entry : entries) {
    kept += entry.size;
    if (kept <= max_bytes) continue;
    fs::remove(fs::path(entry.blob).replace_extension(".json"), error);
    fs::remove(entry.blob, error);
  }
}

}  // namespace tidemill::oci
