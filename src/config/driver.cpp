#include "config/driver.h"

#include <map>
#include <optional>
#include <set>

#include "base/text.h"
#include "config/driver_draft.h"
#include "config/python_syntax.h"

namespace tidemill::config {
namespace {

using Kind = PythonExpression::Kind;
using Value = DriverValue;

constexpr size_t kMaxTokensRun = 300'000;
constexpr size_t kMaxText = 4'000;  // of what a format makes
constexpr size_t kMaxCalls = 16;    // within each other
using Scope = std::map<std::string, Value>;

struct Function {
  std::vector<std::pair<std::string, std::optional<PythonExpression>>> parameters;
  size_t begin = 0, end = 0;  // its lines
  std::string rest;           // "params" of **params; "": there is none
  bool has_options = false;   // of click

  bool has_parameter(const std::string& name) const {
    return std::any_of(parameters.begin(), parameters.end(),
                       [&](const auto& parameter) { return parameter.first == name; });
  }
};

std::string to_parameter_name(std::string_view option) {
  std::string name(option.substr(std::min(option.find_first_not_of('-'), option.size())));
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
}

class Reader {
 public:
  Reader(std::vector<PythonLine> lines, const Project& project)
      : lines_(std::move(lines)), project_(project) {}

  Driver read() {
    run_block(0, lines_.size(), globals_, "");
    return draft_.take();
  }

 private:
  // --- Statements ---

  size_t block_end(size_t header, size_t end) const {
    size_t at = header + 1;
    while (at < end && lines_[at].indent > lines_[header].indent) ++at;
    return at;
  }

  // The colon that ends the head of a statement.
  static size_t head_end(const PythonLine& line) {
    int open = 0;
    for (size_t i = 0; i < line.tokens.size(); ++i) {
      const PythonToken& token = line.tokens[i];
      if (token.is("(") || token.is("[") || token.is("{")) ++open;
      if (token.is(")") || token.is("]") || token.is("}")) --open;
      if (open == 0 && token.is(":")) return i;
    }
    return line.tokens.size();
  }

  // within: the condition or loop around the lines, "" when they run once in any case.
  void run_block(size_t begin, size_t end, Scope& scope, const std::string& within) {
    for (size_t i = begin; i < end && !returned_;) {
      const PythonLine& line = lines_[i];
      if ((tokens_run_ += line.tokens.size()) > kMaxTokensRun) return;
      const PythonToken& first = line.tokens[0];
      size_t next = block_end(i, end);
      if (first.is("@")) {
        next = i + 1;
        decorators_.push_back(i);
      } else if (first.is_name("def") || first.is_name("async") || first.is_name("class")) {
        if (first.is_name("def")) define(i, next);
        decorators_.clear();
      } else if (first.is_name("import") || first.is_name("from")) {
        import(line);
      } else if (is_header(first)) {
        run_compound(i, next, scope, within);
      } else {
        run_simple(line, scope, within);
      }
      i = next;
    }
  }

  static bool is_header(const PythonToken& first) {
    for (const char* word : {"if", "elif", "else", "for", "while", "with", "try", "except", "finally"})
      if (first.is_name(word)) return true;
    return false;
  }

  void run_compound(size_t header, size_t end, Scope& scope, const std::string& within) {
    const PythonLine& line = lines_[header];
    const std::string& word = line.tokens[0].text;
    if (word == "except") return;
    size_t colon = head_end(line);
    std::string inside = within;
    if (word == "with") {
      bind_with(line, colon, scope);
    } else if (word != "try" && word != "finally" && !is_main_guard(line)) {
      inside = word;
      for (size_t i = 1; i < colon && inside.size() < 80; ++i) inside += " " + line.tokens[i].source;
    }
    if (colon + 1 < line.tokens.size()) {
      PythonLine rest{line.indent + 1,
                      {line.tokens.begin() + static_cast<long>(colon) + 1, line.tokens.end()}};
      run_simple(rest, scope, inside);
    }
    run_block(header + 1, end, scope, inside);
    // What comes behind a return that may not happen is read as well.
    if (inside != within) returned_.reset();
  }

  static bool is_main_guard(const PythonLine& line) {
    return line.tokens.size() > 2 && line.tokens[0].is_name("if") && line.tokens[1].is_name("__name__");
  }

  void bind_with(const PythonLine& line, size_t colon, Scope& scope) {
    for (size_t i = 1; i < colon; ++i)
      if (line.tokens[i].is_name("as") && i + 1 < colon) {
        scope[line.tokens[i + 1].text] = evaluate(python_expression(line.tokens, 1, i), scope, "");
        return;
      }
    evaluate(python_expression(line.tokens, 1, colon), scope, "");
  }

  void run_simple(const PythonLine& line, Scope& scope, const std::string& within) {
    const auto& tokens = line.tokens;
    if (tokens[0].is_name("return")) {
      returned_ = evaluate(python_expression(tokens, 1, tokens.size()), scope, within);
      return;
    }
    size_t equals = tokens.size();
    int open = 0;
    for (size_t i = 0; i < tokens.size() && equals == tokens.size(); ++i) {
      if (tokens[i].is("(") || tokens[i].is("[") || tokens[i].is("{")) ++open;
      if (tokens[i].is(")") || tokens[i].is("]") || tokens[i].is("}")) --open;
      if (open == 0 && tokens[i].is("=")) equals = i;
    }
    if (equals == tokens.size()) {
      evaluate(python_expression(tokens, 0, tokens.size()), scope, within);
      return;
    }
    Value value = evaluate(python_expression(tokens, equals + 1, tokens.size()), scope, within);
    bool is_name = equals == 1 || (equals > 1 && tokens[1].is(":"));
    if (is_name) scope[tokens[0].text] = std::move(value);
  }

  void import(const PythonLine& line) {
    const auto& tokens = line.tokens;
    bool from = tokens[0].is_name("from");
    std::string module, word, alias;
    size_t i = 1;
    for (; i < tokens.size() && !(from && tokens[i].is_name("import")); ++i) {
      if (!from && (tokens[i].is(",") || tokens[i].is_name("as"))) break;
      module += tokens[i].text;
    }
    if (!from) {
      if (i + 1 < tokens.size() && tokens[i].is_name("as")) names_[tokens[i + 1].text] = module;
      return;
    }
    for (++i; i < tokens.size(); ++i) {
      if (tokens[i].kind != PythonToken::Kind::kName) continue;
      bool has_alias = i + 2 < tokens.size() && tokens[i + 1].is_name("as");
      names_[tokens[has_alias ? i + 2 : i].text] = module + "." + tokens[i].text;
      if (has_alias) i += 2;
    }
  }

  void define(size_t header, size_t end) {
    const auto& tokens = lines_[header].tokens;
    if (tokens.size() < 4) return;
    Function function{.parameters = {}, .begin = header + 1, .end = end};
    size_t close = head_end(lines_[header]);
    while (close > 2 && !tokens[close - 1].is(")")) --close;
    // The parameters are those of a call's list: f(a, b="x").
    PythonExpression list = python_expression(tokens, 1, close);
    for (size_t i = 1; i < list.items.size(); ++i)
      function.parameters.emplace_back(list.items[i].text, std::nullopt);
    for (auto& [name, value] : list.keywords) {
      if (name == "**")
        function.rest = value.text;
      else
        function.parameters.emplace_back(name, std::move(value));
    }
    for (size_t decorator : decorators_) {
      const auto& words = lines_[decorator].tokens;
      PythonExpression call = python_expression(words, 1, words.size());
      if (call.kind != Kind::kCall) continue;
      std::string name = dotted(call.items[0]);
      if (!name.ends_with("option") && !name.ends_with("argument")) continue;
      function.has_options = true;
      add_parameter(call, Scope{});
    }
    functions_[tokens[1].text] = std::move(function);
  }

  // --- Expressions ---

  // "mlflow.projects.run" for what stands under that name, whatever it was imported as; "" when it has none.
  std::string dotted(const PythonExpression& expression) const {
    if (expression.kind == Kind::kName) {
      auto alias = names_.find(expression.text);
      return alias != names_.end() ? alias->second : expression.text;
    }
    if (expression.kind != Kind::kAttribute) return "";
    std::string left = dotted(expression.items[0]);
    return left.empty() ? "" : left + "." + expression.text;
  }

  Value evaluate(const PythonExpression& expression, Scope& scope, const std::string& within) {
    switch (expression.kind) {
      case Kind::kText:
        return literal(expression.text);
      case Kind::kNumber:
        return literal(expression.text);
      case Kind::kName:
        return name_value(expression, scope);
      case Kind::kAttribute:
        return attribute(evaluate(expression.items[0], scope, within), expression.text);
      case Kind::kCall:
        return call(expression, scope, within);
      case Kind::kSubscript:
        return element(expression, scope, within);
      case Kind::kJoin: {
        if (expression.text == "or") return either(expression, scope, within);
        std::string left = evaluate(expression.items[0], scope, within).shown();
        std::string right = evaluate(expression.items[1], scope, within).shown();
        return text_value(expression.text == "/" ? join_paths(left, right) : left + right);
      }
      case Kind::kFormat: {
        std::string text;
        for (const auto& item : expression.items) {
          text += evaluate(item, scope, within).shown();
          if (text.size() > kMaxText) return {};
        }
        return text_value(std::move(text));
      }
      case Kind::kDict: {
        Value dict{.kind = Value::Kind::kDict};
        for (size_t i = 0; i + 1 < expression.items.size(); i += 2) {
          const PythonExpression& key = expression.items[i];
          add_entry(dict, key.kind == Kind::kOther ? key.text : evaluate(key, scope, within).text,
                    evaluate(expression.items[i + 1], scope, within));
        }
        return dict;
      }
      case Kind::kList:
      case Kind::kOther:
        break;
    }
    return {};
  }

  // Of a path, what contains it.
  static Value parent_of(const Value& path) {
    const size_t slash = path.is_known_text() ? path.text.rfind('/') : std::string::npos;
    return slash == std::string::npos ? Value{} : text_value(path.text.substr(0, slash));
  }

  Value attribute(Value of, const std::string& name) const {
    if (of.kind == Value::Kind::kText) return name == "parent" ? parent_of(of) : Value{};
    return draft_.attribute(std::move(of), name);
  }

  // "a or b"
  Value either(const PythonExpression& both, Scope& scope, const std::string& within) {
    Value left = evaluate(both.items[0], scope, within);
    if (left.is_known_text() && left.text.empty()) return evaluate(both.items[1], scope, within);
    return left.is_known_text() ? left : Value{};
  }

  // The later one counts. Of "**" all that the value holds; what cannot be read stays an entry of that name.
  static void add_entry(Value& dict, const std::string& name, Value value) {
    if (name == "**" && value.kind == Value::Kind::kDict) {
      for (auto& [inner, one] : value.entries) add_entry(dict, inner, std::move(one));
      return;
    }
    for (auto& [known, old] : dict.entries)
      if (known == name) {
        old = std::move(value);
        return;
      }
    dict.entries.emplace_back(name, std::move(value));
  }

  // The keywords of a call.
  Value keywords_of(const PythonExpression& call, Scope& scope, const std::string& within) {
    Value dict{.kind = Value::Kind::kDict};
    for (const auto& [keyword, value] : call.keywords)
      add_entry(dict, keyword, evaluate(value, scope, within));
    return dict;
  }

  Value name_value(const PythonExpression& name, const Scope& scope) const {
    if (auto found = scope.find(name.text); found != scope.end()) return found->second;
    if (auto found = globals_.find(name.text); found != globals_.end()) return found->second;
    if (name.text == "__file__")
      return text_value("${pipeline.folder}/" + fs::path(*name.place.file).filename().string());
    return {};
  }

  Value element(const PythonExpression& expression, Scope& scope, const std::string& within) {
    Value of = evaluate(expression.items[0], scope, within);
    Value key = evaluate(expression.items[1], scope, within);
    if (of.kind == Value::Kind::kArguments) return draft_.parameter(key.text);
    for (const auto& [name, value] : of.entries)
      if (name == key.text) return value;
    return draft_.metric(of, key);
  }

  const PythonExpression* argument(const PythonExpression& call, size_t position,
                                   std::string_view name) const {
    for (const auto& [keyword, value] : call.keywords)
      if (keyword == name) return &value;
    return position + 1 < call.items.size() ? &call.items[position + 1] : nullptr;
  }

  Value call(const PythonExpression& call, Scope& scope, const std::string& within) {
    const PythonExpression& callee = call.items[0];
    std::string name = dotted(callee);
    if (name == "mlflow.run" || name == "mlflow.projects.run") return run_project(call, scope, within);
    if (name == "mlflow.start_run" || name == "mlflow.active_run") return {.kind = Value::Kind::kParent};
    if (name == "mlflow.set_experiment") {
      if (const auto* wanted = argument(call, 0, "experiment_name"))
        if (Value value = evaluate(*wanted, scope, within); value.is_known_text())
          draft_.set_experiment(value.text);
      return {};
    }
    if (name == "os.getcwd" || name == "pathlib.Path.cwd") return text_value("${pipeline.folder}");
    if (name == "vars") return call.items.size() > 1 ? evaluate(call.items[1], scope, within) : Value{};
    if (auto found = functions_.find(name); found != functions_.end())
      return call_function(found->second, call, scope, within);
    if (name.starts_with("mlflow.") || name.starts_with("subprocess.") || name == "os.system")
      note_left(call, name);
    return well_known(call, name, scope, within);
  }

  // Functions of the libraries, that make one value of others.
  Value well_known(const PythonExpression& call, const std::string& name, Scope& scope,
                   const std::string& within) {
    static const std::set<std::string> kAsItIs = {"str",
                                                  "int",
                                                  "float",
                                                  "os.path.abspath",
                                                  "os.fspath",
                                                  "pathlib.Path",
                                                  "os.path.normpath",
                                                  "os.path.realpath",
                                                  "os.path.join",
                                                  "os.path.expanduser"};
    const PythonExpression& callee = call.items[0];
    if (callee.kind == Kind::kAttribute && callee.text == "add_argument") {
      add_parameter(call, scope);
      return {};
    }
    if (name == "dict" && call.items.size() == 1) return keywords_of(call, scope, within);
    std::vector<Value> values;
    for (size_t i = 1; i < call.items.size(); ++i) values.push_back(evaluate(call.items[i], scope, within));
    for (const auto& [keyword, value] : call.keywords) evaluate(value, scope, within);
    if (kAsItIs.count(name) > 0) {
      if (values.size() == 1 && values[0].kind != Value::Kind::kText) return values[0];
      std::string path;
      for (const auto& value : values) path = join_paths(path, value.shown());
      return text_value(std::move(path));
    }
    if (name == "os.path.dirname" && values.size() == 1) return parent_of(values[0]);
    if (callee.kind != Kind::kAttribute) return {};
    const std::string& method = callee.text;
    if (method == "parse_args" || method == "parse_known_args") return {.kind = Value::Kind::kArguments};
    if (method == "get_run" && values.size() == 1) return draft_.run_of(values[0]);
    Value of = evaluate(callee.items[0], scope, within);
    if (method == "resolve" || method == "absolute" || method == "strip" || method == "as_posix" ||
        method == "wait")
      return of;
    if (method == "get" && !values.empty()) return draft_.metric(of, values[0]);
    return {};
  }

  Value call_function(const Function& function, const PythonExpression& call, Scope& scope,
                      const std::string& within) {
    if (active_.size() >= kMaxCalls || active_.count(&function) > 0) return {};
    Scope inner = arguments_of(function, call, scope, within);
    active_.insert(&function);
    calls_.push_back({call.place, &function});
    auto outer = std::exchange(returned_, std::nullopt);
    run_block(function.begin, function.end, inner, within);
    calls_.pop_back();
    active_.erase(&function);
    return std::exchange(returned_, outer).value_or(Value{});
  }

  Scope arguments_of(const Function& function, const PythonExpression& call, Scope& scope,
                     const std::string& within) {
    Scope inner;
    Value rest{.kind = Value::Kind::kDict};
    for (auto& [name, value] : keywords_of(call, scope, within).entries) {
      if (function.has_parameter(name))
        inner[name] = std::move(value);
      else
        rest.entries.emplace_back(name, std::move(value));
    }
    for (size_t i = 0; i < function.parameters.size(); ++i) {
      const auto& [name, otherwise] = function.parameters[i];
      if (i + 1 < call.items.size())
        inner[name] = evaluate(call.items[i + 1], scope, within);
      else if (inner.count(name) > 0)
        continue;
      else if (function.has_options)
        inner[name] = draft_.parameter(name);
      else if (otherwise)
        inner[name] = evaluate(*otherwise, scope, within);
    }
    if (!function.rest.empty()) inner[function.rest] = std::move(rest);
    return inner;
  }

  // Where a step is told of: the call of the function around mlflow.run(), if that makes steps of what it is
  // given.
  Place place_of_step(const PythonExpression& run) const {
    return !calls_.empty() && mentions(run, *calls_.back().function) ? calls_.back().place : run.place;
  }
  static bool mentions(const PythonExpression& expression, const Function& function) {
    if (expression.kind == Kind::kName)
      return expression.text == function.rest || function.has_parameter(expression.text);
    auto is_in = [&](const PythonExpression& part) { return mentions(part, function); };
    return std::any_of(expression.items.begin(), expression.items.end(), is_in) ||
           std::any_of(expression.keywords.begin(), expression.keywords.end(),
                       [&](const auto& keyword) { return is_in(keyword.value); });
  }

  void note_left(const PythonExpression& call, const std::string& name) {
    for (const char* harmless :
         {"MlflowClient", "get_run", "set_tracking_uri", "end_run", "get_experiment_by_name"})
      if (name.ends_with(harmless)) return;
    draft_.leave(call.place, "{} is not carried over", call.source);
  }

  // --- Parameters: parser.add_argument("--epochs", type=int, default=1), @click.option("--epochs", ...) ---

  void add_parameter(const PythonExpression& call, Scope scope) {
    Parameter parameter{.name = "", .place = call.place};
    for (size_t i = 1; i < call.items.size(); ++i) {
      std::string option = evaluate(call.items[i], scope, "").text;
      if (option.starts_with("--") || (parameter.name.empty() && option.size() > 2) ||
          !option.starts_with("-"))
        parameter.name = to_parameter_name(option);
    }
    for (const auto& [keyword, value] : call.keywords) {
      if (keyword == "type") parameter.type = type_of(dotted(value));
      if (keyword == "default" && value.text != "None")
        if (Value known = evaluate(value, scope, ""); known.is_known_text())
          parameter.default_value = known.text;
      if (keyword == "dest") parameter.name = evaluate(value, scope, "").text;
      if (keyword == "choices" && value.kind == Kind::kList)
        for (const auto& item : value.items) parameter.choices.push_back(evaluate(item, scope, "").text);
      if (keyword == "action" && evaluate(value, scope, "").text.starts_with("store_"))
        draft_.leave(call.place, "{} is a flag; give {} as a value that its step's program takes",
                     parameter.name, parameter.name);
    }
    if (parameter.name.empty()) return;
    for (const auto& entry : project_.entry_points)
      if (const Parameter* declared = find_parameter(entry.parameters, parameter.name);
          declared && declared->default_value)
        parameter.default_value = declared->default_value;
    draft_.add_parameter(std::move(parameter));
  }

  static ParameterType type_of(const std::string& python) {
    if (python == "int") return ParameterType::kInt;
    return python == "float" ? ParameterType::kFloat : ParameterType::kString;
  }

  // --- mlflow.run() ---

  Value run_project(const PythonExpression& call, Scope& scope, const std::string& within) {
    if (draft_.is_full()) return {};
    Value project = {}, entry = literal("main"), parameters = {};
    if (const auto* uri = argument(call, 0, "uri")) project = evaluate(*uri, scope, within);
    if (const auto* point = argument(call, 1, "entry_point")) entry = evaluate(*point, scope, within);
    if (!project.is_known_text() || !entry.is_known_text()) {
      draft_.leave_step(call.place, call.source);
      return {};
    }
    const Place place = place_of_step(call);
    const auto* given = argument(call, 3, "parameters");
    if (given != nullptr) parameters = evaluate(*given, scope, within);
    DriverStep step = draft_.new_step(project.text, entry.text, place);
    if (given != nullptr && parameters.kind != Value::Kind::kDict && given->text != "None")
      draft_.leave(place, "step '{}': its parameters, {}, cannot be read", step.name, given->source);
    for (const auto& [name, value] : parameters.entries) {
      if (name == "**")
        draft_.leave(place, "step '{}': a part of its parameters, {}, cannot be read", step.name,
                     given->source);
      else
        draft_.add_argument(step, name, value);
    }
    if (!within.empty())
      draft_.leave(
          place, "step '{}' runs in any case, once; the driver has it within `{}` (see `when` and `foreach`)",
          step.name, within);
    note_keywords(call, step, scope, within);
    return draft_.add_step(std::move(step));
  }

  void note_keywords(const PythonExpression& call, const DriverStep& step, Scope& scope,
                     const std::string& within) {
    for (const auto& [keyword, value] : call.keywords) {
      if (keyword == "experiment_name") {
        if (Value name = evaluate(value, scope, within); name.is_known_text())
          draft_.set_experiment(name.text);
      } else if (keyword == "docker_args" || keyword == "version" || keyword == "backend_config") {
        draft_.leave(value.place, "step '{}': {}={} is not carried over", step.name, keyword, value.source);
      } else if (keyword == "env_manager" || keyword == "use_conda") {
        draft_.leave(value.place, "{}={} is not carried over: give --env-manager to `tidemill run`", keyword,
                     value.source);
      } else if (keyword == "backend" && value.text != "local") {
        draft_.leave(value.place, "step '{}': the backend {} is not carried over", step.name, value.source);
      }
    }
  }

  std::vector<PythonLine> lines_;
  const Project& project_;
  DriverDraft draft_;
  Scope globals_;
  std::map<std::string, std::string> names_ = {{"Path", "pathlib.Path"}};  // of what was imported
  std::map<std::string, Function> functions_;
  std::vector<size_t> decorators_;  // lines above the next function
  std::optional<Value> returned_;
  std::set<const Function*> active_;
  struct Call {
    Place place;
    const Function* function;
  };
  std::vector<Call> calls_;  // that are being read, the innermost last
  size_t tokens_run_ = 0;
};

}  // namespace

// What people run the script with is in the entry points that run it; in any, where none does.
static Project entry_points_of(const fs::path& script, const Project& project) {
  Project own = project;
  std::erase_if(own.entry_points, [&](const EntryPoint& entry) {
    const std::vector<std::string> words = split(entry.command, ' ');
    return std::none_of(words.begin(), words.end(), [&](const std::string& word) {
      return fs::path(word).filename() == script.filename() || word == script.stem();
    });
  });
  return own.entry_points.empty() ? project : own;
}

Result<Driver> read_driver(std::string_view text, const std::string& file_name, const Project& project) {
  const Project own = entry_points_of(file_name, project);
  Driver driver = Reader(TRY(python_lines(text, file_name)), own).read();
  if (!project.file.empty() && project.name != project.folder.filename()) driver.name = project.name;
  if (driver.steps.empty()) {
    std::string found = driver.left.empty() ? "" : "; " + driver.left[0].message;
    return fail(Code::kInvalid, "{}: no call of mlflow.run() that can be read{}", file_name, found);
  }
  return driver;
}

Result<fs::path> find_driver(const Project& project) {
  std::error_code ignored;
  for (const auto& entry : project.entry_points) {
    std::vector<std::string> words = split(entry.command, ' ');
    for (size_t i = 0; i < words.size(); ++i) {
      std::string script = i > 0 && words[i - 1] == "-m" ? words[i] + ".py" : words[i];
      if (script.ends_with(".py") && fs::is_regular_file(project.folder / script, ignored))
        return project.folder / script;
    }
  }
  if (fs::is_regular_file(project.folder / "main.py", ignored)) return project.folder / "main.py";
  return fail(Code::kNotFound, "{}: there is no main.py, and no entry point that runs a Python script",
              project.folder.string());
}

}  // namespace tidemill::config
