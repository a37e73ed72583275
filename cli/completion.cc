#include "cli/completion.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace rota::cli {
namespace {

constexpr char kBash[] = R"sh(# bash completion for rotactl: source <(rotactl completion bash)
_rotactl() {
  local IFS=$'\n'
  COMPREPLY=($("${COMP_WORDS[0]}" __complete "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null | grep -v '^:'))
}
complete -o default -F _rotactl rotactl
)sh";

constexpr char kZsh[] = R"sh(#compdef rotactl
# zsh completion for rotactl: rotactl completion zsh > "${fpath[1]}/_rotactl"
_rotactl() {
  local -a candidates
  candidates=(${(f)" $("${words[1]}" __complete "${(@)words[2,CURRENT]}" 2 > / dev / null |
                       grep - v '^:') "})
    if ((${#candidates}));
then compadd-- "${candidates[@]}";
else _files;
fi
}
compdef _rotactl rotactl
)sh";

constexpr char kFish[] = R"sh(# fish completion for rotactl: rotactl completion fish | source
function __rotactl_complete
  set -l words (commandline -opc)
  rotactl __complete $words[2..-1] (commandline -ct) 2>/dev/null | string match -v ':*'
end
complete -c rotactl -a '(__rotactl_complete)'
)sh";

std::vector<const CLI::App*> VisibleCommands(const CLI::App& app) {
  std::vector<const CLI::App*> visible;
  for (const CLI::App* command : app.get_subcommands([](const CLI::App*) { return true; })) {
    if (!command->get_group().empty()) {
      visible.push_back(command);
    }
  }
  return visible;
}

const CLI::App* FindCommand(const CLI::App& app, const std::string& name) {
  const std::vector<const CLI::App*> commands = VisibleCommands(app);
  const auto found = std::find_if(commands.begin(), commands.end(), [&](const CLI::App* command) {
    return command->get_name() == name;
  });
  return found == commands.end() ? nullptr : *found;
}

std::vector<std::string> FlagsOf(const CLI::App& app) {
  std::vector<std::string> flags;
  for (const CLI::Option* option : app.get_options()) {
    for (const std::string& name : option->get_lnames()) {
      flags.push_back("--" + name);
    }
  }
  return flags;
}

// The option that `word` is, when its value comes as a word of its own.
const CLI::Option* OptionWithValue(const CLI::App& app, const std::string& word) {
  if (!word.starts_with('-') || word.find('=') != std::string::npos) {
    return nullptr;
  }
  const CLI::Option* const option = app.get_option_no_throw(word);
  return option != nullptr && option->get_expected_min() > 0 ? option : nullptr;
}

// "table|json|yaml" is what the options with a choice are called.
std::vector<std::string> ChoicesOf(const CLI::Option& option) {
  const std::string type = option.get_type_name();
  std::vector<std::string> choices;
  for (size_t begin = 0; type.find('|') != std::string::npos && begin <= type.size();) {
    const size_t end = std::min(type.find_first_of("|:", begin), type.size());
    choices.push_back(type.substr(begin, end - begin));
    if (end == type.size() || type[end] == ':') {
      break;
    }
    begin = end + 1;
  }
  return choices;
}

}  // namespace

std::vector<std::string> Complete(const CLI::App& app, const std::vector<std::string>& words) {
  if (words.empty()) {
    return {};
  }
  const CLI::App* command = &app;
  const CLI::Option* awaits_value = nullptr;
  for (size_t i = 0; i + 1 < words.size(); ++i) {
    if (awaits_value != nullptr) {
      awaits_value = nullptr;
      continue;
    }
    awaits_value = OptionWithValue(*command, words[i]);
    if (const CLI::App* next = FindCommand(*command, words[i])) {
      command = next;
    }
  }
  std::vector<std::string> candidates;
  if (awaits_value != nullptr) {
    candidates = ChoicesOf(*awaits_value);
  } else if (words.back().starts_with('-')) {
    candidates = FlagsOf(*command);
  } else {
    for (const CLI::App* next : VisibleCommands(*command)) {
      candidates.push_back(next->get_name());
    }
    for (const CLI::Option* option : command->get_options()) {
      if (option->get_positional()) {
        const std::vector<std::string> choices = ChoicesOf(*option);
        candidates.insert(candidates.end(), choices.begin(), choices.end());
      }
    }
  }
  std::erase_if(candidates,
                [&](const std::string& candidate) { return !candidate.starts_with(words.back()); });
  std::sort(candidates.begin(), candidates.end());
  return candidates;
}

std::string CompletionAnswer(const CLI::App& app, const std::vector<std::string>& words) {
  std::string text;
  const std::vector<std::string> candidates = Complete(app, words);
  for (const std::string& candidate : candidates) {
    absl::StrAppend(&text, candidate, "\n");
  }
  // Cobra's directives: 4 = no file names, 0 = as the shell likes.
  return text + (candidates.empty() ? ":0\n" : ":4\n");
}

absl::StatusOr<std::string> CompletionScript(const std::string& shell) {
  if (shell == "bash") {
    return std::string(kBash);
  }
  if (shell == "zsh") {
    return std::string(kZsh);
  }
  if (shell == "fish") {
    return std::string(kFish);
  }
  return absl::InvalidArgumentError(
      absl::StrCat("no completion for '", shell, "': bash, zsh or fish"));
}

}  // namespace rota::cli
