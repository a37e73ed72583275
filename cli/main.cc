// rotactl: what people do with Rota from a shell. Also works as the kubectl plug-in kubectl-rota.

#include <iostream>
#include <string>

#include "cli/validate.h"
#include "common/command_line.h"

namespace {

constexpr int kUsageError = 2;

}  // namespace

int main(int argc, char** argv) {
  rota::CommandLine line("rotactl", "Checks APIs before they are applied.",
                         rota::CommandLine::Sources::kFlagsOnly);
  line.app().require_subcommand(0, 1);

  rota::cli::ValidateOptions validate;
  std::string output = "text";
  CLI::App* const command = line.app().add_subcommand(
      "validate",
      "Checks apk-conf files, API and Secret manifests with the controller's own code.\n"
      "Exit code: 0 no errors (warnings allowed), 1 errors found, 2 wrong usage or unreadable "
      "files.");
  command
      ->add_option("FILE", validate.paths,
                   "Files, directories (their *.yaml, *.yml, *.json) or - for standard input")
      ->required()
      ->default_str("");
  command->add_option("-o,--output", output, "How findings are printed")
      ->check(CLI::IsMember({"text", "json"}))
      ->default_str("text")
      ->type_name("text|json");

  if (const std::optional<int> exit_code = line.Parse(argc, argv)) {
    return *exit_code;
  }
  if (!command->parsed()) {
    std::cerr << line.app().help();
    return kUsageError;
  }
  validate.json = output == "json";
  return rota::cli::Validate(validate, std::cin, std::cout, std::cerr);
}
