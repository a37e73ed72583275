#pragma once

// The last step of the APK importer, for both of its inputs: the specification of an API is held
// against the controller's own decoder, and what it refuses or does not act on goes into the
// report.
//
// Not thread-safe.

#include <string>

#include "cli/import/imported.h"
#include "nlohmann/json.hpp"

namespace rota::importer {

struct ApkApi {
  std::string ns;
  std::string name;  // of the object
  nlohmann::json spec;
  Place place;                    // where it came from: fields of `spec` are below it
  bool fields_are_source = true;  // false: `spec` was made from several resources
};

// Adds the API and the Secrets that it refers to. Keys that Rota does not know are taken out and
// reported; an API with any other error is reported and left out.
void PublishApkApi(ApkApi api, Imported& imported);

}  // namespace rota::importer
