#include "engine/fetcher.h"

#include "artifacts/tree.h"
#include "base/hash.h"
#include "base/id.h"
#include "base/json.h"
#include "base/log.h"
#include "base/text.h"
#include "db/csv.h"
#include "net/cancel.h"
#include "net/http_client.h"
#include "sys/signals.h"
#include "sys/terminal.h"

namespace tidemill::engine {
namespace {

constexpr int kMostRedirects = 5;

bool is_web(std::string_view url) { return url.starts_with("http://") || url.starts_with("https://"); }

// "https://host/x/table.csv?v=2" -> "table.csv".
std::string file_name_of(const std::string& url) {
  std::string path = url.substr(0, url.find_first_of("?#"));
  std::string name;
  for (char c : path.substr(path.rfind('/') + 1))
    name += std::isalnum(static_cast<unsigned char>(c)) || c == '.' || c == '-' || c == '_' ? c : '_';
  return name.empty() || name[0] == '.' ? "file" + name : name.substr(0, 100);
}

std::string joined(const std::string& base, const std::string& location) {
  if (is_web(location)) return location;
  size_t host = base.find("://") + 3;
  if (location.starts_with("/")) return base.substr(0, base.find('/', host)) + location;
  return base.substr(0, base.rfind('/') + 1) + location;
}

// It could not be asked, so that an earlier answer is the best there is.
bool is_away(const Error& error) { return error.code == Code::kUnavailable || error.code == Code::kTimeout; }

// Whatever is left at a place when its use ends.
struct Removed {
  fs::path place;
  ~Removed() {
    std::error_code ignored;
    fs::remove_all(place, ignored);
  }
};

}  // namespace

std::string shown_url(const std::string& url) {
  if (!is_web(url)) return url;
  Url parsed;
  if (!parse_url(url, parsed)) return "the URL";
  const bool usual = parsed.port == (parsed.scheme == "http" ? "80" : "443");
  return fmt::format("{}://{}{}{}", parsed.scheme, parsed.host, usual ? "" : ":" + parsed.port,
                     parsed.target.substr(0, parsed.target.find('?')));
}

Result<fs::path> Fetcher::fetch(const std::string& label, const std::string& url, const std::string& sha256) {
  const CancelCallsOn cancel(interrupt_fd());
  const std::string name = file_name_of(url);
  if (is_web(url))
    return keep(label + ": " + shown_url(url), url, name, sha256,
                [&](const auto& copy, const fs::path& target) { return from_web(label, url, copy, target); });
  // What the URI names may change (an alias, a run that goes on): only its files tell.
  const ArtifactPlace place = TRY_IN(label, find(url));
  if (!place.local.empty()) return place.local;
  return keep(
      fmt::format("{}: {}", label, url), url, name, sha256,
      [&](const auto& copy, const fs::path& target) { return from_artifacts(label, place, copy, target); });
}

Result<fs::path> Fetcher::fetch(const std::string& label, const Query& query, const std::string& sha256) {
  const std::string database = query.database.name();
  return keep(fmt::format("{}: {}", label, database), database + "\n" + query.sql, "rows.csv", sha256,
              [&](const auto&, const fs::path& target) -> Result<Arrival> {
                TRY(db::write_csv(query.database, query.sql, target));
                return Arrival{};
              });
}

Result<> Fetcher::fetch_to(const std::string& label, const std::string& url, const fs::path& target) {
  const CancelCallsOn cancel(interrupt_fd());
  if (is_web(url)) return from_web(label, url, std::nullopt, target).map([](const Arrival&) {});
  const ArtifactPlace place = TRY_IN(label, find(url));
  if (place.local.empty())
    return from_artifacts(label, place, std::nullopt, target).map([](const Arrival&) {});
  std::error_code error;
  fs::copy(place.local, target, fs::copy_options::recursive, error);
  if (error) return fail(Code::kInvalid, "{}: {}: {}", label, place.local.string(), error.message());
  return {};
}

Result<ArtifactPlace> Fetcher::find(const std::string& url) const {
  if (!find_) return fail(Code::kInvalid, "{} cannot be fetched here: only http and https can", url);
  return find_(url);
}

fs::path Fetcher::note_of(const std::string& place) const { return folder_ / (sha256_hex(place) + ".json"); }

// nullopt when there is none that is whole.
std::optional<Fetcher::Copy> Fetcher::known(const std::string& place, const std::string& name) const {
  auto text = read_file(note_of(place), 4 << 20);
  auto json = text ? parse_json(*text) : tl::unexpected<Error>(text.error());
  if (!json || !json->is_object()) return std::nullopt;
  Copy copy{json_string(*json, "sha256"), name, json_string(*json, "etag"),
            json_string(*json, "last_modified")};
  if (copy.sha256.empty()) return std::nullopt;
  std::error_code ignored;
  const fs::path there = place_of(copy);
  const bool is_folder = fs::is_directory(there, ignored);
  const std::string now =
      is_folder ? hashes_.tree(there).value_or(FileTree{}).digest : hashes_.file(there).value_or("");
  return now == copy.sha256 ? std::optional(copy) : std::nullopt;
}

Result<fs::path> Fetcher::keep(const std::string& label, const std::string& place, const std::string& name,
                               const std::string& sha256, const Bring& bring) {
  const auto copy = known(place, name);
  if (copy && copy->sha256 == sha256) return place_of(*copy);
  TRY(make_dirs(folder_));
  const Removed loading{folder_ / fmt::format("loading-{:016x}", random_u64())};
  auto arrival = bring(copy, loading.place);
  if (!arrival && copy && sha256.empty() && is_away(arrival.error())) {
    log_warning("{}: {}; the copy of an earlier run is used", label, arrival.error().message);
    return place_of(*copy);
  }
  if (!arrival && arrival.error().code == Code::kCancelled) return tl::unexpected<Error>(arrival.error());
  if (!arrival) return fail(Code::kInvalid, "{}: {}", label, arrival.error().message);
  if (!arrival->is_new) return place_of(*copy);
  std::error_code error;
  const bool is_folder = fs::is_directory(loading.place, error);
  Copy fresh{is_folder ? TRY(FileHashes().tree(loading.place)).digest : TRY(FileHashes().file(loading.place)),
             name, arrival->etag, arrival->last_modified};
  if (!sha256.empty() && fresh.sha256 != sha256)
    return fail(Code::kInvalid, "{} has the content {}, not {}", label, fresh.sha256, sha256);
  const fs::path there = place_of(fresh);
  TRY(make_dirs(there.parent_path()));
  if (is_folder) TRY(tidemill::remove_all(there));
  fs::rename(loading.place, there, error);
  if (error) return fail(Code::kUnavailable, "cannot write {}: {}", there.string(), error.message());
  const Json note{{"url", shown_url(place)},
                  {"sha256", fresh.sha256},
                  {"etag", fresh.etag},
                  {"last_modified", fresh.last_modified}};
  TRY(write_file_atomic(note_of(place), dump_json(note, 2) + "\n"));
  return there;
}

Result<Fetcher::Arrival> Fetcher::from_web(const std::string& label, const std::string& first,
                                           const std::optional<Copy>& copy, const fs::path& target) const {
  std::string url = first;
  for (int hop = 0; hop <= kMostRedirects; ++hop) {
    size_t path = url.find('/', url.find("://") + 3);
    auto client = TRY(HttpClient::create(url.substr(0, path)));
    std::optional<Progress> progress;
    ClientRequest request{.target = path == std::string::npos ? "/" : url.substr(path), .save_to = target};
    if (copy && !copy->etag.empty()) request.headers.set("If-None-Match", copy->etag);
    if (copy && copy->etag.empty() && !copy->last_modified.empty())
      request.headers.set("If-Modified-Since", copy->last_modified);
    request.on_progress = [&](uint64_t done, uint64_t total) {
      if (!progress && total > 0) progress.emplace(label, total, "bytes");
      if (progress) progress->set(done);
    };
    auto response = TRY(client.send(request));
    bool moved = response.status == 301 || response.status == 302 || response.status == 303 ||
                 response.status == 307 || response.status == 308;
    if (!moved || !response.headers.has("Location")) {
      if (response.status == 304 && copy) return Arrival{.is_new = false, .etag = {}, .last_modified = {}};
      if (response.status != 200)
        return fail(Code::kInvalid, "the server answers {} {}", response.status,
                    reason_phrase(response.status));
      return Arrival{.etag = std::string(response.headers.get("ETag")),
                     .last_modified = std::string(response.headers.get("Last-Modified"))};
    }
    url = joined(url, std::string(response.headers.get("Location")));
    Url parsed;
    if (!parse_url(url, parsed)) return fail(Code::kInvalid, "it is moved to what is not a URL");
  }
  return fail(Code::kInvalid, "it is moved more than {} times", kMostRedirects);
}

Result<Fetcher::Arrival> Fetcher::from_artifacts(const std::string& label, const ArtifactPlace& place,
                                                 const std::optional<Copy>& copy,
                                                 const fs::path& target) const {
  const artifacts::Tree tree = TRY(artifacts::tree_at(*place.repository, place.path));
  const std::string version = tree.version();
  const std::string etag = version.empty() ? "" : sha256_hex(version);
  if (copy && !etag.empty() && copy->etag == etag)
    return Arrival{.is_new = false, .etag = {}, .last_modified = {}};
  Progress progress(label, tree.bytes(), "bytes");
  uint64_t done = 0;
  TRY(artifacts::download(*place.repository, place.path, tree, target, [&](uint64_t bytes) -> Result<> {
    progress.set(done += bytes);
    if (interrupted()) return fail(Code::kCancelled, "interrupted");
    return {};
  }));
  return Arrival{.etag = etag, .last_modified = {}};
}

}  // namespace tidemill::engine
