#include "postgres_server.h"

#include <pwd.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <thread>
#include <vector>

#include "base/text.h"

namespace tidemill::test {
namespace {

constexpr std::string_view kPrograms = "/usr/lib/postgresql/15/bin";
constexpr int kSchemasAtOnce = 50;  // psql takes as long to start as a test of the store runs

// The user of Debian's package, when we are root.
const passwd* server_user() { return ::geteuid() == 0 ? ::getpwnam("postgres") : nullptr; }

// Output goes to the file; the child dies with the thread that starts it.
pid_t spawn(std::vector<std::string> argv, const fs::path& output) {
  std::vector<char*> arguments;
  for (std::string& argument : argv) arguments.push_back(argument.data());
  arguments.push_back(nullptr);
  const passwd* user = server_user();
  pid_t child = ::fork();
  if (child != 0) return child;
  ::setpgid(0, 0);
  if (user && (::setgid(user->pw_gid) != 0 || ::setuid(user->pw_uid) != 0)) ::_exit(126);
  ::prctl(PR_SET_PDEATHSIG, SIGQUIT);
  if (!::freopen(output.c_str(), "a", stdout) || ::dup2(STDOUT_FILENO, STDERR_FILENO) < 0) ::_exit(126);
  if (::chdir("/") != 0) ::_exit(126);
  ::execv(arguments[0], arguments.data());
  ::_exit(127);
}

Result<> run(std::vector<std::string> argv, const fs::path& output) {
  std::string program = argv[0];
  int status = 0;
  if (pid_t child = spawn(std::move(argv), output); child < 0 || ::waitpid(child, &status, 0) != child)
    return fail(Code::kInternal, "{} cannot be run", program);
  if (status == 0) return {};
  auto log = read_file(output);
  return fail(Code::kInternal, "{} failed:\n{}", program, log ? *log : "");
}

std::string program(std::string_view name) { return fmt::format("{}/{}", kPrograms, name); }

}  // namespace

Result<PostgresServer*> PostgresServer::shared() {
  static Result<std::unique_ptr<PostgresServer>> server = start(Durable::no);
  if (!server) return tl::unexpected<Error>(server.error());
  return server->get();
}

Result<> PostgresServer::check_installed() {
  if (!fs::exists(program("postgres")))
    return fail(Code::kUnavailable, "PostgreSQL 15 is not installed; scripts/bootstrap --test installs it");
  if (::geteuid() == 0 && !server_user())
    return fail(Code::kUnavailable, "PostgreSQL does not run as root, and there is no user postgres");
  return {};
}

Result<std::unique_ptr<PostgresServer>> PostgresServer::start(Durable durable) {
  TRY(check_installed());
  // Short: a socket's path has at most 107 characters.
  std::unique_ptr<PostgresServer> server(new PostgresServer(TRY(TempDir::create("/tmp", "pg-")), durable));
  TRY(server->initialise());
  TRY(server->resume());
  TRY(server->sql("CREATE ROLE tidemill LOGIN SUPERUSER"));
  TRY(server->sql("CREATE ROLE guarded LOGIN PASSWORD 's3cret/pass@word'"));
  return server;
}

Result<> PostgresServer::initialise() {
  fs::path folder = folder_.path();
  if (const passwd* user = server_user(); user && ::chown(folder.c_str(), user->pw_uid, user->pw_gid) != 0)
    return tl::unexpected<Error>(errno_error("chown", errno));
  TRY(run({program("initdb"), "--username=postgres", "--auth=trust", "--no-sync", "--encoding=UTF8",
           "--locale=C.UTF-8", (folder / "data").string()},
          folder / "log"));
  TRY(write_file_atomic(folder / "data/pg_hba.conf", "local all guarded scram-sha-256\nlocal all all trust\n",
                        Durable::no));
  fs::permissions(folder / "data/pg_hba.conf", fs::perms::others_read, fs::perm_options::add);
  return {};
}

Result<> PostgresServer::resume() {
  fs::path folder = folder_.path();
  for (int tries = 0; tries < 600; ++tries) {
    // After a crash it refuses to start until the last of the old processes has noticed.
    if (pid_ > 0 && ::waitpid(pid_, nullptr, WNOHANG) == pid_) pid_ = -1;
    if (pid_ < 0)
      pid_ = spawn({program("postgres"), "-D", (folder / "data").string(), "-k", folder.string(), "-c",
                    "listen_addresses=", "-c", durable_ == Durable::yes ? "fsync=on" : "fsync=off", "-c",
                    "shared_buffers=64MB"},
                   folder / "log");
    if (sql("SELECT 1")) return {};
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
  auto log = read_file(folder / "log");
  return fail(Code::kInternal, "PostgreSQL does not start:\n{}", log ? *log : "");
}

PostgresServer::~PostgresServer() { kill(); }

void PostgresServer::stop() {
  if (pid_ <= 0) return;
  ::kill(pid_, SIGINT);  // "fast": ends connections, writes a checkpoint
  ::waitpid(pid_, nullptr, 0);
  pid_ = -1;
}

void PostgresServer::kill() {
  if (pid_ <= 0) return;
  ::kill(pid_, SIGKILL);  // its children see that, and end
  ::waitpid(pid_, nullptr, 0);
  pid_ = -1;
}

std::string PostgresServer::uri(const std::string& database, const std::string& user,
                                const std::string& password) const {
  return fmt::format("postgresql://{}{}{}@/{}?host={}", user, password.empty() ? "" : ":",
                     url_encode(password), database, folder_.path().string());
}

Result<std::string> PostgresServer::new_database() {
  if (databases_ % kSchemasAtOnce == 0) {
    std::string statements;
    for (int i = 1; i <= kSchemasAtOnce; ++i)
      statements += fmt::format("CREATE SCHEMA test{} AUTHORIZATION tidemill;", databases_ + i);
    TRY(sql(statements));
  }
  std::string name = fmt::format("test{}", ++databases_);
  return uri("postgres") + "&options=-csearch_path%3D" + name;
}

Result<> PostgresServer::sql(const std::string& statement, const std::string& database) {
  return run({program("psql"), "-X", "-q", "-v", "ON_ERROR_STOP=1", "-h", folder_.path().string(), "-U",
              "postgres", "-d", database, "-c", statement},
             folder_.path() / "psql.log");
}

}  // namespace tidemill::test
