#include "dataplane/engine/tls.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/file.h"
#include "common/hash.h"
#include "common/status_macros.h"

namespace rota::engine {
namespace {

SslContext Own(SSL_CTX* context) { return SslContext(context, SSL_CTX_free); }

void Configure(SSL_CTX* context) {
  SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
  SSL_CTX_set_options(context, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION);
  SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                                SSL_MODE_RELEASE_BUFFERS);
  // One recv takes a whole record; without it the five bytes of its header are one of their own.
  SSL_CTX_set_read_ahead(context, 1);
}

int SelectProtocol(SSL*, const unsigned char** out, unsigned char* out_size,
                   const unsigned char* in, unsigned int in_size, void*) {
  static constexpr unsigned char kHttp11[] = "\x08http/1.1";
  unsigned char* selected = nullptr;
  if (SSL_select_next_proto(&selected, out_size, kHttp11, sizeof(kHttp11) - 1, in, in_size) !=
      OPENSSL_NPN_NEGOTIATED) {
    return SSL_TLSEXT_ERR_ALERT_FATAL;
  }
  *out = selected;
  return SSL_TLSEXT_ERR_OK;
}

absl::StatusOr<SslContext> LoadServerContext(const std::string& certificate_file,
                                             const std::string& key_file) {
  ERR_clear_error();
  SslContext context = NewServerContext();
  if (context == nullptr) {
    return absl::InternalError("OpenSSL has no TLS server method");
  }
  if (SSL_CTX_use_certificate_chain_file(context.get(), certificate_file.c_str()) != 1) {
    return absl::InvalidArgumentError(absl::StrCat(
        "--tls-cert ", certificate_file, ": ", TakeSslError("no certificate"),
        "; it must be a readable PEM file with the server's certificate first, then its chain"));
  }
  if (SSL_CTX_use_PrivateKey_file(context.get(), key_file.c_str(), SSL_FILETYPE_PEM) != 1) {
    return absl::InvalidArgumentError(absl::StrCat(
        "--tls-key ", key_file, ": ", TakeSslError("no key"),
        "; it must be the readable PEM key, without a passphrase, of ", certificate_file));
  }
  return context;
}

absl::StatusOr<SslContext> NewClientContext() {
  SslContext context = Own(SSL_CTX_new(TLS_client_method()));
  if (context == nullptr) {
    return absl::InternalError("OpenSSL has no TLS client method");
  }
  Configure(context.get());
  SSL_CTX_set_verify(context.get(), SSL_VERIFY_PEER, nullptr);
  static constexpr unsigned char kHttp11[] = "\x08http/1.1";
  SSL_CTX_set_session_cache_mode(context.get(), SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
  SSL_CTX_sess_set_new_cb(context.get(), OnNewTlsSession);
  SSL_CTX_set_alpn_protos(context.get(), kHttp11, sizeof(kHttp11) - 1);
  return context;
}

absl::Status TrustPem(SSL_CTX* context, const std::string& pem) {
  BIO* bio = BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size()));
  size_t count = 0;
  while (X509* certificate = PEM_read_bio_X509(bio, nullptr, nullptr, nullptr)) {
    X509_STORE_add_cert(SSL_CTX_get_cert_store(context), certificate);
    X509_free(certificate);
    ++count;
  }
  BIO_free(bio);
  ERR_clear_error();  // the end of the file counts as an error
  return count > 0
             ? absl::OkStatus()
             : absl::InvalidArgumentError("holds no PEM certificate (-----BEGIN CERTIFICATE-----)");
}

}  // namespace

SslContext NewServerContext() {
  SslContext context = Own(SSL_CTX_new(TLS_server_method()));
  if (context == nullptr) {
    return context;
  }
  Configure(context.get());
  SSL_CTX_set_alpn_select_cb(context.get(), SelectProtocol, nullptr);
  static constexpr unsigned char kSessionContext[] = "rota";
  SSL_CTX_set_session_id_context(context.get(), kSessionContext, sizeof(kSessionContext) - 1);
  SSL_CTX_set_session_cache_mode(context.get(), SSL_SESS_CACHE_OFF);  // tickets only
  SSL_CTX_set_num_tickets(context.get(), 1);
  return context;
}

std::string TakeSslError(const std::string& fallback) {
  const unsigned long code = ERR_get_error();
  ERR_clear_error();
  const char* reason = code == 0 ? nullptr : ERR_reason_error_string(code);
  if (reason != nullptr) {
    return reason;
  }
  return code != 0 && ERR_SYSTEM_ERROR(code) ? std::strerror(ERR_GET_REASON(code)) : fallback;
}

absl::StatusOr<std::unique_ptr<ServerTls>> ServerTls::Create(std::string certificate_file,
                                                             std::string key_file) {
  std::unique_ptr<ServerTls> tls(new ServerTls(std::move(certificate_file), std::move(key_file)));
  RETURN_IF_ERROR(tls->Reload());
  return tls;
}

absl::Status ServerTls::Reload() {
  if (certificate_file_.empty()) {
    return absl::OkStatus();
  }
  ASSIGN_OR_RETURN(SslContext context, LoadServerContext(certificate_file_, key_file_));
  std::lock_guard guard(mutex_);
  context_ = std::move(context);
  return absl::OkStatus();
}

std::vector<CertificateProblem> ServerTls::SetCertificates(
    const std::vector<table::ServerCertificate>& certificates) {
  std::vector<CertificateProblem> problems;
  if (!certificate_file_.empty()) {
    return problems;
  }
  std::shared_ptr<const CertificateSet> before;
  {
    std::lock_guard guard(mutex_);
    before = certificates_;
  }
  if (before != nullptr && before->IsMadeOf(certificates)) {
    return problems;  // with the sessions that clients may resume
  }
  auto next = std::make_shared<CertificateSet>(certificates, before.get(), problems);
  // The set lives as long as somebody has its context.
  SslContext context(next, next->front());
  std::lock_guard guard(mutex_);
  certificates_ = std::move(next);
  context_ = std::move(context);
  return problems;
}

SslContext ServerTls::context() const {
  std::lock_guard guard(mutex_);
  return context_;
}

absl::StatusOr<std::unique_ptr<ClientTls>> ClientTls::Create(const std::string& extra_ca_file) {
  std::unique_ptr<ClientTls> tls(new ClientTls);
  ASSIGN_OR_RETURN(tls->default_context_, NewClientContext());
  SSL_CTX_set_default_verify_paths(tls->default_context_.get());
  if (!extra_ca_file.empty()) {
    ASSIGN_OR_RETURN(const std::string pem, ReadFile(extra_ca_file));
    const absl::Status trusted = TrustPem(tls->default_context_.get(), pem);
    if (!trusted.ok()) {
      return absl::InvalidArgumentError(
          absl::StrCat("--upstream-ca ", extra_ca_file, ": ", std::string(trusted.message())));
    }
  }
  return tls;
}

ClientTls::~ClientTls() {
  for (const auto& [key, session] : sessions_) {
    SSL_SESSION_free(session);
  }
}

absl::StatusOr<SslContext> ClientTls::ContextFor(const std::string& ca_pem) {
  if (ca_pem.empty()) {
    return default_context_;
  }
  const std::string key = Sha256(ca_pem);
  std::lock_guard guard(mutex_);
  const auto found = contexts_.find(key);
  if (found != contexts_.end()) {
    return found->second;
  }
  ASSIGN_OR_RETURN(SslContext context, NewClientContext());
  const absl::Status trusted = TrustPem(context.get(), ca_pem);
  if (!trusted.ok()) {
    return absl::InvalidArgumentError(
        absl::StrCat("the endpoint's CA certificate ", std::string(trusted.message())));
  }
  if (contexts_.size() >= kMaxContexts) {
    contexts_.clear();  // streams keep theirs
  }
  contexts_.emplace(key, context);
  return context;
}

SSL_SESSION* ClientTls::Recall(const std::string& pool_key) {
  std::lock_guard guard(mutex_);
  const auto found = sessions_.find(pool_key);
  if (found == sessions_.end()) {
    return nullptr;
  }
  SSL_SESSION_up_ref(found->second);
  return found->second;
}

void ClientTls::Remember(const std::string& pool_key, SSL_SESSION* session) {
  SSL_SESSION_up_ref(session);
  std::lock_guard guard(mutex_);
  const auto found = sessions_.find(pool_key);
  if (found != sessions_.end()) {
    SSL_SESSION_free(std::exchange(found->second, session));
    return;
  }
  if (sessions_.size() >= kMaxSessions) {
    SSL_SESSION_free(sessions_.begin()->second);
    sessions_.erase(sessions_.begin());
  }
  sessions_.emplace(pool_key, session);
}

}  // namespace rota::engine
