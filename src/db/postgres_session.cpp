#include "db/postgres_session.h"

#include <endian.h>
#include <poll.h>

#include <array>
#include <bit>
#include <cstring>

#include "base/text.h"
#include "base/time.h"
#include "db/location.h"

namespace tidemill::db {
namespace {

// Of the built-in types; they never change (catalog/pg_type.dat).
constexpr Oid kBool = 16, kBytea = 17, kText = 25, kFloat4 = 700, kFloat8 = 701, kInt8 = 20, kNumeric = 1700;

constexpr double kConnectSeconds = 10;
// The server stops sending when nobody reads, and nobody reads while sending: stay far below what sockets
// hold.
constexpr size_t kMaxUnanswered = 1000;

template <class T>
T big_endian(const char* at) {
  T value;
  std::memcpy(&value, at, sizeof value);
  if constexpr (sizeof(T) == 8) return static_cast<T>(be64toh(static_cast<uint64_t>(value)));
  if constexpr (sizeof(T) == 4) return static_cast<T>(be32toh(static_cast<uint32_t>(value)));
  return static_cast<T>(be16toh(static_cast<uint16_t>(value)));
}

Parameter fixed_parameter(Oid type, uint64_t bits) {
  Parameter parameter{.type = type, .null = false, .is_fixed = true};
  bits = htobe64(bits);
  std::memcpy(parameter.fixed, &bits, sizeof bits);
  return parameter;
}

// numeric_send(): digits to base 10000, the first one times 10000^weight.
double numeric(std::string_view bytes) {
  auto field = [&](size_t index) { return big_endian<int16_t>(bytes.data() + 2 * index); };
  double value = 0, scale = 1;
  int digits = field(0), weight = field(1);
  for (int i = 0; i < weight; ++i) scale *= 10'000;
  for (int i = 0; i < digits; ++i, scale /= 10'000) value += scale * field(4 + static_cast<size_t>(i));
  return field(2) == 0 ? value : -value;
}

Code code_of(std::string_view state) {
  struct Known {
    std::string_view prefix;
    Code code;
  };
  // https://www.postgresql.org/docs/15/errcodes-appendix.html
  constexpr Known kKnown[] = {
      {"08", Code::kUnavailable}, {"22", Code::kInvalid},        {"23", Code::kConflict},
      {"25006", Code::kDenied},   {"28", Code::kDenied},         {"3D000", Code::kNotFound},
      {"40", Code::kUnavailable}, {"42501", Code::kDenied},      {"53", Code::kUnavailable},
      {"54", Code::kInvalid},     {"55P03", Code::kUnavailable}, {"57014", Code::kCancelled},
      {"57", Code::kUnavailable}, {"58", Code::kUnavailable}};
  for (const Known& known : kKnown)
    if (state.starts_with(known.prefix)) return known.code;
  return Code::kInternal;
}

std::string_view advice(std::string_view state) {
  if (state == "28P01" || state == "28000")
    return "check user and password: in the URL, PGPASSWORD or ~/.pgpass";
  if (state == "3D000") return "create it with createdb";
  if (state == "42501") return "as the database's owner: GRANT ALL ON SCHEMA public TO the user";
  if (state == "53100") return "the server's disk is full; nothing of this write was kept";
  if (state == "53300") return "raise max_connections, or stop other clients";
  if (state == "55P03") return "another process holds the write lock for too long";
  if (state == "57P03") return "the server is starting or stopping";
  return "";
}

// One line, without "FATAL:  " and where in the server's source it came from.
std::string cleaned(std::string_view message) {
  std::vector<std::string> lines;
  for (const std::string& line : split(message, '\n'))
    if (std::string_view text = trim(line); !text.empty() && !text.starts_with("LOCATION:"))
      lines.emplace_back(text);
  return join(lines, " ");
}

Error error_with(std::string_view name, std::string_view state, std::string_view detail) {
  std::string_view hint = advice(state);
  return Error{code_of(state), hint.empty() ? fmt::format("{}: {}", name, detail)
                                            : fmt::format("{}: {} ({})", name, detail, hint)};
}

// "connection to server ... failed: FATAL:  28P01: password authentication failed": verbose messages are the
// only place where libpq tells the code of a refused connection.
Error refused(std::string_view name, std::string_view message) {
  std::string text = cleaned(message);
  size_t severity = text.rfind("FATAL:  ");
  if (severity == std::string::npos || text.size() < severity + 15)
    return Error{Code::kUnavailable, fmt::format("{}: cannot be reached: {}", name, text)};
  std::string state = text.substr(severity + 8, 5);
  return error_with(name, state, text.substr(severity + 15));
}

// Goes through PQconnectPoll until connected, refused or out of time.
bool finish_connecting(const Libpq& libpq, PGconn* connection) {
  Stopwatch watch;
  for (PostgresPollingStatusType status = PGRES_POLLING_WRITING;;) {
    if (status == PGRES_POLLING_OK) return true;
    if (status == PGRES_POLLING_FAILED) return false;
    double left = kConnectSeconds - watch.seconds();
    if (left <= 0) return false;
    pollfd entry{libpq.PQsocket(connection), short(status == PGRES_POLLING_READING ? POLLIN : POLLOUT), 0};
    ::poll(&entry, 1, static_cast<int>(left * 1000) + 1);
    status = libpq.PQconnectPoll(connection);
  }
}

Result<> check_uri(const Libpq& libpq, const std::string& uri, std::string_view name) {
  char* message = nullptr;
  PQconninfoOption* options = libpq.PQconninfoParse(uri.c_str(), &message);
  // The message may quote a part of the password.
  std::string detail = secrets_of(uri).empty() && message
                           ? cleaned(message)
                           : "characters other than letters and digits in user "
                             "and password must be percent-encoded";
  libpq.PQfreemem(message);
  if (!options) return fail(Code::kInvalid, "{}: not a URL for PostgreSQL: {}", name, detail);
  libpq.PQconninfoFree(options);
  return {};
}

}  // namespace

Parameter integer_parameter(int64_t value) { return fixed_parameter(kInt8, static_cast<uint64_t>(value)); }
Parameter real_parameter(double value) { return fixed_parameter(kFloat8, std::bit_cast<uint64_t>(value)); }
Parameter text_parameter(std::string_view text) { return {.type = kText, .null = false, .bytes = text}; }
Parameter blob_parameter(std::string_view bytes) { return {.type = kBytea, .null = false, .bytes = bytes}; }

int64_t Answer::integer(int row, int column) const {
  std::string_view value = bytes(row, column);
  if (libpq_->PQftype(result_.get(), column) == kNumeric) return static_cast<int64_t>(numeric(value));
  switch (value.size()) {
    case 8:
      return big_endian<int64_t>(value.data());
    case 4:
      return big_endian<int32_t>(value.data());
    case 2:
      return big_endian<int16_t>(value.data());
    case 1:
      return value[0];
    default:
      return 0;  // NULL
  }
}

double Answer::real(int row, int column) const {
  std::string_view value = bytes(row, column);
  switch (libpq_->PQftype(result_.get(), column)) {
    case kNumeric:
      return numeric(value);
    case kFloat8:
      return value.empty() ? 0 : std::bit_cast<double>(big_endian<uint64_t>(value.data()));
    case kFloat4:
      return value.empty() ? 0 : std::bit_cast<float>(big_endian<uint32_t>(value.data()));
    default:
      return static_cast<double>(integer(row, column));
  }
}

int64_t Answer::changed() const {
  std::string_view count = libpq_->PQcmdTuples(result_.get());
  return count.empty() || tag().starts_with("SELECT") ? -1 : std::atoll(count.data());
}

Result<Session> Session::connect(const std::string& uri, std::string_view name) {
  const Libpq& libpq = *TRY(load_libpq());
  TRY(check_uri(libpq, uri, name));
  // Later ones win: the URI over our defaults. A peer that has vanished is noticed within a minute.
  const char* keywords[] = {"fallback_application_name",
                            "keepalives_idle",
                            "keepalives_interval",
                            "keepalives_count",
                            "dbname",
                            "client_encoding",
                            nullptr};
  const char* values[] = {"tidemill", "30", "10", "3", uri.c_str(), "UTF8", nullptr};
  constexpr int kExpandDbname = 1;
  Handle handle(libpq.PQconnectStartParams(keywords, values, kExpandDbname), Close{&libpq});
  if (!handle) return fail(Code::kUnavailable, "{}: out of memory", name);
  libpq.PQsetErrorVerbosity(handle.get(), PQERRORS_VERBOSE);
  if (libpq.PQstatus(handle.get()) == CONNECTION_BAD || !finish_connecting(libpq, handle.get())) {
    if (libpq.PQconnectionNeedsPassword(handle.get()))
      return fail(Code::kDenied, "{}: a password is needed: in the URL, PGPASSWORD or ~/.pgpass", name);
    if (libpq.PQstatus(handle.get()) != CONNECTION_BAD)
      return fail(Code::kUnavailable, "{}: no answer within {} s", name, kConnectSeconds);
    return tl::unexpected<Error>(refused(name, libpq.PQerrorMessage(handle.get())));
  }
  libpq.PQsetErrorVerbosity(handle.get(), PQERRORS_DEFAULT);
  libpq.PQsetNoticeProcessor(handle.get(), [](void*, const char*) {}, nullptr);
  Session session(libpq, std::move(handle), name);
  TRY(session.prepare_session());
  return session;
}

Result<> Session::prepare_session() {
  constexpr int kOldest = 120000;
  if (int version = libpq_->PQserverVersion(handle_.get()); version < kOldest)
    return fail(Code::kInvalid, "{}: PostgreSQL {} is too old; 12 or newer is needed", name_,
                version / 10000);
  libpq_->PQenterPipelineMode(handle_.get());
  // Short statements gain nothing from being compiled. An answered write is on disk, whatever the server's
  // default is.
  return execute(
      "SET jit = off; SET lock_timeout = '20s'; SET standard_conforming_strings = on; "
      "SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = "
      "'off'");
}

Result<> Session::execute(const std::string& script) {
  if (!sent_.empty()) TRY(wait(0));
  libpq_->PQexitPipelineMode(handle_.get());
  Answer answer(*libpq_, libpq_->PQexec(handle_.get(), script.c_str()));
  ExecStatusType status = libpq_->PQresultStatus(answer.result_.get());
  libpq_->PQenterPipelineMode(handle_.get());
  if (status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK) return {};
  return tl::unexpected<Error>(error_of(answer.result_.get()));
}

Result<> Session::copy_out(const std::string& command,
                           const std::function<Result<>(std::string_view)>& take) {
  if (!sent_.empty()) TRY(wait(0));
  libpq_->PQexitPipelineMode(handle_.get());
  Answer begun(*libpq_, libpq_->PQexec(handle_.get(), command.c_str()));
  if (libpq_->PQresultStatus(begun.result_.get()) != PGRES_COPY_OUT)
    return tl::unexpected<Error>(error_of(begun.result_.get()));
  Result<> taken;
  char* line = nullptr;
  for (int size; (size = libpq_->PQgetCopyData(handle_.get(), &line, 0)) > 0; libpq_->PQfreemem(line))
    if (taken) taken = take({line, static_cast<size_t>(size)});
  Answer ended(*libpq_, libpq_->PQgetResult(handle_.get()));
  const bool done = libpq_->PQresultStatus(ended.result_.get()) == PGRES_COMMAND_OK;
  if (!done) return tl::unexpected<Error>(error_of(ended.result_.get()));
  while (PGresult* more = libpq_->PQgetResult(handle_.get())) libpq_->PQclear(more);
  libpq_->PQenterPipelineMode(handle_.get());
  return taken;
}

Result<> Session::check_sent(int sent) {
  if (sent == 0) return tl::unexpected<Error>(error_of_connection());
  sent_.push_back(Sent::kCommand);
  // The answers of the last commands may be the caller's own: leave them to its wait().
  if (++unanswered_ < kMaxUnanswered) return {};
  constexpr int kNone = 0;
  TRY(wait(kNone));
  return {};
}

namespace {

// Parameters as libpq takes them.
struct Arrays {
  explicit Arrays(std::span<const Parameter> parameters) {
    for (const Parameter& parameter : parameters) {
      std::string_view bytes = parameter.bytes;
      types.push_back(parameter.type);
      values.push_back(parameter.null       ? nullptr
                       : parameter.is_fixed ? parameter.fixed
                       : bytes.data()       ? bytes.data()
                                            : "");
      lengths.push_back(parameter.is_fixed ? int{sizeof parameter.fixed} : static_cast<int>(bytes.size()));
      formats.push_back(1);
    }
  }
  int size() const { return static_cast<int>(values.size()); }
  std::vector<Oid> types;
  std::vector<const char*> values;
  std::vector<int> lengths, formats;
};
constexpr int kBinary = 1;

}  // namespace

Result<> Session::send(const char* command, std::span<const Parameter> parameters) {
  Arrays arrays(parameters);
  return check_sent(libpq_->PQsendQueryParams(handle_.get(), command, arrays.size(), arrays.types.data(),
                                              arrays.values.data(), arrays.lengths.data(),
                                              arrays.formats.data(), kBinary));
}

Result<> Session::send_prepare(const std::string& statement, const std::string& sql,
                               const std::vector<Oid>& types) {
  return check_sent(libpq_->PQsendPrepare(handle_.get(), statement.c_str(), sql.c_str(),
                                          static_cast<int>(types.size()), types.data()));
}

Result<> Session::send_prepared(const std::string& statement, std::span<const Parameter> parameters) {
  Arrays arrays(parameters);
  return check_sent(libpq_->PQsendQueryPrepared(handle_.get(), statement.c_str(), arrays.size(),
                                                arrays.values.data(), arrays.lengths.data(),
                                                arrays.formats.data(), kBinary));
}

Result<> Session::flush() {
  TRY(sync());
  if (libpq_->PQflush(handle_.get()) != 0) return tl::unexpected<Error>(error_of_connection());
  return {};
}

Result<> Session::sync() {
  unanswered_ = 0;
  if (lost_ || libpq_->PQpipelineSync(handle_.get()) == 0)
    return tl::unexpected<Error>(error_of_connection());
  sent_.push_back(Sent::kSync);
  return {};
}

Result<Answer> Session::wait(int own) {
  TRY(sync());
  Result<Answer> last = Answer(*libpq_, nullptr);
  bool failed = false;
  while (!sent_.empty()) {
    Sent next = sent_.front();
    sent_.pop_front();
    if (next == Sent::kSync) {
      TRY(read_sync());
      if (sent_.empty()) break;
      // What came before belongs to a transaction that was rolled back.
      failed = failed_early_ = false;
      continue;
    }
    Result<Answer> answer = next_answer();
    if (lost_) return answer;
    // The first error is the cause; what follows it in the pipeline was not executed.
    if (failed) continue;
    failed = !answer;
    // Commands still to be answered, less the closing sync.
    if (failed && sent_.size() > static_cast<size_t>(own)) failed_early_ = true;
    if (failed || sent_.size() == 1) last = std::move(answer);
  }
  return last;
}

Result<Answer> Session::next_answer() {
  Answer answer(*libpq_, libpq_->PQgetResult(handle_.get()));
  ExecStatusType status = libpq_->PQresultStatus(answer.result_.get());
  bool done = status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK;
  Error error;
  if (status == PGRES_PIPELINE_ABORTED)
    error = {Code::kInternal, fmt::format("{}: not executed, after an error", name_)};
  else if (!done)
    error = error_of(answer.result_.get());
  if (!lost_) Answer(*libpq_, libpq_->PQgetResult(handle_.get()));  // the empty one that ends each command
  if (!done) return tl::unexpected<Error>(std::move(error));
  if (int64_t changed = answer.changed(); changed >= 0) changed_ = changed;
  return answer;
}

Result<> Session::read_sync() {
  Answer answer(*libpq_, libpq_->PQgetResult(handle_.get()));
  if (libpq_->PQresultStatus(answer.result_.get()) == PGRES_PIPELINE_SYNC) return {};
  return tl::unexpected<Error>(error_of(answer.result_.get()));
}

Error Session::error_of(const PGresult* result) {
  const char* state = result ? libpq_->PQresultErrorField(result, PG_DIAG_SQLSTATE) : nullptr;
  const char* message = result ? libpq_->PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY) : nullptr;
  if (!state || !message) return error_of_connection();
  std::string_view code = state;
  // FATAL errors after which the server hangs up.
  if (code.starts_with("57P") || code.starts_with("08")) lost_ = true;
  return error_with(name_, code, message);
}

Error Session::error_of_connection() {
  lost_ = true;
  std::string detail = cleaned(libpq_->PQerrorMessage(handle_.get()));
  return Error{Code::kUnavailable,
               fmt::format("{}: connection lost{}{}", name_, detail.empty() ? "" : ": ", detail)};
}

}  // namespace tidemill::db
