#include "base/text.h"
#include "base/time.h"
#include "tracking/filter.h"
#include "tracking/page_token.h"
#include "tracking/query.h"
#include "tracking/store.h"
#include "tracking/store_state.h"
#include "tracking/validate.h"

namespace tidemill::tracking {

Experiment read_experiment(const db::Statement& row) {
  return {.id = std::to_string(row.integer(0)),
          .name = std::string(row.text(1)),
          .artifact_location = std::string(row.text(2)),
          .lifecycle = static_cast<Lifecycle>(row.integer(3)),
          .created = row.integer(4),
          .updated = row.integer(5),
          .tags = {}};
}

Result<> load_experiment_tags(db::Connection& connection, Experiment& experiment) {
  db::Statement tags =
      TRY(connection.prepare("SELECT key, value FROM experiment_tags WHERE experiment = ? ORDER BY key"));
  tags.bind(TRY(parse_experiment_id(experiment.id)));
  while (TRY(tags.step())) experiment.tags.emplace_back(tags.text(0), tags.text(1));
  return {};
}

Result<int64_t> next_experiment_id(db::Connection& connection) {
  db::Statement row =
      TRY(connection.prepare("SELECT COALESCE((SELECT max(id) FROM experiments WHERE id < ?), 0), gone FROM "
                             "experiment_ids WHERE id = 1"));
  TRY(row.bind(kFileStoreIds).step());
  return std::max(row.integer(0), row.integer(1)) + 1;
}

namespace {

Error experiment_exists(std::string_view name) {
  return Error{Code::kConflict, fmt::format("Experiment(name={}) already exists.", name)};
}

Result<> check_name_free(db::Connection& connection, std::string_view name) {
  db::Statement taken = TRY(connection.prepare("SELECT 1 FROM experiments WHERE name = ?"));
  if (TRY(taken.bind(name).step())) return tl::unexpected<Error>(experiment_exists(name));
  return {};
}

Result<> put_tag(db::Connection& connection, int64_t id, std::string_view key, std::string_view value) {
  return connection.run(
      "INSERT INTO experiment_tags (experiment, key, value) VALUES (?, ?, ?) "
      "ON CONFLICT (experiment, key) DO UPDATE SET value = excluded.value",
      id, key, value);
}

Result<Lifecycle> lifecycle_of(db::Connection& connection, int64_t id) {
  db::Statement select = TRY(connection.prepare("SELECT lifecycle FROM experiments WHERE id = ?"));
  if (!TRY(select.bind(id).step())) return tl::unexpected<Error>(no_experiment(std::to_string(id)));
  return static_cast<Lifecycle>(select.integer(0));
}

Result<int64_t> insert_experiment(db::Connection& connection, std::string_view name,
                                  std::string_view location, const std::string& root) {
  int64_t now = now_ms(), id = TRY(next_experiment_id(connection));
  std::string place = location.empty() ? fmt::format("{}/{}", root, id) : std::string(location);
  TRY(
      connection.run("INSERT INTO experiments (id, name, artifact_location, lifecycle, created, updated) "
                     "VALUES (?, ?, ?, 0, ?, ?)",
                     id, name, place, now, now));
  return id;
}

// An experiment and its runs become active or deleted together.
Result<> change_lifecycle(db::Connection& connection, int64_t id, Lifecycle from, Lifecycle to) {
  if (TRY(lifecycle_of(connection, id)) != from)
    return tl::unexpected<Error>(no_experiment(std::to_string(id)));
  int64_t now = now_ms();
  TRY(connection.run("UPDATE experiments SET lifecycle = ?, updated = ? WHERE id = ?", static_cast<int>(to),
                     now, id));
  std::optional<int64_t> deleted_time =
      to == Lifecycle::kDeleted ? std::optional<int64_t>(now) : std::nullopt;
  return connection.run("UPDATE runs SET lifecycle = ?, deleted_time = ? WHERE experiment = ?",
                        static_cast<int>(to), deleted_time, id);
}

std::string_view experiment_column(std::string_view attribute) {
  if (attribute == "name") return "e.name";
  if (attribute == "creation_time") return "e.created";
  if (attribute == "last_update_time") return "e.updated";
  return "e.id";
}

Result<Query> experiment_query(const SearchExperiments& search, int64_t offset) {
  Filter filter = TRY(parse_filter(search.filter, Subject::kExperiments));
  std::vector<OrderKey> order = TRY(parse_order(search.order_by, Subject::kExperiments));
  Query query;
  query.add(fmt::format("SELECT {} FROM experiments e WHERE ", kExperimentColumns));
  add_lifecycle(query, "e.lifecycle", search.view);
  query.add(" AND ");
  TRY(add_filter(query, filter, [&](const Clause& clause) -> Result<> {
    if (clause.entity == Entity::kTag)
      add_tag_test(query, "experiment_tags t WHERE t.experiment = e.id", clause);
    else if (clause.key == "name")
      add_text_test(query, experiment_column(clause.key), clause);
    else if (clause.key == "experiment_id")
      add_text_test(query, "CAST(e.id AS TEXT)", clause);
    else
      add_number_test(query, experiment_column(clause.key), clause);
    return {};
  }));
  TRY(add_visible(query, "e.id", search.visible, NamesAre::kIds));
  std::vector<std::string> terms;
  bool by_id = false;
  for (const OrderKey& key : order) {
    terms.push_back(fmt::format("{}{}", experiment_column(key.key), key.descending ? " DESC" : ""));
    by_id = by_id || key.key == "experiment_id";
  }
  if (order.empty())
    terms = {"e.created DESC", "e.id"};
  else if (!by_id)
    terms.emplace_back("e.id DESC");
  query.add(fmt::format(" ORDER BY {} LIMIT ? OFFSET ?", join(terms, ", ")), search.max_results + 1, offset);
  return query;
}

}  // namespace

Result<std::string> Store::create_experiment(std::string_view name, std::string_view artifact_location,
                                             const std::vector<KeyValue>& tags) {
  TRY(check_experiment_name(name));
  TRY(check_artifact_location(artifact_location));
  for (const auto& [key, value] : tags) TRY(check_experiment_tag(key, value));
  int64_t id = 0;
  TRY(state_->commits.run([&](db::Connection& connection) -> Result<> {
    TRY(check_name_free(connection, name));
    id = TRY(insert_experiment(connection, name, absolute_location(artifact_location),
                               state_->default_artifact_root));
    for (const auto& [key, value] : tags) TRY(put_tag(connection, id, key, value));
    state_->cache.changes.experiment(id);
    return {};
  }));
  return std::to_string(id);
}

Result<Experiment> Store::experiment(std::string_view id) {
  int64_t number = TRY(parse_experiment_id(id));
  return state_->read<Experiment>([&](Reader& reader) -> Result<Experiment> {
    db::Statement row = TRY(reader.connection->prepare(
        fmt::format("SELECT {} FROM experiments e WHERE e.id = ?", kExperimentColumns)));
    if (!TRY(row.bind(number).step())) return tl::unexpected<Error>(no_experiment(id));
    Experiment experiment = read_experiment(row);
    TRY(load_experiment_tags(*reader.connection, experiment));
    return experiment;
  });
}

Result<Experiment> Store::experiment_by_name(std::string_view name) {
  return state_->read<Experiment>([&](Reader& reader) -> Result<Experiment> {
    db::Statement row = TRY(reader.connection->prepare(
        fmt::format("SELECT {} FROM experiments e WHERE e.name = ?", kExperimentColumns)));
    if (!TRY(row.bind(name).step()))
      return fail(Code::kNotFound, "Could not find experiment with name '{}'", name);
    Experiment experiment = read_experiment(row);
    TRY(load_experiment_tags(*reader.connection, experiment));
    return experiment;
  });
}

Result<std::string> Store::ensure_experiment(std::string_view name) {
  TRY(check_experiment_name(name));
  int64_t id = 0;
  TRY(state_->commits.run([&](db::Connection& connection) -> Result<> {
    db::Statement row = TRY(connection.prepare("SELECT id, lifecycle FROM experiments WHERE name = ?"));
    if (!TRY(row.bind(name).step())) {
      id = TRY(insert_experiment(connection, name, "", state_->default_artifact_root));
      state_->cache.changes.experiment(id);
      return {};
    }
    id = row.integer(0);
    if (static_cast<Lifecycle>(row.integer(1)) == Lifecycle::kActive) return {};
    return fail(Code::kInvalid, "experiment '{}' is deleted; restore it or choose another name", name);
  }));
  return std::to_string(id);
}

Result<Page<Experiment>> Store::search_experiments(const SearchExperiments& search) {
  if (search.max_results <= 0)
    return fail(Code::kInvalid,
                "Invalid value {} for parameter 'max_results' supplied. It must be a positive integer",
                search.max_results);
  if (search.max_results > kMaxSearchResults)
    return fail(Code::kInvalid,
                "Invalid value {} for parameter 'max_results' supplied. It must be at most {}",
                search.max_results, kMaxSearchResults);
  int64_t offset = TRY(parse_page_token(search.page_token));
  Query query = TRY(experiment_query(search, offset));
  return state_->read<Page<Experiment>>([&](Reader& reader) -> Result<Page<Experiment>> {
    Page<Experiment> page;
    db::Statement row = TRY(query.prepare(*reader.connection));
    while (TRY(row.step())) {
      if (static_cast<int64_t>(page.items.size()) == search.max_results) {
        page.next_page_token = make_page_token(offset + search.max_results);
        break;
      }
      page.items.push_back(read_experiment(row));
      TRY(load_experiment_tags(*reader.connection, page.items.back()));
    }
    return page;
  });
}

Result<> Store::set_experiment_tag(std::string_view id, std::string_view key, std::string_view value) {
  TRY(check_experiment_tag(key, value));
  int64_t number = TRY(parse_experiment_id(id));
  return state_->commits.run([&](db::Connection& connection) -> Result<> {
    if (TRY(lifecycle_of(connection, number)) != Lifecycle::kActive)
      return tl::unexpected<Error>(not_active("experiment", id));
    state_->cache.changes.experiment(number);
    return put_tag(connection, number, key, value);
  });
}

Result<> Store::delete_experiment_tag(std::string_view id, std::string_view key) {
  int64_t number = TRY(parse_experiment_id(id));
  return state_->commits.run([&](db::Connection& connection) -> Result<> {
    if (TRY(lifecycle_of(connection, number)) != Lifecycle::kActive)
      return tl::unexpected<Error>(not_active("experiment", id));
    state_->cache.changes.experiment(number);
    TRY(connection.run("DELETE FROM experiment_tags WHERE experiment = ? AND key = ?", number, key));
    if (TRY(connection.changes()) > 0) return {};
    return fail(Code::kNotFound, "No tag with name: {} in experiment with id {}", key, id);
  });
}

Result<> Store::rename_experiment(std::string_view id, std::string_view name) {
  TRY(check_experiment_name(name));
  int64_t number = TRY(parse_experiment_id(id));
  return state_->commits.run([&](db::Connection& connection) -> Result<> {
    if (TRY(lifecycle_of(connection, number)) != Lifecycle::kActive)
      return fail(Code::kInvalid, "Cannot rename a non-active experiment.");
    db::Statement taken = TRY(connection.prepare("SELECT 1 FROM experiments WHERE name = ? AND id <> ?"));
    if (TRY(taken.bind(name, number).step())) return tl::unexpected<Error>(experiment_exists(name));
    state_->cache.changes.experiment(number);
    return connection.run("UPDATE experiments SET name = ?, updated = ? WHERE id = ?", name, now_ms(),
                          number);
  });
}

Result<> Store::delete_experiment(std::string_view id) {
  int64_t number = TRY(parse_experiment_id(id));
  return state_->commits.run([&](db::Connection& connection) -> Result<> {
    state_->cache.forget_runs();
    TRY(note_result_change(connection));
    state_->cache.changes.experiment(number);
    return change_lifecycle(connection, number, Lifecycle::kActive, Lifecycle::kDeleted);
  });
}

Result<> Store::restore_experiment(std::string_view id) {
  int64_t number = TRY(parse_experiment_id(id));
  return state_->commits.run([&](db::Connection& connection) -> Result<> {
    state_->cache.forget_runs();
    TRY(note_result_change(connection));
    state_->cache.changes.experiment(number);
    return change_lifecycle(connection, number, Lifecycle::kDeleted, Lifecycle::kActive);
  });
}

}  // namespace tidemill::tracking
