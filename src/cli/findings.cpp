#include "cli/findings.h"

#include <arpa/inet.h>
#include <sys/socket.h>
#include <sys/statvfs.h>
#include <sys/utsname.h>

#include "artifacts/folder_repository.h"
#include "base/text.h"
#include "net/http_client.h"
#include "sys/process.h"
#include "tracking/health.h"
#include "tracking/schema.h"

namespace tidemill::cli {
namespace {

using Level = Finding::Level;
using namespace std::chrono_literals;

constexpr uint64_t kLittleSpace = 5'000'000'000, kNoSpace = 200'000'000;
constexpr size_t kShownPlaces = 5;

// The database's own check; empty when it is whole.
Result<std::string> damage_of(const db::Location& location) {
  if (location.kind != db::Location::Kind::kSqlite) return std::string();
  auto connection = TRY(db::open_foreign(location));
  db::Statement row = TRY(connection->prepare("PRAGMA quick_check(5)"));
  std::vector<std::string> lines;
  while (TRY(row.step()))
    if (row.text(0) != "ok") lines.emplace_back(row.text(0));
  return join(lines, "; ");
}

std::string some_of(std::vector<std::string> places) {
  const size_t count = places.size();
  if (count > kShownPlaces) places.resize(kShownPlaces);
  return join(places, ", ") + (count > kShownPlaces ? ", ..." : "");
}

void check_places(const Context& context, const std::vector<tracking::ArtifactPlace>& places,
                  Findings& findings) {
  std::vector<std::string> missing, without_files;
  fs::path root = context.artifact_root().value_or(fs::path());
  std::error_code error;
  for (const tracking::ArtifactPlace& place : places) {
    auto folder = artifacts::local_folder(place.uri, root);
    if (!folder || fs::exists(*folder, error)) continue;
    auto& list = place.files == tracking::ArtifactPlace::Files::kExpected ? missing : without_files;
    list.push_back(fmt::format("{} ({})", place.what, folder->string()));
  }
  if (!missing.empty())
    findings.push_back(
        {Level::kError, "artifacts",
         fmt::format("{} missing: {}",
                     missing.size() == 1 ? "a place is" : fmt::format("{} places are", missing.size()),
                     some_of(missing)),
         "bring the folders back, or delete what has lost them: tidemill runs delete RUN, tidemill "
         "models delete NAME --version N"});
  if (!without_files.empty())
    findings.push_back(
        {Level::kWarning, "artifacts",
         fmt::format(
             "{} no files: {}",
             without_files.size() == 1 ? "a model has" : fmt::format("{} models have", without_files.size()),
             some_of(without_files)),
         "bring the folders back, if the models were stored with files"});
  if (missing.empty() && without_files.empty())
    findings.push_back(
        {Level::kGood, "artifacts", fmt::format("all {} places are there", human_count(places.size()))});
}

void check_rows(const Context& context, Findings& findings) {
  auto store = context.open_store();
  if (!store) return findings.push_back({Level::kError, "store", store.error().message});
  auto health = tracking::examine(*store);
  if (!health) return findings.push_back({Level::kError, "store", health.error().message});
  findings.push_back({Level::kGood, "runs",
                      fmt::format("{} in all, {} of them running", human_count(health->runs),
                                  human_count(health->running))});
  if (health->strays > 0)
    findings.push_back({Level::kError, "rows",
                        fmt::format("{} belong to nothing that is there", health->strays),
                        "restore a backup, or export what is left: tidemill export DIR"});
  check_places(context, health->places, findings);
}

std::string first_line(std::string_view text) { return std::string(trim(text.substr(0, text.find('\n')))); }

}  // namespace

void check_versions(Findings& findings) {
  utsname system{};
  ::uname(&system);
  findings.push_back({Level::kGood, "version",
                      fmt::format("tidemill {}, schema {}, Linux {}", TIDEMILL_VERSION,
                                  tracking::store_schema().steps.size(), system.release)});
}

void check_store(const Context& context, Findings& findings) {
  auto location = context.location();
  if (!location) return findings.push_back({Level::kError, "store", location.error().message});
  std::error_code error;
  bool is_file = location->kind == db::Location::Kind::kSqlite;
  if (is_file && !fs::exists(location->file, error))
    return findings.push_back({Level::kWarning, "store",
                               fmt::format("there is none at {} yet", location->name()),
                               "tidemill run and tidemill server make one; --store names another"});
  auto connection = db::open_foreign(*location);
  auto mark = connection ? (*connection)->schema_mark() : tl::unexpected<Error>(connection.error());
  if (!mark) return findings.push_back({Level::kError, "store", mark.error().message});
  auto newest = static_cast<int64_t>(tracking::store_schema().steps.size());
  if (mark->application != tracking::store_schema().application)
    return findings.push_back(
        {Level::kError, "store", fmt::format("{} is no Tidemill store", location->name()),
         fmt::format("an mlflow.db is taken over by: tidemill import {}", location->name())});
  if (mark->version > newest)
    return findings.push_back(
        {Level::kError, "store",
         fmt::format("{} has schema {}, this program knows {}", location->name(), mark->version, newest),
         "update this program"});
  auto damage = damage_of(*location);
  if (!damage) return findings.push_back({Level::kError, "store", damage.error().message});
  if (!damage->empty())
    return findings.push_back({Level::kError, "store", fmt::format("{}: {}", location->name(), *damage),
                               "restore a backup, or rescue it with sqlite3's .recover"});
  if (mark->version < newest)
    return findings.push_back({Level::kWarning, "store",
                               fmt::format("{} has schema {} of {}", location->name(), mark->version, newest),
                               "tidemill db upgrade"});
  findings.push_back({Level::kGood, "store", fmt::format("{}, schema {}", location->name(), mark->version)});
  check_rows(context, findings);
}

void check_disk(const Context& context, Findings& findings) {
  auto root = context.artifact_root();
  if (!root) return;
  fs::path folder = *root;
  std::error_code error;
  while (!fs::exists(folder, error) && folder.has_relative_path()) folder = folder.parent_path();
  struct statvfs space{};
  if (::statvfs(folder.c_str(), &space) != 0)
    return findings.push_back({Level::kError, "disk", errno_error(folder.string(), errno).message});
  uint64_t left = space.f_bavail * space.f_frsize;
  Level level = left < kNoSpace ? Level::kError : left < kLittleSpace ? Level::kWarning : Level::kGood;
  findings.push_back({level, "disk", fmt::format("{} free in {}", human_bytes(left), folder.string()),
                      level == Level::kGood ? "" : "free some space: tidemill gc --older-than 30d"});
  if (::access(folder.c_str(), W_OK) != 0)
    findings.push_back({Level::kError, "disk", fmt::format("{} cannot be written", folder.string()),
                        "change its owner or permissions, or name another store"});
}

void check_containers(Findings& findings) {
  auto version = run_command({"podman", "--version"}, 20s);
  if (!version || version->exit.status != 0)
    return findings.push_back({Level::kWarning, "podman",
                               "not installed; only `tidemill run` steps that start an image need it",
                               "apt-get install podman, or use docker"});
  auto info =
      run_command({"podman", "info", "--format", "{{.Store.GraphDriverName}} {{.Host.CgroupsVersion}}"}, 60s);
  if (!info || info->exit.status != 0)
    return findings.push_back(
        {Level::kWarning, "podman",
         fmt::format("{} does not work: {}", first_line(version->output),
                     info ? first_line(info->errors) : info.error().message),
         "podman info says more; its settings are in ~/.config/containers and /etc/containers"});
  findings.push_back(
      {Level::kGood, "podman",
       fmt::format("{}, storage and cgroups: {}", first_line(version->output), first_line(info->output))});
}

void check_port(uint16_t port, Findings& findings) {
  Fd socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  int yes = 1;
  ::setsockopt(socket.get(), SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0)
    return findings.push_back({Level::kGood, "port", fmt::format("{} is free for tidemill server", port)});
  auto client = HttpClient::create(fmt::format("http://127.0.0.1:{}", port));
  auto reply =
      client ? client->send({.target = "/version", .timeout = 3s}) : tl::unexpected<Error>(client.error());
  if (reply && reply->status == 200)
    return findings.push_back(
        {Level::kGood, "port",
         fmt::format("{}: a tracking server answers, version {}", port, first_line(reply->body))});
  findings.push_back({Level::kWarning, "port", fmt::format("{} is taken by another program", port),
                      "tidemill server --port 0 takes a free one"});
}

}  // namespace tidemill::cli
