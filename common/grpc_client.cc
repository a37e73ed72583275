#include "common/grpc_client.h"

#include <grpcpp/security/credentials.h>
#include <grpcpp/security/tls_certificate_provider.h>
#include <grpcpp/security/tls_credentials_options.h>

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "common/pem.h"
#include "common/status_macros.h"

namespace rota {
namespace {

// What may be under way on one stream: 20 MiB/s over a road of 50 ms.
constexpr int kStreamWindowBytes = 1 << 20;

}  // namespace

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
  return grpc::experimental::TlsCredentials(options);
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
