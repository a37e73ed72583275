#include "dataplane/configuration.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/hash.h"
#include "common/log.h"
#include "dataplane/table/findings.h"

namespace rota::dataplane {
namespace {

void LogFindings(const char* message, const std::vector<rota::sync::v1::Rejection>& findings) {
  for (const rota::sync::v1::Rejection& finding : findings) {
    log::Warn("configuration", message,
              {{"name", finding.id().name()},
               {"code", rota::sync::v1::Rejection::Code_Name(finding.code())},
               {"field", finding.field()},
               {"reason", finding.message()}});
  }
}

}  // namespace

Configuration::Configuration(table::BuilderOptions options, Context context)
    : context_(context), builder_(std::move(options), *context.registry) {
  table::BuildResult empty = builder_.Build({}, "");
  context_.table->Publish(empty.table);
  builder_.Commit(empty);
}

sync::ApplyResult Configuration::Apply(const sync::ResourceMap& wanted,
                                       const sync::ChangedKeys& changed,
                                       const std::string& snapshot_hash) {
  const MonotonicTime start = context_.clock->Now();
  std::lock_guard guard(mutex_);
  table::BuildResult result = builder_.Build(wanted, snapshot_hash, changed);
  Publish(result);
  SetCertificates(wanted, result);
  result.refused = table::OnePerResource(std::move(result.refused));
  context_.state_metrics->RecordApplied(context_.clock->Now() - start);
  log::Info("configuration", "snapshot in use",
            {{"snapshot", HexEncode(snapshot_hash).substr(0, 16)},
             {"apis", result.table->apis().size()},
             {"rejected", result.rejected.size()},
             {"refused", result.refused.size()}});
  LogFindings("resource rejected; the version before stays", result.rejected);
  LogFindings("not served as configured", result.refused);
  return {.rejected = std::move(result.rejected), .refused = std::move(result.refused)};
}

void Configuration::Publish(const table::BuildResult& result) {
  context_.table->Publish(result.table);
  context_.request_metrics->Retire(builder_.Commit(result));
  for (const std::string& target : result.changed_credentials) {
    context_.registry->Lift(target, context_.clock->Now(), result.table->generation());
  }
}

void Configuration::SetIdentity(const std::string& name, const table::Identity& identity) {
  std::lock_guard guard(mutex_);
  Publish(builder_.BuildWithIdentity(name, identity));
}

void Configuration::SetCertificates(const sync::ResourceMap& wanted, table::BuildResult& result) {
  if (result.certificates.has_value() && context_.set_certificates != nullptr) {
    certificate_problems_ = context_.set_certificates(*result.certificates);
  }
  const auto gateway = wanted.lower_bound({rota::sync::v1::GATEWAY, ""});
  if (gateway == wanted.end()) {
    return;
  }
  for (const engine::CertificateProblem& certificate : certificate_problems_) {
    rota::sync::v1::Rejection problem;
    *problem.mutable_id() = gateway->second->id();
    problem.set_rejected_hash(gateway->second->hash());
    problem.set_kept_hash(gateway->second->hash());
    problem.set_code(rota::sync::v1::Rejection::INVALID);
    problem.set_field("listeners");
    problem.set_message(absl::StrCat(certificate.listener, ": ", certificate.message));
    result.refused.push_back(std::move(problem));
  }
}

}  // namespace rota::dataplane
