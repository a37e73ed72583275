#include "common/admin_server.h"

#include <httplib.h>
#include <prometheus/collectable.h>
#include <prometheus/metric_family.h>
#include <prometheus/text_serializer.h>
#include <sys/socket.h>

#include <set>
#include <sstream>
#include <thread>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/log.h"

namespace rota {
namespace {

constexpr size_t kThreads = 4;
constexpr time_t kReadSeconds = 5;
constexpr time_t kWriteSeconds = 10;
// Short: httplib polls idle connections, and each holds one of the threads.
constexpr time_t kKeepAliveSeconds = 1;
constexpr size_t kKeepAliveRequests = 100;
constexpr size_t kMaxBodyBytes = 1 << 20;
constexpr char kMetricsType[] = "text/plain; version=0.0.4; charset=utf-8";

// No SO_REUSEPORT (httplib's default): two processes on one port would both seem to work.
void SetSocketOptions(socket_t socket) {
  const int yes = 1;
  setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
}

void Reply(const AdminResponse& from, httplib::Response& to) {
  to.status = from.status;
  to.set_header("Cache-Control", "no-store");
  to.set_header("X-Content-Type-Options", "nosniff");
  to.set_content(from.body, from.content_type);
}

httplib::Server::Handler Adapt(const AdminPages::Handler& handler) {
  return [handler](const httplib::Request& request, httplib::Response& response) {
    AdminRequest own{request.path, {}, request.body};
    for (const auto& [name, value] : request.params) {
      own.query.emplace(name, value);
    }
    Reply(handler(own), response);
  };
}

// Paths are exact here, httplib's are regular expressions.
std::string QuoteForRegex(const std::string& path) {
  std::string quoted;
  for (const char c : path) {
    if (std::string_view(".[]()*+?{}^$|\\").find(c) != std::string_view::npos) {
      quoted.push_back('\\');
    }
    quoted.push_back(c);
  }
  return quoted;
}

std::string ListPages(const AdminPages& pages) {
  std::string text;
  for (const auto& [key, handler] : pages.handlers()) {
    absl::StrAppend(&text, key.second, " ", key.first, "\n");
  }
  return text;
}

std::string Lines(const std::vector<std::string>& lines) {
  std::string text;
  for (const std::string& line : lines) {
    absl::StrAppend(&text, line, "\n");
  }
  return text;
}

}  // namespace

void AdminPages::Add(const std::string& method, const std::string& path, Handler handler) {
  handlers_[{path, method}] = std::move(handler);
}

void AddMetricsPage(AdminPages& pages,
                    std::vector<std::shared_ptr<const prometheus::Collectable>> collectables) {
  pages.Add("GET", "/metrics", [collectables = std::move(collectables)](const AdminRequest&) {
    // One after the other: only one collectable's samples are in memory at a time.
    std::ostringstream text;
    for (const auto& collectable : collectables) {
      prometheus::TextSerializer().Serialize(text, collectable->Collect());
    }
    return AdminResponse{200, kMetricsType, std::move(text).str()};
  });
}

void AddHealthPages(AdminPages& pages, std::function<std::vector<std::string>()> not_ready,
                    std::function<std::vector<std::string>()> notes) {
  pages.Add("GET", "/healthz", [](const AdminRequest&) {
    AdminResponse response;
    response.body = "ok\n";
    return response;
  });
  pages.Add("GET", "/readyz",
            [not_ready = std::move(not_ready), notes = std::move(notes)](const AdminRequest&) {
              const std::vector<std::string> reasons = not_ready();
              AdminResponse response;
              response.status = reasons.empty() ? 200 : 503;
              response.body =
                  reasons.empty() ? "ready\n" : absl::StrCat("not ready\n", Lines(reasons));
              if (notes) {
                response.body += Lines(notes());
              }
              return response;
            });
}

struct AdminServer::State {
  httplib::Server server;
  HostPort address;
  std::jthread thread;
};

absl::StatusOr<std::unique_ptr<AdminServer>> AdminServer::Start(const HostPort& listen,
                                                                const AdminPages& pages) {
  auto state = std::make_unique<State>();
  httplib::Server& server = state->server;
  server.new_task_queue = [] { return new httplib::ThreadPool(kThreads); };
  server.set_socket_options(SetSocketOptions);
  server.set_read_timeout(kReadSeconds);
  server.set_write_timeout(kWriteSeconds);
  server.set_keep_alive_timeout(kKeepAliveSeconds);
  server.set_keep_alive_max_count(kKeepAliveRequests);
  server.set_payload_max_length(kMaxBodyBytes);
  for (const auto& [key, handler] : pages.handlers()) {
    const std::string path = QuoteForRegex(key.first);
    if (key.second == "GET") {
      server.Get(path, Adapt(handler));
    } else if (key.second == "POST") {
      server.Post(path, Adapt(handler));
    } else if (key.second == "DELETE") {
      server.Delete(path, Adapt(handler));
    } else {
      return absl::InvalidArgumentError(absl::StrCat("admin page ", key.first, ": method ",
                                                     key.second, " is none of GET, POST, DELETE"));
    }
  }
  server.set_error_handler(
      [list = ListPages(pages)](const httplib::Request&, httplib::Response& response) {
        if (response.status == 404 && response.body.empty()) {
          response.set_content("There is no such page. The pages are:\n" + list,
                               "text/plain; charset=utf-8");
        }
      });
  server.set_exception_handler([](const httplib::Request& request, httplib::Response& response,
                                  std::exception_ptr) {
    log::Error("admin", "a page failed", {{"path", request.path}});
    Reply({500, "text/plain; charset=utf-8", "This page failed; the log names it.\n"}, response);
  });
  int port = listen.port;
  if (listen.port == 0) {
    port = server.bind_to_any_port(listen.host);
  } else if (!server.bind_to_port(listen.host, listen.port)) {
    port = -1;
  }
  if (port <= 0) {
    return absl::UnavailableError(
        absl::StrCat("cannot listen on ", listen.ToString(),
                     ": is the address one of this machine and the port free?"));
  }
  state->address = HostPort{listen.host, static_cast<uint16_t>(port)};
  state->thread = std::jthread([&server] { server.listen_after_bind(); });
  while (!server.is_running()) {
    std::this_thread::yield();  // stop() before that would be lost
  }
  return std::unique_ptr<AdminServer>(new AdminServer(std::move(state)));
}

AdminServer::AdminServer(std::unique_ptr<State> state) : state_(std::move(state)) {}

AdminServer::~AdminServer() {
  state_->server.stop();
  state_->thread.join();
}

const HostPort& AdminServer::address() const { return state_->address; }

}  // namespace rota
