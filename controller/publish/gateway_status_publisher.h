#pragma once

// A RotaGateway's status in Kubernetes, as the reconciler says it. Keeps the newest one of every
// gateway, also while another controller writes, so that one that becomes the leader can tell all
// of it. The gateway of the command line has no object, and so no status there.
//
// Thread-safe. Bounded by the gateways that exist.

#include <map>
#include <mutex>
#include <string>

#include "controller/reconcile/status_sink.h"
#include "controller/source/kube_status.h"

namespace rota::publish {

class GatewayStatusPublisher final : public reconcile::StatusSink {
 public:
  // `writer`, of RotaGateways, outlives the publisher.
  explicit GatewayStatusPublisher(source::KubeStatusWriter& writer) : writer_(writer) {}

  void OnStatus(const reconcile::ApiStatus&) override {}
  void OnApiDeleted(const resource::ObjectName&) override {}
  void OnGatewayStatus(const reconcile::GatewayStatus& status) override;
  void OnGatewayDeleted(const std::string& gateway) override;
  void OnProblems(const std::vector<source::SourceProblem>&) override {}

  // Gives the writer every status again.
  void TellAll();

 private:
  struct Told {
    std::string uid;
    std::string status;  // as text: a tenth of the memory of the parsed form
  };

  source::KubeStatusWriter& writer_;
  // Held while the writer is told: what is told later is newer.
  std::mutex mutex_;
  std::map<resource::ObjectName, Told> told_;
};

}  // namespace rota::publish
