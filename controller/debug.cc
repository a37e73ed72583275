#include "controller/debug.h"

#include <string>

#include "common/hash.h"
#include "nlohmann/json.hpp"

namespace rota::controller {
namespace {

AdminResponse Json(const nlohmann::json& value) {
  return {.content_type = "application/json",
          .body = value.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + "\n"};
}

double Seconds(Duration duration) { return std::chrono::duration<double>(duration).count(); }

nlohmann::json ProblemsJson(const serve::ResourceProblems& problems) {
  nlohmann::json list = nlohmann::json::array();
  for (const auto& [key, problem] : problems) {
    list.push_back({{"name", key.second},
                    {"code", rota::sync::v1::Rejection::Code_Name(problem.code)},
                    {"field", problem.field},
                    {"message", problem.message}});
  }
  return list;
}

nlohmann::json PeersJson(const serve::PeerExchange& exchange) {
  nlohmann::json peers = nlohmann::json::array();
  for (const serve::PeerReport& peer : exchange.Peers()) {
    nlohmann::json snapshots = nlohmann::json::array();
    for (const auto& gateway : peer.status->gateways()) {
      for (const auto& acknowledged : gateway.acknowledged()) {
        snapshots.push_back({{"gateway", gateway.name()},
                             {"snapshot", HexEncode(acknowledged.snapshot_hash())},
                             {"dataplanes", acknowledged.data_planes()}});
      }
    }
    peers.push_back({{"replica", peer.replica},
                     {"server", peer.server},
                     {"address", peer.address},
                     {"dataplanes", peer.data_planes},  // by gateway
                     {"streams", peer.streams},
                     {"snapshots", std::move(snapshots)}});
  }
  return peers;
}

nlohmann::json NodeJson(const serve::NodeReport& node, MonotonicTime now) {
  return {{"gateway", node.gateway},
          {"node", node.node},
          {"build", node.build},
          {"peer", node.peer},
          {"connected_seconds", Seconds(now - node.connected_at)},
          {"snapshot", HexEncode(node.applied_snapshot_hash)},
          {"apply_seconds", Seconds(node.apply_time)},
          {"rejected", ProblemsJson(node.rejected)},
          {"refused", ProblemsJson(node.refused)}};
}

nlohmann::json FleetJson(const serve::SyncService& service, const serve::PeerExchange& exchange,
                         MonotonicTime now) {
  nlohmann::json nodes = nlohmann::json::array();
  for (const serve::GatewayPtr& gateway : service.gateways().All()) {
    for (const serve::NodeReport& node : gateway->fleet.Nodes()) {
      nodes.push_back(NodeJson(node, now));
    }
  }
  return {{"dataplanes", nodes},
          {"peers", PeersJson(exchange)},
          {"streams_accepted", service.stats().streams_accepted}};
}

nlohmann::json SuspensionsJson(const serve::GatewayRegistry& gateways, MonotonicTime now) {
  nlohmann::json list = nlohmann::json::array();
  for (const serve::GatewayPtr& gateway : gateways.All()) {
    for (const serve::SharedSuspension& suspension : gateway->hub.Active(now)) {
      list.push_back({{"gateway", gateway->name},
                      {"target", suspension.target},
                      {"origin", suspension.origin},
                      {"reason", rota::sync::v1::SuspensionReason_Name(suspension.reason)},
                      {"remaining_seconds", Seconds(suspension.until - now)}});
    }
  }
  return {{"suspensions", list}};
}

}  // namespace

void AddDebugPages(AdminPages& pages, const reconcile::StatusBoard& board,
                   serve::SyncService& service, const serve::PeerExchange& exchange,
                   const Clock& clock, bool is_loopback) {
  pages.Add("GET", "/debug/status", [&board](const AdminRequest&) { return Json(board.ToJson()); });
  pages.Add("GET", "/debug/fleet", [&service, &exchange, &clock](const AdminRequest&) {
    return Json(FleetJson(service, exchange, clock.Now()));
  });
  pages.Add("GET", "/debug/suspensions", [&service, &clock](const AdminRequest&) {
    return Json(SuspensionsJson(service.gateways(), clock.Now()));
  });
  pages.Add(
      "POST", "/debug/lift", [&service, is_loopback](const AdminRequest& request) -> AdminResponse {
        if (!is_loopback) {
          return {.status = 403,
                  .body =
                      "suspensions are lifted only where --admin is on loopback: this port asks "
                      "nobody who they are\n"};
        }
        const auto target = request.query.find("target");
        if (target == request.query.end() || target->second.empty()) {
          return {.status = 400, .body = "give ?target=ID; /debug/suspensions lists the ids\n"};
        }
        service.LiftSuspensions(target->second);
        return Json({{"lifted", target->second}});
      });
}

}  // namespace rota::controller
