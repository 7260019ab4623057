#include "engine/reliances.h"

#include <atomic>
#include <mutex>
#include <optional>
#include <thread>

#include "engine/bytes.h"
#include "engine/step_cache.h"

namespace tidemill::engine {
namespace {

constexpr uint64_t kSmall = 1 << 20;
constexpr size_t kMostEntries = 2'000'000;  // of all files together, to be remembered

using Pairs = std::vector<std::pair<std::string, std::string>>;

void put_entry(std::string& out, const KnownFile& entry) {
  put_text(out, entry.path);
  put(out, entry.size);
  put(out, entry.inode);
  put(out, entry.mtime_ns);
  put(out, entry.ctime_ns);
  put(out, static_cast<uint8_t>(entry.executable));
}

bool get_entry(Bytes& in, KnownFile& entry) {
  uint8_t executable = 0;
  bool good = in.get_text(entry.path) && in.get(entry.size) && in.get(entry.inode) &&
              in.get(entry.mtime_ns) && in.get(entry.ctime_ns) && in.get(executable);
  entry.executable = executable != 0;
  return good;
}

void put_item(std::string& out, const Reliance& file) {
  put_text(out, file.path);
  put(out, static_cast<uint8_t>(file.is_code | file.stamps.settled << 1));
  put_text(out, file.digest);
  put(out, static_cast<uint32_t>(file.stamps.entries.size()));
  for (const auto& entry : file.stamps.entries) put_entry(out, entry);
}

bool get_item(Bytes& in, Reliance& file) {
  uint8_t flags = 0;
  uint32_t count = 0;
  if (!in.get_text(file.path) || !in.get(flags) || !in.get_text(file.digest) || !in.get(count) ||
      count > in.left())
    return false;
  file.is_code = (flags & 1) != 0;
  file.stamps.settled = (flags & 2) != 0;
  file.stamps.entries.resize(count);
  for (auto& entry : file.stamps.entries)
    if (!get_entry(in, entry)) return false;
  return true;
}

void put_item(std::string& out, const std::string& text) { put_text(out, text); }
bool get_item(Bytes& in, std::string& text) { return in.get_text(text); }
void put_item(std::string& out, const Pairs::value_type& pair) {
  put_text(out, pair.first);
  put_text(out, pair.second);
}
bool get_item(Bytes& in, Pairs::value_type& pair) {
  return in.get_text(pair.first) && in.get_text(pair.second);
}

template <class Item>
void put_all(std::string& out, const std::vector<Item>& items) {
  put(out, static_cast<uint32_t>(items.size()));
  for (const auto& item : items) put_item(out, item);
}

template <class Item>
bool get_all(Bytes& in, std::vector<Item>& items) {
  uint32_t count = 0;
  if (!in.get(count) || count > in.left()) return false;
  items.resize(count);
  for (auto& item : items)
    if (!get_item(in, item)) return false;
  return true;
}

bool is_file(const std::string& path) {
  std::error_code ignored;
  return fs::is_regular_file(path, ignored);
}

Result<bool> holds(Reliance& file, const FileHashes& hashes, std::atomic<bool>& renewed) {
  if (file.stamps.settled && is_untouched(file.path, file.stamps)) return true;
  TreeStamps now;
  std::string digest = TRY(hashes.tree(file.path, file.is_code ? is_not_code : nullptr, &now)).digest;
  // An empty folder is another thing than nothing.
  if (digest != file.digest || now.entries.empty() != file.stamps.entries.empty()) return false;
  file.stamps = std::move(now);
  renewed = true;
  return true;
}

// Looked at on all cores.
Result<bool> hold(std::vector<Reliance>& files, const FileHashes& hashes, bool& renewed) {
  constexpr size_t kBatch = 64;
  std::atomic<size_t> next = 0;
  std::atomic<bool> all = true, some_renewed = false;
  std::mutex mutex;
  std::optional<Error> error;
  auto work = [&] {
    for (size_t start; all && (start = next.fetch_add(kBatch)) < files.size();)
      for (size_t i = start; all && i < std::min(start + kBatch, files.size()); ++i) {
        auto held = holds(files[i], hashes, some_renewed);
        if (!held) {
          std::lock_guard lock(mutex);
          error = held.error();
        }
        if (!held || !*held) all = false;
      }
  };
  {
    std::vector<std::jthread> threads;
    for (unsigned i = 1; i < std::thread::hardware_concurrency() && files.size() > kBatch; ++i)
      threads.emplace_back(work);
    work();
  }
  renewed = some_renewed;
  if (error) return tl::unexpected<Error>(*error);
  return all.load();
}

template <class Map>
Pairs pairs_of(const Map& map) {
  return {map.begin(), map.end()};
}

}  // namespace

std::string encode(const Reliances& reliances) {
  std::string out;
  put_all(out, reliances.files);
  put_all(out, reliances.no_files);
  put_all(out, reliances.programs);
  put_all(out, reliances.variables);
  return out;
}

bool decode(Bytes& in, Reliances& reliances) {
  return get_all(in, reliances.files) && get_all(in, reliances.no_files) && get_all(in, reliances.programs) &&
         get_all(in, reliances.variables);
}

Result<bool> hold(Reliances& reliances, const FileHashes& hashes, const Options& options, bool& renewed) {
  for (const auto& path : reliances.no_files)
    if (is_file(path)) return false;
  for (const auto& [name, place] : reliances.programs)
    if (program_place(name, options.program_dir) != place) return false;
  for (const auto& [name, value] : reliances.variables)
    if (variable_value(name) != value) return false;
  return hold(reliances.files, hashes, renewed);
}

void RelianceLog::add(const fs::path& path, bool is_code, const std::string& digest, TreeStamps stamps) {
  std::error_code ignored;
  std::string place = fs::absolute(path, ignored).string();
  auto [at, is_new] = files_.try_emplace({place, is_code});
  if (!is_new && at->second.digest != digest) spoil();
  at->second = {.digest = digest, .stamps = std::move(stamps)};
}

void RelianceLog::add_file(const fs::path& path, const std::string& sha256) {
  TreeStamps stamps;
  auto tree = FileHashes().tree(path, nullptr, &stamps);
  if (!tree || tree->files.size() != 1 || tree->files[0].sha256 != sha256) return spoil();
  add(path, false, tree->digest, std::move(stamps));
}

std::optional<Reliances> RelianceLog::take() {
  size_t entries = 0;
  for (auto& [place, content] : files_) {
    const auto& [path, is_code] = place;
    entries += content.stamps.entries.size();
    if (spoilt_ || content.stamps.settled || content.stamps.bytes() > kSmall) continue;
    TreeStamps now;
    auto tree = FileHashes({}, own_).tree(path, is_code ? is_not_code : nullptr, &now);
    if (!tree || tree->digest != content.digest) spoil();
    content.stamps = std::move(now);
  }
  if (spoilt_ || entries > kMostEntries) return std::nullopt;
  Reliances all{
      .files = {}, .no_files = {}, .programs = pairs_of(programs_), .variables = pairs_of(variables_)};
  while (!files_.empty()) {
    auto file = files_.extract(files_.begin());
    all.files.push_back({.path = std::move(file.key().first),
                         .is_code = file.key().second,
                         .digest = std::move(file.mapped().digest),
                         .stamps = std::move(file.mapped().stamps)});
  }
  for (const auto& [path, nothing] : no_files_) all.no_files.push_back(path);
  return all;
}

}  // namespace tidemill::engine
