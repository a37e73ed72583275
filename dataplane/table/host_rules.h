#pragma once

// Which environment a host name means. Patterns are exact names or "*.suffix" (any depth below it);
// the more specific pattern decides, and between two alike the production list does. With neither
// list, and for hosts that no pattern names while there is no sandbox list, a host in which any
// label equals "sandbox" is sandbox; everything else is production.
//
// Thread-safe: const after construction.

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace rota::table {

class HostRules {
 public:
  HostRules() = default;
  // InvalidArgument names the pattern and the forms that are accepted.
  static absl::StatusOr<HostRules> Make(const std::vector<std::string>& production,
                                        const std::vector<std::string>& sandbox);

  // `host` as in a Host header: a port, brackets, a trailing dot and case do not matter.
  bool IsSandbox(std::string_view host) const;

  // The same with the rule that decided, in words for a person.
  struct Verdict {
    bool is_sandbox = false;
    std::string because;  // "host pattern *.sandbox.example.com"
  };
  Verdict Explain(std::string_view host) const;
  // A host of that environment; nullopt when no host means it.
  std::optional<std::string> ExampleOf(bool is_sandbox) const;

 private:
  struct Pattern {
    std::string name;  // lower case; ".suffix" for a wildcard
    bool is_wildcard = false;
    bool is_sandbox = false;
  };
  absl::Status Add(const std::vector<std::string>& patterns, bool is_sandbox);
  const Pattern* FindPattern(std::string_view bare_host) const;

  std::vector<Pattern> patterns_;  // most specific first
  bool has_sandbox_list_ = false;
};

}  // namespace rota::table
