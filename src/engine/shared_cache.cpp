#include "engine/shared_cache.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cmath>

#include "base/hash.h"
#include "base/json.h"
#include "engine/file_tree.h"
#include "sys/signals.h"

namespace tidemill::engine {
namespace {

constexpr int kFormat = 1;
constexpr uint64_t kMostJsonBytes = 256ull << 20;
constexpr size_t kMostMakerBytes = 500;
constexpr size_t kBufferBytes = 1 << 18;

std::string place_of_result(const std::string& key) {
  return fmt::format("results/{}/{}.json", key.substr(0, 2), key);
}
std::string place_of_outputs(const std::string& digest) {
  return fmt::format("outputs/{}/{}", digest.substr(0, 2), digest);
}

bool is_sha256(std::string_view text) {
  return text.size() == 64 && text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

// What is shown to people must not steer their terminals.
bool is_plain(std::string_view text) {
  return std::none_of(text.begin(), text.end(), [](unsigned char c) { return c < ' ' || c == 0x7f; });
}

Result<> check_file(const SharedFile& file, const SharedFile* before) {
  TRY(artifacts::check_path(file.path));
  if (file.path.empty() || !is_plain(file.path) || !is_sha256(file.sha256))
    return fail(Code::kInvalid, "a file has no name or no hash");
  if (before != nullptr && before->path >= file.path)
    return fail(Code::kInvalid, "its files are not in order");
  return {};
}

std::string digest_of(const std::vector<SharedFile>& files) {
  std::vector<KnownFile> known;
  for (const auto& file : files) {
    known.push_back({.path = file.path, .executable = file.executable, .sha256 = file.sha256});
  }
  return digest_of_files(known);
}

// Cuts the contents into files.
class Unpacker {
 public:
  Unpacker(const fs::path& contents, const fs::path& folder) : contents_(contents), folder_(folder) {}

  Result<> unpack(const SharedResult& result) {
    in_ = TRY(open_file(contents_, O_RDONLY));
    TRY(make_dirs(folder_));
    for (const auto& file : result.files) {
      if (interrupted()) return fail(Code::kCancelled, "interrupted");
      TRY(unpack(file));
    }
    if (TRY(read_some(in_, {buffer_.data(), 1})) != 0)
      return fail(Code::kInvalid, "its contents go on after the files");
    return {};
  }

 private:
  Result<> unpack(const SharedFile& file) {
    const fs::path place = TRY(path_inside(folder_, file.path));
    TRY(make_dirs(place.parent_path()));
    Fd out = TRY(open_file(place, O_WRONLY | O_CREAT | O_EXCL, file.executable ? 0755 : 0644));
    Sha256 sha;
    for (uint64_t left = file.size; left > 0;) {
      size_t got = TRY(
          read_some(in_, {buffer_.data(), static_cast<size_t>(std::min<uint64_t>(left, buffer_.size()))}));
      if (got == 0) return fail(Code::kInvalid, "its contents end within {}", file.path);
      sha.update({buffer_.data(), got});
      TRY(write_all(out, {buffer_.data(), got}));
      left -= got;
    }
    if (sha.hex() != file.sha256) return fail(Code::kInvalid, "{} is not what its hash says", file.path);
    return {};
  }

  const fs::path& contents_;
  const fs::path& folder_;
  Fd in_;
  std::vector<char> buffer_ = std::vector<char>(kBufferBytes);
};

// Fails when a file is not what the result says: something else must not be shared in its place.
Result<> pack(const SharedResult& result, const fs::path& folder, const Fd& out) {
  std::vector<char> buffer(kBufferBytes);
  for (const auto& file : result.files) {
    if (interrupted()) return fail(Code::kCancelled, "interrupted");
    Fd in = TRY(open_file(folder / file.path, O_RDONLY | O_NOFOLLOW));
    Sha256 sha;
    for (size_t got; (got = TRY(read_some(in, buffer))) > 0;) {
      sha.update({buffer.data(), got});
      TRY(write_all(out, {buffer.data(), got}));
    }
    if (sha.hex() != file.sha256)
      return fail(Code::kConflict, "{} has changed since its step ended", (folder / file.path).string());
  }
  return {};
}

}  // namespace

std::string to_json(const SharedResult& result) {
  Json files = Json::array(), metrics = Json::array(), params = Json::array();
  for (const auto& file : result.files)
    files.push_back(
        {{"path", file.path}, {"size", file.size}, {"executable", file.executable}, {"sha256", file.sha256}});
  for (const auto& metric : result.metrics)
    if (std::isfinite(metric.value))
      metrics.push_back({{"key", metric.key},
                         {"value", metric.value},
                         {"timestamp", metric.timestamp},
                         {"step", metric.step}});
  for (const auto& [name, value] : result.params) params.push_back(Json::array({name, value}));
  return dump_json({{"format", kFormat},
                    {"key", result.key},
                    {"outputs", result.outputs},
                    {"maker", result.maker},
                    {"metrics", metrics},
                    {"params", params},
                    {"files", files}});
}

Result<SharedResult> parse_shared_result(std::string_view text, const std::string& key) {
  Json json = TRY(parse_json(text));
  SharedResult result{.key = key, .outputs = {}, .files = {}, .maker = {}, .metrics = {}, .params = {}};
  try {
    if (json.at("format").get<int>() != kFormat) return fail(Code::kInvalid, "it is of another format");
    if (json.at("key").get<std::string>() != key) return fail(Code::kInvalid, "it is that of another key");
    result.outputs = json.at("outputs").get<std::string>();
    result.maker = json.at("maker").get<std::string>();
    if (!is_plain(result.maker) || result.maker.size() > kMostMakerBytes)
      return fail(Code::kInvalid, "nobody is called as its maker is");
    for (const auto& file : json.at("files")) {
      result.files.push_back({file.at("path").get<std::string>(), file.at("size").get<uint64_t>(),
                              file.at("executable").get<bool>(), file.at("sha256").get<std::string>()});
      const size_t count = result.files.size();
      TRY(check_file(result.files.back(), count > 1 ? &result.files[count - 2] : nullptr));
    }
    for (const auto& metric : json.at("metrics"))
      result.metrics.push_back({metric.at("key").get<std::string>(), metric.at("value").get<double>(),
                                metric.at("timestamp").get<int64_t>(), metric.at("step").get<int64_t>()});
    for (const auto& param : json.at("params"))
      result.params.emplace_back(param.at(0).get<std::string>(), param.at(1).get<std::string>());
  } catch (const Json::exception& error) {
    return fail(Code::kInvalid, "it cannot be read: {}", error.what());
  }
  if (digest_of(result.files) != result.outputs)
    return fail(Code::kInvalid, "its files do not give its digest");
  return result;
}

Result<SharedCache> SharedCache::open(const std::string& place) {
  return SharedCache(TRY(artifacts::open_repository(place)));
}

Result<std::optional<SharedResult>> SharedCache::find(const std::string& key) const {
  TempDir folder = TRY(TempDir::create());
  auto loaded = repository_->download(place_of_result(key), folder.path() / "result");
  if (!loaded && loaded.error().code == Code::kNotFound) return std::nullopt;
  TRY(std::move(loaded));
  std::string text = TRY(read_file(folder.path() / "result", kMostJsonBytes));
  return TRY_IN(fmt::format("{}/{}", name(), place_of_result(key)), parse_shared_result(text, key));
}

Result<> SharedCache::fetch(const SharedResult& result, const fs::path& folder) const {
  TRY(make_dirs(folder.parent_path()));
  TempDir loading = TRY(TempDir::create(folder.parent_path(), "loading-"));
  const fs::path contents = loading.path() / "contents", files = loading.path() / "files";
  TRY(repository_->download(place_of_outputs(result.outputs), contents));
  Unpacker unpacker(contents, files);
  TRY_IN(fmt::format("{}/{}", name(), place_of_outputs(result.outputs)), unpacker.unpack(result));
  if (::rename(files.c_str(), folder.c_str()) != 0)
    return tl::unexpected<Error>(errno_error("move to " + folder.string(), errno));
  return {};
}

Result<> SharedCache::publish(const SharedResult& result, const fs::path& folder, Existing existing) const {
  if (existing == Existing::kKeep)
    if (auto there = find(result.key); there && *there) return {};
  const fs::path incoming = TRY(repository_->incoming());
  TempDir packing = TRY(TempDir::create(incoming, "packing-"));
  const fs::path contents = packing.path() / "contents";
  {
    Fd out = TRY(open_file(contents, O_WRONLY | O_CREAT | O_EXCL));
    TRY(pack(result, folder, out));
    if (fsync(out.get()) != 0) return tl::unexpected<Error>(errno_error("write " + contents.string(), errno));
  }
  using Source = artifacts::ArtifactRepository::Source;
  TRY(repository_->put_file(place_of_outputs(result.outputs), contents, Source::kMove));
  return repository_->put(place_of_result(result.key), to_json(result));
}

}  // namespace tidemill::engine
