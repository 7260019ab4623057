#include "config/command_code.h"

#include <algorithm>
#include <set>

#include "config/python_syntax.h"

namespace tidemill::config {
namespace {

constexpr uint64_t kMostBytesOfSource = 1 << 20;
constexpr size_t kMostFiles = 2'000;

std::vector<std::string> words_of(const std::string& command) {
  std::vector<std::string> words;
  for (size_t at = 0; at < command.size();) {
    size_t end = std::min(command.find_first_of(" \t\n;|&<>()'\"", at), command.size());
    if (end > at) words.push_back(command.substr(at, end - at));
    at = end + 1;
  }
  return words;
}

// "" when it is not below the folder.
std::string joined(const std::string& folder, const std::string& path) {
  if (path.empty() || path.size() > 1024 || path[0] == '/') return "";
  std::string whole = (fs::path(folder) / path).lexically_normal().string();
  while (whole.ends_with('/')) whole.pop_back();
  return whole.starts_with("..") || whole == "." ? "" : whole;
}

std::string parent_of(const std::string& file) { return fs::path(file).parent_path().string(); }

bool is_python(std::string_view word) {
  return word.substr(word.find_last_of('/') + 1).starts_with("python");
}

// a.b.c as files: each package's own, and the module's.
void add_module(const std::string& root, const std::string& dotted, std::vector<std::string>& places) {
  std::string path = root;
  for (size_t at = 0; at <= dotted.size();) {
    size_t end = std::min(dotted.find('.', at), dotted.size());
    if (end > at) path = joined(path, dotted.substr(at, end - at));
    if (path.empty()) return;
    places.push_back(path + ".py");
    places.push_back(path + "/__init__.py");
    at = end + 1;
  }
}

// The statements of a logical line that import something.
class ImportReader {
 public:
  ImportReader(std::string file, std::string root) : file_(std::move(file)), root_(std::move(root)) {}

  void read(const PythonLine& line) {
    for (size_t i = 0; i < line.tokens.size(); ++i) {
      const bool begins = i == 0 || line.tokens[i - 1].is(";") || line.tokens[i - 1].is(":");
      if (begins && line.tokens[i].is_name("import")) read_import(line.tokens, i + 1);
      if (begins && line.tokens[i].is_name("from")) read_from(line.tokens, i + 1);
    }
  }
  std::vector<std::string> places;

 private:
  using Tokens = std::vector<PythonToken>;

  static std::string dotted_name(const Tokens& tokens, size_t& at) {
    std::string name;
    for (; at < tokens.size(); ++at) {
      const PythonToken& token = tokens[at];
      const bool goes_on = name.empty() || name.back() == '.';
      if (token.is(".") || (token.kind == PythonToken::Kind::kName && goes_on && !token.is_name("import")))
        name += token.text;
      else
        break;
    }
    return name;
  }

  void read_import(const Tokens& tokens, size_t at) {
    for (;;) {
      add_module(root_, dotted_name(tokens, at), places);
      while (at < tokens.size() && !tokens[at].is(",") && !tokens[at].is(";")) ++at;
      if (at == tokens.size() || tokens[at].is(";")) return;
      ++at;
    }
  }

  void read_from(const Tokens& tokens, size_t at) {
    size_t dots = 0;
    for (; at < tokens.size() && (tokens[at].is(".") || tokens[at].is("...")); ++at)
      dots += tokens[at].text.size();
    std::string from = dots > 0 ? parent_of(file_) : root_;
    for (size_t i = 1; i < dots; ++i) from = parent_of(from);
    const std::string module = dotted_name(tokens, at);
    if (!module.empty()) add_module(from, module, places);
    if (at >= tokens.size() || !tokens[at].is_name("import")) return;
    // What is imported from a package may be a module of it.
    for (++at; at < tokens.size() && !tokens[at].is(";"); ++at)
      if (tokens[at].kind == PythonToken::Kind::kName && !tokens[at - 1].is_name("as"))
        add_module(from, module.empty() ? tokens[at].text : module + "." + tokens[at].text, places);
  }

  std::string file_, root_;
};

}  // namespace

struct CommandReader::Search {
  CommandReader& reader;
  CommandCode code;
  std::set<std::string> seen = {};

  // root: where a Python file finds its modules; nullptr for its own folder.
  void look_for(const std::string& place, const std::string* root = nullptr) {
    if (place.empty() || seen.size() > kMostFiles || !seen.insert(place).second) return;
    std::error_code ignored;
    if (!fs::is_regular_file(reader.folder_ / place, ignored)) {
      code.looked_for.push_back(place);
      return;
    }
    code.files.push_back(place);
    if (!place.ends_with(".py")) return;
    const std::string home = root != nullptr ? *root : parent_of(place);
    for (const auto& imported : reader.imports_of(place, home)) look_for(imported, &home);
  }
};

CommandCode CommandReader::code_of(const std::string& command) {
  Search search{*this, {}};
  const std::vector<std::string> words = words_of(command);
  std::string folder;  // after `cd`
  bool is_python_run = false;
  for (size_t i = 0; i < words.size(); ++i) {
    const std::string& word = words[i];
    if (word == "cd" && i + 1 < words.size()) {
      folder = joined(folder, words[++i]);
      continue;
    }
    if (word == "-m" && is_python_run && i + 1 < words.size()) {
      std::vector<std::string> places;
      add_module(folder, words[++i], places);
      places.push_back(places.empty() ? ""
                                      : places.back().substr(0, places.back().rfind('/')) + "/__main__.py");
      for (const auto& place : places) search.look_for(place, &folder);
      continue;
    }
    is_python_run = is_python(word) || (is_python_run && word.starts_with('-'));
    search.look_for(joined(folder, word));
  }
  return std::move(search.code);
}

const std::vector<std::string>& CommandReader::imports_of(const std::string& file, const std::string& root) {
  auto [at, is_new] = imports_.try_emplace({file, root});
  if (!is_new) return at->second;
  auto text = read_file(folder_ / file, kMostBytesOfSource);
  auto lines = text ? python_lines(*text, file) : std::vector<PythonLine>{};
  if (!lines) return at->second;
  ImportReader reader(file, root);
  for (const auto& line : *lines) reader.read(line);
  at->second = std::move(reader.places);
  return at->second;
}

}  // namespace tidemill::config
