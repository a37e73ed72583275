#pragma once

// How a reference to an object of another namespace is called, by controller and data plane alike:
// the Secret `keys` of namespace `vault` is "vault/keys", the Service `llm` of namespace `models`
// is "models/service/llm". No object of one's own namespace can be called that: Kubernetes allows
// no slash. Pure and thread-safe.

#include <optional>
#include <string>
#include <string_view>

namespace rota {

enum class ReferentKind { kSecret, kService };

struct ForeignName {
  ReferentKind kind = ReferentKind::kSecret;
  std::string ns;
  std::string name;
  friend bool operator==(const ForeignName&, const ForeignName&) = default;
};

inline constexpr std::string_view kServicePrefix = "service/";

inline std::string ToReference(const ForeignName& foreign) {
  std::string reference = foreign.ns + "/";
  if (foreign.kind == ReferentKind::kService) {
    reference += kServicePrefix;
  }
  return reference + foreign.name;
}

// What a reference leads to; nullopt: an object of one's own namespace.
inline std::optional<ForeignName> ForeignNameOf(std::string_view reference) {
  const size_t slash = reference.find('/');
  if (slash == std::string_view::npos) {
    return std::nullopt;
  }
  const std::string ns(reference.substr(0, slash));
  const std::string_view name = reference.substr(slash + 1);
  if (name.starts_with(kServicePrefix)) {
    return ForeignName{ReferentKind::kService, ns, std::string(name.substr(kServicePrefix.size()))};
  }
  return ForeignName{ReferentKind::kSecret, ns, std::string(name)};
}

}  // namespace rota
