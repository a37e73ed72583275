#pragma once

// Where statuses go: to the Kubernetes API, or to the log and /debug in directory mode.

#include <string>
#include <vector>

#include "controller/reconcile/gateway_status.h"
#include "controller/reconcile/status.h"
#include "controller/source/object.h"

namespace rota::reconcile {

// Called from the reconciler's thread, one call at a time, without a lock; must not block.
class StatusSink {
 public:
  virtual ~StatusSink() = default;
  // A status that differs from the one told before.
  virtual void OnStatus(const ApiStatus& status) = 0;
  virtual void OnApiDeleted(const resource::ObjectName& name) = 0;
  // The status of a gateway, of the command line's as well.
  virtual void OnGatewayStatus(const GatewayStatus& status) = 0;
  // `gateway` is "<namespace>/<name>".
  virtual void OnGatewayDeleted(const std::string& gateway) = 0;
  // The current problems of the source, whole list each time.
  virtual void OnProblems(const std::vector<source::SourceProblem>& problems) = 0;
};

}  // namespace rota::reconcile
