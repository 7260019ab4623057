#include "engine/inputs.h"

#include "base/hash.h"
#include "base/id.h"
#include "base/json.h"
#include "base/log.h"
#include "base/text.h"
#include "engine/file_tree.h"
#include "net/http_client.h"
#include "sys/terminal.h"

namespace tidemill::engine {
namespace {

using config::fail_at;
using config::Input;

constexpr int kMostRedirects = 5;

// What was fetched from a URL last time.
struct Copy {
  std::string sha256, name;         // of its content, and of its file
  std::string etag, last_modified;  // as the server gave them
};

// "https://host/x/table.csv?v=2" -> "table.csv".
std::string file_name_of(const std::string& url) {
  std::string path = url.substr(0, url.find_first_of("?#"));
  std::string name;
  for (char c : path.substr(path.rfind('/') + 1))
    name += std::isalnum(static_cast<unsigned char>(c)) || c == '.' || c == '-' || c == '_' ? c : '_';
  return name.empty() || name[0] == '.' ? "file" + name : name.substr(0, 100);
}

// Without the password that it may hold.
std::string shown(const std::string& url) {
  Url parsed;
  if (!parse_url(url, parsed)) return "the URL";
  return fmt::format("{}://{}{}", parsed.scheme, parsed.host,
                     parsed.target.substr(0, parsed.target.find('?')));
}

std::string joined(const std::string& base, const std::string& location) {
  if (location.starts_with("http://") || location.starts_with("https://")) return location;
  size_t host = base.find("://") + 3;
  if (location.starts_with("/")) return base.substr(0, base.find('/', host)) + location;
  return base.substr(0, base.rfind('/') + 1) + location;
}

class Fetcher {
 public:
  Fetcher(const Options& options, const fs::path& folder)
      : folder_(folder / "inputs"), hashes_(options.hash_folder()) {}

  Result<fs::path> fetch(const Input& input) {
    auto copy = known(input);
    if (copy && copy->sha256 == input.sha256) return place_of(*copy);
    fs::path loading = folder_ / fmt::format("loading-{:016x}", random_u64());
    TRY(make_dirs(folder_));
    auto response = get(input, copy, loading);
    std::error_code ignored;
    if (!response || response->status != 200) fs::remove(loading, ignored);
    if (!response && copy && input.sha256.empty()) {
      log_warning("input '{}': {}; the copy of an earlier run is used", input.name, response.error().message);
      return place_of(*copy);
    }
    if (!response)
      return fail_at(input.place, "input '{}': {}: {}", input.name, shown(input.url),
                     response.error().message);
    if (response->status == 304 && copy) return place_of(*copy);
    if (response->status != 200)
      return fail_at(input.place, "input '{}': {} answers {} {}", input.name, shown(input.url),
                     response->status, reason_phrase(response->status));
    return keep(input, loading, response->headers);
  }

 private:
  fs::path place_of(const Copy& copy) const { return folder_ / copy.sha256 / copy.name; }
  fs::path note_of(const Input& input) const { return folder_ / (sha256_hex(input.url) + ".json"); }

  // nullopt when there is none that is whole.
  std::optional<Copy> known(const Input& input) const {
    auto text = read_file(note_of(input), 64 << 10);
    auto json = text ? parse_json(*text) : tl::unexpected<Error>(text.error());
    if (!json || !json->is_object()) return std::nullopt;
    Copy copy{json_string(*json, "sha256"), file_name_of(input.url), json_string(*json, "etag"),
              json_string(*json, "last_modified")};
    auto now = copy.sha256.empty() ? std::string() : hashes_.file(place_of(copy)).value_or("");
    return !now.empty() && now == copy.sha256 ? std::optional(copy) : std::nullopt;
  }

  static Result<ClientResponse> get(const Input& input, const std::optional<Copy>& copy, const fs::path& to) {
    std::string url = input.url;
    for (int hop = 0; hop <= kMostRedirects; ++hop) {
      size_t path = url.find('/', url.find("://") + 3);
      auto client = TRY(HttpClient::create(url.substr(0, path)));
      std::optional<Progress> progress;
      ClientRequest request{.target = path == std::string::npos ? "/" : url.substr(path), .save_to = to};
      if (copy && !copy->etag.empty()) request.headers.set("If-None-Match", copy->etag);
      if (copy && copy->etag.empty() && !copy->last_modified.empty())
        request.headers.set("If-Modified-Since", copy->last_modified);
      request.on_progress = [&](uint64_t done, uint64_t total) {
        if (!progress && total > 0) progress.emplace(input.name, total, "bytes");
        if (progress) progress->set(done);
      };
      auto response = TRY(client.send(request));
      bool moved = response.status == 301 || response.status == 302 || response.status == 303 ||
                   response.status == 307 || response.status == 308;
      if (!moved || !response.headers.has("Location")) return response;
      url = joined(url, std::string(response.headers.get("Location")));
      Url parsed;
      if (!parse_url(url, parsed)) return fail(Code::kInvalid, "is moved to what is not a URL");
    }
    return fail(Code::kInvalid, "is moved more than {} times", kMostRedirects);
  }

  Result<fs::path> keep(const Input& input, const fs::path& loading, const Headers& headers) const {
    Copy copy{TRY(FileHashes().file(loading)), file_name_of(input.url), std::string(headers.get("ETag")),
              std::string(headers.get("Last-Modified"))};
    std::error_code error;
    if (!input.sha256.empty() && copy.sha256 != input.sha256) {
      fs::remove(loading, error);
      return fail_at(input.place, "input '{}': {} has the content {}, not {}", input.name, shown(input.url),
                     copy.sha256, input.sha256);
    }
    fs::path place = place_of(copy);
    TRY(make_dirs(place.parent_path()));
    fs::rename(loading, place, error);
    if (error) return fail(Code::kUnavailable, "cannot write {}: {}", place.string(), error.message());
    Json note{{"url", shown(input.url)},
              {"sha256", copy.sha256},
              {"etag", copy.etag},
              {"last_modified", copy.last_modified}};
    TRY(write_file_atomic(note_of(input), dump_json(note, 2) + "\n"));
    return place;
  }

  fs::path folder_;
  FileHashes hashes_;
};

}  // namespace

Result<> fetch_inputs(pipeline::Plan& plan, const Options& options) {
  Fetcher fetcher(options, options.state_dir.empty() ? fs::temp_directory_path() : options.state_dir);
  for (auto& input : plan.inputs) {
    std::error_code ignored;
    if (!input.url.empty()) {
      input.file = TRY(fetcher.fetch(input));
    } else if (!fs::exists(input.file, ignored)) {
      return fail_at(input.place, "input '{}': there is no {}", input.name, input.file.string());
    }
  }
  return {};
}

}  // namespace tidemill::engine
