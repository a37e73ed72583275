#pragma once

// The identity of a client, kept fresh: bearer token (file re-read at most once a minute, plugin
// re-run when it expires), client certificate and CA bundle (files re-read every five minutes). A
// file that cannot be read leaves the last good value in force: kubelet swaps them while we look.
//
// Thread-safe; Token() and Tls() may block on a credential plugin (at most 30 s).

#include <cstdint>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>

#include "absl/status/statusor.h"
#include "common/clock.h"
#include "common/secret.h"
#include "controller/kube/config.h"
#include "controller/kube/exec_plugin.h"

namespace rota::kube {

// What a new connection is made with.
struct TlsMaterial {
  std::string ca;  // PEM; "" = the system's roots
  std::string certificate;
  SecretString key;
  // Changes when any of the above does: connections of an older generation are not used again.
  uint64_t generation = 0;
};

class Credentials {
 public:
  Credentials(ClientConfig config, const Clock& clock);

  const ClientConfig& config() const { return config_; }

  // The bearer token, empty when the identity has none.
  absl::StatusOr<SecretString> Token(std::stop_token stop);
  absl::StatusOr<TlsMaterial> Tls(std::stop_token stop);

  // The server said 401 to a request that began at `start`: what was read before then is not used
  // again.
  void InvalidateOlderThan(MonotonicTime start);

 private:
  // A file's content and when it was read.
  struct CachedFile {
    std::string path;
    Duration period{};
    SecretString content;
    std::optional<MonotonicTime> read_at;
  };

  absl::Status Refresh(CachedFile& file);
  absl::Status RefreshExec(std::stop_token stop);

  const ClientConfig config_;
  const Clock& clock_;
  std::mutex mutex_;
  CachedFile token_file_;
  CachedFile ca_file_;
  CachedFile certificate_file_;
  CachedFile key_file_;
  std::optional<ExecCredential> exec_;
  MonotonicTime exec_at_{};
  TlsMaterial tls_;
};

}  // namespace rota::kube
