#include "dataplane/table/host_rules.h"

#include <algorithm>
#include <array>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"

namespace rota::table {
namespace {

constexpr size_t kMaxHostLength = 253;  // RFC 1035
constexpr size_t kMaxPatterns = 10'000;

char Lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c; }

// Without port, brackets and trailing dot.
std::string_view BareHost(std::string_view host) {
  if (!host.empty() && host.front() == '[') {
    const size_t end = host.find(']');
    return end == std::string_view::npos ? host.substr(1) : host.substr(1, end - 1);
  }
  const size_t colon = host.find(':');
  // Two colons: an IPv6 address without brackets has no port.
  if (colon != std::string_view::npos && host.find(':', colon + 1) == std::string_view::npos) {
    host = host.substr(0, colon);
  }
  if (!host.empty() && host.back() == '.') {
    host.remove_suffix(1);
  }
  return host;
}

using HostBuffer = std::array<char, kMaxHostLength + 1>;

// The bare host in lower case, in `buffer`; nullopt when it is too long for a name.
std::optional<std::string_view> LowerHost(std::string_view host, HostBuffer& buffer) {
  host = BareHost(host);
  if (host.size() > buffer.size()) {
    return std::nullopt;
  }
  std::transform(host.begin(), host.end(), buffer.begin(), Lower);
  return std::string_view(buffer.data(), host.size());
}

bool HasSandboxLabel(std::string_view host) {
  constexpr std::string_view kSandbox = "sandbox";
  size_t begin = 0;
  while (begin <= host.size()) {
    const size_t end = std::min(host.find('.', begin), host.size());
    if (end - begin == kSandbox.size() && host.substr(begin, end - begin) == kSandbox) {
      return true;
    }
    begin = end + 1;
  }
  return false;
}

bool IsHostCharacter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.' ||
         c == ':';
}

}  // namespace

absl::StatusOr<HostRules> HostRules::Make(const std::vector<std::string>& production,
                                          const std::vector<std::string>& sandbox) {
  HostRules rules;
  RETURN_IF_ERROR(rules.Add(production, /*is_sandbox=*/false));
  RETURN_IF_ERROR(rules.Add(sandbox, /*is_sandbox=*/true));
  rules.has_sandbox_list_ = !sandbox.empty();
  std::stable_sort(
      rules.patterns_.begin(), rules.patterns_.end(), [](const Pattern& a, const Pattern& b) {
        return a.is_wildcard != b.is_wildcard ? b.is_wildcard : a.name.size() > b.name.size();
      });
  return rules;
}

absl::Status HostRules::Add(const std::vector<std::string>& patterns, bool is_sandbox) {
  if (patterns.size() > kMaxPatterns) {
    return absl::InvalidArgumentError(absl::StrCat(
        "there are ", patterns.size(), " host patterns; at most ", kMaxPatterns, " are supported"));
  }
  for (const std::string& text : patterns) {
    Pattern pattern;
    pattern.is_sandbox = is_sandbox;
    std::string_view host = text;
    if (host.starts_with("*.")) {
      pattern.is_wildcard = true;
      host.remove_prefix(1);
    }
    pattern.name = std::string(BareHost(host));
    std::transform(pattern.name.begin(), pattern.name.end(), pattern.name.begin(), Lower);
    if (pattern.name.size() <= (pattern.is_wildcard ? 1 : 0) ||
        pattern.name.size() > kMaxHostLength ||
        !std::all_of(pattern.name.begin(), pattern.name.end(), IsHostCharacter)) {
      return absl::InvalidArgumentError(
          absl::StrCat("host pattern \"", text, "\" is not a host name or \"*.\" and a host name"));
    }
    patterns_.push_back(std::move(pattern));
  }
  return absl::OkStatus();
}

const HostRules::Pattern* HostRules::FindPattern(std::string_view bare_host) const {
  for (const Pattern& pattern : patterns_) {
    const bool matches = pattern.is_wildcard ? bare_host.size() > pattern.name.size() &&
                                                   bare_host.ends_with(pattern.name)
                                             : bare_host == pattern.name;
    if (matches) {
      return &pattern;
    }
  }
  return nullptr;
}

bool HostRules::IsSandbox(std::string_view host) const {
  HostBuffer buffer;
  const std::optional<std::string_view> lower = LowerHost(host, buffer);
  if (!lower.has_value()) {
    return false;
  }
  const Pattern* const pattern = FindPattern(*lower);
  return pattern != nullptr ? pattern->is_sandbox : !has_sandbox_list_ && HasSandboxLabel(*lower);
}

HostRules::Verdict HostRules::Explain(std::string_view host) const {
  HostBuffer buffer;
  const std::optional<std::string_view> lower = LowerHost(host, buffer);
  if (!lower.has_value()) {
    return {false, "the host is too long for a name"};
  }
  if (const Pattern* const pattern = FindPattern(*lower)) {
    return {pattern->is_sandbox,
            absl::StrCat("host pattern ", pattern->is_wildcard ? "*" : "", pattern->name)};
  }
  if (has_sandbox_list_) {
    return {false, "no sandbox host pattern names the host"};
  }
  return HasSandboxLabel(*lower) ? Verdict{true, "a label of the host is `sandbox`"}
                                 : Verdict{false, "no label of the host is `sandbox`"};
}

std::optional<std::string> HostRules::ExampleOf(bool is_sandbox) const {
  std::vector<std::string> candidates = {is_sandbox ? "sandbox.example" : "gateway.example"};
  for (const Pattern& pattern : patterns_) {
    candidates.push_back(pattern.is_wildcard ? "any" + pattern.name : pattern.name);
  }
  const auto found = std::find_if(
      candidates.begin(), candidates.end(),
      [&](const std::string& candidate) { return IsSandbox(candidate) == is_sandbox; });
  return found == candidates.end() ? std::nullopt : std::optional<std::string>(*found);
}

}  // namespace rota::table
