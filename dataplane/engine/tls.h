#pragma once

// TLS contexts of both sides, and streams made from them. OpenSSL works on the socket itself: a
// stream costs about half the memory of one with memory buffers in between.
//
// Server: TLS 1.2 and newer, ALPN http/1.1, certificates that can be replaced while it runs.
// Client: the chain and the name are always verified; sessions are resumed. Contexts are
// thread-safe, streams belong to their loop.

#include <openssl/ssl.h>

#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "dataplane/engine/certificate_set.h"
#include "dataplane/engine/stream.h"

namespace rota::engine {

// Either one certificate, from files, or those that the gateway's configuration brings, chosen by
// the name that the client asks for.
class ServerTls {
 public:
  // With both files empty there is no certificate before SetCertificates(). The error names the
  // file and what is wrong with it.
  static absl::StatusOr<std::unique_ptr<ServerTls>> Create(std::string certificate_file,
                                                           std::string key_file);
  // Re-reads the files, if there are any. On an error the certificate in use stays.
  absl::Status Reload();
  // From now on these are served; connections that are open keep theirs. One that cannot be used
  // leaves the one before of that listener, if there is one; returns what is wrong with each. No
  // effect where files are given.
  std::vector<CertificateProblem> SetCertificates(
      const std::vector<table::ServerCertificate>& certificates);
  // For a new connection; null: there is no certificate.
  SslContext context() const;

 private:
  ServerTls(std::string certificate_file, std::string key_file)
      : certificate_file_(std::move(certificate_file)), key_file_(std::move(key_file)) {}
  const std::string certificate_file_;
  const std::string key_file_;
  mutable std::mutex mutex_;
  std::shared_ptr<const CertificateSet> certificates_;  // null where files are given
  SslContext context_;
};

class ClientTls {
 public:
  // `extra_ca_file` (PEM, "" for none) is trusted beside the system's store.
  static absl::StatusOr<std::unique_ptr<ClientTls>> Create(const std::string& extra_ca_file);
  ~ClientTls();

  // "": the system's store and the extra file; else exactly the certificates of `ca_pem`.
  absl::StatusOr<SslContext> ContextFor(const std::string& ca_pem);
  // The newest session of a pool key, or null. The caller owns the reference.
  SSL_SESSION* Recall(const std::string& pool_key);
  void Remember(const std::string& pool_key, SSL_SESSION* session);

 private:
  static constexpr size_t kMaxContexts = 1024;
  static constexpr size_t kMaxSessions = 4096;
  ClientTls() = default;
  std::mutex mutex_;
  SslContext default_context_;
  std::unordered_map<std::string, SslContext> contexts_;  // by SHA-256 of the PEM
  std::unordered_map<std::string, SSL_SESSION*> sessions_;
};

absl::StatusOr<std::unique_ptr<Stream>> MakeTlsClientStream(Poller& poller, ClientTls& tls,
                                                            const std::string& host,
                                                            const std::string& ca_pem,
                                                            const std::string& pool_key);

// A context for servers that has no certificate yet; null: out of memory.
SslContext NewServerContext();

// OpenSSL's callback of client contexts (tls_stream.cc).
int OnNewTlsSession(SSL* ssl, SSL_SESSION* session);

// The first error of OpenSSL's queue for people, or `fallback`; empties the queue.
std::string TakeSslError(const std::string& fallback);

}  // namespace rota::engine
