#include "cli/transfer.h"

#include <ranges>

#include "base/text.h"
#include "exchange/copy.h"
#include "sys/signals.h"
#include "sys/terminal.h"

namespace tidemill::cli {
namespace {

constexpr size_t kShownProblems = 20;

void print_problems(const exchange::Report& report) {
  for (const std::string& note : report.notes) fmt::print(stderr, "note: {}\n", note);
  for (const exchange::Problem& problem : report.problems() | std::views::take(kShownProblems))
    fmt::print(stderr, "left out: {}: {}\n", problem.where, problem.reason);
  if (report.problem_count() > kShownProblems)
    fmt::print(stderr, "left out: {} more; --json lists them\n", report.problem_count() - kShownProblems);
}

// The bar, from when it is known how much there is.
class Bar {
 public:
  explicit Bar(std::string_view label) : label_(label) {}

  void show(uint64_t done, uint64_t total, const exchange::Report& report) {
    if (!progress_) progress_.emplace(label_, total, "runs");
    progress_->set(done);
    if (report.points > 0) progress_->note(human_count(report.points) + " points");
  }

 private:
  std::string label_;
  std::optional<Progress> progress_;
};

}  // namespace

Result<int> transfer(const Context& context, std::string_view label, exchange::Source& source,
                     exchange::Sink& sink, bool pass_over_known) {
  exchange::Report report;
  Result<> copied;
  {
    Bar bar(label);
    exchange::CopyOptions options{
        .pass_over_known = pass_over_known,
        .interrupted = interrupted,
        .progress = [&](uint64_t done, uint64_t total, const exchange::Report& now) {
          bar.show(done, total, now);
        }};
    copied = exchange::copy(source, sink, options, report);
  }
  print_problems(report);
  TRY(print(context.json ? dump_json(report.to_json(), 2) + "\n" : report.to_string()));
  TRY(std::move(copied));
  return report.problem_count() > 0 ? 1 : 0;
}

}  // namespace tidemill::cli
