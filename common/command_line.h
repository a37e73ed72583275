#pragma once

// Command lines that people script against. One option can be given as a flag, in a YAML file
// (--config FILE: `http: 127.0.0.1:8080`, a list for options that repeat) or as an environment
// variable (ROTA_HTTP); the flag wins over the variable, the variable over the file. --help is
// grouped and shows defaults with units; --version prints version and commit; an unknown key in the
// file is an error that names file, line and key.
//
//   CommandLine line("rota-dataplane", "Serves LLM traffic ...");
//   line.app().add_option("--http", http, "Plain HTTP
//   listener")->group("Listeners")->type_name("HOST:PORT"); if (std::optional<int> exit_code =
//   line.Parse(argc, argv)) return *exit_code;

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "CLI/CLI.hpp"
#include "common/address.h"
#include "common/clock.h"

namespace rota {

// Single-thread.
class CommandLine {
 public:
  // Where values come from beside the flags.
  enum class Sources { kFlagsOnly, kFlagsEnvironmentAndFile };

  CommandLine(std::string program, std::string description,
              Sources sources = Sources::kFlagsEnvironmentAndFile);
  ~CommandLine();
  CLI::App& app() { return *app_; }
  // Reads all sources. Returns the exit code
  // when the program should end (help, version, error: printed already, errors on stderr with exit
  // code 2).
  std::optional<int> Parse(int argc, const char* const* argv);

 private:
  std::unique_ptr<CLI::App> app_;
  const Sources sources_;
};

// Options of our own types: the text is parsed and checked when the command line is, and --help
// shows the default.
CLI::Option* AddHostPort(CLI::App& app, const std::string& name, std::optional<HostPort>& value,
                         const std::string& description);
CLI::Option* AddDuration(CLI::App& app, const std::string& name, Duration& value,
                         const std::string& description);

}  // namespace rota
