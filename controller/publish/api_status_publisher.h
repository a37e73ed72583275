#pragma once

// An API's status in Kubernetes: what the reconciler says of it, and its suspensions. Keeps the
// newest of both for every API, also while another controller writes, so that one that becomes the
// leader can tell all of it.
//
// Thread-safe. Bounded by the APIs that exist.

#include <map>
#include <mutex>
#include <string>

#include "controller/publish/suspension_book.h"
#include "controller/reconcile/status_sink.h"
#include "controller/source/kube_status.h"

namespace rota::publish {

class ApiStatusPublisher final : public reconcile::StatusSink {
 public:
  // `writer`, of APIs, outlives the publisher.
  explicit ApiStatusPublisher(source::KubeStatusWriter& writer) : writer_(writer) {}

  void OnStatus(const reconcile::ApiStatus& status) override;
  void OnApiDeleted(const resource::ObjectName& name) override;
  void OnGatewayStatus(const reconcile::GatewayStatus&) override {}
  void OnGatewayDeleted(const std::string&) override {}
  // The Kubernetes API has no resource for problems that belong to no object; StatusBoard shows
  // them.
  void OnProblems(const std::vector<source::SourceProblem>&) override {}

  void OnSuspensions(const SuspensionChanges& changes);
  // Gives the writer every status again.
  void TellAll();
  // Forgets the suspensions: nobody keeps them up to date any more.
  void ForgetSuspensions();

 private:
  struct Told {
    std::string uid;
    std::string status;  // as text: a tenth of the memory of the parsed form
    ShownSuspensions suspensions;
  };

  // REQUIRES: mutex_.
  void Write(const resource::ObjectName& name, const Told& told, source::StatusCause cause);

  source::KubeStatusWriter& writer_;
  // Held while the writer is told: what is told later is newer.
  std::mutex mutex_;
  std::map<resource::ObjectName, Told> told_;
};

}  // namespace rota::publish
