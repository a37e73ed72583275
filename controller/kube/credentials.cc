#include "controller/kube/credentials.h"

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "common/file.h"
#include "common/log.h"
#include "common/status_macros.h"

namespace rota::kube {
namespace {

// The kubelet refreshes a ten-minute token at 80 %: a minute is well before its end.
constexpr Duration kTokenPeriod = std::chrono::minutes(1);
constexpr Duration kCertificatePeriod = std::chrono::minutes(5);
constexpr Duration kExecTimeout = std::chrono::seconds(30);
constexpr size_t kMaxFile = size_t{4} << 20;

}  // namespace

Credentials::Credentials(ClientConfig config, const Clock& clock)
    : config_(std::move(config)),
      clock_(clock),
      token_file_{config_.token_file, kTokenPeriod, {}, {}},
      ca_file_{config_.ca_file, kCertificatePeriod, {}, {}},
      certificate_file_{config_.client_certificate_file, kCertificatePeriod, {}, {}},
      key_file_{config_.client_key_file, kCertificatePeriod, {}, {}} {}

absl::Status Credentials::Refresh(CachedFile& file) {
  if (file.path.empty()) {
    return absl::OkStatus();
  }
  const MonotonicTime now = clock_.Now();
  if (file.read_at.has_value() && now - *file.read_at < file.period) {
    return absl::OkStatus();
  }
  absl::StatusOr<std::string> text = ReadFile(file.path, kMaxFile);
  absl::Status problem = text.status();
  if (text.ok()) {
    SecretString fresh(
        std::string_view(*text).substr(0, absl::StripTrailingAsciiWhitespace(*text).size()));
    WipeString(*text);
    if (!fresh.empty()) {
      file.content = std::move(fresh);
      file.read_at = now;
      return absl::OkStatus();
    }
    problem = absl::InvalidArgumentError(absl::StrCat(file.path, " is empty"));
  }
  if (file.content.empty()) {
    return problem;
  }
  log::Warn("kube", "a credential file cannot be read; the last good content stays in use",
            {{"file", file.path}, {"error", std::string(problem.message())}});
  // Not at every request: the next look is one period away, like after a success.
  file.read_at = now;
  return absl::OkStatus();
}

absl::Status Credentials::RefreshExec(std::stop_token stop) {
  if (!config_.exec.has_value()) {
    return absl::OkStatus();
  }
  if (exec_.has_value() && (!exec_->expires.has_value() || clock_.WallNow() < *exec_->expires)) {
    return absl::OkStatus();
  }
  ASSIGN_OR_RETURN(exec_, RunExecPlugin(*config_.exec, config_, clock_, kExecTimeout, stop));
  exec_at_ = clock_.Now();
  return absl::OkStatus();
}

absl::StatusOr<SecretString> Credentials::Token(std::stop_token stop) {
  std::lock_guard guard(mutex_);
  if (!config_.tls) {
    return SecretString();  // never over plain http
  }
  if (!token_file_.path.empty()) {
    RETURN_IF_ERROR(Refresh(token_file_));
    return token_file_.content;
  }
  if (!config_.token.empty()) {
    return config_.token;
  }
  RETURN_IF_ERROR(RefreshExec(stop));
  return exec_.has_value() ? exec_->token : SecretString();
}

absl::StatusOr<TlsMaterial> Credentials::Tls(std::stop_token stop) {
  std::lock_guard guard(mutex_);
  RETURN_IF_ERROR(Refresh(ca_file_));
  RETURN_IF_ERROR(Refresh(certificate_file_));
  RETURN_IF_ERROR(Refresh(key_file_));
  TlsMaterial fresh;
  fresh.ca = config_.ca_data.empty() ? std::string(ca_file_.content.Reveal()) : config_.ca_data;
  fresh.certificate = config_.client_certificate_data.empty()
                          ? std::string(certificate_file_.content.Reveal())
                          : config_.client_certificate_data;
  fresh.key = config_.client_key_data.empty() ? key_file_.content : config_.client_key_data;
  if (fresh.certificate.empty() && config_.exec.has_value() && config_.tls) {
    RETURN_IF_ERROR(RefreshExec(stop));
    fresh.certificate = exec_->client_certificate;
    fresh.key = exec_->client_key;
  }
  if (tls_.generation == 0 || fresh.ca != tls_.ca || fresh.certificate != tls_.certificate ||
      !(fresh.key == tls_.key)) {
    fresh.generation = tls_.generation + 1;
    tls_ = std::move(fresh);
  }
  return tls_;
}

void Credentials::InvalidateOlderThan(MonotonicTime start) {
  std::lock_guard guard(mutex_);
  if (token_file_.read_at.has_value() && *token_file_.read_at <= start) {
    token_file_.read_at.reset();
  }
  if (exec_.has_value() && exec_at_ <= start) {
    exec_.reset();
  }
}

}  // namespace rota::kube
