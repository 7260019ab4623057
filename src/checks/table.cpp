#include <charconv>
#include <cmath>
#include <functional>
#include <optional>
#include <unordered_set>

#include "base/text.h"
#include "checks/check.h"
#include "checks/csv.h"

namespace tidemill::checks {
namespace {

constexpr size_t kMostSampled = 200'000;  // values of a column that its distribution is made of
constexpr size_t kMostClasses = 10'000;

bool is_null(std::string_view field) {
  return field.empty() || field == "NA" || field == "NaN" || field == "nan" || field == "null" ||
         field == "NULL";
}
std::optional<double> to_number(std::string_view field) {
  double value = 0;
  auto [end, error] = std::from_chars(field.data(), field.data() + field.size(), value);
  if (error != std::errc() || end != field.data() + field.size() || field.empty() || !std::isfinite(value))
    return std::nullopt;
  return value;
}

// An evenly spread part of the values: when there are too many, every second one is dropped, and so on.
class Sample {
 public:
  void add(double value) {
    if (seen_++ % stride_ != 0) return;
    if (values_.size() == kMostSampled) {
      for (size_t i = 0; i < values_.size() / 2; ++i) values_[i] = values_[i * 2];
      values_.resize(values_.size() / 2);
      stride_ *= 2;
      if ((seen_ - 1) % stride_ != 0) return;
    }
    values_.push_back(value);
  }
  std::vector<double> take() { return std::move(values_); }

 private:
  std::vector<double> values_;
  uint64_t seen_ = 0, stride_ = 1;
};

struct Column {
  const config::ColumnCheck* check = nullptr;
  std::optional<size_t> index;
  uint64_t nulls = 0, out_of_range = 0, unexpected = 0;
  std::vector<std::pair<uint64_t, std::string>> null_lines;
};

class TableLook {
 public:
  TableLook(const config::DataCheck& check, const Distributions& accepted)
      : check_(check), accepted_(accepted) {}

  Result<Report> look(const fs::path& file, const std::stop_token& stop) {
    auto read = read_csv(file, [&](const CsvRow& row) {
      if (header_.empty()) return begin(row);
      add(row);
      return !stop.stop_requested();
    });
    if (!read) {
      if (read.error().code != Code::kInvalid) return tl::unexpected<Error>(read.error());
      report_.problems.push_back(read.error().message);
    }
    finish();
    return std::move(report_);
  }

 private:
  std::optional<size_t> index_of(const std::string& name) {
    auto found = std::find(header_.begin(), header_.end(), name);
    if (found != header_.end()) return static_cast<size_t>(found - header_.begin());
    report_.problems.push_back(fmt::format("there is no column '{}'{}", name, did_you_mean(name, header_)));
    return std::nullopt;
  }

  bool begin(const CsvRow& row) {
    header_ = row.fields;
    for (const auto& column : check_.columns)
      columns_.push_back({.check = &column, .index = index_of(column.name), .null_lines = {}});
    if (check_.class_column) class_ = index_of(*check_.class_column);
    samples_.resize(header_.size());
    numeric_.assign(header_.size(), true);
    return true;
  }

  void mark(uint64_t line, std::string reason) {
    if (!report_.bad.empty() && report_.bad.back().line == line) return;
    if (report_.bad.size() >= kMostBadItems)
      report_.bad_is_whole = false;
    else
      report_.bad.push_back({fmt::format("line {}", line), line, std::move(reason)});
  }

  void add(const CsvRow& row) {
    ++report_.count;
    if (row.fields.size() != header_.size()) {
      ++malformed_;
      mark(row.line, fmt::format("{} fields, the header has {}", row.fields.size(), header_.size()));
      return;
    }
    for (auto& column : columns_)
      if (column.index) look_at_field(column, row);
    if (class_ && (report_.classes.size() < kMostClasses || report_.classes.count(row.fields[*class_]) > 0))
      ++report_.classes[row.fields[*class_]];
    if (check_.duplicates && !rows_.insert(std::hash<std::string_view>()(row.text)).second)
      duplicates_.push_back(row.line);
    if (!check_.drift) return;
    for (size_t i = 0; i < header_.size(); ++i) {
      if (!numeric_[i] || is_null(row.fields[i])) continue;
      auto value = to_number(row.fields[i]);
      if (value)
        samples_[i].add(*value);
      else
        numeric_[i] = false;
    }
  }

  void look_at_field(Column& column, const CsvRow& row) {
    const config::ColumnCheck& wanted = *column.check;
    const std::string& field = row.fields[*column.index];
    if (is_null(field)) {
      ++column.nulls;
      if (wanted.nulls && column.null_lines.size() < kMostBadItems)
        column.null_lines.emplace_back(row.line, wanted.name + " is empty");
      return;
    }
    if (wanted.values &&
        std::find(wanted.values->begin(), wanted.values->end(), field) == wanted.values->end()) {
      ++column.unexpected;
      mark(row.line, fmt::format("{} is '{}'", wanted.name, field.substr(0, 100)));
    }
    if (!wanted.range.min && !wanted.range.max) return;
    auto value = to_number(field);
    if (value && wanted.range.hold(*value)) return;
    ++column.out_of_range;
    mark(row.line, fmt::format("{} is {}", wanted.name, field.substr(0, 100)));
  }

  void finish() {
    if (header_.empty()) report_.problems.push_back("the table is empty");
    judge_share("rows of another length than the header", "rows", malformed_, report_.count, 0, report_);
    std::vector<BadItem> more;
    for (const auto& column : columns_) {
      const config::ColumnCheck& wanted = *column.check;
      judge_share(wanted.name + " out of range", "rows", column.out_of_range, report_.count, 0, report_);
      judge_share(wanted.name + " with other values than named", "rows", column.unexpected, report_.count, 0,
                  report_);
      if (wanted.nulls &&
          judge_share(wanted.name + " empty", "rows", column.nulls, report_.count, *wanted.nulls, report_))
        for (const auto& [line, reason] : column.null_lines)
          more.push_back({fmt::format("line {}", line), line, reason});
    }
    if (check_.duplicates &&
        judge_share("duplicates", "rows", duplicates_.size(), report_.count, *check_.duplicates, report_))
      for (uint64_t line : duplicates_)
        more.push_back({fmt::format("line {}", line), line, "a repeated row"});
    add_bad(std::move(more));
    if (check_.drift) add_distributions();
    judge(check_, "rows", accepted_, report_);
  }

  void add_bad(std::vector<BadItem> more) {
    std::unordered_set<uint64_t> known;
    for (const auto& item : report_.bad) known.insert(item.line);
    for (auto& item : more)
      if (report_.bad.size() < kMostBadItems && known.insert(item.line).second)
        report_.bad.push_back(std::move(item));
    std::sort(report_.bad.begin(), report_.bad.end(),
              [](const auto& a, const auto& b) { return a.line < b.line; });
  }

  void add_distributions() {
    for (size_t i = 0; i < header_.size(); ++i) {
      std::vector<double> values = samples_[i].take();
      if (!numeric_[i] || values.empty() || (class_ && *class_ == i)) continue;
      auto before = accepted_.find(header_[i]);
      report_.distributions[header_[i]] =
          distribution_of(std::move(values), before != accepted_.end() ? &before->second : nullptr);
    }
    if (!class_ || report_.count == 0) return;
    Distribution& classes = report_.distributions["class"];
    for (const auto& [name, count] : report_.classes)
      classes.shares[name] = static_cast<double>(count) / static_cast<double>(report_.count);
  }

  const config::DataCheck& check_;
  const Distributions& accepted_;
  std::vector<std::string> header_;
  std::vector<Column> columns_;
  std::optional<size_t> class_;
  std::vector<Sample> samples_;
  std::vector<bool> numeric_;
  std::unordered_set<size_t>
      rows_;  // 64 bits of hash: among a million rows, one in 10^7 tables has a false duplicate
  std::vector<uint64_t> duplicates_;
  uint64_t malformed_ = 0;
  Report report_;
};

}  // namespace

Result<Report> look_at_table(const config::DataCheck& check, const fs::path& file,
                             const Distributions& accepted, const std::stop_token& stop) {
  return TableLook(check, accepted).look(file, stop);
}

}  // namespace tidemill::checks
