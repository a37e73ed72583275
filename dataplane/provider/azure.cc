#include "dataplane/provider/azure.h"

#include "dataplane/provider/sigv4.h"
#include "fmt/format.h"

namespace rota::provider {
namespace {

// The last segment but one is "deployments".
bool NamesDeployment(std::string_view base_path) {
  const size_t last = base_path.rfind('/');
  return last != std::string_view::npos && base_path.substr(0, last).ends_with("/deployments");
}

// What stands between the base path and the operation.
std::string Between(const TargetContext& target) {
  const std::string_view base = target.base_path;
  if (NamesDeployment(base) || base.ends_with("/openai/v1") || base.ends_with("/models")) {
    return "";
  }
  return fmt::format("{}/deployments/{}", base.ends_with("/openai") ? "" : "/openai",
                     PercentEncoded(AzureDeployment(target)));
}

}  // namespace

bool AzureTakesStreamOptions(std::string_view version) {
  // Versions are dates, with "-preview" behind some; "preview" and "v1" are later than all of them.
  return version.empty() || version >= "2024-09-01";
}

std::string_view AzureDeployment(const TargetContext& target) {
  return target.options->deployment.empty() ? target.model
                                            : std::string_view(target.options->deployment);
}

std::string AzurePath(std::string_view operation, const TargetContext& target) {
  const std::string path = Between(target).append(operation);
  const std::string_view version = target.options->api_version;
  if (version.empty() && target.base_path.ends_with("/openai/v1")) {
    return path;  // the version is in the path there
  }
  return fmt::format("{}?api-version={}", path,
                     PercentEncoded(version.empty() ? kAzureVersion : version));
}

}  // namespace rota::provider
