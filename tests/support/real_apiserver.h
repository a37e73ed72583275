#pragma once

// A real kube-apiserver with its etcd, started from the directory in ROTA_KUBE_BINARIES (see
// scripts/kube-binaries), in a temporary folder of its own, with certificates made in memory. The
// processes die with the thread that started them.
//
// Single-thread (the test's).

#include <sys/types.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "controller/kube/config.h"
#include "tests/support/certificates.h"

namespace rota::testing {

class RealApiServer {
 public:
  // "" when ROTA_KUBE_BINARIES is not set: the test must be skipped, loudly.
  static std::string BinariesDirectory();
  // What GTEST_SKIP says then.
  static const char* SkipMessage();

  // Starts both and waits for /readyz.
  static absl::StatusOr<std::unique_ptr<RealApiServer>> Start(const std::string& binaries);
  ~RealApiServer();

  // The administrator's identity, by token.
  kube::ClientConfig ClientConfig() const;
  // An ordinary user without any right.
  kube::ClientConfig PowerlessConfig() const;
  // A kubeconfig of the administrator; the token stands in it.
  std::string kubeconfig() const { return folder_ + "/kubeconfig"; }
  const std::string& folder() const { return folder_; }

  // kubectl with that kubeconfig; `input` goes to stdin. The output, or an error that holds stderr.
  absl::StatusOr<std::string> Kubectl(const std::vector<std::string>& arguments,
                                      const std::string& input = "");

  // The API server alone; etcd stays, so nothing is lost. Same port.
  absl::Status StopApiServer();
  absl::Status StartApiServer();
  // etcd alone, with what it has on disk. The API server stays up and recovers by itself: calls
  // may fail for some seconds.
  absl::Status RestartEtcd();
  // Makes etcd forget every version but the newest and gives the space back (what `etcdctl
  // compact` and `etcdctl defrag` do).
  absl::Status CompactEtcd();

 private:
  RealApiServer() = default;
  absl::Status WriteFiles();
  absl::Status StartEtcd();
  absl::Status AwaitReady();
  absl::StatusOr<pid_t> Launch(const std::vector<std::string>& arguments, const std::string& log);
  static void End(pid_t& pid);

  std::string binaries_;
  std::string folder_;
  KeyPair authority_;
  uint16_t etcd_port_ = 0;
  uint16_t peer_port_ = 0;
  uint16_t port_ = 0;
  pid_t etcd_ = -1;
  pid_t apiserver_ = -1;
};

}  // namespace rota::testing
