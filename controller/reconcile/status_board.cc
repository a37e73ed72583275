#include "controller/reconcile/status_board.h"

#include <algorithm>
#include <utility>

#include "common/log.h"
#include "controller/reconcile/status_json.h"

namespace rota::reconcile {
namespace {

constexpr const char* kComponent = "reconcile";

bool IsSame(const source::SourceProblem& a, const source::SourceProblem& b) {
  return a.file == b.file && a.line == b.line && a.message == b.message;
}

bool Contains(const std::vector<source::SourceProblem>& all, const source::SourceProblem& one) {
  return std::any_of(all.begin(), all.end(),
                     [&](const source::SourceProblem& problem) { return IsSame(problem, one); });
}

void LogCondition(const std::string& message, nlohmann::json fields, const std::string& file,
                  const Condition& condition) {
  fields["condition"] = condition.type;
  fields["status"] = ToString(condition.status);
  fields["reason"] = condition.reason;
  fields["detail"] = condition.message;
  if (!file.empty()) {
    fields["file"] = file;
  }
  const auto level =
      condition.status == ConditionStatus::kFalse ? log::Level::kWarn : log::Level::kInfo;
  log::Write(level, kComponent, message, fields);
}

}  // namespace

void StatusBoard::OnStatus(const ApiStatus& status) {
  ApiStatus before;
  {
    std::lock_guard guard(mutex_);
    before = std::exchange(statuses_[status.name], status);
  }
  if (!logs_statuses_) {
    return;
  }
  const std::pair<const Condition*, const Condition*> pairs[] = {
      {&before.accepted, &status.accepted},
      {&before.resolved_refs, &status.resolved_refs},
      {&before.programmed, &status.programmed}};
  for (const auto& [old_condition, condition] : pairs) {
    if (!SaysTheSame(*old_condition, *condition)) {
      LogCondition("the condition of an API has changed",
                   {{"kind", "API"}, {"namespace", status.name.ns}, {"name", status.name.name}},
                   status.file, *condition);
    }
  }
}

void StatusBoard::OnApiDeleted(const resource::ObjectName& name) {
  {
    std::lock_guard guard(mutex_);
    statuses_.erase(name);
  }
  if (logs_statuses_) {
    log::Info(kComponent, "an API is gone",
              {{"kind", "API"}, {"namespace", name.ns}, {"name", name.name}});
  }
}

void StatusBoard::OnGatewayStatus(const GatewayStatus& status) {
  GatewayStatus before;
  {
    std::lock_guard guard(mutex_);
    before = std::exchange(gateways_[status.gateway], status);
  }
  // That data planes come and go is in their own logs.
  if (!logs_statuses_ || !status.is_object) {
    return;
  }
  for (const auto& condition : {&GatewayStatus::accepted, &GatewayStatus::resolved_refs}) {
    if (!SaysTheSame(before.*condition, status.*condition)) {
      LogCondition("the condition of a gateway has changed",
                   {{"kind", "RotaGateway"}, {"gateway", status.gateway}}, status.file,
                   status.*condition);
    }
  }
}

void StatusBoard::OnGatewayDeleted(const std::string& gateway) {
  {
    std::lock_guard guard(mutex_);
    gateways_.erase(gateway);
  }
  log::Info(kComponent, "a gateway is gone; its data planes keep what they have",
            {{"kind", "RotaGateway"}, {"gateway", gateway}});
}

void StatusBoard::OnProblems(const std::vector<source::SourceProblem>& problems) {
  std::vector<source::SourceProblem> before;
  {
    std::lock_guard guard(mutex_);
    before = std::exchange(problems_, problems);
  }
  for (const source::SourceProblem& problem : problems) {
    if (!Contains(before, problem)) {
      log::Warn(kComponent, problem.message, {{"file", problem.file}, {"line", problem.line}});
    }
  }
  for (const source::SourceProblem& problem : before) {
    if (!Contains(problems, problem)) {
      log::Info(kComponent, "a problem is solved: " + problem.message,
                {{"file", problem.file}, {"line", problem.line}});
    }
  }
}

std::vector<ApiStatus> StatusBoard::Statuses() const {
  std::lock_guard guard(mutex_);
  std::vector<ApiStatus> statuses;
  for (const auto& [name, status] : statuses_) {
    statuses.push_back(status);
  }
  return statuses;
}

std::vector<source::SourceProblem> StatusBoard::Problems() const {
  std::lock_guard guard(mutex_);
  return problems_;
}

nlohmann::json StatusBoard::ToJson() const {
  nlohmann::json apis = nlohmann::json::array();
  for (const ApiStatus& status : Statuses()) {
    nlohmann::json warnings = nlohmann::json::array();
    for (const resource::Diagnostic& warning : status.warnings) {
      warnings.push_back({{"field", warning.field},
                          {"line", warning.line},
                          {"reason", warning.reason},
                          {"message", warning.message}});
    }
    apis.push_back({{"namespace", status.name.ns},
                    {"name", status.name.name},
                    {"file", status.file},
                    {"generation", status.generation},
                    {"status", reconcile::ToJson(status)},
                    {"warnings", std::move(warnings)}});
  }
  nlohmann::json gateways = nlohmann::json::array();
  {
    std::lock_guard guard(mutex_);
    for (const auto& [name, status] : gateways_) {
      gateways.push_back(
          {{"name", name}, {"file", status.file}, {"status", reconcile::ToJson(status)}});
    }
  }
  nlohmann::json problems = nlohmann::json::array();
  for (const source::SourceProblem& problem : Problems()) {
    problems.push_back(
        {{"file", problem.file}, {"line", problem.line}, {"message", problem.message}});
  }
  return {{"apis", std::move(apis)},
          {"gateways", std::move(gateways)},
          {"problems", std::move(problems)}};
}

}  // namespace rota::reconcile
