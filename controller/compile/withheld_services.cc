#include "controller/compile/withheld_services.h"

#include <optional>

#include "controller/compile/api_body.h"
#include "controller/resource/foreign_ref.h"
#include "rota/sync/v1/config.pb.h"

namespace rota::compile {

namespace pb = rota::sync::v1;

std::shared_ptr<const ResourceBody> BodyWithout(const std::set<resource::ObjectName>& services,
                                                const CompiledApi& api) {
  pb::Api message;
  if (services.empty() || !message.ParseFromString(api.body->bytes)) {
    return api.body;  // they can be read: they are our own bytes
  }
  for (pb::Endpoint& endpoint : *message.mutable_endpoints()) {
    const std::optional<resource::ObjectName> service =
        resource::ForeignServiceOf(api.name.ns, endpoint.url());
    if (!service.has_value() || !services.contains(*service)) {
      continue;
    }
    pb::Credential credential;
    credential.set_place(pb::Credential::HEADER);
    credential.set_name("authorization");
    credential.mutable_value()->set_secret(service->ToString());
    credential.mutable_value()->set_key("grant");
    *endpoint.mutable_credential() = credential;
  }
  return ApiBody(message);
}

}  // namespace rota::compile
