#pragma once

// Files as people write them, taken apart: YAML or JSON text -> the objects that it holds.
//
// Scalars are read as kubectl reads them (YAML 1.1: `yes` is true, an unquoted 1.0 is a number, 017
// is fifteen, a quoted scalar is a string). Everything that a stranger can grow is bounded
// (DocumentLimits). Pure and thread-safe; throws nothing. A problem never quotes a value of a
// Secret.

#include <cstddef>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "common/secret.h"
#include "controller/resource/api.h"
#include "nlohmann/json.hpp"

namespace rota::resource {

struct DocumentLimits {
  size_t max_bytes = 32 << 20;              // of the text
  size_t max_documents = 20'000;            // in one file
  size_t max_nodes_per_document = 100'000;  // scalars, lists and maps, aliases expanded
  size_t max_nodes = 2'000'000;             // in one file
  size_t max_depth = 64;
  size_t max_alias_bytes = 16 << 20;  // text that aliases repeat, per document
};

// JSON pointer (RFC 6901) of a value -> its line (1-based). What an alias repeats has only the
// alias's line: LineOf() falls back to the nearest ancestor.
using LineMap = std::map<std::string, int>;

// One step of a JSON pointer: "a/b" -> "a~1b".
std::string EscapePointer(std::string_view key);

// The line of `pointer`, else of its nearest ancestor that has one, else 0.
int LineOf(const LineMap& lines, std::string pointer);

// The line of a diagnostic's field: "spec.operations[0].verb" is at "/spec/operations/0/verb".
int LineOfField(const LineMap& lines, std::string_view field);

// An `API`, `RotaGateway` or `Namespace` manifest, or a bare apk-conf file. Not yet decoded: see
// decode.h and decode_gateway.h.
struct SpecManifest {
  // Namespace `default` when the file names none. A bare apk-conf file is called after its name,
  // basePath and version: "chat-service-1f0c29ab".
  ObjectName name;
  bool bare_apk_conf = false;  // pointers start at the file's root, not at "/spec"
  nlohmann::json spec;
  LineMap lines;  // pointers from the document's root
  int line = 0;   // where the object starts
};
using ApiManifest = SpecManifest;
using GatewayManifest = SpecManifest;
// `spec` holds its labels, `name.ns` is "".
using NamespaceManifest = SpecManifest;

// A `Secret` manifest: data decoded, stringData on top of it.
struct SecretManifest {
  ObjectName name;
  std::map<std::string, SecretString> data;
  int line = 0;
};

// An apk-conf file that holds policies and no API: can be checked, cannot be served.
struct PolicyFragment {
  nlohmann::json content;
  LineMap lines;
  int line = 0;
};

struct DocumentProblem {
  int line = 0;    // 1-based, 0 when unknown
  int column = 0;  // 1-based, 0 when unknown
  std::string message;
  friend bool operator==(const DocumentProblem&, const DocumentProblem&) = default;
};

// A document that is nothing of ours: to be passed over, and mentioned.
struct ForeignDocument {
  int line = 0;
  bool has_kind = false;  // a Kubernetes object of another kind, and no unfinished one of ours
  std::string message;    // what it is, and what would make it ours
};

struct ParsedFile {
  std::vector<NamespaceManifest> namespaces;
  std::vector<ApiManifest> apis;
  std::vector<GatewayManifest> gateways;
  std::vector<SecretManifest> secrets;
  std::vector<PolicyFragment> fragments;
  std::vector<ForeignDocument> foreign;
  // What could not be read, or is meant to be one of ours and is not. The objects before an
  // unreadable document are there.
  std::vector<DocumentProblem> problems;
};

// All documents of a file, members of `List` objects included. Empty documents are skipped.
ParsedFile ParseFile(std::string_view text, const DocumentLimits& limits = {});

}  // namespace rota::resource
