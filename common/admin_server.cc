#include "common/admin_server.h"

#include <fcntl.h>
#include <malloc.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <prometheus/collectable.h>
#include <prometheus/metric_family.h>
#include <prometheus/text_serializer.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <sstream>
#include <string>
#include <thread>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/admin_http.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/status_macros.h"

namespace rota {
namespace {

// A client that connects when there are this many pushes out the one that has kept us waiting the
// longest: slow clients cannot lock out the kubelet's probe.
constexpr size_t kMaxClients = 64;
constexpr Duration kRequestTime = std::chrono::seconds(5);  // from the first byte to the last
constexpr Duration kResponseTime = std::chrono::seconds(30);
constexpr Duration kIdleTime = std::chrono::seconds(75);
constexpr int kBacklog = 128;
constexpr size_t kReadBytes = 16 << 10;
constexpr size_t kLargePageBytes = 1 << 20;
// Without descriptors, accepting pauses that long.
constexpr Duration kAcceptPause = std::chrono::milliseconds(100);
constexpr char kMetricsType[] = "text/plain; version=0.0.4; charset=utf-8";

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

namespace {

struct Client {
  int fd = -1;
  std::string in;
  std::string out;
  size_t sent = 0;
  MonotonicTime since{};     // when it began to keep us waiting
  MonotonicTime deadline{};  // when we have had enough
  bool close_when_sent = false;
  bool ended = false;
};

absl::Status SystemError(const HostPort& listen, const char* what) {
  return absl::UnavailableError(absl::StrCat("cannot listen on ", listen.ToString(), ": ", what,
                                             ": ", std::strerror(errno),
                                             "; choose another address or port"));
}

absl::StatusOr<int> Listen(const HostPort& listen) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE;
  addrinfo* found = nullptr;
  const int error =
      getaddrinfo(listen.host.c_str(), std::to_string(listen.port).c_str(), &hints, &found);
  if (error != 0) {
    return absl::UnavailableError(
        absl::StrCat("cannot listen on ", listen.ToString(), ": ", gai_strerror(error)));
  }
  const int fd = socket(found->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  const int yes = 1;
  const int no = 0;
  const bool bound = fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes) == 0 &&
                     (found->ai_family != AF_INET6 ||
                      setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &no, sizeof no) == 0) &&
                     bind(fd, found->ai_addr, found->ai_addrlen) == 0 &&
                     ::listen(fd, kBacklog) == 0;
  freeaddrinfo(found);
  if (!bound) {
    const absl::Status status = SystemError(listen, "bind");
    if (fd >= 0) {
      close(fd);
    }
    return status;
  }
  return fd;
}

uint16_t PortOf(int fd) {
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size);
  return ntohs(address.ss_family == AF_INET6
                   ? reinterpret_cast<const sockaddr_in6*>(&address)->sin6_port
                   : reinterpret_cast<const sockaddr_in*>(&address)->sin_port);
}

}  // namespace

// One thread, one poll() over all connections: a client that is slow costs a descriptor, not a
// thread.
struct AdminServer::State {
  State(AdminPages p, int listener, HostPort bound)
      : pages(std::move(p)), listen_fd(listener), address(std::move(bound)) {
    wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  }
  ~State() {
    for (const Client& client : clients) {
      close(client.fd);
    }
    close(listen_fd);
    close(wake_fd);
  }

  void Run(const std::stop_token& stop);
  void Accept(MonotonicTime now);
  void Read(Client& client, MonotonicTime now);
  void AnswerAll(Client& client, MonotonicTime now);
  bool Answer(Client& client, MonotonicTime now);
  void Write(Client& client, MonotonicTime now);
  AdminResponse Handle(const ParsedRequest& parsed, std::string& allow) const;

  const AdminPages pages;
  const int listen_fd;
  const HostPort address;
  int wake_fd = -1;
  RealClock clock;
  std::vector<Client> clients;
  MonotonicTime accept_from{};
  std::jthread thread;
};

void AdminServer::State::Run(const std::stop_token& stop) {
  std::vector<pollfd> entries;
  while (!stop.stop_requested()) {
    MonotonicTime now = clock.Now();
    MonotonicTime next = now + kIdleTime;
    entries.assign({{wake_fd, POLLIN, 0},
                    {listen_fd, static_cast<short>(now >= accept_from ? POLLIN : 0), 0}});
    for (const Client& client : clients) {
      entries.push_back({client.fd, static_cast<short>(client.out.empty() ? POLLIN : POLLOUT), 0});
      next = std::min(next, client.deadline);
    }
    next = accept_from > now ? std::min(next, accept_from) : next;
    const auto wait = std::chrono::ceil<std::chrono::milliseconds>(
        std::max(next - now, MonotonicTime::duration{}));
    poll(entries.data(), entries.size(), static_cast<int>(wait.count()));
    now = clock.Now();
    for (size_t i = 0; i < clients.size(); ++i) {
      Client& client = clients[i];
      const short events = entries[i + 2].revents;
      if (events != 0 && client.out.empty()) {
        Read(client, now);
      } else if (events != 0) {
        Write(client, now);
        AnswerAll(client, now);
      }
      client.ended = client.ended || now >= client.deadline;
    }
    std::erase_if(clients,
                  [](const Client& client) { return client.ended && close(client.fd) <= 0; });
    if ((entries[1].revents & POLLIN) != 0) {
      Accept(now);
    }
  }
}

void AdminServer::State::Accept(MonotonicTime now) {
  const int fd = accept4(listen_fd, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
  if (fd < 0) {
    if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED) {
      accept_from = now + kAcceptPause;
    }
    return;
  }
  if (clients.size() >= kMaxClients) {
    const auto longest =
        std::min_element(clients.begin(), clients.end(),
                         [](const Client& a, const Client& b) { return a.since < b.since; });
    close(longest->fd);
    clients.erase(longest);
  }
  Client& client = clients.emplace_back();
  client.fd = fd;
  client.since = now;
  client.deadline = now + kRequestTime;
  Read(client, now);  // the request is often there already
  if (client.ended) {
    close(fd);
    clients.pop_back();
  }
}

void AdminServer::State::Read(Client& client, MonotonicTime now) {
  std::array<char, kReadBytes> buffer;
  const ssize_t got = recv(client.fd, buffer.data(), buffer.size(), 0);
  if (got <= 0) {
    client.ended = got == 0 || (errno != EAGAIN && errno != EINTR);
    return;
  }
  if (client.in.empty()) {
    client.since = now;
    client.deadline = now + kRequestTime;
  }
  client.in.append(buffer.data(), static_cast<size_t>(got));
  AnswerAll(client, now);
}

// Answers what is there, one after the other, until a request is not complete or an answer cannot
// be sent.
void AdminServer::State::AnswerAll(Client& client, MonotonicTime now) {
  while (!client.ended && client.out.empty() && !client.in.empty() && Answer(client, now)) {
    Write(client, now);
  }
}

// Makes the answer to the next request; false when that is not complete.
bool AdminServer::State::Answer(Client& client, MonotonicTime now) {
  const ParsedRequest parsed = ParseAdminRequest(client.in);
  if (parsed.state == ParsedRequest::State::kIncomplete) {
    return false;
  }
  std::string allow;
  AdminResponse response;
  if (parsed.state == ParsedRequest::State::kBad) {
    response.status = parsed.status;
    response.body = absl::StrCat(parsed.message, "\n");
    client.in.clear();
  } else {
    response = Handle(parsed, allow);
    client.in.erase(0, parsed.size);
  }
  client.close_when_sent = !parsed.keep_alive;
  client.out = FormatAdminResponse(response, parsed.keep_alive, parsed.method != "HEAD", allow);
  client.sent = 0;
  client.deadline = now + kResponseTime;
  return true;
}

void AdminServer::State::Write(Client& client, MonotonicTime now) {
  while (client.sent < client.out.size()) {
    const ssize_t sent = send(client.fd, client.out.data() + client.sent,
                              client.out.size() - client.sent, MSG_NOSIGNAL);
    if (sent < 0) {
      client.ended = errno != EAGAIN && errno != EINTR;
      return;
    }
    client.sent += static_cast<size_t>(sent);
  }
  const bool was_large = client.out.size() > kLargePageBytes;
  std::string().swap(client.out);
  if (was_large) {
    malloc_trim(0);  // a page of many series must not stay in the process until the next one
  }
  client.since = now;
  client.deadline = now + kIdleTime;
  client.ended = client.close_when_sent;
}

AdminResponse AdminServer::State::Handle(const ParsedRequest& parsed, std::string& allow) const {
  const std::string method = parsed.method == "HEAD" ? "GET" : parsed.method;
  const auto found = pages.handlers().find({parsed.request.path, method});
  if (found != pages.handlers().end()) {
    try {
      return found->second(parsed.request);
    } catch (...) {
      log::Error("admin", "a page failed", {{"path", parsed.request.path}});
      return {500, "text/plain; charset=utf-8", "This page failed; the log names it.\n"};
    }
  }
  for (const auto& [key, handler] : pages.handlers()) {
    if (key.first == parsed.request.path) {
      absl::StrAppend(&allow, allow.empty() ? "" : ", ", key.second);
    }
  }
  if (!allow.empty()) {
    return {405, "text/plain; charset=utf-8", absl::StrCat("Use ", allow, ".\n")};
  }
  return {404, "text/plain; charset=utf-8",
          "There is no such page. The pages are:\n" + ListPages(pages)};
}

absl::StatusOr<std::unique_ptr<AdminServer>> AdminServer::Start(const HostPort& listen,
                                                                const AdminPages& pages) {
  ASSIGN_OR_RETURN(const int fd, Listen(listen));
  auto state = std::make_unique<State>(pages, fd, HostPort{listen.host, PortOf(fd)});
  state->thread =
      std::jthread([raw = state.get()](const std::stop_token& stop) { raw->Run(stop); });
  return std::unique_ptr<AdminServer>(new AdminServer(std::move(state)));
}

AdminServer::AdminServer(std::unique_ptr<State> state) : state_(std::move(state)) {}

AdminServer::~AdminServer() {
  state_->thread.request_stop();
  const uint64_t one = 1;
  (void)!write(state_->wake_fd, &one, sizeof one);
  state_->thread.join();
}

const HostPort& AdminServer::address() const { return state_->address; }

}  // namespace rota
