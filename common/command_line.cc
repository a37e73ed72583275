#include "common/command_line.h"

#include <yaml-cpp/yaml.h>

#include <cctype>
#include <cstdlib>
#include <iostream>
#include <map>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/duration.h"
#include "common/file.h"
#include "common/status_macros.h"
#include "common/version.h"

namespace rota {
namespace {

constexpr int kUsageError = 2;

// "--state-dir" -> "state-dir".
std::string LongName(const CLI::Option& option) {
  return option.get_lnames().empty() ? "" : option.get_lnames().front();
}

// "state-dir" -> "ROTA_STATE_DIR".
std::string EnvironmentName(const std::string& name) {
  std::string variable = "ROTA_";
  for (const char c : name) {
    variable.push_back(c == '-' ? '_'
                                : static_cast<char>(std::toupper(static_cast<unsigned char>(c))));
  }
  return variable;
}

bool IsRepeatable(const CLI::Option& option) { return option.get_items_expected_max() > 1; }

// The value of "--name VALUE" or "--name=VALUE" among the arguments; nothing else is understood
// yet.
std::optional<std::string> FindArgument(const std::vector<std::string>& arguments,
                                        const std::string& name) {
  const std::string flag = "--" + name;
  for (size_t i = 0; i < arguments.size(); ++i) {
    if (arguments[i] == "--") {
      break;
    }
    if (arguments[i] == flag) {
      return i + 1 < arguments.size() ? arguments[i + 1] : "";
    }
    if (arguments[i].rfind(flag + "=", 0) == 0) {
      return arguments[i].substr(flag.size() + 1);
    }
  }
  return std::nullopt;
}

using FileValues = std::map<std::string, std::vector<std::string>>;

absl::StatusOr<std::vector<std::string>> ScalarsOf(const YAML::Node& node,
                                                   const std::string& where) {
  std::vector<std::string> values;
  if (node.IsScalar()) {
    values.push_back(node.Scalar());
    return values;
  }
  if (node.IsSequence()) {
    for (const YAML::Node& item : node) {
      if (!item.IsScalar()) {
        return absl::InvalidArgumentError(where + ": a list may hold plain values only");
      }
      values.push_back(item.Scalar());
    }
    return values;
  }
  return absl::InvalidArgumentError(where + ": needs a value or a list of values");
}

// The options in a configuration file. Exceptions of yaml-cpp end here.
absl::StatusOr<FileValues> ReadConfigFile(const std::string& file, const CLI::App& app) {
  ASSIGN_OR_RETURN(const std::string text, ReadFile(file, 1 << 20));
  FileValues values;
  try {
    const YAML::Node root = YAML::Load(text);
    if (root.IsNull()) {
      return values;
    }
    if (!root.IsMap()) {
      return absl::InvalidArgumentError(file + ": needs `option: value` lines");
    }
    for (const auto& entry : root) {
      const std::string key = entry.first.Scalar();
      const std::string where = absl::StrCat(file, ":", entry.first.Mark().line + 1);
      const CLI::Option* option = app.get_option_no_throw("--" + key);
      if (option == nullptr || key == "config" || key == "help" || key == "version") {
        return absl::InvalidArgumentError(absl::StrCat(
            where, ": unknown option '", key, "' (names are those of --help, without the dashes)"));
      }
      ASSIGN_OR_RETURN(std::vector<std::string> scalars, ScalarsOf(entry.second, where));
      if (scalars.size() > 1 && !IsRepeatable(*option)) {
        return absl::InvalidArgumentError(absl::StrCat(where, ": '", key, "' takes one value"));
      }
      values[key] = std::move(scalars);
    }
  } catch (const YAML::Exception& error) {
    return absl::InvalidArgumentError(
        absl::StrCat(file, ":", error.mark.line + 1, ": not readable YAML: ", error.msg));
  }
  return values;
}

// Adds what stands in the environment and in the file and was not given as a flag.
absl::Status AddOtherSources(const CLI::App& app, std::vector<std::string>& arguments) {
  std::optional<std::string> config_file = FindArgument(arguments, "config");
  if (const char* variable = std::getenv("ROTA_CONFIG"); !config_file && variable != nullptr) {
    config_file = variable;
  }
  FileValues file_values;
  if (config_file) {
    ASSIGN_OR_RETURN(file_values, ReadConfigFile(*config_file, app));
  }
  std::vector<std::string> added;
  for (const CLI::Option* option : app.get_options()) {
    const std::string name = LongName(*option);
    if (name.empty() || name == "help" || name == "version" || name == "config" ||
        FindArgument(arguments, name)) {
      continue;
    }
    std::vector<std::string> values;
    if (const char* variable = std::getenv(EnvironmentName(name).c_str()); variable != nullptr) {
      values = IsRepeatable(*option) ? std::vector<std::string>(absl::StrSplit(variable, ','))
                                     : std::vector<std::string>{variable};
    } else if (const auto found = file_values.find(name); found != file_values.end()) {
      values = found->second;
    }
    for (const std::string& value : values) {
      added.push_back(absl::StrCat("--", name, "=", value));
    }
  }
  arguments.insert(arguments.begin(), added.begin(), added.end());
  return absl::OkStatus();
}

}  // namespace

CommandLine::CommandLine(std::string program, std::string description, Sources sources)
    : app_(std::make_unique<CLI::App>(std::move(description), program)), sources_(sources) {
  app_->set_version_flag("--version", absl::StrCat(program, " ", std::string(Version()), " (",
                                                   std::string(Commit()), ")"));
  app_->set_help_flag("-h,--help", "Prints this help");
  app_->option_defaults()->always_capture_default();
  app_->get_formatter()->column_width(42);
  if (sources_ == Sources::kFlagsOnly) {
    return;
  }
  app_->add_option("--config", "YAML file with any of these options (`http: 127.0.0.1:8080`)")
      ->type_name("FILE")
      ->group("General");
  app_->footer(
      "Every option can also stand in the --config file (without the dashes) or in the "
      "environment\n"
      "(ROTA_ and its name in capitals: ROTA_STATE_DIR). A flag wins over the environment, the\n"
      "environment over the file.");
}

CommandLine::~CommandLine() = default;

std::optional<int> CommandLine::Parse(int argc, const char* const* argv) {
  std::vector<std::string> arguments(argv + 1, argv + argc);
  for (CLI::Option* option : app_->get_options()) {
    if (option->get_default_str() == "[]") {
      option->default_str("");  // "=[]" in the help says nothing
    }
  }
  if (const absl::Status status =
          sources_ == Sources::kFlagsOnly ? absl::OkStatus() : AddOtherSources(*app_, arguments);
      !status.ok()) {
    std::cerr << app_->get_name() << ": " << std::string(status.message()) << "\n";
    return kUsageError;
  }
  try {
    // CLI11 takes the arguments from the back.
    std::vector<std::string> reversed(arguments.rbegin(), arguments.rend());
    app_->parse(std::move(reversed));
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) {
      return app_->exit(error, std::cout, std::cerr);
    }
    std::cerr << app_->get_name() << ": " << error.what() << "\nRun '" << app_->get_name()
              << " --help' for the options.\n";
    return kUsageError;
  }
  return std::nullopt;
}

CLI::Option* AddHostPort(CLI::App& app, const std::string& name, std::optional<HostPort>& value,
                         const std::string& description) {
  CLI::Option* option = app.add_option_function<std::string>(
      name,
      [&value](const std::string& text) {
        absl::StatusOr<HostPort> parsed = ParseHostPort(text);
        if (!parsed.ok()) {
          throw CLI::ValidationError(std::string(parsed.status().message()));
        }
        value = *parsed;
      },
      description);
  option->type_name("HOST:PORT");
  if (value) {
    option->default_str(value->ToString());
  }
  return option;
}

CLI::Option* AddDuration(CLI::App& app, const std::string& name, Duration& value,
                         const std::string& description) {
  CLI::Option* option = app.add_option_function<std::string>(
      name,
      [&value](const std::string& text) {
        absl::StatusOr<Duration> parsed = ParseDuration(text);
        if (!parsed.ok()) {
          throw CLI::ValidationError(std::string(parsed.status().message()));
        }
        value = *parsed;
      },
      description);
  return option->type_name("DURATION")->default_str(FormatDuration(value));
}

}  // namespace rota
