#include "controller/serve/issued_credentials.h"

#include <grpc/grpc.h>
#include <grpc/grpc_security.h>

#include <mutex>
#include <string>
#include <utility>

namespace rota::serve {
namespace {

class Credentials final : public grpc::ServerCredentials {
 public:
  explicit Credentials(const Published<ServingCertificate>& certificate)
      : certificate_(certificate),
        credentials_(grpc_ssl_server_credentials_create_with_options(
            grpc_ssl_server_credentials_create_options_using_config_fetcher(
                GRPC_SSL_DONT_REQUEST_CLIENT_CERTIFICATE, &Credentials::Fetch, this))) {}
  ~Credentials() override { grpc_server_credentials_release(credentials_); }

  // Authentication is serve::Authenticator's business.
  void SetAuthMetadataProcessor(const std::shared_ptr<grpc::AuthMetadataProcessor>&) override {}

 private:
  int AddPortToServer(const std::string& address, grpc_server* server) override {
    return grpc_server_add_http2_port(server, address.c_str(), credentials_);
  }

  // Called before each handshake.
  static grpc_ssl_certificate_config_reload_status Fetch(
      void* self, grpc_ssl_server_certificate_config** config) {
    return static_cast<Credentials*>(self)->FetchNewest(config);
  }

  grpc_ssl_certificate_config_reload_status FetchNewest(
      grpc_ssl_server_certificate_config** config) {
    std::lock_guard guard(mutex_);
    std::shared_ptr<const ServingCertificate> newest = certificate_.Get();
    if (newest == handed_out_) {
      return GRPC_SSL_CERTIFICATE_CONFIG_RELOAD_UNCHANGED;
    }
    std::string key(newest->key.Reveal());  // gRPC wants it to end with a NUL
    const grpc_ssl_pem_key_cert_pair pair = {key.c_str(), newest->chain.c_str()};
    // gRPC insists on roots for client certificates, which it does not ask for: any will do.
    *config = grpc_ssl_server_certificate_config_create(newest->chain.c_str(), &pair, 1);
    WipeString(key);
    handed_out_ = std::move(newest);
    return GRPC_SSL_CERTIFICATE_CONFIG_RELOAD_NEW;
  }

  const Published<ServingCertificate>& certificate_;
  std::mutex mutex_;
  std::shared_ptr<const ServingCertificate> handed_out_;
  grpc_server_credentials* const credentials_;
};

}  // namespace

std::shared_ptr<grpc::ServerCredentials> IssuedCredentials(
    const Published<ServingCertificate>& certificate) {
  return std::make_shared<Credentials>(certificate);
}

}  // namespace rota::serve
