#pragma once

// The small HTTP server behind --admin and --metrics of both programs: pages are functions,
// registered by path before the server starts. For few, trusted clients (Prometheus, the kubelet,
// people); never for traffic. Limits: 4 threads, 5 s per read, 1 MiB bodies, 64 KiB heads.
//
//   AdminPages pages;
//   AddMetricsPage(pages, {request_metrics, process_metrics});
//   AddHealthPages(pages, [] { return std::vector<std::string>{}; });
//   ASSIGN_OR_RETURN(auto server, AdminServer::Start(HostPort{"127.0.0.1", 0}, pages));

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "common/address.h"

namespace prometheus {
class Collectable;
}

namespace rota {

struct AdminRequest {
  std::string path;
  std::map<std::string, std::string> query;  // the first value of each parameter, decoded
  std::string body;
};

struct AdminResponse {
  int status = 200;
  std::string content_type = "text/plain; charset=utf-8";
  std::string body;
};

// What is served. Single-thread until a server is started with it; the server keeps a copy.
class AdminPages {
 public:
  // Called on the server's thread, and by several servers at once: thread-safe, and soon done.
  using Handler = std::function<AdminResponse(const AdminRequest&)>;
  // `method` is "GET", "POST" or "DELETE"; `path` is exact ("/debug/config"). The last one wins.
  void Add(const std::string& method, const std::string& path, Handler handler);
  const std::map<std::pair<std::string, std::string>, Handler>& handlers() const {
    return handlers_;
  }

 private:
  std::map<std::pair<std::string, std::string>, Handler> handlers_;  // by path, method
};

// GET /metrics: all collectables in the Prometheus text format.
void AddMetricsPage(AdminPages& pages,
                    std::vector<std::shared_ptr<const prometheus::Collectable>> collectables);

// GET /healthz: 200 while the process runs. GET /readyz: 200, or 503 with one reason a line.
// `not_ready` returns why not (empty: ready); `notes` what a person should know although it is
// ready.
void AddHealthPages(AdminPages& pages, std::function<std::vector<std::string>()> not_ready,
                    std::function<std::vector<std::string>()> notes = nullptr);

// Thread-safe.
class AdminServer {
 public:
  // Binds and serves. The error names the address.
  static absl::StatusOr<std::unique_ptr<AdminServer>> Start(const HostPort& listen,
                                                            const AdminPages& pages);
  // Stops and joins.
  ~AdminServer();
  const HostPort& address() const;  // as bound

 private:
  struct State;
  explicit AdminServer(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace rota
