#include "cli/import/print.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "cli/output.h"

namespace rota::importer {
namespace {

OrderedJson Metadata(const std::string& ns, const std::string& name) {
  OrderedJson metadata = {{"name", name}};
  if (!ns.empty()) {
    metadata["namespace"] = ns;
  }
  return metadata;
}

// How a person makes the Secret.
std::string CreateCommand(const ImportedSecret& secret) {
  std::string command = absl::StrCat("kubectl create secret generic ", secret.name);
  if (!secret.ns.empty()) {
    absl::StrAppend(&command, " -n ", secret.ns);
  }
  for (const SecretKey& key : secret.keys) {
    absl::StrAppend(&command, " --from-literal=", key.key, "=\"", key.scheme, "$", key.variable,
                    "\"");
  }
  return command;
}

std::string Explain(const ImportedSecret& secret) {
  std::string text;
  for (const SecretKey& key : secret.keys) {
    absl::StrAppend(&text, "# ", key.key, ": ", key.origin, "\n");
  }
  absl::StrAppend(&text, "# ",
                  secret.exists ? "It is expected to exist; where it does not:\n#   "
                                : "Put the value in, or make the Secret with\n#   ",
                  CreateCommand(secret), "\n");
  return text;
}

}  // namespace

std::string PrintApi(const ImportedApi& api, const std::string& comment) {
  const OrderedJson manifest = {{"apiVersion", "gateway.rota.dev/v1alpha1"},
                                {"kind", "API"},
                                {"metadata", Metadata(api.ns, api.name)},
                                {"spec", api.spec}};
  return absl::StrCat("# ", comment, "\n", cli::ToYaml(manifest));
}

std::string PrintSecret(const ImportedSecret& secret, const SecretValues* values) {
  OrderedJson data = OrderedJson::object();
  bool is_complete = values != nullptr;
  for (const SecretKey& key : secret.keys) {
    const bool is_known = values != nullptr && values->contains(key.variable);
    is_complete = is_complete && is_known;
    data[key.key] = is_known ? key.scheme + values->at(key.variable) : "replace-me";
  }
  if (secret.exists && !is_complete) {
    return absl::StrCat("# Secret ", secret.name, "\n", Explain(secret));
  }
  const OrderedJson manifest = {{"apiVersion", "v1"},
                                {"kind", "Secret"},
                                {"metadata", Metadata(secret.ns, secret.name)},
                                {"stringData", std::move(data)}};
  return absl::StrCat(is_complete ? "" : Explain(secret), cli::ToYaml(manifest));
}

}  // namespace rota::importer
