#pragma once

// What a person is told by Events. About an API: accepted, rejected, a reference missing, models
// suspended (one Event for all of one look), a credential refused by its provider. About a
// RotaGateway: accepted, rejected, a certificate missing or of no use. What the resource said
// already is no news. Notes hold no times and no counts, so that what happens again is one Event
// with a count.
//
// Thread-safe. Bounded by the APIs that exist.

#include <map>
#include <mutex>
#include <string>

#include "controller/kube/event_recorder.h"
#include "controller/publish/suspension_book.h"
#include "controller/reconcile/status_sink.h"

namespace rota::publish {

class ObjectEvents final : public reconcile::StatusSink {
 public:
  // `recorder` outlives this.
  explicit ObjectEvents(kube::EventRecorder& recorder) : recorder_(recorder) {}

  void OnStatus(const reconcile::ApiStatus& status) override;
  void OnApiDeleted(const resource::ObjectName& name) override;
  void OnGatewayStatus(const reconcile::GatewayStatus& status) override;
  void OnGatewayDeleted(const std::string&) override {}
  void OnProblems(const std::vector<source::SourceProblem>&) override {}

  void OnSuspensions(const SuspensionChanges& changes);

 private:
  kube::EventRecorder& recorder_;
  std::mutex mutex_;
  std::map<resource::ObjectName, std::string> uids_;
};

}  // namespace rota::publish
