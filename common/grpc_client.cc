#include "common/grpc_client.h"

#include <grpcpp/security/credentials.h>
#include <grpcpp/security/tls_certificate_provider.h>
#include <grpcpp/security/tls_credentials_options.h>

#include <algorithm>
#include <map>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "common/file.h"
#include "common/pem.h"
#include "common/status_macros.h"

namespace rota {
namespace {

// What may be under way on one stream: 20 MiB/s over a road of 50 ms.
constexpr int kStreamWindowBytes = 1 << 20;
constexpr size_t kMaxTokenBytes = 16 << 10;

// gRPC adds what it says to a call's metadata, and refuses to do so without TLS.
class TokenOfFile final : public grpc::MetadataCredentialsPlugin {
 public:
  explicit TokenOfFile(NamedFile token) : token_(std::move(token)) {}
  bool IsBlocking() const override { return false; }  // a small file
  const char* GetType() const override { return "token-file"; }
  grpc::string DebugString() override { return "TokenOfFile(" + token_.file + ")"; }
  grpc::Status GetMetadata(grpc::string_ref, grpc::string_ref, const grpc::AuthContext&,
                           std::multimap<grpc::string, grpc::string>* metadata) override {
    const absl::StatusOr<SecretString> token = ReadToken(token_);
    if (!token.ok()) {
      return {grpc::StatusCode::UNAVAILABLE, std::string(token.status().message())};
    }
    metadata->emplace("authorization", "Bearer " + std::string(token->Reveal()));
    return grpc::Status::OK;
  }

 private:
  const NamedFile token_;
};

std::shared_ptr<grpc::ChannelCredentials> WithToken(
    std::shared_ptr<grpc::ChannelCredentials> channel, const NamedFile& token) {
  if (token.file.empty()) {
    return channel;
  }
  return grpc::CompositeChannelCredentials(
      channel, grpc::MetadataCredentialsFromPlugin(std::make_unique<TokenOfFile>(token)));
}

}  // namespace

absl::StatusOr<SecretString> ReadToken(const NamedFile& token) {
  absl::StatusOr<std::string> content = ReadFile(token.file, kMaxTokenBytes);
  if (!content.ok()) {
    return absl::Status(content.status().code(),
                        absl::StrCat(token.option, ": ", content.status().message()));
  }
  absl::StripAsciiWhitespace(&*content);
  SecretString line(*content);
  WipeString(*content);
  if (line.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(token.option, ": '", token.file, "' is empty"));
  }
  return line;
}

absl::StatusOr<std::shared_ptr<grpc::ChannelCredentials>> MakeClientCredentials(
    const ClientTls& tls) {
  if (tls.certificate.file.empty() != tls.key.file.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(tls.certificate.option, " and ", tls.key.option,
                                                   " belong together: give both"));
  }
  const bool identity = !tls.certificate.file.empty();
  if (identity) {
    RETURN_IF_ERROR(CheckPem(tls.certificate.option, tls.certificate.file, "BEGIN CERTIFICATE"));
    RETURN_IF_ERROR(CheckPem(tls.key.option, tls.key.file, "PRIVATE KEY"));
  }
  if (!tls.ca.file.empty()) {
    RETURN_IF_ERROR(CheckPem(tls.ca.option, tls.ca.file, "BEGIN CERTIFICATE"));
  }
  if (!tls.token.file.empty()) {
    RETURN_IF_ERROR(ReadToken(tls.token).status());
  }
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(tls.refresh).count();
  grpc::experimental::TlsChannelCredentialsOptions options;
  options.set_certificate_provider(
      std::make_shared<grpc::experimental::FileWatcherCertificateProvider>(
          tls.key.file, tls.certificate.file, tls.ca.file,
          static_cast<unsigned int>(std::max<int64_t>(seconds, 1))));
  if (!tls.ca.file.empty()) {
    options.watch_root_certs();
  }
  if (identity) {
    options.watch_identity_key_cert_pairs();
  }
  return WithToken(grpc::experimental::TlsCredentials(options), tls.token);
}

std::shared_ptr<grpc::ChannelCredentials> MakeTokenCredentials(const std::string& roots,
                                                               const NamedFile& token) {
  grpc::experimental::TlsChannelCredentialsOptions options;
  options.set_certificate_provider(
      std::make_shared<grpc::experimental::StaticDataCertificateProvider>(roots));
  options.watch_root_certs();
  return WithToken(grpc::experimental::TlsCredentials(options), token);
}

grpc::ChannelArguments ClientChannelArguments(int max_receive_bytes) {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, 30'000);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 10'000);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  arguments.SetInt(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  // Windows of one size instead of pings that measure the bandwidth: our messages are few, each
  // would cost a ping and its answer, and a controller answers for a thousand data planes.
  arguments.SetInt(GRPC_ARG_HTTP2_BDP_PROBE, 0);
  arguments.SetInt(GRPC_ARG_HTTP2_STREAM_LOOKAHEAD_BYTES, kStreamWindowBytes);
  // Otherwise a new channel would share the old one's connection and its back-off.
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  arguments.SetMaxReceiveMessageSize(max_receive_bytes);
  return arguments;
}

void LiveCalls::Add() {
  std::lock_guard guard(mutex_);
  ++count_;
}

void LiveCalls::Remove() {
  std::lock_guard guard(mutex_);
  --count_;
  changed_.notify_all();
}

void LiveCalls::AwaitNone() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return count_ == 0; });
}

}  // namespace rota
