#pragma once

// Store in Kubernetes: the Secrets PREFIX-ca and PREFIX-controller-tls and the ConfigMap
// PREFIX-ca-bundle of one namespace. Each write is a merge patch that holds the version that was
// read, or a create, so of two writers one loses; labels and whatever else somebody put on the
// objects stay.
//
// Needs get, create and patch on them; get and patch will do when they exist already, empty.
// Thread-compatible.

#include <string>

#include "controller/identity/store.h"
#include "controller/kube/transport.h"
#include "nlohmann/json.hpp"

namespace rota::identity {

class KubeStore final : public Store {
 public:
  // `transport` outlives the store.
  KubeStore(kube::HttpTransport& transport, std::string ns, const std::string& prefix);

  absl::StatusOr<Seen> Read(bool with_authority, std::stop_token stop) override;
  absl::Status Write(const Change& change, const Seen& seen, std::stop_token stop) override;

  // For people: "rota-system/rota-controller-tls".
  std::string serving_name() const { return ns_ + "/" + serving_; }

 private:
  // Null: there is no such object.
  absl::StatusOr<nlohmann::json> Get(const std::string& plural, const std::string& name,
                                     std::stop_token stop);
  absl::Status Send(const std::string& plural, const std::string& name, const std::string& version,
                    nlohmann::json body, std::stop_token stop);

  kube::HttpTransport& transport_;
  const std::string ns_;
  const std::string authority_;
  const std::string bundle_;
  const std::string serving_;
};

}  // namespace rota::identity
