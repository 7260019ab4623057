#include "sys/mask.h"

#include <algorithm>

namespace tidemill {
namespace {

constexpr std::string_view kStars = "***";

}  // namespace

Mask::Mask(std::vector<std::string> secrets) : secrets_(std::move(secrets)) {
  std::erase_if(secrets_, [](const std::string& secret) { return secret.empty(); });
  std::sort(secrets_.begin(), secrets_.end(),
            [](const std::string& a, const std::string& b) { return a.size() > b.size(); });
  size_t most = kMostBytes + (secrets_.empty() ? 0 : secrets_[0].size());
  kept_.reserve(most);
  told_.reserve(kStars.size() * most);
}

std::string_view Mask::feed(std::string_view piece) {
  kept_ += piece;
  return replace(More::kMayCome);
}

std::string_view Mask::finish() { return replace(More::kNo); }

std::string_view Mask::replace(More more) {
  told_.clear();
  std::string_view rest = kept_;
  while (!rest.empty()) {
    auto whole = std::find_if(secrets_.begin(), secrets_.end(),
                              [&](const std::string& secret) { return rest.starts_with(secret); });
    bool may_go_on = std::any_of(secrets_.begin(), whole, [&](const std::string& secret) {
      return rest.size() < secret.size() && std::string_view(secret).starts_with(rest);
    });
    if (may_go_on && more == More::kMayCome) break;
    told_ += whole != secrets_.end() ? kStars : rest.substr(0, 1);
    rest.remove_prefix(whole != secrets_.end() ? whole->size() : 1);
  }
  kept_.erase(0, kept_.size() - rest.size());
  return told_;
}

std::string masked(std::string_view text, const std::vector<std::string>& secrets) {
  if (secrets.empty()) return std::string(text);
  Mask mask(secrets);
  std::string all;
  for (; !text.empty(); text.remove_prefix(std::min(text.size(), Mask::kMostBytes)))
    all += mask.feed(text.substr(0, Mask::kMostBytes));
  return all += mask.finish();
}

}  // namespace tidemill
