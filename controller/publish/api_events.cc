#include "controller/publish/api_events.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "controller/source/kube_source.h"

namespace rota::publish {
namespace {

using reconcile::ConditionStatus;

kube::Event About(const resource::ObjectName& name, const std::string& uid) {
  const kube::Resource resource = source::ApiResource();
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

}  // namespace

void ApiEvents::OnStatus(const reconcile::ApiStatus& status) {
  {
    std::lock_guard guard(mutex_);
    uids_[status.name] = status.uid;
  }
  if (status.accepted_is_news && status.accepted.status != ConditionStatus::kUnknown) {
    kube::Event event = About(status.name, status.uid);
    event.is_warning = status.accepted.status == ConditionStatus::kFalse;
    event.reason = event.is_warning ? "Rejected" : "Accepted";
    event.action = "Compile";
    event.note = status.accepted.message;
    recorder_.Record(std::move(event));
  }
  if (status.resolved_refs_is_news && status.resolved_refs.status == ConditionStatus::kFalse) {
    kube::Event event = About(status.name, status.uid);
    event.is_warning = true;
    event.reason = "ReferenceMissing";
    event.action = "Resolve";
    event.note = status.resolved_refs.message;
    recorder_.Record(std::move(event));
  }
}

void ApiEvents::OnApiDeleted(const resource::ObjectName& name) {
  std::lock_guard guard(mutex_);
  uids_.erase(name);
}

void ApiEvents::OnSuspensions(const SuspensionChanges& changes) {
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
    kube::Event event = About(name, uid);
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
