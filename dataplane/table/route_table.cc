#include "dataplane/table/route_table.h"

#include <algorithm>
#include <array>
#include <utility>

#include "dataplane/table/path.h"

namespace rota::table {

std::string_view EnvironmentName(Environment environment) {
  return environment == Environment::kSandbox ? "sandbox" : "production";
}

RouteTable::RouteTable(Options options, const RouteTable& before, const ApiChanges& changes)
    : options_(std::move(options)),
      apis_(before.apis_.With(changes)),
      mounts_(before.mounts_, changes),
      generation_(before.generation_ + 1) {}

const Api* RouteTable::FindApi(std::string_view path, std::string_view& mount) const {
  std::array<size_t, MountIndex::kMaxSegments + 1> ends;  // of the first segments, one by one
  size_t count = 0;
  ends[count++] = 0;
  for (size_t place = 1; count <= mounts_.deepest() && place <= path.size();) {
    const size_t end = std::min(path.find('/', place), path.size());
    ends[count++] = end;
    place = end + 1;
  }
  while (count-- > 0) {
    if (const Api* api = mounts_.Find(path.substr(0, ends[count]))) {
      mount = path.substr(0, ends[count]);
      return api;
    }
  }
  return nullptr;
}

Match RouteTable::Find(std::string_view host, std::string_view method,
                       std::string_view path) const {
  Match match;
  match.environment = EnvironmentOf(host);
  SettledPath settled;
  if (!settled.Settle(path)) {
    match.status = MatchStatus::kBadPath;
    return match;
  }
  std::string_view mount;
  match.api = FindApi(settled.decoded(), mount);
  if (match.api == nullptr) {
    return match;
  }
  const std::string_view target = settled.decoded().substr(mount.size());
  const OperationIndex::Found found = match.api->index->Find(target, method);
  if (!found.path_exists) {
    return match;
  }
  if (found.operation < 0) {
    match.status = MatchStatus::kMethodNotAllowed;
    match.allow = match.api->index->Allowed(target);
    return match;
  }
  const Operation& operation = match.api->operations[static_cast<size_t>(found.operation)];
  const std::optional<Route>& route =
      match.environment == Environment::kSandbox ? operation.sandbox : operation.production;
  if (!route.has_value()) {
    match.status = MatchStatus::kNoEnvironment;
    return match;
  }
  match.status = MatchStatus::kOk;
  match.operation = &operation;
  match.route = &*route;
  std::string_view upstream = settled.RawBehind(mount);
  if (!found.keeps_trailing_slash && !upstream.empty() && upstream.back() == '/') {
    upstream.remove_suffix(1);
  }
  match.upstream_path = upstream.empty() ? "/" : upstream;
  return match;
}

}  // namespace rota::table
