#include "controller/identity/kube_store.h"

#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "controller/identity/kube_call.h"
#include "controller/kube/api.h"

namespace rota::identity {
namespace {

using nlohmann::json;

constexpr char kSecrets[] = "secrets";
constexpr char kConfigMaps[] = "configmaps";
constexpr char kBundleKey[] = "ca.crt";
constexpr char kSinceAnnotation[] = "gateway.rota.dev/newest-ca-since";

std::string TextAt(const json& object, const char* parent, const char* name) {
  const auto found = object.find(parent);
  if (found == object.end() || !found->is_object()) {
    return "";
  }
  const auto value = found->find(name);
  return value != found->end() && value->is_string() ? value->get<std::string>() : "";
}

std::string VersionOf(const json& object) {
  return object.is_null() ? std::string() : TextAt(object, "metadata", "resourceVersion");
}

// A value that is not base64 counts as absent, like every other garbage.
std::optional<SecretData> SecretOf(json& object) {
  if (object.is_null()) {
    return std::nullopt;
  }
  SecretData data;
  for (const char* key : {kNewestCertificate, kNewestKey, kOldCertificate, kOldKey,
                          kServingCertificate, kServingKey}) {
    std::string text = TextAt(object, "data", key);
    std::string decoded;
    if (absl::Base64Unescape(text, &decoded) && !decoded.empty()) {
      data.emplace(key, SecretString(decoded));
    }
    WipeString(text);
    WipeString(decoded);
  }
  WipeStrings(object);
  return data;
}

std::optional<Bundle> BundleOf(const json& object) {
  if (object.is_null()) {
    return std::nullopt;
  }
  Bundle bundle;
  bundle.certificates = TextAt(object, "data", kBundleKey);
  const auto metadata = object.find("metadata");
  if (metadata != object.end() && metadata->is_object()) {
    bundle.newest_since = TextAt(*metadata, "annotations", kSinceAnnotation);
  }
  return bundle;
}

// The keys that are to be there; with `stored`, what is to go is null (RFC 7386).
json DataOf(const SecretData& secret, const std::optional<SecretData>& stored) {
  json data = json::object();
  if (stored.has_value()) {
    for (const auto& [key, value] : *stored) {
      data[key] = nullptr;
    }
  }
  for (const auto& [key, value] : secret) {
    std::string encoded;
    const std::string_view bytes = value.Reveal();
    absl::Base64Escape(absl::string_view(bytes.data(), bytes.size()), &encoded);
    data[key] = encoded;
    WipeString(encoded);
  }
  return data;
}

}  // namespace

KubeStore::KubeStore(kube::HttpTransport& transport, std::string ns, const std::string& prefix)
    : transport_(transport),
      ns_(std::move(ns)),
      authority_(prefix + "-ca"),
      bundle_(prefix + "-ca-bundle"),
      serving_(prefix + "-controller-tls") {}

absl::StatusOr<json> KubeStore::Get(const std::string& plural, const std::string& name,
                                    std::stop_token stop) {
  kube::HttpRequest request;
  request.target = kube::KubeApi::PathOf({"", "v1", plural, ""}, ns_, name);
  absl::StatusOr<json> object = CallKube(transport_, std::move(request),
                                         absl::StrCat("get ", plural, " ", ns_, "/", name), stop);
  if (absl::IsNotFound(object.status())) {
    return json();
  }
  return object;
}

absl::StatusOr<Seen> KubeStore::Read(bool with_authority, std::stop_token stop) {
  Seen seen;
  ASSIGN_OR_RETURN(json serving, Get(kSecrets, serving_, stop));
  seen.serving_version = VersionOf(serving);
  seen.stored.serving = SecretOf(serving);
  ASSIGN_OR_RETURN(const json bundle, Get(kConfigMaps, bundle_, stop));
  seen.bundle_version = VersionOf(bundle);
  seen.stored.bundle = BundleOf(bundle);
  if (with_authority) {
    ASSIGN_OR_RETURN(json authority, Get(kSecrets, authority_, stop));
    seen.authority_version = VersionOf(authority);
    seen.stored.authority = SecretOf(authority);
  }
  return seen;
}

absl::Status KubeStore::Send(const std::string& plural, const std::string& name,
                             const std::string& version, json body, std::stop_token stop) {
  const bool create = version.empty();
  kube::HttpRequest request;
  request.method = create ? "POST" : "PATCH";
  request.target = kube::KubeApi::PathOf({"", "v1", plural, ""}, ns_, create ? "" : name);
  if (create) {
    body["apiVersion"] = "v1";
    body["kind"] = plural == kSecrets ? "Secret" : "ConfigMap";
    body["metadata"]["name"] = name;
    body["metadata"]["labels"]["app.kubernetes.io/managed-by"] = "rota-controller";
  } else {
    body["metadata"]["resourceVersion"] = version;
  }
  request.content_type = create ? "application/json" : "application/merge-patch+json";
  request.body = body.dump();
  WipeStrings(body);
  absl::StatusOr<json> written =
      CallKube(transport_, std::move(request),
               absl::StrCat(create ? "create " : "patch ", plural, " ", ns_, "/", name), stop);
  if (absl::IsNotFound(written.status()) && !create) {
    return absl::AbortedError(written.status().message());  // deleted meanwhile
  }
  if (written.ok()) {
    WipeStrings(*written);
  }
  return written.status();
}

absl::Status KubeStore::Write(const Change& change, const Seen& seen, std::stop_token stop) {
  json body = json::object();
  switch (change.object) {
    case Change::Object::kAuthority:
      body["data"] = DataOf(change.secret, seen.stored.authority);
      return Send(kSecrets, authority_, seen.authority_version, std::move(body), stop);
    case Change::Object::kServing:
      body["data"] = DataOf(change.secret, seen.stored.serving);
      if (seen.serving_version.empty()) {
        body["type"] = "kubernetes.io/tls";
      }
      return Send(kSecrets, serving_, seen.serving_version, std::move(body), stop);
    case Change::Object::kBundle:
      body["data"][kBundleKey] = change.bundle.certificates;
      body["metadata"]["annotations"][kSinceAnnotation] = change.bundle.newest_since;
      return Send(kConfigMaps, bundle_, seen.bundle_version, std::move(body), stop);
  }
  return absl::InternalError("no such object");
}

}  // namespace rota::identity
