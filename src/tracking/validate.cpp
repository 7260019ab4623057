#include "tracking/validate.h"

#include <charconv>
#include <cmath>
#include <unordered_set>

#include "base/files.h"
#include "base/json.h"
#include "base/text.h"
#include "tracking/store.h"

namespace tidemill::tracking {
namespace {

bool is_ascii_word(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

// Letters and digits beyond ASCII, near enough to Python's \w: all but the blocks of signs.
bool is_word(uint32_t c) {
  struct Range {
    uint32_t first, last;
  };
  constexpr Range kSigns[] = {{0x80, 0xA9},     {0xAB, 0xB1},      {0xB4, 0xB4},     {0xB6, 0xB8},
                              {0xBB, 0xBB},     {0xBF, 0xBF},      {0xD7, 0xD7},     {0xF7, 0xF7},
                              {0x2000, 0x206F}, {0x20A0, 0x20CF},  {0x2190, 0x245F}, {0x2500, 0x2BFF},
                              {0x3000, 0x3004}, {0x3008, 0x3020},  {0xD800, 0xF8FF}, {0xFE10, 0xFE6F},
                              {0xFF00, 0xFF0F}, {0x1F000, 0x1FAFF}};
  for (const Range& range : kSigns)
    if (c >= range.first && c <= range.last) return false;
  return true;
}

// The code point that begins at text[at] (valid UTF-8), and moves at behind it.
uint32_t next_code_point(std::string_view text, size_t& at) {
  auto byte = static_cast<unsigned char>(text[at++]);
  unsigned more = byte >= 0xF0 ? 3 : byte >= 0xE0 ? 2 : byte >= 0xC0 ? 1 : 0;
  uint32_t c = more == 0 ? byte : byte & (0x3Fu >> more);
  for (; more > 0 && at < text.size(); --more) c = c << 6 | (static_cast<unsigned char>(text[at++]) & 0x3F);
  return c;
}

size_t count_chars(std::string_view text) {
  return static_cast<size_t>(std::count_if(
      text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; }));
}

// Letters, digits, underscores and these signs.
bool has_good_characters(std::string_view name, std::string_view signs) {
  bool ascii = true;
  for (char c : name) {
    if (is_ascii_word(c) || signs.find(c) != std::string_view::npos) continue;
    if (static_cast<unsigned char>(c) < 0x80) return false;
    ascii = false;
  }
  if (ascii) return true;
  if (!is_utf8(name)) return false;
  for (size_t at = 0; at < name.size();) {
    uint32_t c = next_code_point(name, at);
    if (c >= 0x80 && !is_word(c)) return false;
  }
  return true;
}

// Python's posixpath.normpath.
std::string normal_path(std::string_view path) {
  std::string root;
  if (path.starts_with("//") && !path.starts_with("///")) {
    root = "//";
  } else if (path.starts_with("/")) {
    root = "/";
  }
  std::vector<std::string> parts;
  for (std::string& part : split(path, '/')) {
    if (part.empty() || part == ".") continue;
    if (part != ".." || (root.empty() && parts.empty()) || (!parts.empty() && parts.back() == "..")) {
      parts.push_back(std::move(part));
    } else if (!parts.empty()) {
      parts.pop_back();
    }
  }
  std::string out = root + join(parts, "/");
  return out.empty() ? "." : out;
}

bool is_plain_path(std::string_view name) {
  // Names without a slash or a leading dot, nearly all of them, are their own normal form.
  if (!name.empty() && name[0] != '.' && name.find('/') == std::string_view::npos) return true;
  std::string normal = normal_path(name);
  return normal == name && normal != "." && !normal.starts_with("..") && !normal.starts_with("/");
}

std::string at_path(std::string_view path, std::string_view member) {
  return path.empty() ? std::string(member) : fmt::format("{}.{}", path, member);
}

std::string json_text(std::string_view text) {
  return Json(text).dump(-1, ' ', true, Json::error_handler_t::replace);
}

Result<> check_plain_path(std::string_view name, std::string_view place) {
  if (is_plain_path(name)) return {};
  return fail(
      Code::kInvalid,
      "Invalid value {} for parameter '{}' supplied: Names may be treated as files in certain cases, and "
      "must not resolve to other names when treated as such. This name would resolve to {}",
      json_text(name), place, python_repr(normal_path(name)));
}

Result<> check_name(std::string_view name, std::string_view path, std::string_view member) {
  if (!has_good_characters(name, "/.- :"))
    return fail(Code::kInvalid,
                "Invalid value {} for parameter '{}' supplied: Names may only contain alphanumerics, "
                "underscores (_), "
                "dashes (-), periods (.), spaces ( ), colon(:) and slashes (/).",
                json_text(name), at_path(path, member));
  return check_plain_path(name, at_path(path, member));
}

Result<> check_count(std::string_view what, size_t limit, size_t count) {
  if (count <= limit) return {};
  return fail(
      Code::kInvalid,
      "A batch logging request can contain at most {} {}. Got {} {}. Please split up {} across multiple "
      "requests and try again.",
      limit, what, count, what, what);
}

std::vector<std::string> repeated_keys(const std::vector<KeyValue>& pairs) {
  std::unordered_set<std::string_view> seen;
  std::vector<std::string> twice;
  for (const auto& [key, value] : pairs)
    if (!seen.insert(key).second) twice.push_back(python_repr(key));
  return twice;
}

Result<> check_unique_params(const std::vector<KeyValue>& params) {
  std::vector<std::string> twice = repeated_keys(params);
  if (twice.empty()) return {};
  return fail(
      Code::kInvalid,
      "Duplicate parameter keys have been submitted: [{}]. Please ensure the request contains only one param "
      "value per param key.",
      join(twice, ", "));
}

}  // namespace

Result<> check_length(std::string_view what, std::string_view text, size_t max_chars) {
  if (text.size() <= max_chars || count_chars(text) <= max_chars) return {};
  return fail(Code::kInvalid, "'{}' exceeds the maximum length of {} characters", what, max_chars);
}

Result<> check_metric(const Metric& metric, std::string_view path) {
  TRY(check_name(metric.key, path, "name"));
  if (metric.timestamp < 0)
    return fail(Code::kInvalid,
                "Invalid value {} for parameter '{}' supplied: metric '{}' (value={}). Timestamp must be a "
                "nonnegative "
                "long (64-bit integer) ",
                metric.timestamp, at_path(path, "timestamp"), metric.key, python_repr(metric.value));
  return check_length("Metric name", metric.key, kMaxKeyChars);
}

Result<> check_param_key(std::string_view key, std::string_view path) {
  TRY(check_name(key, path, "key"));
  return check_length("Param key", key, kMaxKeyChars);
}

Result<> check_tag_key(std::string_view key, std::string_view path) {
  TRY(check_name(key, path, "key"));
  return check_length(at_path(path, "key"), key, kMaxKeyChars);
}

Result<> check_unique_tags(const std::vector<KeyValue>& tags) {
  std::vector<std::string> twice = repeated_keys(tags);
  if (twice.empty()) return {};
  return fail(Code::kInvalid,
              "Duplicate tag keys have been submitted: [{}]. A run has one value for each tag key.",
              join(twice, ", "));
}

Result<> check_experiment_tag(std::string_view key, std::string_view value) {
  TRY(check_tag_key(key));
  return check_length("value", value, kMaxExperimentTagChars);
}

Result<> check_batch(const Batch& batch) {
  for (size_t i = 0; i < batch.metrics.size(); ++i) {
    // The path is only needed for an error, and a batch has a thousand metrics.
    if (check_metric(batch.metrics[i])) continue;
    TRY(check_metric(batch.metrics[i], fmt::format("metrics[{}]", i)));
  }
  for (size_t i = 0; i < batch.params.size(); ++i)
    TRY(check_param_key(batch.params[i].first, fmt::format("params[{}]", i)));
  for (size_t i = 0; i < batch.tags.size(); ++i)
    TRY(check_tag_key(batch.tags[i].first, fmt::format("tags[{}]", i)));
  TRY(check_count("metrics", kMaxBatchMetrics, batch.metrics.size()));
  TRY(check_count("params", kMaxBatchParams, batch.params.size()));
  TRY(check_count("tags", kMaxBatchTags, batch.tags.size()));
  TRY(check_count("metrics, params, and tags", kMaxBatchEntities,
                  batch.metrics.size() + batch.params.size() + batch.tags.size()));
  return check_unique_params(batch.params);
}

Result<> check_dataset_input(const DatasetInput& input) {
  const Dataset& dataset = input.dataset;
  TRY(check_length("name", dataset.name, kMaxDatasetNameChars));
  TRY(check_length("digest", dataset.digest, kMaxDatasetDigestChars));
  TRY(check_length("source", dataset.source, kMaxDatasetSourceChars));
  if (dataset.schema) TRY(check_length("schema", *dataset.schema, kMaxDatasetSchemaChars));
  if (dataset.profile) TRY(check_length("profile", *dataset.profile, kMaxDatasetProfileChars));
  for (const auto& [key, value] : input.tags) {
    TRY(check_length("key", key, kMaxInputTagKeyChars));
    TRY(check_length("value", value, kMaxInputTagValueChars));
  }
  return {};
}

Result<> check_logged_model_name(std::string_view name) {
  TRY(check_length("name", name, kMaxExperimentNameChars));
  if (name.find_first_of("/:.%\"'") == std::string_view::npos) return {};
  return fail(
      Code::kInvalid,
      "Invalid model name ({}) provided. Model name must be a non-empty string and cannot contain the "
      "following characters: ('/', ':', '.', '%', '\"', \"'\")",
      python_repr(name));
}

Result<> check_model_tag(std::string_view key, std::string_view value) {
  TRY(check_length("key", key, kMaxKeyChars));
  return check_length("value", value, kMaxModelTagChars);
}

Result<> check_run_id(std::string_view run_id) {
  bool good = !run_id.empty() && run_id.size() <= 256 && run_id[0] != '_' && run_id[0] != '-';
  for (char c : run_id) good = good && (is_ascii_word(c) || c == '-');
  if (good) return {};
  return fail(Code::kInvalid, "Invalid value {} for parameter 'run_id' supplied.", json_text(run_id));
}

Result<> check_experiment_name(std::string_view name) {
  if (name.empty()) return fail(Code::kInvalid, "Invalid experiment name: ''");
  return check_length("name", name, kMaxExperimentNameChars);
}

Result<> check_artifact_location(std::string_view location) {
  if (location.starts_with("runs:"))
    return fail(Code::kInvalid, "Artifact location cannot be a runs:/ URI. Given: '{}'", location);
  if (location.find_first_of("#;") != std::string_view::npos)
    return fail(Code::kInvalid, "'artifact_location' URL can't include fragments or params.");
  if (count_chars(location) > kMaxArtifactLocationChars)
    return fail(
        Code::kInvalid,
        "Invalid artifact path length. The length of the artifact path cannot be greater than {} characters.",
        kMaxArtifactLocationChars);
  return {};
}

std::string absolute_location(std::string_view location) {
  bool has_scheme = location.substr(0, location.find('/')).find(':') != std::string_view::npos;
  if (location.empty() || has_scheme) return std::string(location);
  return fs::absolute(location).lexically_normal();
}

Result<int64_t> parse_experiment_id(std::string_view id) {
  int64_t value = 0;
  auto [end, error] = std::from_chars(id.data(), id.data() + id.size(), value);
  if (error != std::errc() || end != id.data() + id.size())
    return fail(Code::kInvalid, "Invalid experiment ID '{}'. Experiment ID must be a valid integer.", id);
  return value;
}

Result<> check_model_name(std::string_view name, std::string_view member) {
  if (trim(name).empty()) return fail(Code::kInvalid, "Missing value for required parameter '{}'.", member);
  TRY(check_length("name", name, kMaxModelNameChars));
  if (name.find_first_of("/:") != std::string_view::npos)
    return fail(Code::kInvalid, "Invalid model name '{}'. Names cannot contain '/' or ':'.", name);
  if (!is_utf8(name) || name.find('\0') != std::string_view::npos)
    return fail(Code::kInvalid, "Invalid model name {}. Names are text in UTF-8 without NUL.",
                json_text(name));
  return check_plain_path(name, "name");
}

Result<> check_alias(std::string_view alias) {
  if (alias.empty()) return fail(Code::kInvalid, "Registered model alias name cannot be empty.");
  TRY(check_length("Registered model alias name", alias, kMaxAliasChars));
  if (has_good_characters(alias, "-")) return {};
  return fail(
      Code::kInvalid,
      "Invalid alias name: '{}'. Names may only contain alphanumerics, underscores (_), and dashes (-).",
      alias);
}

Result<> check_new_alias(std::string_view alias) {
  TRY(check_alias(alias));
  if (to_lower(alias) == "latest")
    return fail(Code::kInvalid, "'latest' alias name (case insensitive) is reserved.");
  bool is_version = (alias[0] == 'v' || alias[0] == 'V') && alias.size() > 1 &&
                    alias.find_first_not_of("0123456789", 1) == std::string_view::npos;
  if (is_version) return fail(Code::kInvalid, "Version alias name '{}' is reserved.", alias);
  return {};
}

Result<> check_registry_tag(std::string_view key, std::string_view value) {
  TRY(check_tag_key(key));
  return check_length("value", value, kMaxModelTagChars);
}

Result<int64_t> parse_version(std::string_view version) {
  int64_t value = 0;
  auto [end, error] = std::from_chars(version.data(), version.data() + version.size(), value);
  if (error != std::errc() || end != version.data() + version.size())
    return fail(Code::kInvalid, "Parameter 'version' must be an integer, got '{}'.", version);
  return value;
}

std::string_view cut(std::string_view text, size_t max_chars) {
  if (text.size() <= max_chars) return text;
  size_t chars = 0;
  for (size_t at = 0; at < text.size(); ++at)
    if ((static_cast<unsigned char>(text[at]) & 0xC0) != 0x80 && ++chars > max_chars)
      return text.substr(0, at);
  return text;
}

std::string python_repr(std::string_view text) {
  char quote =
      text.find('\'') != std::string_view::npos && text.find('"') == std::string_view::npos ? '"' : '\'';
  std::string out(1, quote);
  for (char c : text) {
    if (c == quote || c == '\\') {
      out += '\\';
      out += c;
    } else if (c == '\n') {
      out += "\\n";
    } else if (c == '\r') {
      out += "\\r";
    } else if (c == '\t') {
      out += "\\t";
    } else if (static_cast<unsigned char>(c) < 0x20 || c == 0x7F) {
      out += fmt::format("\\x{:02x}", static_cast<unsigned>(c));
    } else {
      out += c;
    }
  }
  return out += quote;
}

std::string python_repr(double value) {
  std::string text = fmt::format("{}", value);
  if (std::isfinite(value) && text.find_first_of(".e") == std::string::npos) text += ".0";
  return text;
}

}  // namespace tidemill::tracking
