// tidemill users: who may log in to a server with --auth. Works on the store itself: whoever may write that
// may do everything.
#include <CLI/CLI.hpp>

#include "auth/roles.h"
#include "auth/users.h"
#include "base/text.h"
#include "base/time.h"
#include "cli/commands.h"
#include "cli/format.h"
#include "cli/secret.h"
#include "sys/terminal.h"
#include "tracking/validate.h"

namespace tidemill::cli {
namespace {

constexpr const char* kPasswordVariable = "TIDEMILL_USER_PASSWORD";

struct Options {
  std::string user, token, expires;
  bool admin = false;
  std::string experiment, model, permission;
};

Result<tracking::Store> open_users(const Context& context) { return context.open_store(Create::yes); }

Result<int> say(const Context& context, const Json& json, std::string_view text) {
  TRY(print(context.json ? dump_json(json, 2) + "\n" : fmt::format("{}\n", text)));
  return 0;
}

Result<int> create(const Context& context, const Options& options) {
  auto store = TRY(open_users(context));
  std::string password = TRY(read_new_secret(
      kPasswordVariable, fmt::format("Password of {} (at least 12 characters)", options.user)));
  auth::Admin admin = options.admin ? auth::Admin::kYes : auth::Admin::kNo;
  auth::User user = TRY(auth::Users(store).create(options.user, password, admin));
  return say(context, Json{{"username", user.name}, {"is_admin", user.is_admin}},
             fmt::format("{} {} made", user.is_admin ? "administrator" : "user", user.name));
}

Result<int> list(const Context& context) {
  auto store = TRY(context.open_store());
  std::vector<auth::User> users = TRY(auth::Users(store).list());
  if (context.json) {
    Json json = Json::array();
    for (const auth::User& user : users)
      json.push_back(Json{{"username", user.name}, {"is_admin", user.is_admin}});
    TRY(print(dump_json(json, 2) + "\n"));
    return 0;
  }
  Table table({"USER", "ADMINISTRATOR"});
  for (const auth::User& user : users) table.add({user.name, user.is_admin ? "yes" : ""});
  TRY(print(table.to_string()));
  return 0;
}

Result<int> remove(const Context& context, const Options& options) {
  auto store = TRY(context.open_store());
  TRY(auth::Users(store).remove(options.user));
  return say(context, Json{{"username", options.user}}, fmt::format("user {} removed", options.user));
}

Result<int> set_password(const Context& context, const Options& options) {
  auto store = TRY(context.open_store());
  auth::Users users(store);
  TRY(users.find(options.user));
  std::string password =
      TRY(read_new_secret(kPasswordVariable, fmt::format("New password of {}", options.user)));
  TRY(users.set_password(options.user, password));
  return say(context, Json{{"username", options.user}}, fmt::format("password of {} changed", options.user));
}

Result<int> set_admin(const Context& context, const Options& options, auth::Admin admin) {
  auto store = TRY(context.open_store());
  TRY(auth::Users(store).set_admin(options.user, admin));
  bool is_admin = admin == auth::Admin::kYes;
  return say(context, Json{{"username", options.user}, {"is_admin", is_admin}},
             fmt::format("{} is {} administrator", options.user, is_admin ? "now an" : "no longer an"));
}

Result<int> create_token(const Context& context, const Options& options) {
  auto store = TRY(context.open_store());
  std::optional<int64_t> expires;
  if (!options.expires.empty()) expires = now_ms() + TRY(parse_age("--expires", options.expires));
  std::string token = TRY(auth::Users(store).create_token(options.user, options.token, expires));
  return say(context, Json{{"username", options.user}, {"name", options.token}, {"token", token}}, token);
}

Result<int> list_tokens(const Context& context, const Options& options) {
  auto store = TRY(context.open_store());
  std::vector<auth::Token> tokens = TRY(auth::Users(store).tokens(options.user));
  if (context.json) {
    Json json = Json::array();
    for (const auth::Token& token : tokens)
      json.push_back(Json{{"name", token.name},
                          {"created", token.created},
                          {"expires", token.expires ? Json(*token.expires) : Json(nullptr)}});
    TRY(print(dump_json(json, 2) + "\n"));
    return 0;
  }
  Table table({"TOKEN", "CREATED", "EXPIRES"});
  for (const auth::Token& token : tokens)
    table.add(
        {token.name, format_local(token.created), token.expires ? format_local(*token.expires) : "never"});
  TRY(print(table.to_string()));
  return 0;
}

Result<int> revoke_token(const Context& context, const Options& options) {
  auto store = TRY(context.open_store());
  TRY(auth::Users(store).revoke_token(options.user, options.token));
  return say(context, Json{{"username", options.user}, {"name", options.token}},
             fmt::format("token {} of {} revoked", options.token, options.user));
}

Result<auth::Thing> thing_of(const Options& options) {
  if (options.experiment.empty() == options.model.empty())
    return fail(Code::kInvalid, "give one of --experiment and --model");
  if (!options.model.empty())
    return auth::Thing{auth::Kind::kModel, options.model == "*" ? "" : options.model};
  if (options.experiment == "*") return auth::Thing{auth::Kind::kExperiment, ""};
  return auth::Thing{auth::Kind::kExperiment,
                     std::to_string(TRY(tracking::parse_experiment_id(options.experiment)))};
}

Result<int> grant(const Context& context, const Options& options) {
  auth::Thing thing = TRY(thing_of(options));
  auth::Permission permission = TRY(auth::parse_permission(options.permission));
  auto store = TRY(context.open_store());
  TRY(auth::Roles(store).set(options.user, thing, permission));
  return say(context, Json{{"username", options.user}, {"permission", options.permission}},
             fmt::format("{} has {}", options.user, options.permission));
}

Result<int> revoke(const Context& context, const Options& options) {
  auth::Thing thing = TRY(thing_of(options));
  auto store = TRY(context.open_store());
  TRY(auth::Roles(store).revoke(options.user, thing));
  return say(context, Json{{"username", options.user}}, fmt::format("revoked from {}", options.user));
}

using Action = Result<int> (*)(const Context&, const Options&);

struct Adder {
  Context& context;
  std::shared_ptr<Options> options;

  CLI::App* add(CLI::App& parent, const char* name, const char* help, Action action,
                const char* example) const {
    CLI::App* command = parent.add_subcommand(name, help);
    command->footer(fmt::format("Example: {}", example));
    add_common_options(*command, context);
    command->callback([&context = context, options = options, action] {
      context.action = [&context, options, action] { return action(context, *options); };
    });
    return command;
  }
  CLI::App* add_of_user(CLI::App& parent, const char* name, const char* help, Action action,
                        const char* example) const {
    CLI::App* command = add(parent, name, help, action, example);
    command->add_option("USER", options->user, "The user's name")->required();
    return command;
  }
};

void add_tokens(CLI::App& users, const Adder& adder) {
  CLI::App* tokens = users.add_subcommand("token", "API tokens, which log in in place of the password");
  tokens->require_subcommand(1);
  CLI::App* create = adder.add_of_user(*tokens, "create", "Make a token; prints it once", create_token,
                                       "tidemill users token create ada ci --expires 90d");
  create->add_option("--expires", adder.options->expires,
                     "For how long it is good: 90d, 12h (default: for ever)");
  CLI::App* revoke = adder.add_of_user(*tokens, "revoke", "Take a token back", revoke_token,
                                       "tidemill users token revoke ada ci");
  for (CLI::App* command : {create, revoke})
    command->add_option("TOKEN", adder.options->token, "A name for the token")->required();
  adder.add_of_user(*tokens, "list", "A user's tokens, by name", list_tokens,
                    "tidemill users token list ada");
}

void add_grants(CLI::App& users, const Adder& adder) {
  CLI::App* give = adder.add_of_user(users, "grant", "Let a user do more, or less, than all may", grant,
                                     "tidemill users grant ada --experiment 7 EDIT");
  CLI::App* take = adder.add_of_user(users, "revoke", "Take back what was granted", revoke,
                                     "tidemill users revoke ada --experiment 7");
  for (CLI::App* command : {give, take}) {
    command->add_option("--experiment", adder.options->experiment, "An experiment's id, or '*'");
    command->add_option("--model", adder.options->model, "A registered model's name, or '*'");
  }
  give->add_option("PERMISSION", adder.options->permission, "READ, USE, EDIT, MANAGE, NO_PERMISSIONS or DENY")
      ->required();
}

}  // namespace

void add_users(CLI::App& app, Context& context) {
  CLI::App* users = app.add_subcommand("users", "Who may log in to a server with --auth");
  users->require_subcommand(1);
  Adder adder{context, std::make_shared<Options>()};
  CLI::App* made = adder.add_of_user(*users, "create", "Let somebody log in; asks for the password", create,
                                     "tidemill users create ada < password-file");
  made->add_flag("--admin", adder.options->admin, "An administrator may do everything");
  adder.add(
      *users, "list", "All users", [](const Context& c, const Options&) { return list(c); },
      "tidemill users list --json");
  adder.add_of_user(*users, "delete", "Remove a user with all rights and tokens; runs stay", remove,
                    "tidemill users delete ada");
  adder.add_of_user(*users, "password", "Change a password; asks for it", set_password,
                    "tidemill users password ada");
  adder.add_of_user(
      *users, "promote", "Make a user an administrator",
      [](const Context& c, const Options& o) { return set_admin(c, o, auth::Admin::kYes); },
      "tidemill users promote ada");
  adder.add_of_user(
      *users, "demote", "Make an administrator a plain user",
      [](const Context& c, const Options& o) { return set_admin(c, o, auth::Admin::kNo); },
      "tidemill users demote ada");
  add_grants(*users, adder);
  add_tokens(*users, adder);
  users->footer("Passwords are read from stdin or TIDEMILL_USER_PASSWORD, never from the command line.");
}

}  // namespace tidemill::cli
