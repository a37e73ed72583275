#pragma once

// Where requests go: one upstream with its credential, ready to be used. Values.

#include <cstdint>
#include <optional>
#include <string>

#include "common/clock.h"
#include "common/provider_catalog.h"
#include "common/secret.h"
#include "dataplane/provider/dialect.h"
#include "dataplane/provider/provider_options.h"

namespace rota::table {

// What requests to AWS are signed with, beside the secret access key.
struct AwsSigner {
  SecretString access_key_id;
  SecretString session_token;  // empty: the keys are long-lived
  std::string region;
  std::string service;  // "bedrock"
  friend bool operator==(const AwsSigner&, const AwsSigner&) = default;
};

// How the gateway authenticates itself to an upstream.
struct Credential {
  enum class Place : uint8_t { kNone, kHeader, kQuery, kAwsSignature };
  Place place = Place::kNone;
  std::string name;  // header (as configured) or query parameter
  // Ready to send: "Bearer ..." and "Basic ..." are put together, a query value is percent-encoded.
  // kAwsSignature: the secret access key, which is never sent.
  SecretString value;
  AwsSigner aws;  // kAwsSignature only
  friend bool operator==(const Credential&, const Credential&) = default;
};

struct Endpoint {
  std::string url;                  // "https://api.openai.com/v1"
  std::string name;                 // for people
  std::string provider;             // "openai"
  const Provider* known = nullptr;  // its row; null: a name that this build does not know
  provider::ProviderOptions options;
  const provider::Translator* translator = nullptr;  // null: it speaks OpenAI's form
  bool takes_stream_options = false;                 // streams may be asked what they have cost
  bool tls = false;
  std::string host;  // without brackets
  uint16_t port = 0;
  std::string authority;  // Host header: "api.openai.com", "127.0.0.1:8080", "[::1]:8080"
  std::string base_path;  // "/v1", "" for none
  Credential credential;
  // Whose the credential is, when it is this process's own (identity.h): "@aws"; "" = of Secrets.
  std::string identity;
  // Configured, but the Secret or key (of the credential or the CA) or the identity is not there:
  // nothing is sent.
  bool credential_missing = false;
  std::string ca_pem;  // "" = the process's trust store
  std::optional<Duration> connect_timeout;
  std::optional<Duration> first_byte_timeout;
  // Connections may be shared by endpoints with the same key: scheme, host, port and trust.
  std::string pool_key;
  friend bool operator==(const Endpoint&, const Endpoint&) = default;
};

}  // namespace rota::table
