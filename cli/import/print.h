#pragma once

// Imported APIs and Secrets as the manifests that kubectl, `rotactl validate` and the controller's
// directory read.
//
// Pure and thread-safe.

#include <map>
#include <string>

#include "cli/import/imported.h"

namespace rota::importer {

// `comment`: one line above the manifest, without '#'.
std::string PrintApi(const ImportedApi& api, const std::string& comment);

// Values of environment variables, for --secrets-from-env.
using SecretValues = std::map<std::string, std::string>;

// With `values` null, or where a variable is not among them: a placeholder, and a comment that says
// how the Secret is made. A Secret that exists in the cluster already is a comment only, so that no
// placeholder overwrites it.
std::string PrintSecret(const ImportedSecret& secret, const SecretValues* values);

}  // namespace rota::importer
