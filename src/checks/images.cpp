#include <algorithm>
#include <future>
#include <thread>
#include <unordered_set>

#include "base/hash.h"
#include "base/text.h"
#include "checks/check.h"
#include "checks/image.h"

namespace tidemill::checks {
namespace {

constexpr uint64_t kMostBytes = 256ull << 20;  // of one image

struct Seen {
  ImageFacts facts;
  std::string hash;  // of the file; "" when nobody asks for duplicates
};

bool is_image(const fs::path& path) {
  const std::string extension = to_lower(path.extension().string());
  return extension == ".png" || extension == ".jpg" || extension == ".jpeg";
}

// By path.
Result<std::vector<fs::path>> images_below(const fs::path& folder) {
  std::vector<fs::path> found;
  std::error_code error;
  fs::recursive_directory_iterator at(folder, error), end;
  for (; !error && at != end; at.increment(error))
    if (is_image(at->path()) && at->is_regular_file(error)) found.push_back(at->path());
  if (error) return fail(Code::kUnavailable, "{} cannot be read: {}", folder.string(), error.message());
  std::sort(found.begin(), found.end());
  return found;
}

Seen look(const fs::path& file, bool wants_hash) {
  auto bytes = read_file(file, kMostBytes);
  if (!bytes) return {{.damage = "it cannot be read: " + bytes.error().message, .brightness = {}}, ""};
  return {image_facts(*bytes), wants_hash ? sha256_hex(*bytes) : ""};
}

// On all cores.
std::vector<Seen> look_at_all(const std::vector<fs::path>& files, bool wants_hash,
                              const std::stop_token& stop) {
  std::vector<Seen> seen(files.size());
  const size_t parts = std::max(1u, std::thread::hardware_concurrency());
  std::vector<std::future<void>> working;
  for (size_t part = 0; part < parts; ++part)
    working.push_back(std::async(std::launch::async, [&, part] {
      for (size_t i = part; i < files.size() && !stop.stop_requested(); i += parts)
        seen[i] = look(files[i], wants_hash);
    }));
  for (auto& work : working) work.get();
  return seen;
}

std::vector<fs::path> sampled(const std::vector<fs::path>& files, int64_t wanted) {
  auto count = static_cast<size_t>(wanted);
  if (count == 0 || count >= files.size()) return files;
  std::vector<fs::path> some;
  for (size_t i = 0; i < count; ++i) some.push_back(files[i * files.size() / count]);
  return some;
}

}  // namespace

Result<Report> look_at_images(const config::DataCheck& check, const fs::path& folder,
                              const Distributions& accepted, const std::stop_token& stop) {
  const std::vector<fs::path> files = TRY(images_below(folder));
  Report report{.count = files.size(), .classes = {}, .distributions = {}, .problems = {}, .bad = {}};
  for (const auto& file : files)
    if (file.parent_path() != folder) ++report.classes[file.parent_path().filename().string()];
  const std::vector<fs::path> some = sampled(files, check.sample);
  const std::vector<Seen> seen = look_at_all(some, check.duplicates.has_value(), stop);

  uint64_t corrupt = 0, constant = 0, repeated = 0;
  std::unordered_set<std::string> hashes;
  std::vector<double> brightness;
  std::vector<std::string> constants(some.size()), repetitions(some.size());
  for (size_t i = 0; i < some.size(); ++i) {
    corrupt += seen[i].facts.damage.empty() ? 0 : 1;
    if (seen[i].facts.constant) ++constant, constants[i] = "it is of one colour";
    if (check.duplicates && !hashes.insert(seen[i].hash).second)
      ++repeated, repetitions[i] = "it is there already";
    if (seen[i].facts.brightness) brightness.push_back(*seen[i].facts.brightness);
  }
  const bool too_many_corrupt = judge_share("corrupt", "images", corrupt, some.size(), check.corrupt, report);
  const bool too_many_constant =
      judge_share("of one colour", "images", constant, some.size(), check.constant, report);
  const bool too_many_repeated = check.duplicates && judge_share("duplicates", "images", repeated,
                                                                 some.size(), *check.duplicates, report);
  for (size_t i = 0; i < some.size() && report.bad.size() < kMostBadItems; ++i) {
    std::string reason = too_many_corrupt ? seen[i].facts.damage : "";
    if (reason.empty() && too_many_constant) reason = constants[i];
    if (reason.empty() && too_many_repeated) reason = repetitions[i];
    if (!reason.empty())
      report.bad.push_back({some[i].lexically_relative(folder).string(), 0, std::move(reason)});
  }
  if (check.drift) {
    auto before = accepted.find("brightness");
    if (!brightness.empty())
      report.distributions["brightness"] =
          distribution_of(std::move(brightness), before != accepted.end() ? &before->second : nullptr);
    for (const auto& [name, count] : report.classes)
      report.distributions["class"].shares[name] =
          static_cast<double>(count) / static_cast<double>(files.size());
  }
  judge(check, "images", accepted, report);
  return report;
}

}  // namespace tidemill::checks
