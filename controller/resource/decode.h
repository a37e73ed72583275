#pragma once

// The specification of an API (JSON) -> a checked value with defaults filled in, and what is wrong
// or not acted on. The same code serves files and the Kubernetes API. Pure and thread-safe; throws
// nothing.

#include <map>
#include <optional>
#include <string>

#include "controller/resource/api.h"
#include "controller/resource/diagnostic.h"
#include "nlohmann/json.hpp"

namespace rota::resource {

struct DecodeOptions {
  // What field paths start with: "spec." of an API object, "" of a bare apk-conf file.
  std::string path_prefix = "spec.";
  // JSON pointers from the document's root ("/spec/name", or "/name" of a bare file) -> lines. May
  // be null.
  const std::map<std::string, int>* lines = nullptr;
  // The API's own namespace: where a Kubernetes service without a namespace lives.
  std::string ns = "default";
};

struct DecodedApi {
  std::optional<Api> api;   // absent when there are errors
  Diagnostics diagnostics;  // in the order of checking; at most kMaxDiagnostics
};

inline constexpr size_t kMaxDiagnostics = 100;
// Bounds of lists; the resource's schema has the same ones.
inline constexpr size_t kMaxOperations = 256;
inline constexpr size_t kMaxEndpoints = 32;
inline constexpr size_t kMaxModels = 64;
inline constexpr size_t kMaxPolicies = 16;

DecodedApi DecodeApi(const nlohmann::json& spec, const DecodeOptions& options = {});

// Checks an apk-conf fragment that holds apiPolicies and no API. Endpoint names cannot be checked
// there.
Diagnostics CheckPolicyFragment(const nlohmann::json& content, const DecodeOptions& options);

}  // namespace rota::resource
