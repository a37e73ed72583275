#pragma once

// What every source of objects emits: the same plain values, whether they come from files or from
// the Kubernetes API.

#include <map>
#include <string>

#include "common/clock.h"
#include "common/secret.h"
#include "controller/resource/api.h"
#include "nlohmann/json.hpp"

namespace rota::source {

enum class ObjectKind { kNamespace, kGateway, kApi, kSecret };

struct ObjectKey {
  ObjectKind kind = ObjectKind::kApi;
  resource::ObjectName name;
  friend auto operator<=>(const ObjectKey&, const ObjectKey&) = default;
};

struct Metadata {
  std::string uid;
  std::string resource_version;  // opaque
  int64_t generation = 0;
  // RFC 3339, sorts by age; "" in directory mode, where the smaller namespace/name counts as older.
  std::string creation_timestamp;
};

// An API or RotaGateway, not yet decoded, or a Namespace.
struct SpecObject {
  resource::ObjectName name;
  Metadata metadata;
  nlohmann::json spec;
  bool bare_apk_conf = false;  // field paths start at the file's root, not at "spec."
  std::string file;            // "" for objects of the Kubernetes API
  // JSON pointer of a value in the file -> its line; empty for objects of the Kubernetes API.
  std::map<std::string, int> lines;
  // What the Kubernetes API holds as .status at that moment (null: none, or a file). Read for an
  // object that is seen for the first time: a restart must neither write what is there already nor
  // change a lastTransitionTime.
  nlohmann::json status;
};
using ApiObject = SpecObject;
using GatewayObject = SpecObject;
// `spec` holds its labels, `name.ns` is "".
using NamespaceObject = SpecObject;

// A Secret, reduced to the keys that somebody references.
struct SecretObject {
  resource::ObjectName name;
  Metadata metadata;
  std::map<std::string, SecretString> data;  // decoded
};

// A file or document that is not an object at all (unreadable YAML, unknown kind). The last good
// objects of that file stay.
struct SourceProblem {
  std::string file;
  int line = 0;
  std::string message;
};

}  // namespace rota::source
