#include "cli/commands.h"

#include <functional>
#include <ostream>
#include <string>
#include <utility>

#include "cli/completion.h"
#include "cli/exit_code.h"
#include "cli/explain.h"
#include "cli/import/gateways.h"
#include "cli/import_command.h"
#include "cli/lift.h"
#include "cli/probe.h"
#include "cli/status.h"
#include "cli/suspensions.h"
#include "cli/top.h"
#include "cli/validate.h"
#include "common/command_line.h"
#include "common/process.h"
#include "common/status_macros.h"

namespace rota::cli {
namespace {

constexpr Needs kStatusNeeds{.data_planes = true, .controllers = true};
constexpr Needs kAllDataPlanes{.data_planes = true};
constexpr Needs kOneDataPlane{.data_planes = true, .one_is_enough = true};

void AddEnvironment(CLI::App& command, std::string& value, const char* description) {
  command.add_option("--env", value, description)
      ->check(CLI::IsMember({"production", "sandbox"}))
      ->type_name("production|sandbox");
}

std::function<int(const Json&)> Always(int code) {
  return [code](const Json&) { return code; };
}

}  // namespace

// `command` is parsed into the members beside it.
struct Commands::State {
  CLI::App* validate = nullptr;
  ValidateOptions validate_options;
  std::string validate_output = "text";

  CLI::App* import = nullptr;
  ImportOptions import_options;

  CLI::App* status = nullptr;
  CLI::App* suspensions = nullptr;
  CLI::App* explain = nullptr;
  CLI::App* lift = nullptr;
  CLI::App* top = nullptr;
  CLI::App* probe = nullptr;
  CLI::App* completion = nullptr;
  SessionOptions session;  // of the one that was parsed
  ExplainQuery explain_query;
  LiftQuery lift_query;
  ProbeOptions probe_options;
  std::string shell;

  void DeclareValidate(CLI::App& app);
  void DeclareImport(CLI::App& app);
  void DeclareLooks(CLI::App& app);
  void DeclareExplain(CLI::App& app);
  void DeclareLift(CLI::App& app);
  void DeclareProbe(CLI::App& app);
  void DeclareCompletion(CLI::App& app);

  int RunValidate(const Console& console, std::istream& in);
  int RunImport(const Console& console, std::istream& in);
  int RunOnFleet(const Needs& needs, const Console& console, Clock& clock,
                 const std::function<Command(Fleet&)>& make);
  int RunTop(const Console& console, Clock& clock);
  int RunCompletion(const Console& console) const;
};

void Commands::State::DeclareValidate(CLI::App& app) {
  validate = app.add_subcommand(
      "validate",
      "Checks apk-conf files, API and Secret manifests with the controller's own code.\n"
      "Exit code: 0 no errors (warnings allowed), 1 errors found, 2 wrong usage or unreadable "
      "files.");
  validate
      ->add_option("FILE", validate_options.paths,
                   "Files, directories (their *.yaml, *.yml, *.json) or - for standard input")
      ->required()
      ->default_str("");
  validate->add_option("-o,--output", validate_output, "How findings are printed")
      ->check(CLI::IsMember({"text", "json"}))
      ->default_str("text")
      ->type_name("text|json");
}

void Commands::State::DeclareImport(CLI::App& app) {
  import = app.add_subcommand("import",
                              "Turns files of other gateways into API and Secret manifests, and "
                              "says on standard error what "
                              "was mapped, what differs and what has no equal.\n"
                              "Exit code: 0 everything was imported, 1 something was not (what was "
                              "is printed all the same), "
                              "2 wrong usage, unreadable files, variables that are not set.");
  import->require_subcommand(1);
  for (const importer::Gateway& row : importer::Gateways()) {
    CLI::App* const gateway = import->add_subcommand(row.name, row.description);
    gateway->add_option("FILE", import_options.files, "Files, or - for standard input")
        ->required()
        ->default_str("");
    gateway
        ->add_option("-o,--output", import_options.directory,
                     "Directory for the manifests (default: standard output)")
        ->type_name("DIR");
    gateway->add_flag("--secrets-from-env", import_options.secrets_from_env,
                      "Fill the Secrets from environment variables instead of placeholders");
  }
  import->get_subcommand("agentcc")
      ->add_option("--provider", import_options.providers,
                   "Where a provider of the policy is, how it speaks, and the environment variable "
                   "with its key; repeatable")
      ->type_name("NAME=URL[,FORMAT[,VARIABLE]]");
}

void Commands::State::DeclareLooks(CLI::App& app) {
  status = app.add_subcommand(
      "status",
      "Gateways, controllers, data planes and their revisions, APIs that are not served as "
      "written.\n"
      "Exit code: 0 all is well, 1 something is not, 3 nobody answers.");
  DeclareSession(*status, kStatusNeeds, /*can_watch=*/true, session);
  CLI::App* const get = app.add_subcommand("get", "Lists what the data planes know.");
  get->require_subcommand(1);
  suspensions = get->add_subcommand(
      "suspensions",
      "Models that are off the rota, why, and until when.\nExit code: 0 also when there are some, "
      "3 nobody answers.");
  DeclareSession(*suspensions, kAllDataPlanes, /*can_watch=*/true, session);
  top = app.add_subcommand(
      "top",
      "Requests, errors, tokens per second and suspensions of each model, from the data planes' "
      "metrics.\nExit code: 0, 3 nobody answers.");
  DeclareSession(*top, kAllDataPlanes, /*can_watch=*/true, session);
}

void Commands::State::DeclareExplain(CLI::App& app) {
  explain = app.add_subcommand(
      "explain",
      "What would become of a request; nothing is picked or sent.\n"
      "Exit code: 0 it is sent (to the named model at times), 1 it is not, 2 the question makes no "
      "sense, 3 nobody answers.");
  explain->add_option("API", explain_query.api, "NAMESPACE/NAME, or NAME where that is enough");
  AddEnvironment(*explain, explain_query.environment, "Environment (default: of the host)");
  explain->add_option("--model", explain_query.model, "Say whether this model gets requests")
      ->type_name("MODEL");
  explain->add_option("--host", explain_query.host, "Host header of the request")
      ->type_name("HOST");
  explain->add_option("--path", explain_query.path, "Whole, or behind the API's base path")
      ->type_name("PATH");
  explain->add_option("--verb", explain_query.verb, "Method (default: the operation's)")
      ->type_name("VERB");
  DeclareSession(*explain, kOneDataPlane, /*can_watch=*/true, session);
}

void Commands::State::DeclareLift(CLI::App& app) {
  lift = app.add_subcommand(
      "lift",
      "Ends suspensions, on all data planes.\n"
      "Exit code: 0 lifted, 1 nothing like that is suspended, 3 nobody answers.");
  lift->add_option("API", lift_query.api, "NAMESPACE/NAME, or NAME");
  AddEnvironment(*lift, lift_query.environment, "Only of this environment");
  lift->add_option("--model", lift_query.model, "Only this model")->type_name("MODEL");
  lift->add_option("--id", lift_query.id, "Only this target (see get suspensions -o json)")
      ->type_name("ID");
  DeclareSession(*lift, kAllDataPlanes, /*can_watch=*/false, session);
}

void Commands::State::DeclareProbe(CLI::App& app) {
  probe = app.add_subcommand(
      "probe",
      "Says whether a data plane answers at the URL of its HTTP or HTTPS listener.\n"
      "Exit code: 0 yes, 1 somebody else does, 2 wrong usage, 3 nobody does.");
  probe->add_option("URL", probe_options.url, "http://HOST:PORT or https://HOST:PORT")
      ->required()
      ->default_str("");
  AddDuration(*probe, "--timeout", probe_options.timeout, "How long it is tried");
  probe->add_flag("--insecure", probe_options.insecure,
                  "Do not ask whom the certificate is for, nor who says so");
}

void Commands::State::DeclareCompletion(CLI::App& app) {
  completion = app.add_subcommand("completion", "Prints the script for shell completion.");
  completion->add_option("SHELL", shell, "Which shell")
      ->required()
      ->check(CLI::IsMember({"bash", "zsh", "fish"}))
      ->type_name("bash|zsh|fish")
      ->default_str("");
}

int Commands::State::RunValidate(const Console& console, std::istream& in) {
  validate_options.json = validate_output == "json";
  return Validate(validate_options, in, *console.out, *console.err);
}

int Commands::State::RunImport(const Console& console, std::istream& in) {
  import_options.gateway = import->get_subcommands().front()->get_name();
  return Import(import_options, EnvironmentVariable, in, *console.out, *console.err);
}

int Commands::State::RunOnFleet(const Needs& needs, const Console& console, Clock& clock,
                                const std::function<Command(Fleet&)>& make) {
  absl::StatusOr<Fleet> fleet = Connect(session, needs);
  if (!fleet.ok()) {
    return Fail(fleet.status(), console);
  }
  return cli::Run(make(*fleet), session, console, clock);
}

// Rates need two looks: the second is the first of the next print.
int Commands::State::RunTop(const Console& console, Clock& clock) {
  return RunOnFleet(kAllDataPlanes, console, clock, [&](Fleet& fleet) -> Command {
    std::shared_ptr<Look> before;
    const auto collect = [&fleet, &clock, this, before]() mutable -> absl::StatusOr<Json> {
      if (before == nullptr) {
        ASSIGN_OR_RETURN(Look first, TakeLook(fleet.data_planes, clock, fleet.problems));
        before = std::make_shared<Look>(std::move(first));
        Pause(clock, session.interval);
      }
      ASSIGN_OR_RETURN(Look now, TakeLook(fleet.data_planes, clock, fleet.problems));
      Json report = CompareLooks(*before, now);
      *before = std::move(now);
      return report;
    };
    return {collect, PrintTop, Always(kExitOk)};
  });
}

int Commands::State::RunCompletion(const Console& console) const {
  const absl::StatusOr<std::string> script = CompletionScript(shell);
  if (!script.ok()) {
    return Fail(script.status(), console);
  }
  *console.out << *script;
  return kExitOk;
}

Commands::Commands(CLI::App& app) : state_(std::make_unique<State>()) {
  app.require_subcommand(0, 1);
  state_->DeclareLooks(app);
  state_->DeclareExplain(app);
  state_->DeclareLift(app);
  state_->DeclareValidate(app);
  state_->DeclareProbe(app);
  state_->DeclareImport(app);
  state_->DeclareCompletion(app);
}

Commands::~Commands() = default;

std::optional<int> Commands::Run(const Console& console, std::istream& in, Clock& clock) {
  State& state = *state_;
  if (state.validate->parsed()) {
    return state.RunValidate(console, in);
  }
  if (state.import->parsed()) {
    return state.RunImport(console, in);
  }
  if (state.completion->parsed()) {
    return state.RunCompletion(console);
  }
  if (state.top->parsed()) {
    return state.RunTop(console, clock);
  }
  if (state.probe->parsed()) {
    return Probe(state.probe_options, console, clock);
  }
  if (state.status->parsed()) {
    return state.RunOnFleet(kStatusNeeds, console, clock, [](Fleet& fleet) -> Command {
      return {
          [&fleet] { return CollectStatus(fleet.controllers, fleet.data_planes, fleet.problems); },
          PrintStatus, StatusVerdict};
    });
  }
  if (state.suspensions->parsed()) {
    return state.RunOnFleet(kAllDataPlanes, console, clock, [](Fleet& fleet) -> Command {
      return {[&fleet] { return CollectSuspensions(fleet.data_planes, fleet.problems); },
              PrintSuspensions, Always(kExitOk)};
    });
  }
  if (state.explain->parsed()) {
    return state.RunOnFleet(kOneDataPlane, console, clock, [&state](Fleet& fleet) -> Command {
      return {[&] { return CollectExplanation(fleet.data_planes, state.explain_query); },
              PrintExplanation, ExplanationVerdict};
    });
  }
  if (state.lift->parsed()) {
    const LiftQuery& query = state.lift_query;
    if (query.api.empty() && query.id.empty()) {
      return Fail(absl::InvalidArgumentError("lift needs an API or --id"), console);
    }
    return state.RunOnFleet(kAllDataPlanes, console, clock, [&query](Fleet& fleet) -> Command {
      return {[&] { return Lift(fleet.data_planes, query); }, PrintLifted, Always(kExitOk)};
    });
  }
  return std::nullopt;
}

}  // namespace rota::cli
