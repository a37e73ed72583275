#include "controller/compile/endpoint_table.h"

#include <variant>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/provider_catalog.h"
#include "controller/compile/proto_duration.h"
#include "controller/resource/foreign_ref.h"

namespace rota::compile {
namespace {

namespace pb = rota::sync::v1;
using resource::Severity;

bool IsPlaintextToElsewhere(const std::string& url) {
  return url.starts_with("http://") && !url.starts_with("http://127.") &&
         !url.starts_with("http://localhost") && !url.starts_with("http://[::1]") &&
         url.find(".svc") == std::string::npos;
}

// "'a', 'b'": the names that a message offers.
std::string NamesIn(const EndpointScope& scope) {
  std::set<std::string> names;
  for (const auto& [list, field] : scope.lists) {
    for (const resource::Endpoint& endpoint : *list) {
      if (!endpoint.name.empty()) {
        names.insert(absl::StrCat("'", endpoint.name, "'"));
      }
    }
  }
  return names.empty() ? "no endpoint there has a name"
                       : "names there: " + absl::StrJoin(names, ", ");
}

// "anthropic, azure, ...".
std::string NamesOfProviders() {
  return absl::StrJoin(Providers(), ", ", [](std::string* out, const Provider& provider) {
    out->append(provider.name);
  });
}

}  // namespace

EndpointTable::EndpointTable(const resource::Api& api, const std::string& prefix, pb::Api& out,
                             CompiledApi& result)
    : api_(api), prefix_(prefix), out_(out), result_(result) {}

void EndpointTable::Report(Severity severity, const std::string& reason, const std::string& field,
                           const std::string& message) {
  if (reported_.insert(absl::StrCat(field, "\n", message)).second) {
    result_.diagnostics.push_back({severity, reason, field, message});
  }
}

uint32_t EndpointTable::Intern(const pb::Endpoint& endpoint) {
  const auto next = static_cast<uint32_t>(out_.endpoints_size());
  const auto [entry, is_new] = indexes_.emplace(endpoint.SerializeAsString(), next);
  if (is_new) {
    *out_.add_endpoints() = endpoint;
  }
  return entry->second;
}

void EndpointTable::UseService(const std::string& url, const std::string& field) {
  const std::optional<resource::ObjectName> service =
      resource::ForeignServiceOf(result_.name.ns, url);
  if (service.has_value() && used_keys_.emplace(service->ToString(), "").second) {
    result_.secrets.push_back({*service, "", field + ".endpoint"});
  }
}

pb::SecretKey EndpointTable::Use(const resource::ObjectName& name, const std::string& key,
                                 const std::string& field) {
  if (used_keys_.emplace(name.ToString(), key).second) {
    result_.secrets.push_back({name, key, field});
  }
  pb::SecretKey out;
  out.set_secret(name.ToString());
  out.set_key(key);
  return out;
}

void EndpointTable::AddCredential(const resource::Endpoint& endpoint, const std::string& field,
                                  pb::Endpoint& out) {
  const std::string at = field + ".endpointSecurity.securityType";
  const std::string& ns = result_.name.ns;
  if (const auto* key = std::get_if<resource::ApiKeySecurity>(&endpoint.security)) {
    pb::Credential& credential = *out.mutable_credential();
    const bool in_header = key->in == resource::ApiKeySecurity::Place::kHeader;
    credential.set_place(in_header ? pb::Credential::HEADER : pb::Credential::QUERY);
    const Provider* const provider = FindProvider(out.provider());
    const bool is_known = key->name.empty() && provider != nullptr;
    credential.set_name(is_known ? std::string(provider->key_header) : key->name);
    *credential.mutable_value() =
        Use(resource::SecretOf(ns, key->secret_ns, key->secret_name), key->value_key, at);
  } else if (const auto* basic = std::get_if<resource::BasicSecurity>(&endpoint.security)) {
    pb::Credential& credential = *out.mutable_credential();
    credential.set_place(pb::Credential::BASIC);
    const resource::ObjectName secret =
        resource::SecretOf(ns, basic->secret_ns, basic->secret_name);
    *credential.mutable_user_name() = Use(secret, basic->user_name_key, at);
    *credential.mutable_value() = Use(secret, basic->password_key, at);
  } else if (const auto* aws = std::get_if<resource::AwsSecurity>(&endpoint.security)) {
    AddSignature(*aws, at, out);
  } else if (const auto* ambient = std::get_if<resource::AmbientSecurity>(&endpoint.security)) {
    AddAmbient(*ambient, at, out);
  }
  if (out.has_credential() && IsPlaintextToElsewhere(out.url())) {
    Report(Severity::kWarning, "PlaintextCredential", field + ".endpoint",
           absl::StrCat("the credential travels unencrypted to '", out.url(),
                        "'; use an https:// URL"));
  }
}

void EndpointTable::AddAmbient(const resource::AmbientSecurity& ambient, const std::string& at,
                               pb::Endpoint& out) {
  const bool is_aws = ambient.cloud == resource::AmbientSecurity::Cloud::kAws;
  const std::string provider = is_aws ? "bedrock" : "azure";
  if (out.provider() != provider) {
    Report(
        Severity::kError, "Unsupported", at + ".ambientIdentity",
        absl::StrCat(is_aws ? "AWS" : "Azure", " is for provider ", provider,
                     ", and this is of provider '", out.provider(), "'; use a key from a Secret"));
    return;
  }
  if (!is_aws && IsPlaintextToElsewhere(out.url())) {
    // Who reads the token can use it for an hour, for everything that the identity may do.
    Report(Severity::kError, "PlaintextCredential", at + ".ambientIdentity",
           absl::StrCat("its token would travel unencrypted to '", out.url(),
                        "'; use an https:// URL"));
    return;
  }
  if (result_.ambient_identity_field.empty()) {
    result_.ambient_identity_field = at + ".ambientIdentity";
  }
  pb::Credential& credential = *out.mutable_credential();
  credential.set_identity(is_aws ? pb::Credential::AWS : pb::Credential::AZURE);
  credential.set_place(is_aws ? pb::Credential::AWS_SIGNATURE : pb::Credential::HEADER);
  if (is_aws) {
    credential.set_service(resource::AwsSecurity().service);
  } else {
    credential.set_name("Authorization");
  }
}

void EndpointTable::AddSignature(const resource::AwsSecurity& aws, const std::string& at,
                                 pb::Endpoint& out) {
  if (out.provider() != "bedrock") {
    Report(Severity::kError, "Unsupported", at,
           absl::StrCat("the AWS form is for provider bedrock, and this is of provider '",
                        out.provider(), "'; use the apiKey or the basic form"));
    return;
  }
  pb::Credential& credential = *out.mutable_credential();
  credential.set_place(pb::Credential::AWS_SIGNATURE);
  credential.set_service(aws.service);
  const resource::ObjectName secret =
      resource::SecretOf(result_.name.ns, aws.secret_ns, aws.secret_name);
  *credential.mutable_user_name() = Use(secret, aws.access_key, at);
  *credential.mutable_value() = Use(secret, aws.secret_key, at);
  if (!aws.session_token.empty()) {
    *credential.mutable_session_token() = Use(secret, aws.session_token, at);
  }
  if (!aws.region.empty()) {
    *credential.mutable_region() = Use(secret, aws.region, at);
  }
}

std::string EndpointTable::ProviderOf(const resource::Endpoint& endpoint,
                                      const std::string& provider, const std::string& field) {
  const bool is_own = provider.empty();
  const std::string& explicit_name = is_own ? endpoint.provider : provider;
  const bool is_explicit = !explicit_name.empty();
  const std::string& name = is_explicit ? explicit_name : api_.ai_provider_name;
  if (!name.empty()) {
    if (const Provider* const known = ProviderOfName(name)) {
      return std::string(known->name);
    }
    Report(Severity::kWarning, "UnknownProvider",
           is_explicit ? field + ".provider" : prefix_ + "aiProvider.name",
           absl::StrCat("provider '", name, "' is not known and treated as openai; known are ",
                        NamesOfProviders()));
    return "openai";
  }
  const Provider* const known = ProviderOfUrl(endpoint.url);
  return known == nullptr ? "openai" : std::string(known->name);
}

void EndpointTable::SetOptions(const resource::Endpoint& endpoint, pb::Endpoint& out) const {
  resource::ProviderOptions options = endpoint.provider_options;
  if (options.api_version.empty() && out.provider() == "azure") {
    options.api_version = api_.ai_provider_api_version;
  }
  if (options == resource::ProviderOptions()) {
    return;
  }
  pb::ProviderOptions& message = *out.mutable_provider_options();
  message.set_region(options.region);
  message.set_api_version(options.api_version);
  message.set_deployment(options.deployment);
  message.set_format(options.format);
  message.set_max_tokens(options.max_tokens.value_or(0));
}

uint32_t EndpointTable::Add(const resource::Endpoint& endpoint, const std::string& field,
                            const std::string& provider) {
  pb::Endpoint out;
  out.set_url(endpoint.url);
  out.set_name(endpoint.name.empty() ? endpoint.url : endpoint.name);
  out.set_provider(ProviderOf(endpoint, provider, field));
  SetOptions(endpoint, out);
  UseService(endpoint.url, field);
  AddCredential(endpoint, field, out);
  if (endpoint.certificate.has_value()) {
    const resource::CertificateRef& certificate = *endpoint.certificate;
    *out.mutable_ca_certificate() = Use({result_.name.ns, certificate.secret_name},
                                        certificate.secret_key, field + ".certificate");
    if (endpoint.url.starts_with("http://")) {
      Report(
          Severity::kWarning, "NotEnforced", field + ".certificate",
          "a certificate means nothing for an http:// endpoint; use an https:// URL or remove it");
    }
  }
  if (endpoint.connect_timeout.has_value()) {
    SetDuration(*endpoint.connect_timeout, *out.mutable_connect_timeout());
  }
  if (endpoint.first_byte_timeout.has_value()) {
    SetDuration(*endpoint.first_byte_timeout, *out.mutable_first_byte_timeout());
  }
  return Intern(out);
}

std::optional<uint32_t> EndpointTable::Resolve(const resource::ModelTarget& target,
                                               const EndpointScope& scope,
                                               const std::string& field) {
  for (const auto& [list, list_field] : scope.lists) {
    const resource::Endpoint* found = nullptr;
    size_t found_at = 0;
    for (size_t i = 0; i < list->size(); ++i) {
      const resource::Endpoint& endpoint = (*list)[i];
      if (!endpoint.name.empty() && endpoint.name == target.endpoint) {
        return Add(endpoint, absl::StrCat(list_field, "[", i, "]"), target.provider);
      }
      if (endpoint.url != target.endpoint) {
        continue;
      }
      if (found != nullptr && found->security != endpoint.security) {
        Report(Severity::kError, "AmbiguousEndpoint", field + ".endpoint",
               absl::StrCat("'", target.endpoint, "' is listed with different credentials (",
                            list_field, "[", found_at, "] and [", i,
                            "]); give those endpoints a `name` and write the name here"));
        return std::nullopt;
      }
      if (found == nullptr) {
        found = &endpoint;
        found_at = i;
      }
    }
    if (found != nullptr) {
      return Add(*found, absl::StrCat(list_field, "[", found_at, "]"), target.provider);
    }
  }
  if (target.endpoint.find("://") == std::string::npos) {
    Report(Severity::kError, "EndpointNotFound", field + ".endpoint",
           absl::StrCat("no endpoint of this environment is called '", target.endpoint, "' (",
                        NamesIn(scope), "); write such a name or a URL"));
    return std::nullopt;
  }
  Report(Severity::kWarning, "UnlistedEndpoint", field + ".endpoint",
         absl::StrCat("'", target.endpoint,
                      "' is not listed in endpointConfigurations of this environment: requests go "
                      "there without a credential; list it there if it needs one"));
  resource::Endpoint unlisted;
  unlisted.url = target.endpoint;
  return Add(unlisted, field, target.provider);
}

}  // namespace rota::compile
