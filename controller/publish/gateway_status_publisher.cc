#include "controller/publish/gateway_status_publisher.h"

#include "controller/reconcile/status_json.h"
#include "nlohmann/json.hpp"

namespace rota::publish {
namespace {

using nlohmann::json;
using reconcile::ObjectNameOf;

}  // namespace

void GatewayStatusPublisher::OnGatewayStatus(const reconcile::GatewayStatus& status) {
  if (!status.is_object) {
    OnGatewayDeleted(status.gateway);  // the object is gone, the command line has it
    return;
  }
  const resource::ObjectName name = ObjectNameOf(status.gateway);
  json content = reconcile::ToJson(status);
  std::lock_guard guard(mutex_);
  told_[name] = {status.uid, content.dump(-1, ' ', false, json::error_handler_t::replace)};
  writer_.Write(name, status.uid, std::move(content));
}

void GatewayStatusPublisher::OnGatewayDeleted(const std::string& gateway) {
  const resource::ObjectName name = ObjectNameOf(gateway);
  std::lock_guard guard(mutex_);
  told_.erase(name);
  writer_.Forget(name);
}

void GatewayStatusPublisher::TellAll() {
  std::lock_guard guard(mutex_);
  for (const auto& [name, told] : told_) {
    writer_.Write(name, told.uid, json::parse(told.status, nullptr, false));
  }
}

}  // namespace rota::publish
