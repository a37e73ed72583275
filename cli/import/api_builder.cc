#include "cli/import/api_builder.h"

#include <algorithm>
#include <cstdint>
#include <utility>

#include "cli/import/secret_book.h"

namespace rota::importer {
namespace {

constexpr int64_t kMaxWeight = 10'000;

OrderedJson ToJson(const EndpointDraft& draft) {
  OrderedJson endpoint = {{"endpoint", draft.url}};
  if (!draft.provider.empty()) {
    endpoint["provider"] = draft.provider;
  }
  const auto add = [&](const char* key, const OrderedJson& value) {
    if (!value.is_null() && !value.empty()) {
      endpoint[key] = value;
    }
  };
  add("providerOptions", draft.options);
  add("endpointSecurity", draft.security);
  add("resiliency", draft.resiliency);
  return endpoint;
}

}  // namespace

ApiBuilder::ApiBuilder(std::string name, std::string base_path, std::string version)
    : name_(std::move(name)), base_path_(std::move(base_path)), version_(std::move(version)) {}

std::string ApiBuilder::UseEndpoint(const EndpointDraft& draft) {
  const OrderedJson content = ToJson(draft);
  for (const OrderedJson& endpoint : endpoints_) {
    OrderedJson without_name = endpoint;
    without_name.erase("name");
    if (without_name == content) {
      return endpoint["name"].get<std::string>();
    }
  }
  const std::string name =
      UniqueName(NameFrom(draft.name, "endpoint"), [this](const std::string& candidate) {
        return std::any_of(endpoints_.begin(), endpoints_.end(), [&](const OrderedJson& endpoint) {
          return endpoint["name"] == candidate;
        });
      });
  OrderedJson endpoint = {{"name", name}};
  endpoint.update(content);
  endpoints_.push_back(std::move(endpoint));
  return name;
}

void ApiBuilder::AddOperation(std::string_view target, std::string_view kind, bool is_secured) {
  OrderedJson operation = {
      {"target", std::string(target)}, {"verb", "POST"}, {"kind", std::string(kind)}};
  if (!is_secured) {
    operation["secured"] = false;
  }
  operations_.push_back(std::move(operation));
}

ImportedApi ApiBuilder::Build() const {
  OrderedJson parameters = parameters_;
  parameters["productionModels"] = targets_;
  OrderedJson policy = {{"policyName", "ModelBasedRoundRobin"},
                        {"policyVersion", "v1"},
                        {"parameters", std::move(parameters)}};
  OrderedJson spec = {
      {"name", name_},
      {"basePath", base_path_},
      {"version", version_},
      {"defaultVersion", true},
      {"endpointConfigurations", {{"production", endpoints_}}},
      {"operations", operations_},
      {"apiPolicies", {{"request", OrderedJson::array({std::move(policy)})}}},
  };
  return {"", name_, std::move(spec)};
}

bool FitWeights(OrderedJson& targets) {
  int64_t largest = 0;
  for (const OrderedJson& target : targets) {
    largest = std::max(largest, target["weight"].get<int64_t>());
  }
  if (largest <= kMaxWeight) {
    return true;
  }
  for (OrderedJson& target : targets) {
    const auto weight = target["weight"].get<int64_t>();
    const int64_t fitted = weight * kMaxWeight / largest;
    target["weight"] = weight == 0 ? 0 : std::max<int64_t>(fitted, 1);
  }
  return false;
}

}  // namespace rota::importer
