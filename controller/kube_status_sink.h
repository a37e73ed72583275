#pragma once

// Statuses of the reconciler to the Kubernetes API. Thread-compatible (owner: the reconciler's
// thread).

#include <string>

#include "controller/reconcile/status_sink.h"
#include "controller/source/kube_status.h"

namespace rota::controller {

class KubeStatusSink final : public reconcile::StatusSink {
 public:
  // `writer` outlives the sink; `gateway` is "<namespace>/<name>".
  KubeStatusSink(source::KubeStatusWriter& writer, std::string gateway);

  void OnStatus(const reconcile::ApiStatus& status) override;
  void OnApiDeleted(const resource::ObjectName& name) override;
  // The Kubernetes API has no resource for problems that belong to no object; StatusBoard shows
  // them.
  void OnProblems(const std::vector<source::SourceProblem>&) override {}

 private:
  source::KubeStatusWriter& writer_;
  const std::string gateway_;
};

}  // namespace rota::controller
