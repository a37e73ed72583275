#include "dataplane/engine/certificate_set.h"

#include <algorithm>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "common/server_certificate.h"
#include "dataplane/engine/tls.h"

namespace rota::engine {
namespace {

int ChooseCertificate(SSL* ssl, int*, void* set) {
  const char* const name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
  SSL_set_SSL_CTX(ssl,
                  static_cast<const CertificateSet*>(set)->Choose(name == nullptr ? "" : name));
  return name == nullptr ? SSL_TLSEXT_ERR_NOACK : SSL_TLSEXT_ERR_OK;
}

bool IsWildcardFor(std::string_view pattern, std::string_view name) {
  return pattern.starts_with("*.") && name.size() >= pattern.size() &&
         name.ends_with(pattern.substr(1));
}

// The certificate as a context; null and the reason when it cannot be used.
SslContext MakeContext(const table::ServerCertificate& certificate, std::string& problem) {
  SslContext context = NewServerContext();
  const absl::Status used =
      context == nullptr
          ? absl::ResourceExhaustedError("out of memory for a TLS context")
          : UseServerCertificate(context.get(), certificate.chain, certificate.key.Reveal());
  if (used.ok()) {
    return context;
  }
  problem = std::string(used.message());
  return nullptr;
}

}  // namespace

CertificateSet::CertificateSet(const std::vector<table::ServerCertificate>& certificates,
                               const CertificateSet* before,
                               std::vector<CertificateProblem>& problems) {
  for (const table::ServerCertificate& certificate : certificates) {
    const Entry* const known =
        before == nullptr ? nullptr : before->FindListener(certificate.listener);
    Entry entry{certificate.listener, certificate.hostname, certificate.version, nullptr};
    if (known != nullptr && (certificate.version == 0 || known->version == certificate.version)) {
      entry.context = known->context;
      entry.version = known->version;
    } else if (certificate.version != 0) {
      std::string problem;
      entry.context = MakeContext(certificate, problem);
      if (entry.context == nullptr) {
        problems.push_back({certificate.listener, std::move(problem)});
        entry.context = known == nullptr ? nullptr : known->context;
        entry.version = known == nullptr ? 0 : known->version;
      }
    }
    if (entry.context != nullptr) {
      entries_.push_back(std::move(entry));
    }
  }
  if (entries_.empty()) {
    return;
  }
  front_ = NewServerContext();
  if (front_ != nullptr) {
    // The macros for these cast in a way that our warnings refuse.
    SSL_CTX_callback_ctrl(front_.get(), SSL_CTRL_SET_TLSEXT_SERVERNAME_CB,
                          reinterpret_cast<void (*)()>(ChooseCertificate));
    SSL_CTX_ctrl(front_.get(), SSL_CTRL_SET_TLSEXT_SERVERNAME_ARG, 0, this);
  }
}

const CertificateSet::Entry* CertificateSet::FindListener(const std::string& listener) const {
  const auto found = std::find_if(entries_.begin(), entries_.end(),
                                  [&](const Entry& entry) { return entry.listener == listener; });
  return found == entries_.end() ? nullptr : &*found;
}

bool CertificateSet::IsMadeOf(const std::vector<table::ServerCertificate>& certificates) const {
  return std::equal(entries_.begin(), entries_.end(), certificates.begin(), certificates.end(),
                    [](const Entry& entry, const table::ServerCertificate& certificate) {
                      return entry.listener == certificate.listener &&
                             entry.hostname == certificate.hostname &&
                             entry.version == certificate.version;
                    });
}

SSL_CTX* CertificateSet::Choose(std::string_view server_name) const {
  const std::string name =
      absl::AsciiStrToLower(absl::string_view(server_name.data(), server_name.size()));
  const Entry* best = nullptr;
  for (const Entry& entry : entries_) {
    if (!name.empty() && entry.hostname == name) {
      return entry.context.get();
    }
    const bool is_better = best == nullptr || entry.hostname.size() > best->hostname.size();
    if ((entry.hostname.empty() || IsWildcardFor(entry.hostname, name)) && is_better) {
      best = &entry;
    }
  }
  return (best == nullptr ? entries_.front() : *best).context.get();
}

}  // namespace rota::engine
