#include "controller/publish/object_events.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "controller/source/kube_source.h"

namespace rota::publish {
namespace {

using reconcile::ConditionStatus;

kube::Event About(const kube::Resource& resource, const resource::ObjectName& name,
                  const std::string& uid) {
  kube::Event event;
  event.regarding = {resource.group + "/" + resource.version, resource.kind, name.ns, name.name,
                     uid};
  return event;
}

// "gpt-4o (production, openai: quota), o1 (sandbox, https://api.example.com/v1: failures)"; in the
// order of their names, so that the same set is the same text.
std::string ListOf(const std::vector<ShownSuspension>& items) {
  std::vector<std::string> names;
  for (const ShownSuspension& item : items) {
    names.push_back(absl::StrCat(item.model, " (", item.environment, ", ", item.endpoint, ": ",
                                 item.reason, ")"));
  }
  std::sort(names.begin(), names.end());
  names.erase(std::unique(names.begin(), names.end()), names.end());
  return absl::StrJoin(names, ", ");
}

// What is news in the conditions of an API or a RotaGateway. `event`: about that object.
// `unresolved`: the reason of an Event about its references.
template <typename Status>
void RecordConditions(const Status& status, kube::Event event, const std::string& unresolved,
                      kube::EventRecorder& recorder) {
  if (status.accepted_is_news && status.accepted.status != ConditionStatus::kUnknown) {
    event.is_warning = status.accepted.status == ConditionStatus::kFalse;
    event.reason = event.is_warning ? "Rejected" : "Accepted";
    event.action = "Compile";
    event.note = status.accepted.message;
    recorder.Record(event);
  }
  if (status.resolved_refs_is_news && status.resolved_refs.status == ConditionStatus::kFalse) {
    event.is_warning = true;
    event.reason = unresolved;
    event.action = "Resolve";
    event.note = status.resolved_refs.message;
    recorder.Record(std::move(event));
  }
}

}  // namespace

void ObjectEvents::OnStatus(const reconcile::ApiStatus& status) {
  {
    std::lock_guard guard(mutex_);
    uids_[status.name] = status.uid;
  }
  RecordConditions(status, About(source::ApiResource(), status.name, status.uid),
                   "ReferenceMissing", recorder_);
}

void ObjectEvents::OnGatewayStatus(const reconcile::GatewayStatus& status) {
  if (status.is_object) {
    RecordConditions(
        status,
        About(source::GatewayResource(), reconcile::ObjectNameOf(status.gateway), status.uid),
        status.resolved_refs.reason, recorder_);
  }
}

void ObjectEvents::OnApiDeleted(const resource::ObjectName& name) {
  std::lock_guard guard(mutex_);
  uids_.erase(name);
}

void ObjectEvents::OnSuspensions(const SuspensionChanges& changes) {
  for (const auto& [name, change] : changes) {
    std::vector<ShownSuspension> refused;
    std::vector<ShownSuspension> suspended;
    for (const ShownSuspension& item : change.added) {
      (item.reason == "auth" ? refused : suspended).push_back(item);
    }
    std::string uid;
    {
      std::lock_guard guard(mutex_);
      const auto found = uids_.find(name);
      uid = found == uids_.end() ? "" : found->second;
    }
    kube::Event event = About(source::ApiResource(), name, uid);
    event.is_warning = true;
    event.action = "Suspend";
    if (!suspended.empty()) {
      event.reason = "ModelsSuspended";
      event.note =
          absl::StrCat("off the rota: ", ListOf(suspended), ". status.suspensions says until when");
      recorder_.Record(event);
    }
    if (!refused.empty()) {
      event.reason = "CredentialRefused";
      event.note = absl::StrCat("the provider refuses the credential: ", ListOf(refused),
                                ". Correct the Secret; the change takes them back at once");
      recorder_.Record(event);
    }
  }
}

}  // namespace rota::publish
