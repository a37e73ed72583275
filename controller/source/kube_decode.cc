#include "controller/source/kube_decode.h"

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"

namespace rota::source {
namespace {

using nlohmann::json;

std::string Text(const json& object, const char* name) {
  const auto found = object.find(name);
  return found != object.end() && found->is_string() ? found->get<std::string>() : std::string();
}

void ReadMetadata(const json& object, resource::ObjectName& name, Metadata& metadata) {
  const auto found = object.find("metadata");
  if (found == object.end() || !found->is_object()) {
    return;
  }
  name = {Text(*found, "namespace"), Text(*found, "name")};
  metadata.uid = Text(*found, "uid");
  metadata.resource_version = Text(*found, "resourceVersion");
  metadata.creation_timestamp = Text(*found, "creationTimestamp");
  if (const auto generation = found->find("generation");
      generation != found->end() && generation->is_number_integer()) {
    metadata.generation = generation->get<int64_t>();
  }
}

}  // namespace

SpecObject SpecFromKube(json object) {
  SpecObject decoded;
  ReadMetadata(object, decoded.name, decoded.metadata);
  if (const auto spec = object.find("spec"); spec != object.end()) {
    decoded.spec = std::move(*spec);
  } else {
    decoded.spec = json::object();
  }
  if (const auto status = object.find("status"); status != object.end()) {
    decoded.status = std::move(*status);
  }
  return decoded;
}

NamespaceObject NamespaceFromKube(const json& object) {
  NamespaceObject decoded;
  ReadMetadata(object, decoded.name, decoded.metadata);
  decoded.spec = object.at("metadata").value("labels", json::object());
  return decoded;
}

absl::StatusOr<SecretObject> SecretFromKube(const json& object, const std::set<std::string>& keys) {
  SecretObject secret;
  ReadMetadata(object, secret.name, secret.metadata);
  const auto data = object.find("data");
  if (data == object.end() || !data->is_object()) {
    return secret;  // an empty Secret has no data
  }
  for (const std::string& key : keys) {
    const auto value = data->find(key);
    if (value == data->end()) {
      continue;
    }
    std::string decoded;
    if (!value->is_string() ||
        !absl::Base64Unescape(value->get_ref<const std::string&>(), &decoded)) {
      return absl::InvalidArgumentError(
          absl::StrCat("Secret ", secret.name.ToString(), ": data.", key,
                       " is not base64; write it again with kubectl"));
    }
    secret.data.emplace(key, SecretString(decoded));
    WipeString(decoded);
  }
  return secret;
}

}  // namespace rota::source
