#include "controller/kube_status_sink.h"

#include <utility>

#include "controller/reconcile/status_json.h"

namespace rota::controller {

KubeStatusSink::KubeStatusSink(source::KubeStatusWriter& writer, std::string gateway)
    : writer_(writer), gateway_(std::move(gateway)) {}

void KubeStatusSink::OnStatus(const reconcile::ApiStatus& status) {
  writer_.Write(status.name, status.uid, status.generation, reconcile::ToJson(status, gateway_));
}

void KubeStatusSink::OnApiDeleted(const resource::ObjectName& name) { writer_.Forget(name); }

}  // namespace rota::controller
