#include "controller/publish/api_status_publisher.h"

#include <utility>

#include "controller/reconcile/status_json.h"
#include "nlohmann/json.hpp"

namespace rota::publish {

using nlohmann::json;
using source::StatusCause;

void ApiStatusPublisher::OnStatus(const reconcile::ApiStatus& status) {
  std::lock_guard guard(mutex_);
  Told& told = told_[status.name];
  if (!told.uid.empty() && told.uid != status.uid) {
    told = Told();  // a namesake has suspensions of its own
  }
  told.uid = status.uid;
  told.status = reconcile::ToJson(status).dump(-1, ' ', false, json::error_handler_t::replace);
  Write(status.name, told, StatusCause::kSpec);
}

void ApiStatusPublisher::OnApiDeleted(const resource::ObjectName& name) {
  std::lock_guard guard(mutex_);
  told_.erase(name);
  writer_.Forget(name);
}

void ApiStatusPublisher::OnSuspensions(const SuspensionChanges& changes) {
  std::lock_guard guard(mutex_);
  for (const auto& [name, change] : changes) {
    Told& told = told_[name];  // an API of a snapshot: its status has been told, or is on its way
    told.suspensions = change.now;
    Write(name, told, StatusCause::kSuspension);
  }
}

void ApiStatusPublisher::TellAll() {
  std::vector<resource::ObjectName> names;
  {
    std::lock_guard guard(mutex_);
    for (const auto& [name, told] : told_) {
      names.push_back(name);
    }
  }
  for (const resource::ObjectName& name : names) {
    std::lock_guard guard(mutex_);  // for one at a time: the reconciler has news meanwhile
    if (const auto told = told_.find(name); told != told_.end()) {
      Write(name, told->second, StatusCause::kSpec);
    }
  }
}

void ApiStatusPublisher::ForgetSuspensions() {
  std::lock_guard guard(mutex_);
  for (auto& [name, told] : told_) {
    told.suspensions = ShownSuspensions();
  }
}

void ApiStatusPublisher::Write(const resource::ObjectName& name, const Told& told,
                               StatusCause cause) {
  if (told.status.empty()) {
    return;  // a suspension of an API whose status has not been told yet
  }
  json status = json::parse(told.status, nullptr, false);
  AddTo(told.suspensions, status);
  writer_.Write(name, told.uid, std::move(status), cause);
}

}  // namespace rota::publish
