#include "checks/check.h"

#include <set>

#include "base/text.h"
#include "checks/csv.h"

namespace tidemill::checks {

Result<Report> look_at(const config::DataCheck& check, const fs::path& folder, const Distributions& accepted,
                       const std::stop_token& stop) {
  const fs::path path = folder / check.path;
  std::error_code ignored;
  const bool table = check.kind == config::DataCheck::Kind::kTable;
  if (table ? !fs::is_regular_file(path, ignored) : !fs::is_directory(path, ignored)) {
    Report report;
    report.problems.push_back(fmt::format("there is no {} {}", table ? "file" : "folder", check.path));
    return report;
  }
  auto report =
      table ? look_at_table(check, path, accepted, stop) : look_at_images(check, path, accepted, stop);
  if (stop.stop_requested()) return fail(Code::kCancelled, "interrupted");
  return report;
}

void judge(const config::DataCheck& check, std::string_view unit, const Distributions& accepted,
           Report& report) {
  auto count = static_cast<double>(report.count);
  if (check.count.min && count < *check.count.min)
    report.problems.push_back(
        fmt::format("{}: {}, at least {:.15g} are wanted", unit, report.count, *check.count.min));
  if (check.count.max && count > *check.count.max)
    report.problems.push_back(
        fmt::format("{}: {}, at most {:.15g} are wanted", unit, report.count, *check.count.max));
  if (check.least_class && !report.classes.empty()) {
    auto rarest = std::min_element(report.classes.begin(), report.classes.end(),
                                   [](const auto& a, const auto& b) { return a.second < b.second; });
    double share = static_cast<double>(rarest->second) / std::max(1.0, count);
    if (share < *check.least_class)
      report.problems.push_back(fmt::format("class '{}' has {:.3g} % of the {}, at least {:.3g} % are wanted",
                                            rarest->first, share * 100, unit, *check.least_class * 100));
  }
  if (check.least_class && report.classes.empty()) report.problems.push_back("there are no classes");
  if (!check.drift) return;
  for (const auto& [name, distribution] : report.distributions) {
    auto before = accepted.find(name);
    if (before == accepted.end()) continue;
    double index = stability_index(before->second, distribution);
    if (index > *check.drift)
      report.problems.push_back(
          fmt::format("{} has drifted by {:.3g} since the last accepted run, at most {:.3g} is wanted", name,
                      index, *check.drift));
  }
}

bool judge_share(std::string_view what, std::string_view unit, uint64_t count, uint64_t total, double most,
                 Report& report) {
  double share = total > 0 ? static_cast<double>(count) / static_cast<double>(total) : 0;
  if (share <= most) return false;
  report.problems.push_back(fmt::format("{}: {} of {} {} ({:.3g} %), at most {:.3g} % are wanted", what,
                                        count, total, unit, share * 100, most * 100));
  return true;
}

Result<> exclude(const config::DataCheck& check, const fs::path& folder, const std::vector<BadItem>& bad) {
  if (check.kind == config::DataCheck::Kind::kTable) {
    std::set<uint64_t> lines;
    for (const auto& item : bad) lines.insert(item.line);
    return remove_rows(folder / check.path, lines);
  }
  for (const auto& item : bad) {
    std::error_code error;
    fs::remove(TRY(path_inside(folder / check.path, item.name)), error);
    if (error) return fail(Code::kUnavailable, "{} cannot be removed: {}", item.name, error.message());
  }
  return {};
}

}  // namespace tidemill::checks
