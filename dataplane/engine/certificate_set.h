#pragma once

// The certificates of one configuration as OpenSSL serves them: each connection gets the one of the
// name that the client asks for (SNI). A name that is listed wins over "*.suffix", the longest
// suffix over a shorter one, then comes the listener without a host name, then the first of the
// list.
//
// Immutable, thread-safe. Whoever holds a context that was made from front() holds the set.

#include <openssl/ssl.h>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "dataplane/table/route_table.h"

namespace rota::engine {

using SslContext = std::shared_ptr<SSL_CTX>;

struct CertificateProblem {
  std::string listener;
  std::string message;  // what is wrong and what to do; never a value of a Secret
};

class CertificateSet {
 public:
  // A certificate that cannot be used is reported, and that of `before` (may be null) stays, if it
  // has one of that listener.
  CertificateSet(const std::vector<table::ServerCertificate>& certificates,
                 const CertificateSet* before, std::vector<CertificateProblem>& problems);
  CertificateSet(const CertificateSet&) = delete;  // OpenSSL points at it
  CertificateSet& operator=(const CertificateSet&) = delete;

  // Another set of these would be the same.
  bool IsMadeOf(const std::vector<table::ServerCertificate>& certificates) const;
  // What connections begin with; null when there is no certificate.
  SSL_CTX* front() const { return front_.get(); }
  // REQUIRES: front() is not null. "": the client names no host.
  SSL_CTX* Choose(std::string_view server_name) const;

 private:
  struct Entry {
    std::string listener;
    std::string hostname;  // a name, "*.suffix" or ""
    uint64_t version = 0;
    SslContext context;
  };

  const Entry* FindListener(const std::string& listener) const;

  std::vector<Entry> entries_;  // in the order of the list, those that can be used
  SslContext front_;
};

}  // namespace rota::engine
