#include "tracking/run_window.h"

#include <limits>
#include <set>
#include <unordered_map>

#include "tracking/run_search.h"
#include "tracking/run_spans.h"
#include "tracking/store_state.h"

namespace tidemill::tracking {
namespace {

constexpr int64_t kMaxHeight = 10'000;
constexpr size_t kMaxColumns = 10'000;
constexpr size_t kMaxCells = 2'000'000;
constexpr size_t kMaxListedKeys = 100;  // more are picked out here instead of by the database

using Texts = RunColumn::Cells<std::string>;
using Numbers = RunColumn::Cells<double>;
using Integers = RunColumn::Cells<int64_t>;

// A run of the window and its place there.
struct Place {
  int64_t row;
  size_t at;
};
using Span = RunSpan<Place>;

struct Wanted {
  size_t column;
  Aggregate aggregate;
};
using WantedKeys = std::unordered_map<int64_t, std::vector<Wanted>>;

std::string attribute_of(const RunInfo& info, std::string_view attribute) {
  if (attribute == "run_id") return info.id;
  if (attribute == "run_name") return info.name;
  if (attribute == "user_id") return info.user;
  if (attribute == "artifact_uri") return info.artifact_uri;
  if (attribute == "experiment_id") return info.experiment_id;
  return std::string(attribute == "status" ? to_string(info.status) : to_string(info.lifecycle));
}

std::string_view table_of(Entity entity) {
  return entity == Entity::kMetric ? "metrics" : entity == Entity::kParam ? "params" : "tags";
}

// A search knows no filter by these.
bool is_further_attribute(std::string_view name) {
  return name == "attributes.experiment_id" || name == "attributes.lifecycle_stage";
}

class WindowReader {
 public:
  WindowReader(Reader& reader, const RunRows& runs, size_t height)
      : reader_(reader), runs_(runs), height_(height) {
    for (size_t i = 0; i < height; ++i) places_.push_back({runs.row(i), i});
  }

  Result<std::vector<RunColumn>> read(const std::vector<std::string>& names) {
    for (const std::string& name : names) TRY(add(name));
    for (Entity entity : {Entity::kMetric, Entity::kParam, Entity::kTag}) TRY(fill(entity));
    return std::move(columns_);
  }

 private:
  Result<> add(const std::string& name) {
    if (is_further_attribute(name)) return add_attribute(name, name.substr(name.find('.') + 1));
    ColumnName column = TRY(parse_column(name));
    if (column.entity == Entity::kAttribute) return add_attribute(name, column.key);
    if (column.key != "*") return add_keyed(name, column, TRY(find_key(*reader_.connection, column.key)));
    // All names first: reading cells needs to know its columns.
    for (int64_t key : TRY(keys_of(column.entity))) {
      const std::string* key_name = TRY(reader_.names.name(*reader_.connection, key));
      std::string one = name;
      one.replace(one.find('*'), 1, *key_name);
      TRY(add_keyed(one, column, key));
    }
    return {};
  }

  Result<> make_room() const {
    if (columns_.size() < kMaxColumns && (columns_.size() + 1) * height_ <= kMaxCells) return {};
    return fail(Code::kInvalid,
                "{} columns of {} runs are too much for one answer: name the columns, or ask for fewer runs",
                columns_.size() + 1, height_);
  }

  Result<> add_attribute(const std::string& name, std::string_view attribute) {
    TRY(make_room());
    bool is_time = attribute == "start_time" || attribute == "end_time";
    if (is_time) {
      Integers cells;
      for (size_t i = 0; i < height_; ++i)
        cells.push_back(attribute == "start_time" ? runs_.info(i).start_time : runs_.info(i).end_time);
      columns_.push_back({name, std::move(cells)});
      return {};
    }
    Texts cells;
    for (size_t i = 0; i < height_; ++i) cells.push_back(attribute_of(runs_.info(i), attribute));
    columns_.push_back({name, std::move(cells)});
    return {};
  }

  Result<> add_keyed(const std::string& name, const ColumnName& column, std::optional<int64_t> key) {
    TRY(make_room());
    if (key) wanted(column.entity)[*key].push_back({columns_.size(), column.aggregate});
    if (column.entity == Entity::kMetric)
      columns_.push_back({name, Numbers(height_)});
    else
      columns_.push_back({name, Texts(height_)});
    return {};
  }

  WantedKeys& wanted(Entity entity) { return wanted_[static_cast<size_t>(entity)]; }

  // Those that the window's runs have, by name.
  Result<std::vector<int64_t>> keys_of(Entity entity) {
    std::set<std::pair<std::string, int64_t>> keys;
    std::unordered_map<int64_t, bool> seen;
    TRY(for_spans(places_, [&](Span span) -> Result<> {
      db::Statement rows = TRY(reader_.connection->prepare(
          fmt::format("SELECT run, key FROM {} WHERE {} ORDER BY run", table_of(entity), span.where("run"))));
      span.bind(rows);
      return for_rows(std::move(rows), span.owners, [&](const Place&, const db::Statement& row) -> Result<> {
        if (!seen.emplace(row.integer(1), true).second) return {};
        keys.emplace(*TRY(reader_.names.name(*reader_.connection, row.integer(1))), row.integer(1));
        return {};
      });
    }));
    std::vector<int64_t> sorted;
    for (const auto& [name, key] : keys) sorted.push_back(key);
    return sorted;
  }

  Result<> fill(Entity entity) {
    const WantedKeys& keys = wanted(entity);
    if (keys.empty()) return {};
    bool listed = keys.size() <= kMaxListedKeys;
    std::string marks = "?";
    for (size_t i = 1; i < keys.size() && listed; ++i) marks += ", ?";
    std::string_view more = entity == Entity::kMetric ? ", is_nan, lowest, highest" : "";
    std::string and_key = listed ? fmt::format(" AND key IN ({})", marks) : "";
    return for_spans(places_, [&](Span span) -> Result<> {
      db::Statement rows = TRY(
          reader_.connection->prepare(fmt::format("SELECT run, key, value{} FROM {} WHERE {}{} ORDER BY run",
                                                  more, table_of(entity), span.where("run"), and_key)));
      span.bind(rows);
      if (listed)
        for (const auto& [key, columns] : keys) rows.bind(key);
      return for_rows(std::move(rows), span.owners,
                      [&](const Place& place, const db::Statement& row) -> Result<> {
                        auto found = keys.find(row.integer(1));
                        if (found == keys.end()) return {};
                        for (const Wanted& want : found->second) put(entity, want, place.at, row);
                        return {};
                      });
    });
  }

  void put(Entity entity, const Wanted& want, size_t at, const db::Statement& row) {
    auto& cells = columns_[want.column].cells;
    if (entity != Entity::kMetric) {
      std::get<Texts>(cells)[at] = std::string(row.text(2));
    } else if (want.aggregate == Aggregate::kLast) {
      std::get<Numbers>(cells)[at] = row.integer(3) ? std::numeric_limits<double>::quiet_NaN() : row.real(2);
    } else {
      std::get<Numbers>(cells)[at] = row.optional_real(want.aggregate == Aggregate::kMin ? 4 : 5);
    }
  }

  Reader& reader_;
  const RunRows& runs_;
  size_t height_;
  std::vector<Place> places_;
  std::vector<RunColumn> columns_;
  WantedKeys wanted_[3];  // by Entity
};

}  // namespace

Result<RunWindow> run_window(Store& store, const WindowQuery& query) {
  if (query.runs.max_results < 0 || query.runs.max_results > kMaxHeight)
    return fail(Code::kInvalid, "A window holds at most {} runs, and {} were asked for", kMaxHeight,
                query.runs.max_results);
  if (query.offset < 0) return fail(Code::kInvalid, "The offset must not be negative: {}", query.offset);
  RunSearch search = TRY(parse_run_search(query.runs));
  search.offset = query.offset;
  return store.state().read_metrics<RunWindow>([&](Reader& reader) -> Result<RunWindow> {
    RunRows runs = TRY(find_runs(*reader.connection, search));
    RunWindow window;
    size_t height = std::min(runs.size(), static_cast<size_t>(search.max_results));
    bool is_end = runs.size() == height && (height > 0 || search.offset == 0);
    if (query.count && is_end)
      window.total = search.offset + static_cast<int64_t>(height);
    else if (query.count)
      window.total = TRY(count_runs(*reader.connection, search));
    for (size_t i = 0; i < height; ++i) window.run_ids.push_back(runs.info(i).id);
    window.columns = TRY(WindowReader(reader, runs, height).read(query.columns));
    return window;
  });
}

}  // namespace tidemill::tracking
