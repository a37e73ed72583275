#pragma once

// What an importer makes of foreign files: APIs, the Secrets that they need, and a report. Plain
// values.

#include <string>
#include <vector>

#include "cli/import/source.h"
#include "nlohmann/json.hpp"

namespace rota::importer {

// Keeps the order of keys: manifests are read by people.
using OrderedJson = nlohmann::ordered_json;

struct ImportedApi {
  std::string ns;    // "" = left to whoever applies it
  std::string name;  // of the object
  OrderedJson spec;
};

// One key of a Secret; never its value.
struct SecretKey {
  std::string key;       // "apiKey"
  std::string variable;  // the environment variable that --secrets-from-env reads
  std::string scheme;    // what stands before the variable's value: "Basic "; mostly ""
  std::string origin;    // where the source keeps the value, for people
};

struct ImportedSecret {
  std::string ns;
  std::string name;
  std::vector<SecretKey> keys;
  // It exists where the source is deployed: a placeholder under this name would overwrite it.
  bool exists = false;
};

struct Imported {
  std::vector<ImportedApi> apis;
  std::vector<ImportedSecret> secrets;
  Report report;
};

// Takes out Secrets that no API refers to: those of targets that could not be imported.
void KeepUsedSecrets(Imported& imported);

}  // namespace rota::importer
