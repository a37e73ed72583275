#pragma once

// Remembers the newest status of every API and the source's problems for /debug, and logs their
// changes: all that a user of directory mode has, and useful beside Kubernetes. Thread-safe.

#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "controller/reconcile/status_sink.h"
#include "nlohmann/json.hpp"

namespace rota::reconcile {

class StatusBoard final : public StatusSink {
 public:
  // `logs_statuses` false: only problems of the source are logged.
  explicit StatusBoard(bool logs_statuses = true) : logs_statuses_(logs_statuses) {}

  void OnStatus(const ApiStatus& status) override;
  void OnApiDeleted(const resource::ObjectName& name) override;
  void OnGatewayStatus(const GatewayStatus& status) override;
  void OnGatewayDeleted(const std::string& gateway) override;
  void OnProblems(const std::vector<source::SourceProblem>& problems) override;

  std::vector<ApiStatus> Statuses() const;
  std::vector<source::SourceProblem> Problems() const;
  // {"apis":[{"namespace","name","file","generation","status":{...},"warnings":[...]}],
  // "gateways":[{"name","file","status":{...}}],"problems":[...]}
  nlohmann::json ToJson() const;

 private:
  const bool logs_statuses_;
  mutable std::mutex mutex_;
  std::map<resource::ObjectName, ApiStatus> statuses_;
  std::map<std::string, GatewayStatus> gateways_;
  std::vector<source::SourceProblem> problems_;
};

}  // namespace rota::reconcile
