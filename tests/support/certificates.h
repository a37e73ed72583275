#pragma once

// Certificates for tests: a certificate authority made in memory and what it signs. Valid for a
// day. Thread-safe (pure functions).

#include <string>
#include <vector>

namespace rota::testing {

struct KeyPair {
  std::string certificate;  // PEM
  std::string key;          // PEM
};

// EC P-256, self-signed, may sign others.
KeyPair MakeAuthority(const std::string& common_name);

// `names` become subject alternative names: "127.0.0.1" an address, "URI:urn:..." a URI, anything
// else a DNS name.
// `common_name` and `organization` are what Kubernetes takes for user and group of a client.
KeyPair MakeCertificate(const KeyPair& authority, const std::string& common_name,
                        const std::string& organization, const std::vector<std::string>& names);

// An EC key alone.
std::string MakeKey();

}  // namespace rota::testing
