#include "oci/archive.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "base/hash.h"
#include "oci/tar.h"

namespace tidemill::oci {
namespace {

constexpr uint64_t kMaxJsonBytes = 8u << 20;
constexpr size_t kMaxMembers = 100'000;
constexpr size_t kMaxLayers = 512;

struct Member {
  uint64_t offset = 0, size = 0;
};

// The archive's table of contents and a bounded way to its small members.
struct Contents {
  TarReader::ReadAt read_at;
  std::map<std::string, Member> members;

  const Member* find(const std::string& name) const {
    auto it = members.find(name);
    return it == members.end() ? nullptr : &it->second;
  }
  Result<std::string> read(const std::string& name) const {
    const Member* member = find(name);
    if (!member) return fail(Code::kInvalid, "'{}' is missing in the archive", name);
    if (member->size > kMaxJsonBytes)
      return fail(Code::kInvalid, "'{}' is {} bytes long", name, member->size);
    std::string bytes(member->size, '\0');
    TRY(read_at(member->offset, bytes));
    return bytes;
  }
};

std::string_view plain_name(std::string_view path) {
  while (path.starts_with("./")) path.remove_prefix(2);
  return path;
}

Result<Contents> list(TarReader::ReadAt read_at, uint64_t size) {
  Contents contents{read_at, {}};
  TarReader reader(std::move(read_at), size);
  while (auto item = TRY(reader.next())) {
    if (item->kind != TarKind::kFile) continue;
    if (contents.members.size() >= kMaxMembers) return fail(Code::kInvalid, "too many files in the archive");
    contents.members[std::string(plain_name(item->path))] = {item->offset, item->size};
  }
  return contents;
}

bool is_digest(std::string_view text) {
  return text.size() == 71 && text.starts_with("sha256:") &&
         text.find_first_not_of("0123456789abcdef", 7) == std::string_view::npos;
}

Result<std::string> blob_name(const std::string& digest) {
  if (!is_digest(digest)) return fail(Code::kInvalid, "'{}' is not a sha256 digest", digest.substr(0, 100));
  return "blobs/sha256/" + digest.substr(7);
}

Result<Json> read_json(const Contents& contents, const std::string& name) {
  return TRY_IN(name, parse_json(TRY(contents.read(name))));
}

Result<std::string> read_checked_blob(const Contents& contents, const std::string& digest) {
  std::string bytes = TRY(contents.read(TRY(blob_name(digest))));
  if ("sha256:" + sha256_hex(bytes) != digest)
    return fail(Code::kInvalid, "{} is damaged: its digest differs", digest);
  return bytes;
}

const Json& member(const Json& object, std::string_view key) {
  static const Json nothing;
  if (!object.is_object()) return nothing;
  auto it = object.find(key);
  return it == object.end() ? nothing : *it;
}

std::vector<std::string> strings(const Json& array) {
  std::vector<std::string> out;
  if (array.is_array())
    for (const Json& item : array)
      if (item.is_string()) out.push_back(item.get<std::string>());
  return out;
}

Pairs pairs(const Json& object) {
  Pairs out;
  if (object.is_object())
    for (const auto& [key, value] : object.items())
      if (value.is_string()) out.emplace_back(key, value.get<std::string>());
  return out;
}

std::string pair_value(const Pairs& list, std::string_view key) {
  auto it = std::find_if(list.begin(), list.end(), [&](const auto& pair) { return pair.first == key; });
  return it == list.end() ? "" : it->second;
}

Result<> read_config(const std::string& text, ImageArchive& image) {
  Json json = TRY_IN("image config", parse_json(text));
  const Json& run = member(json, "config");
  ImageConfig& config = image.config;
  config.architecture = json_string(json, "architecture");
  config.os = json_string(json, "os");
  config.created = json_string(json, "created");
  config.user = json_string(run, "User");
  config.working_dir = json_string(run, "WorkingDir");
  config.stop_signal = json_string(run, "StopSignal");
  config.entrypoint = strings(member(run, "Entrypoint"));
  config.command = strings(member(run, "Cmd"));
  config.env = strings(member(run, "Env"));
  if (const Json& ports = member(run, "ExposedPorts"); ports.is_object())
    for (const auto& [port, nothing] : ports.items()) config.ports.push_back(port);
  config.labels = pairs(member(run, "Labels"));
  config.diff_ids = strings(member(member(json, "rootfs"), "diff_ids"));
  if (config.diff_ids.size() != image.layers.size())
    return fail(Code::kInvalid, "the image has {} layers, its config names {}", image.layers.size(),
                config.diff_ids.size());
  size_t layer = 0;
  for (size_t i = 0; i < image.layers.size(); ++i) image.layers[i].diff_id = config.diff_ids[i];
  if (const Json& history = member(json, "history"); history.is_array())
    for (const Json& step : history) {
      const Json& empty = member(step, "empty_layer");
      if (empty.is_boolean() && empty.get<bool>()) continue;
      if (layer < image.layers.size()) image.layers[layer++].comment = json_string(step, "comment");
    }
  return {};
}

// The descriptor of the image in an index: the only one, or that of linux on this machine; one nested index
// deep.
Result<Json> choose_manifest(const Contents& contents, const Json& index, int depth) {
  const Json& manifests = member(index, "manifests");
  if (!manifests.is_array() || manifests.empty()) return fail(Code::kInvalid, "index.json names no image");
  const Json* chosen = &manifests[0];
  for (const Json& candidate : manifests) {
    const Json& platform = member(candidate, "platform");
#if defined(__aarch64__)
    constexpr std::string_view kHere = "arm64";
#else
    constexpr std::string_view kHere = "amd64";
#endif
    if (json_string(platform, "os") == "linux" && json_string(platform, "architecture") == kHere) {
      chosen = &candidate;
      break;
    }
  }
  if (json_string(*chosen, "mediaType").find("index") == std::string::npos) return *chosen;
  if (depth >= 2) return fail(Code::kInvalid, "index.json is nested too deeply");
  Json inner = TRY(parse_json(TRY(read_checked_blob(contents, json_string(*chosen, "digest")))));
  return choose_manifest(contents, inner, depth + 1);
}

Result<ImageArchive> read_oci(const Contents& contents) {
  Json index = TRY(read_json(contents, "index.json"));
  Json chosen = TRY(choose_manifest(contents, index, 0));
  ImageArchive image;
  image.format = contents.find("manifest.json") ? "oci+docker" : "oci";
  image.digest = json_string(chosen, "digest");
  image.index_notes = pairs(member(chosen, "annotations"));
  image.name = pair_value(image.index_notes, "io.containerd.image.name");
  if (image.name.empty()) image.name = pair_value(image.index_notes, "org.opencontainers.image.ref.name");
  Json manifest = TRY_IN("manifest", parse_json(TRY(read_checked_blob(contents, image.digest))));
  image.annotations = pairs(member(manifest, "annotations"));
  image.image_id = json_string(member(manifest, "config"), "digest");
  const Json& layers = member(manifest, "layers");
  if (!layers.is_array() || layers.size() > kMaxLayers)
    return fail(Code::kInvalid, "the manifest's layers are damaged");
  for (const Json& entry : layers) {
    ArchiveLayer layer;
    layer.media_type = json_string(entry, "mediaType");
    layer.digest = json_string(entry, "digest");
    const Member* blob = contents.find(TRY(blob_name(layer.digest)));
    if (!blob) return fail(Code::kInvalid, "layer {} is missing in the archive", layer.digest);
    if (static_cast<uint64_t>(json_int(entry, "size")) != blob->size)
      return fail(Code::kInvalid, "layer {} has {} bytes, the manifest says {}", layer.digest, blob->size,
                  json_int(entry, "size"));
    layer.size = blob->size;
    layer.offset = blob->offset;
    image.layers.push_back(std::move(layer));
  }
  TRY(read_config(TRY(read_checked_blob(contents, image.image_id)), image));
  return image;
}

Result<ImageArchive> read_docker(const Contents& contents) {
  Json manifest = TRY(read_json(contents, "manifest.json"));
  if (!manifest.is_array() || manifest.empty()) return fail(Code::kInvalid, "manifest.json names no image");
  ImageArchive image;
  image.format = "docker";
  std::vector<std::string> tags = strings(member(manifest[0], "RepoTags"));
  if (!tags.empty()) image.name = tags[0];
  std::vector<std::string> paths = strings(member(manifest[0], "Layers"));
  if (paths.size() > kMaxLayers) return fail(Code::kInvalid, "manifest.json names {} layers", paths.size());
  for (const std::string& path : paths) {
    const Member* blob = contents.find(path);
    if (!blob) return fail(Code::kInvalid, "layer '{}' is missing in the archive", path);
    ArchiveLayer layer;
    layer.size = blob->size;
    layer.offset = blob->offset;
    image.layers.push_back(std::move(layer));
  }
  std::string config = TRY(contents.read(json_string(manifest[0], "Config")));
  image.image_id = "sha256:" + sha256_hex(config);
  TRY(read_config(config, image));
  return image;
}

Result<ImageArchive> read(const Contents& contents) {
  if (contents.find("index.json")) return read_oci(contents);
  if (contents.find("manifest.json")) return read_docker(contents);
  return fail(Code::kInvalid, "neither index.json nor manifest.json is in it: not an image archive");
}

}  // namespace

Result<ImageArchive> read_archive(const fs::path& path) {
  Fd file = TRY(open_file(path, O_RDONLY));
  struct stat status{};
  if (::fstat(file.get(), &status) != 0) return tl::unexpected(errno_error("stat " + path.string(), errno));
  if (!S_ISREG(status.st_mode)) return fail(Code::kInvalid, "{} is not a file", path.string());
  auto read_at = [&file](uint64_t offset, std::span<char> out) -> Result<> {
    while (!out.empty()) {
      ssize_t got = ::pread(file.get(), out.data(), out.size(), static_cast<off_t>(offset));
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) return tl::unexpected(errno_error("read", errno));
      if (got == 0) return fail(Code::kInvalid, "the file ends too early");
      out = out.subspan(static_cast<size_t>(got));
      offset += static_cast<uint64_t>(got);
    }
    return {};
  };
  auto size = static_cast<uint64_t>(status.st_size);
  Contents contents = TRY_IN(path.string(), list(read_at, size));
  ImageArchive image = TRY_IN(path.string(), read(contents));
  image.file = path;
  image.bytes = size;
  return image;
}

Result<ImageArchive> read_archive_bytes(std::string_view bytes) {
  auto read_at = [bytes](uint64_t offset, std::span<char> out) -> Result<> {
    if (offset > bytes.size() || out.size() > bytes.size() - offset)
      return fail(Code::kInvalid, "the archive ends too early");
    std::copy_n(bytes.data() + offset, out.size(), out.data());
    return {};
  };
  Contents contents = TRY(list(read_at, bytes.size()));
  ImageArchive image = TRY(read(contents));
  image.bytes = bytes.size();
  return image;
}

}  // namespace tidemill::oci
