#pragma once

// One API resource of the sync protocol -> table::Api, checked. Nothing is resolved in the registry
// unless the whole resource is good.
//
// Single-thread (it calls the registry).

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "dataplane/rotation/registry.h"
#include "dataplane/table/endpoint_pool.h"
#include "dataplane/table/route_table.h"
#include "dataplane/table/secret_store.h"
#include "dataplane/table/share_pool.h"
#include "rota/sync/v1/sync.pb.h"

namespace rota::table {

struct DecodeContext {
  const SecretStore& secrets;
  rotation::Registry& registry;
  EndpointPool& endpoints;
  SharePool<OperationIndex>& indexes;
  const std::function<SeriesId(const SeriesLabels&)>& intern_series;      // may be empty
  const std::function<void(const std::string& identity)>& want_identity;  // may be empty
};

// Why a resource is refused as a whole.
struct DecodeProblem {
  rota::sync::v1::Rejection::Code code = rota::sync::v1::Rejection::INVALID;
  std::string field;  // "operations[3].target"
  std::string message;
};

// What an API has been made from, and what of it is not served.
struct ApiOrigin {
  // Kept for the case that a later version is bad while a Secret changes. Never a Secret's body.
  std::shared_ptr<const rota::sync::v1::Resource> resource;
  std::map<std::string, uint64_t> used_secrets;  // name to hash, 0 = missing
  std::vector<DecodeProblem> missing;  // credentials: the API is served without these targets
  size_t secured_operations = 0;
};

// Never null; nor is its origin.
std::variant<std::shared_ptr<const Api>, DecodeProblem> DecodeApi(
    const std::shared_ptr<const rota::sync::v1::Resource>& resource, const DecodeContext& context);

}  // namespace rota::table
