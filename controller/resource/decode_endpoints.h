#pragma once

// endpointConfigurations: where requests may go, with which credential and time-outs. Pure; see
// decode.h.

#include <string>

#include "controller/resource/api.h"
#include "controller/resource/reader.h"

namespace rota::resource {

// `ns`: the API's namespace.
EndpointConfigurations DecodeEndpoints(const nlohmann::json& value, const FieldPath& path,
                                       const std::string& ns, Reporter& reporter);

// Warns where several endpoints are given and nothing chooses between them: without a model policy
// requests go to the first.
void WarnAboutUnusedEndpoints(const EndpointConfigurations& endpoints, const FieldPath& path,
                              Reporter& reporter);

// What an endpoint refuses to be: the address of a pod in another namespace, which nothing can
// grant (a service can be granted: see foreign_ref.h). Reports and returns false.
bool CheckPodAddress(const std::string& url, const std::string& ns, const FieldPath& path,
                     Reporter& reporter);

}  // namespace rota::resource
