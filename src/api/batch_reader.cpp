#include "api/batch_reader.h"

#include <charconv>

namespace tidemill::api {
namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }

// Each function returns false, once and for all, at the first byte that is not plain.
class PlainReader {
 public:
  explicit PlainReader(std::string_view text) : at_(text.data()), end_(text.data() + text.size()) {}

  bool at_end() {
    skip_space();
    return at_ == end_;
  }

  bool text(std::string& out) {
    std::string_view view;
    if (!plain_text(view)) return false;
    out = view;
    return true;
  }

  bool integer(int64_t& out) {
    const char* start = at_;
    if (!number() ||
        std::string_view(start, size_t(at_ - start)).find_first_of(".eE") != std::string_view::npos)
      return false;
    return std::from_chars(number_, at_, out).ec == std::errc();
  }

  bool real(double& out) { return number() && std::from_chars(number_, at_, out).ec == std::errc(); }

  // member(name) reads one member's value; it is called once for each name.
  template <class Member>
  bool object(Member member) {
    if (!take('{')) return false;
    if (take('}')) return true;
    do {
      std::string_view name;
      if (!plain_text(name) || !take(':') || !member(name)) return false;
    } while (take(','));
    return take('}');
  }

  template <class Item>
  bool list(Item item) {
    if (!take('[')) return false;
    if (take(']')) return true;
    do {
      if (!item()) return false;
    } while (take(','));
    return take(']');
  }

 private:
  void skip_space() {
    while (at_ != end_ && (*at_ == ' ' || *at_ == '\n' || *at_ == '\t' || *at_ == '\r')) ++at_;
  }

  bool take(char c) {
    skip_space();
    if (at_ == end_ || *at_ != c) return false;
    ++at_;
    return true;
  }

  bool plain_text(std::string_view& out) {
    if (!take('"')) return false;
    const char* start = at_;
    while (at_ != end_ && *at_ >= 0x20 && *at_ != '"' && *at_ != '\\' && *at_ != 0x7F) ++at_;
    if (at_ == end_ || *at_ != '"') return false;
    out = {start, size_t(at_++ - start)};
    return true;
  }

  bool digits() {
    const char* start = at_;
    while (at_ != end_ && is_digit(*at_)) ++at_;
    return at_ != start;
  }

  // Finds the end of a number as JSON has it (RFC 8259, section 6).
  bool number() {
    skip_space();
    number_ = at_;
    if (at_ != end_ && *at_ == '-') ++at_;
    bool leading_zero = at_ != end_ && *at_ == '0';
    const char* whole = at_;
    if (!digits() || (leading_zero && at_ - whole > 1)) return false;
    if (at_ != end_ && *at_ == '.' && (++at_, !digits())) return false;
    if (at_ == end_ || (*at_ != 'e' && *at_ != 'E')) return true;
    ++at_;
    if (at_ != end_ && (*at_ == '+' || *at_ == '-')) ++at_;
    return digits();
  }

  const char* at_;
  const char* end_;
  const char* number_ = nullptr;
};

// Which members have come; false for one that comes twice.
struct Seen {
  unsigned bits = 0;
  bool first(unsigned bit) {
    bool is_first = (bits & bit) == 0;
    bits |= bit;
    return is_first;
  }
};

// The members of one metric as they come.
class MetricReader {
 public:
  bool member(PlainReader& in, std::string_view name) {
    if (name == "key") return seen_.first(1) && in.text(metric_.key);
    if (name == "value") return seen_.first(2) && in.real(metric_.value);
    if (name == "timestamp") return seen_.first(4) && in.integer(metric_.timestamp);
    if (name == "step") return seen_.first(8) && in.integer(metric_.step);
    if (name == "model_id") return seen_.first(16) && in.text(of_model_.model_id);
    if (name == "dataset_name") return seen_.first(32) && in.text(of_model_.dataset_name);
    if (name == "dataset_digest") return seen_.first(64) && in.text(of_model_.dataset_digest);
    return false;
  }
  // False when one is missing.
  bool add_to(tracking::Batch& batch) {
    if ((seen_.bits & 7) != 7 || metric_.key.empty()) return false;
    of_model_.metric = batch.metrics.size();
    if (!of_model_.model_id.empty()) batch.of_models.push_back(std::move(of_model_));
    batch.metrics.push_back(std::move(metric_));
    return true;
  }

 private:
  Seen seen_;
  tracking::Metric metric_;
  tracking::MetricOfModel of_model_{.metric = 0, .model_id = {}};
};

bool read_metric(PlainReader& in, tracking::Batch& batch) {
  MetricReader metric;
  return in.object([&](std::string_view name) { return metric.member(in, name); }) && metric.add_to(batch);
}

bool read_pair(PlainReader& in, tracking::KeyValue& pair) {
  Seen seen;
  bool plain = in.object([&](std::string_view name) {
    if (name == "key") return seen.first(1) && in.text(pair.first);
    if (name == "value") return seen.first(2) && in.text(pair.second);
    return false;
  });
  return plain && seen.bits == 3 && !pair.first.empty();
}

template <class T>
bool read_list(PlainReader& in, std::vector<T>& out, bool (*read)(PlainReader&, T&)) {
  return in.list([&] { return read(in, out.emplace_back()); });
}

}  // namespace

bool read_plain_batch(std::string_view body, BatchBody& out) {
  PlainReader in(body);
  Seen seen;
  std::string run_uuid;
  bool plain = in.object([&](std::string_view name) {
    if (name == "run_id") return seen.first(1) && in.text(out.run_id);
    if (name == "run_uuid") return seen.first(2) && in.text(run_uuid);
    if (name == "metrics") return seen.first(4) && in.list([&] { return read_metric(in, out.batch); });
    if (name == "params") return seen.first(8) && read_list(in, out.batch.params, read_pair);
    if (name == "tags") return seen.first(16) && read_list(in, out.batch.tags, read_pair);
    return false;
  });
  if (out.run_id.empty()) out.run_id = std::move(run_uuid);
  return plain && in.at_end() && !out.run_id.empty();
}

bool read_plain_metric(std::string_view body, BatchBody& out) {
  PlainReader in(body);
  Seen seen;
  std::string run_uuid;
  MetricReader metric;
  bool plain = in.object([&](std::string_view name) {
    if (name == "run_id") return seen.first(1) && in.text(out.run_id);
    if (name == "run_uuid") return seen.first(2) && in.text(run_uuid);
    return metric.member(in, name);
  });
  if (out.run_id.empty()) out.run_id = std::move(run_uuid);
  return plain && in.at_end() && !out.run_id.empty() && metric.add_to(out.batch);
}

}  // namespace tidemill::api
