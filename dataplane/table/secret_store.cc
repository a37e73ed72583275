#include "dataplane/table/secret_store.h"

#include <algorithm>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/foreign_name.h"
#include "common/line_ends.h"
#include "common/status_macros.h"

namespace rota::table {
namespace {

namespace v1 = rota::sync::v1;

bool IsUnreserved(char c) {
  return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '-' || c == '.' || c == '_' ||
         c == '~';
}

// A controller names what is of another namespace (common/foreign_name.h) after the namespace that
// uses it. A Service has no value: it is asked for, and never sent.
absl::Status Missing(const v1::SecretKey& key) {
  const std::string& secret = key.secret();
  const size_t slash = std::min(secret.find('/'), secret.size() - 1);
  const std::optional<ForeignName> foreign = ForeignNameOf(secret.substr(slash + 1));
  if (!foreign.has_value()) {
    return absl::NotFoundError(absl::StrCat(
        "Secret \"", secret, "\" does not exist; create it with the key \"", key.key(), "\""));
  }
  const std::string name = absl::StrCat("\"", foreign->ns, "/", foreign->name, "\"");
  const std::string user = absl::StrCat("APIs of namespace \"", secret.substr(0, slash), "\"");
  if (foreign->kind == ReferentKind::kService) {
    return absl::NotFoundError(absl::StrCat("Service ", name, " is not granted to ", user,
                                            "; make a ReferenceGrant in its namespace"));
  }
  return absl::NotFoundError(absl::StrCat("Secret ", name, " does not exist, or is not granted to ",
                                          user, "; make it, with the key \"", key.key(),
                                          "\", and a ReferenceGrant in its namespace"));
}

// Through a string that is wiped: a credential must not stay in freed memory.
SecretString PercentEncode(std::string_view text) {
  constexpr char kHex[] = "0123456789ABCDEF";
  std::string encoded;
  encoded.reserve(text.size() * 3);
  for (const char c : text) {
    if (IsUnreserved(c)) {
      encoded += c;
    } else {
      const auto byte = static_cast<unsigned char>(c);
      encoded += {'%', kHex[byte >> 4], kHex[byte & 15]};
    }
  }
  SecretString result(encoded);
  WipeString(encoded);
  return result;
}

SecretString Join(std::string_view prefix, std::string_view value) {
  std::string joined;
  joined.reserve(prefix.size() + value.size());
  joined.append(prefix).append(value);
  SecretString result(joined);
  WipeString(joined);
  return result;
}

SecretString BasicValue(const SecretString& user, const SecretString& password) {
  std::string plain;
  plain.reserve(user.Reveal().size() + 1 + password.Reveal().size());
  plain.append(user.Reveal()).append(":").append(password.Reveal());
  std::string encoded = absl::Base64Escape(plain);
  SecretString result = Join("Basic ", encoded);
  WipeString(plain);
  WipeString(encoded);
  return result;
}

}  // namespace

absl::StatusOr<std::shared_ptr<const DecodedSecret>> SecretStore::Decode(
    const v1::Resource& resource) {
  v1::Secret message;
  if (!message.ParseFromString(resource.body())) {
    return absl::InvalidArgumentError("the bytes are not a rota.sync.v1.Secret");
  }
  auto secret = std::make_shared<DecodedSecret>();
  secret->hash = resource.hash();
  for (v1::Secret::Entry& entry : *message.mutable_entries()) {
    secret->values[entry.key()] = SecretString(entry.value());
    WipeString(*entry.mutable_value());
  }
  return secret;
}

const DecodedSecret* SecretStore::ContentOf(const std::string& name) const {
  if (const auto identity = identities_.find(name); identity != identities_.end()) {
    return identity->second.content.get();
  }
  const auto secret = secrets_.find(name);
  return secret == secrets_.end() ? nullptr : secret->second.get();
}

uint64_t SecretStore::HashOf(const std::string& name) const {
  const DecodedSecret* const content = ContentOf(name);
  return content == nullptr ? 0 : content->hash;
}

absl::StatusOr<const SecretString*> SecretStore::Find(const v1::SecretKey& key) const {
  const DecodedSecret* const content = ContentOf(key.secret());
  if (content == nullptr) {
    const auto identity = identities_.find(key.secret());
    return identity != identities_.end() ? identity->second.status : Missing(key);
  }
  const auto value = content->values.find(key.key());
  if (value == content->values.end()) {
    return absl::NotFoundError(
        absl::StrCat("Secret \"", key.secret(), "\" has no key \"", key.key(), "\"; add it"));
  }
  return &value->second;
}

absl::StatusOr<SecretString> SecretStore::Value(const v1::SecretKey& key) const {
  ASSIGN_OR_RETURN(const SecretString* found, Find(key));
  const std::string_view value = WithoutLineEnds(found->Reveal());
  if (value.empty()) {
    return absl::InvalidArgumentError(absl::StrCat("key \"", key.key(), "\" of Secret \"",
                                                   key.secret(), "\" is empty; give it a value"));
  }
  const bool has_control = std::any_of(value.begin(), value.end(), [](char c) {
    return absl::ascii_iscntrl(static_cast<unsigned char>(c)) && c != '\t';
  });
  if (has_control) {
    return absl::InvalidArgumentError(
        absl::StrCat("key \"", key.key(), "\" of Secret \"", key.secret(),
                     "\" holds line breaks or other control bytes; store the bare value"));
  }
  return SecretString(value);
}

absl::StatusOr<SecretString> SecretStore::Bytes(const v1::SecretKey& key) const {
  ASSIGN_OR_RETURN(const SecretString* found, Find(key));
  return *found;
}

absl::StatusOr<std::string> SecretStore::Text(const v1::SecretKey& key) const {
  ASSIGN_OR_RETURN(const SecretString* found, Find(key));
  return std::string(found->Reveal());
}

absl::StatusOr<Credential> SecretStore::Render(const v1::Credential& credential) const {
  Credential rendered;
  ASSIGN_OR_RETURN(SecretString value, Value(credential.value()));
  switch (credential.place()) {
    case v1::Credential::HEADER:
      rendered.place = Credential::Place::kHeader;
      rendered.name = credential.name();
      // "sk-..." alone is a bearer token; "Bearer sk-..." and "Basic ..." have their scheme.
      rendered.value = absl::EqualsIgnoreCase(credential.name(), "authorization") &&
                               value.Reveal().find(' ') == std::string_view::npos
                           ? Join("Bearer ", value.Reveal())
                           : std::move(value);
      return rendered;
    case v1::Credential::QUERY:
      rendered.place = Credential::Place::kQuery;
      rendered.name = credential.name();
      rendered.value = PercentEncode(value.Reveal());
      return rendered;
    case v1::Credential::BASIC: {
      ASSIGN_OR_RETURN(const SecretString user, Value(credential.user_name()));
      rendered.place = Credential::Place::kHeader;
      rendered.name = "Authorization";
      rendered.value = BasicValue(user, value);
      return rendered;
    }
    case v1::Credential::AWS_SIGNATURE: {
      rendered.place = Credential::Place::kAwsSignature;
      rendered.name = "Authorization";
      rendered.value = std::move(value);
      rendered.aws.service = credential.service();
      ASSIGN_OR_RETURN(rendered.aws.access_key_id, Value(credential.user_name()));
      if (credential.has_session_token()) {
        ASSIGN_OR_RETURN(rendered.aws.session_token, Value(credential.session_token()));
      }
      if (credential.has_region()) {
        ASSIGN_OR_RETURN(const SecretString region, Value(credential.region()));
        rendered.aws.region = region.Reveal();
      }
      return rendered;
    }
    default:
      return absl::InvalidArgumentError("the credential has no place that this build knows");
  }
}

}  // namespace rota::table
