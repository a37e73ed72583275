#pragma once

// What is wrong (or merely not acted on) in a user's object: every message names the field and the
// fix.

#include <string>
#include <vector>

namespace rota::resource {

enum class Severity { kWarning, kError };

// One finding. `reason` is a CamelCase word that fits a Kubernetes condition (UnknownField,
// InvalidValue, MissingField, NotEnforced, Unsupported, SecretNotFound, SecretKeyNotFound,
// PathConflict, ...).
struct Diagnostic {
  Severity severity = Severity::kError;
  std::string reason;
  std::string field;  // path inside the object: "spec.operations[0].verb" or, of an apk-conf file,
                      // "operations[0].verb"
  std::string message;  // a sentence that ends with what to do
  int line = 0;         // 1-based, 0 when unknown (objects of the Kubernetes API have no lines)

  friend bool operator==(const Diagnostic&, const Diagnostic&) = default;
};

using Diagnostics = std::vector<Diagnostic>;

inline bool HasErrors(const Diagnostics& diagnostics) {
  for (const Diagnostic& diagnostic : diagnostics) {
    if (diagnostic.severity == Severity::kError) {
      return true;
    }
  }
  return false;
}

}  // namespace rota::resource
