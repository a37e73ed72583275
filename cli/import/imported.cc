#include "cli/import/imported.h"

#include <set>

namespace rota::importer {
namespace {

void CollectSecretNames(const OrderedJson& value, std::set<std::string>& names) {
  if (value.is_object()) {
    const auto name = value.find("secretName");
    if (name != value.end() && name->is_string()) {
      names.insert(name->get<std::string>());
    }
  }
  if (value.is_structured()) {
    for (const OrderedJson& member : value) {
      CollectSecretNames(member, names);
    }
  }
}

}  // namespace

void KeepUsedSecrets(Imported& imported) {
  std::set<std::string> names;
  for (const ImportedApi& api : imported.apis) {
    CollectSecretNames(api.spec, names);
  }
  std::erase_if(imported.secrets,
                [&](const ImportedSecret& secret) { return !names.contains(secret.name); });
}

}  // namespace rota::importer
