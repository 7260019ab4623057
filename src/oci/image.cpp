#include "oci/image.h"

#include <fcntl.h>
#include <unistd.h>

#include <charconv>
#include <cstdlib>
#include <future>
#include <regex>
#include <set>

#include "base/hash.h"
#include "base/json.h"
#include "base/text.h"
#include "base/time.h"
#include "oci/layer.h"
#include "oci/tar.h"

namespace tidemill::oci {
namespace {

constexpr uint64_t kCacheBytes = 512u << 20;
constexpr std::string_view kManifestType = "application/vnd.oci.image.manifest.v1+json";
constexpr std::string_view kIndexType = "application/vnd.oci.image.index.v1+json";
constexpr std::string_view kConfigType = "application/vnd.oci.image.config.v1+json";
constexpr std::string_view kTarType = "application/vnd.oci.image.layer.v1.tar";
constexpr std::string_view kGzipType = "application/vnd.oci.image.layer.v1.tar+gzip";

Json object_of(const Pairs& pairs) {
  Json object = Json::object();
  for (const auto& [key, value] : pairs) object[key] = value;
  return object;
}

Json descriptor(std::string_view type, const std::string& digest, uint64_t size) {
  return {{"mediaType", std::string(type)}, {"digest", digest}, {"size", size}};
}

Json config_of(const ImageSpec& spec, const std::vector<Layer>& layers) {
  std::string created = format_utc(spec.created * 1000);
  Json ports = Json::object(), diff_ids = Json::array(), history = Json::array();
  for (uint16_t port : spec.ports) ports[fmt::format("{}/tcp", port)] = Json::object();
  for (const Layer& layer : layers) {
    diff_ids.push_back(layer.info.diff_id);
    history.push_back(
        {{"created", created}, {"created_by", "tidemill image build"}, {"comment", layer.info.name}});
  }
  return {{"created", created},
          {"architecture", spec.architecture},
          {"os", "linux"},
          {"config",
           {{"User", spec.user},
            {"ExposedPorts", ports},
            {"Env", spec.env},
            {"Entrypoint", spec.entrypoint},
            {"WorkingDir", "/"},
            {"Labels", object_of(spec.labels)},
            {"StopSignal", spec.stop_signal}}},
          {"rootfs", {{"type", "layers"}, {"diff_ids", diff_ids}}},
          {"history", history}};
}

Json manifest_of(const ImageSpec& spec, const std::vector<Layer>& layers, const std::string& config) {
  Json descriptors = Json::array();
  for (size_t i = 0; i < layers.size(); ++i) {
    std::string_view type = spec.layers[i].compression == Compression::kGzip ? kGzipType : kTarType;
    descriptors.push_back(descriptor(type, layers[i].info.digest, layers[i].info.size));
  }
  Json annotations = object_of(spec.labels);
  annotations["org.opencontainers.image.created"] = format_utc(spec.created * 1000);
  return {{"schemaVersion", 2},
          {"mediaType", std::string(kManifestType)},
          {"config", descriptor(kConfigType, "sha256:" + sha256_hex(config), config.size())},
          {"layers", descriptors},
          {"annotations", annotations}};
}

Json index_of(const ImageSpec& spec, const std::string& name, const std::string& manifest) {
  Json entry = descriptor(kManifestType, "sha256:" + sha256_hex(manifest), manifest.size());
  entry["platform"] = {{"architecture", spec.architecture}, {"os", "linux"}};
  Json annotations = {{"io.containerd.image.name", name},
                      {"org.opencontainers.image.ref.name", name.substr(name.rfind(':') + 1)}};
  for (const auto& [key, value] : spec.index_notes) annotations[key] = value;
  entry["annotations"] = annotations;
  return {{"schemaVersion", 2}, {"mediaType", std::string(kIndexType)}, {"manifests", Json::array({entry})}};
}

std::string blob_name(const std::string& digest) {
  return "blobs/sha256/" + digest.substr(digest.find(':') + 1);
}

// What docker's loader reads instead of index.json.
Json docker_manifest_of(const std::string& name, const std::vector<Layer>& layers,
                        const std::string& config_digest) {
  Json paths = Json::array();
  for (const Layer& layer : layers) paths.push_back(blob_name(layer.info.digest));
  return Json::array(
      {{{"Config", blob_name(config_digest)}, {"RepoTags", Json::array({name})}, {"Layers", paths}}});
}

Result<std::vector<Layer>> make_layers(const ImageSpec& spec, const fs::path& cache_dir) {
  std::vector<std::future<Result<Layer>>> running;
  running.reserve(spec.layers.size());
  for (const LayerSpec& layer : spec.layers)
    running.push_back(std::async(std::launch::async, [&layer, &spec, &cache_dir] {
      return make_layer(layer, spec.created, cache_dir);
    }));
  std::vector<Layer> layers;
  layers.reserve(running.size());
  for (auto& future : running) layers.push_back(TRY(future.get()));
  return layers;
}

Result<> write_archive(TarWriter& tar, const ImageSpec& spec, const std::string& name,
                       const std::vector<Layer>& layers, ImageInfo& info) {
  std::string config = dump_json(config_of(spec, layers));
  std::string manifest = dump_json(manifest_of(spec, layers, config));
  info.image_id = "sha256:" + sha256_hex(config);
  info.digest = "sha256:" + sha256_hex(manifest);
  TRY(tar.file("oci-layout", 0644, R"({"imageLayoutVersion":"1.0.0"})"));
  TRY(tar.file("index.json", 0644, dump_json(index_of(spec, name, manifest))));
  TRY(tar.file("manifest.json", 0644, dump_json(docker_manifest_of(name, layers, info.image_id))));
  TRY(tar.directory("blobs", 0755));
  TRY(tar.directory("blobs/sha256", 0755));
  TRY(tar.file(blob_name(info.digest), 0644, manifest));
  TRY(tar.file(blob_name(info.image_id), 0644, config));
  std::set<std::string> written;
  for (const Layer& layer : layers)
    if (written.insert(layer.info.digest).second)
      TRY(tar.file(blob_name(layer.info.digest), 0644, layer.blob));
  return tar.finish();
}

}  // namespace

Result<ImageInfo> write_image(const ImageSpec& spec, const fs::path& archive, const fs::path& cache_dir) {
  std::string name = TRY(normal_name(spec.name));
  std::vector<Layer> layers = TRY(make_layers(spec, cache_dir));
  ImageInfo info;
  for (const Layer& layer : layers) {
    info.layers.push_back(layer.info);
    info.unpacked_bytes += layer.info.unpacked;
  }
  fs::path half = archive;
  half += fmt::format(".{}.part", ::getpid());
  auto write = [&]() -> Result<> {
    Fd file = TRY(open_file(half, O_WRONLY | O_CREAT | O_TRUNC));
    TarWriter tar([&](std::string_view bytes) { return write_all(file, bytes); }, spec.created);
    TRY(write_archive(tar, spec, name, layers, info));
    if (::rename(half.c_str(), archive.c_str()) != 0)
      return tl::unexpected(errno_error("rename to " + archive.string(), errno));
    return {};
  };
  if (auto written = write(); !written) {
    ::unlink(half.c_str());
    return tl::unexpected(std::move(written).error().in("cannot write " + archive.string()));
  }
  std::error_code error;
  info.archive_bytes = fs::file_size(archive, error);
  if (!cache_dir.empty()) prune_layer_cache(cache_dir, kCacheBytes);
  return info;
}

fs::path default_layer_cache() {
  if (const char* cache = std::getenv("XDG_CACHE_HOME"); cache && *cache == '/')
    return fs::path(cache) / "tidemill/layers";
  if (const char* home = std::getenv("HOME"); home && *home == '/')
    return fs::path(home) / ".cache/tidemill/layers";
  return {};
}

Result<int64_t> source_date_epoch() {
  const char* text = std::getenv("SOURCE_DATE_EPOCH");
  if (!text || !*text) return 0;
  std::string_view digits = text;
  int64_t seconds = 0;
  auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), seconds);
  constexpr int64_t kLastTarTime = (int64_t{1} << 33) - 1;
  if (error != std::errc{} || end != digits.data() + digits.size() || seconds < 0 || seconds > kLastTarTime)
    return fail(Code::kInvalid, "SOURCE_DATE_EPOCH='{}' is not a number of seconds since 1970", digits);
  return seconds;
}

Result<std::string> normal_name(std::string_view name) {
  static const std::regex pattern(
      R"(([a-z0-9]([a-z0-9.-]*[a-z0-9])?(:[0-9]+)?/)?[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)"
      R"((/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*(:[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127})?)");
  if (name.size() > 255 || !std::regex_match(name.begin(), name.end(), pattern))
    return fail(
        Code::kInvalid,
        "'{}' is not an image name: use lower-case letters, digits, '.', '_', '-' and '/', then ':tag'",
        name);
  std::string full(name);
  size_t slash = full.find('/');
  std::string first = slash == std::string::npos ? "" : full.substr(0, slash);
  bool has_host = first == "localhost" || first.find_first_of(".:") != std::string::npos;
  if (!has_host) full = "localhost/" + full;
  if (full.find(':', full.rfind('/')) == std::string::npos) full += ":latest";
  return full;
}

}  // namespace tidemill::oci
