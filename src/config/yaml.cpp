#include "config/yaml.h"

#include <charconv>
#include <unordered_set>

#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/yaml.h>

#include "base/text.h"
#include "base/time.h"
#include "config/problems.h"

namespace tidemill::config {
namespace {

constexpr size_t kMostNodes = 100'000, kMostDepth = 64;

// Builds the tree from parser events, so that limits hold before anything large exists.
class TreeBuilder : public YAML::EventHandler {
 public:
  explicit TreeBuilder(Shared<std::string> file) : file_(std::move(file)) {}

  Node root;
  std::optional<Error> error;

  // yaml-cpp takes the end of the text for the end of a quote: that of the last scalar.
  Result<> check_last_quote(std::string_view text) const {
    if (!last_quote_) return {};
    const auto begin = static_cast<size_t>(last_quote_->pos) + (text.starts_with("\xEF\xBB\xBF") ? 3 : 0);
    if (begin >= text.size() || (text[begin] != '"' && text[begin] != '\'')) return {};
    const char quote = text[begin];
    for (size_t i = begin + 1; i < text.size(); ++i) {
      if (text[i] == quote && quote == '\'' && text.substr(i, 2) == "''")
        ++i;
      else if (text[i] == quote)
        return {};
      else if (text[i] == '\\' && quote == '"')
        ++i;
    }
    return fail_at(place_of(*last_quote_), "this quote has no end");
  }

  void OnDocumentStart(const YAML::Mark& mark) override {
    if (++documents_ > 1) refuse(mark, "the file holds more than one document");
  }
  void OnDocumentEnd() override {}
  void OnNull(const YAML::Mark& mark, YAML::anchor_t) override { add(mark, Node::Kind::kNull); }
  void OnAlias(const YAML::Mark& mark, YAML::anchor_t) override {
    refuse(mark, "aliases ('*name') are not supported; write the value out");
  }
  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t,
                const std::string& value) override {
    bool quoted = tag == "!";
    last_quote_ = quoted ? std::optional(mark) : std::nullopt;
    bool null =
        !quoted && (value.empty() || value == "~" || value == "null" || value == "Null" || value == "NULL");
    if (Node* node = add(mark, null && !expects_key() ? Node::Kind::kNull : Node::Kind::kScalar, value)) {
      node->text = null ? "" : value;
      node->quoted = quoted;
    }
  }
  void OnSequenceStart(const YAML::Mark& mark, const std::string&, YAML::anchor_t,
                       YAML::EmitterStyle::value) override {
    open(mark, Node::Kind::kList);
  }
  void OnSequenceEnd() override { open_.pop_back(); }
  void OnMapStart(const YAML::Mark& mark, const std::string&, YAML::anchor_t,
                  YAML::EmitterStyle::value) override {
    open(mark, Node::Kind::kMap);
  }
  void OnMapEnd() override { open_.pop_back(); }

 private:
  struct Open {
    Node* node;
    bool has_key = false;                       // a map's key has come, its value not yet
    std::unordered_set<std::string> keys = {};  // of a map with many
  };

  Place place_of(const YAML::Mark& mark) const { return {file_, mark.line + 1, mark.column + 1}; }
  bool expects_key() const { return !open_.empty() && open_.back().node->is_map() && !open_.back().has_key; }

  static bool is_new_key(Open& map, const std::string& key) {
    constexpr size_t kFew = 16;
    if (map.node->entries.size() < kFew) return map.node->find(key) == nullptr;
    if (map.keys.empty())
      for (const auto& entry : map.node->entries) map.keys.insert(entry.key);
    return map.keys.insert(key).second;
  }

  // Ends the parse: the exception is caught in parse_yaml.
  [[noreturn]] void refuse(const YAML::Mark& mark, const std::string& why) {
    error = Error{Code::kInvalid, why}.in(place_of(mark).to_string());
    throw YAML::ParserException(mark, why);
  }

  Node* add(const YAML::Mark& mark, Node::Kind kind, const std::string& text = "") {
    if (++count_ > kMostNodes) refuse(mark, "the file holds too much");
    if (expects_key()) {
      if (kind != Node::Kind::kScalar) refuse(mark, "a key must be plain text");
      Node& map = *open_.back().node;
      if (!is_new_key(open_.back(), text)) refuse(mark, fmt::format("'{}' stands here a second time", text));
      map.entries.push_back({text, place_of(mark), {}});
      open_.back().has_key = true;
      return nullptr;
    }
    Node* node = &root;
    if (!open_.empty() && open_.back().node->is_map()) {
      node = &open_.back().node->entries.back().value;
      open_.back().has_key = false;
    } else if (!open_.empty()) {
      node = &open_.back().node->items.emplace_back();
    }
    node->kind = kind;
    node->place = place_of(mark);
    // Where nothing stands, the reader is at what comes next.
    if (kind == Node::Kind::kNull && !open_.empty() && open_.back().node->is_map())
      if (const Place& key = open_.back().node->entries.back().place; key.line != node->place.line)
        node->place = key;
    return node;
  }

  void open(const YAML::Mark& mark, Node::Kind kind) {
    if (open_.size() >= kMostDepth) refuse(mark, "nested too deeply");
    open_.push_back({add(mark, kind)});
  }

  Shared<std::string> file_;
  std::vector<Open> open_;
  size_t count_ = 0;
  int documents_ = 0;
  std::optional<YAML::Mark> last_quote_;  // unless another scalar came after it
};

}  // namespace

std::string Place::to_string() const { return fmt::format("{}:{}:{}", *file, line, column); }

const Node* Node::find(std::string_view key) const {
  for (const auto& entry : entries)
    if (entry.key == key) return &entry.value;
  return nullptr;
}

Result<Node> parse_yaml(std::string_view text, const std::string& file_name, size_t max_bytes) {
  if (text.size() > max_bytes) return fail(Code::kInvalid, "{}: larger than {} bytes", file_name, max_bytes);
  if (text.find('\0') != std::string_view::npos)
    return fail(Code::kInvalid, "{}: holds a NUL byte", file_name);
  TreeBuilder builder(file_name);
  try {
    std::istringstream stream{std::string(text)};
    YAML::Parser parser(stream);
    while (parser.HandleNextDocument(builder)) {
    }
  } catch (const YAML::Exception& e) {
    if (builder.error) return tl::unexpected<Error>(*builder.error);
    Place place{file_name, std::max(0, e.mark.line) + 1, std::max(0, e.mark.column) + 1};
    return fail_at(place, "not valid YAML: {}", e.msg);
  } catch (const std::exception& e) {
    return fail(Code::kInvalid, "{}: not valid YAML: {}", file_name, e.what());
  }
  TRY(builder.check_last_quote(text));
  return std::move(builder.root);
}

Result<Node> load_yaml(const fs::path& path) {
  return parse_yaml(TRY(read_file(path, kMaxYamlBytes + 1)), path.string());
}

void check_keys(const Node& map, const std::vector<std::string>& known, std::string_view what,
                Problems& problems) {
  for (const auto& entry : map.entries)
    if (std::find(known.begin(), known.end(), entry.key) == known.end())
      problems.keep(
          fail_at(entry.place, "unknown key '{}' in {}{}", entry.key, what, did_you_mean(entry.key, known)));
}

Result<> check_keys(const Node& map, const std::vector<std::string>& known, std::string_view what) {
  Problems problems;
  check_keys(map, known, what, problems);
  return problems.first();
}

Result<std::string> as_text(const Node& node, std::string_view what) {
  if (node.kind == Node::Kind::kList || node.kind == Node::Kind::kMap)
    return fail_at(node.place, "{} must be a single value", what);
  return node.text;
}

static Result<> check_not_empty(const Node& node, std::string_view what) {
  if (node.kind == Node::Kind::kNull || node.text.empty())
    return fail_at(node.place, "{} has no value", what);
  return {};
}

// "30d" of seconds.
static std::string as_written(int64_t seconds) {
  for (const auto& [unit, size] : {std::pair('d', 86'400), std::pair('h', 3'600), std::pair('m', 60)})
    if (seconds >= size && seconds % size == 0) return fmt::format("{}{}", seconds / size, unit);
  return fmt::format("{}s", seconds);
}

Result<bool> as_bool(const Node& node, std::string_view what) {
  std::string text = TRY(as_text(node, what));
  if (text == "true" || text == "True" || text == "TRUE") return true;
  if (text == "false" || text == "False" || text == "FALSE") return false;
  TRY(check_not_empty(node, what));
  return fail_at(node.place, "{} must be true or false, not '{}'", what, text);
}

Result<int64_t> as_int(const Node& node, std::string_view what, int64_t least, int64_t most) {
  std::string text = TRY(as_text(node, what));
  TRY(check_not_empty(node, what));
  int64_t value = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || text.empty())
    return fail_at(node.place, "{} must be a whole number, not '{}'", what, text);
  if (value < least || value > most)
    return fail_at(node.place, "{} must be between {} and {}, not {}", what, least, most, value);
  return value;
}

Result<std::chrono::milliseconds> as_duration(const Node& node, std::string_view what, int64_t least,
                                              int64_t most) {
  const std::string text = TRY(as_text(node, what));
  TRY(check_not_empty(node, what));
  auto ms = parse_duration(text);
  if (!ms) ms = parse_duration(text + "s");
  if (!ms) return fail_at(node.place, "{} must be a time such as 90s, 15m, 2h or 1d, not '{}'", what, text);
  if (*ms < least * 1000 || *ms > most * 1000)
    return fail_at(node.place, "{} must be between {} and {}, not {}", what, as_written(least),
                   as_written(most), text);
  return std::chrono::milliseconds(*ms);
}

}  // namespace tidemill::config
