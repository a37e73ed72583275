#include "controller/identity/kube_call.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/secret.h"
#include "common/version.h"
#include "controller/kube/error.h"

namespace rota::identity {
namespace {

kube::HttpLimits Limits() {
  kube::HttpLimits limits;
  limits.idle_timeout = std::chrono::seconds(5);
  limits.body_deadline = std::chrono::seconds(10);
  limits.max_body_bytes = size_t{4} << 20;  // a Secret has 1 MiB at most
  return limits;
}

}  // namespace

void WipeStrings(nlohmann::json& value) {
  if (value.is_string()) {
    WipeString(value.get_ref<std::string&>());
  } else if (value.is_structured()) {
    for (nlohmann::json& part : value) {
      WipeStrings(part);
    }
  }
}

absl::StatusOr<nlohmann::json> CallKube(kube::HttpTransport& transport, kube::HttpRequest request,
                                        std::string_view what, std::stop_token stop) {
  request.headers.emplace_back("Accept", "application/json");
  request.headers.emplace_back("User-Agent",
                               absl::StrCat("rota-controller/", std::string(Version())));
  absl::StatusOr<kube::HttpResponse> response = transport.Send(request, Limits(), stop);
  if (response.ok() && response->status == 401) {
    // The transport has dropped the credential that it used; a fresh one may be accepted. All calls
    // here may be made twice.
    response = transport.Send(request, Limits(), stop);
  }
  WipeString(request.body);
  if (!response.ok()) {
    return absl::Status(response.status().code(),
                        absl::StrCat(std::string(what), ": ", response.status().message()));
  }
  if (response->status < 200 || response->status >= 300) {
    return kube::ErrorFromResponse(*response, what);
  }
  nlohmann::json body = nlohmann::json::parse(response->body, nullptr, false);
  WipeString(response->body);
  if (!body.is_object()) {
    return absl::UnavailableError(
        absl::StrCat(std::string(what), ": the answer is not a JSON object"));
  }
  return body;
}

}  // namespace rota::identity
