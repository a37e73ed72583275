#include "tests/support/fake_apiserver.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/pem.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <iostream>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace rota::testing {

using nlohmann::json;

namespace {

void Check(bool good, const char* what) {
  if (!good) {
    std::cerr << "fake API server: " << what << " failed\n";
    std::abort();
  }
}

SSL_CTX* ServerContext(const KeyPair& pair) {
  SSL_CTX* context = SSL_CTX_new(TLS_server_method());
  BIO* certificate_pem =
      BIO_new_mem_buf(pair.certificate.data(), static_cast<int>(pair.certificate.size()));
  BIO* key_pem = BIO_new_mem_buf(pair.key.data(), static_cast<int>(pair.key.size()));
  X509* certificate = PEM_read_bio_X509(certificate_pem, nullptr, nullptr, nullptr);
  EVP_PKEY* key = PEM_read_bio_PrivateKey(key_pem, nullptr, nullptr, nullptr);
  Check(SSL_CTX_use_certificate(context, certificate) == 1 &&
            SSL_CTX_use_PrivateKey(context, key) == 1,
        "loading the certificate");
  X509_free(certificate);
  EVP_PKEY_free(key);
  BIO_free(certificate_pem);
  BIO_free(key_pem);
  return context;
}

// "/apis/<group>/<version>[/namespaces/<ns>]/<plural>[/<name>[/status]]"
struct Route {
  std::string collection;
  std::string ns;
  std::string name;
  bool status = false;
};

std::optional<Route> ParsePath(const std::string& path) {
  std::vector<std::string> parts = absl::StrSplit(path, '/', absl::SkipEmpty());
  if (parts.size() < 3) {
    return std::nullopt;
  }
  Route route;
  size_t next = 0;
  const bool core = parts[0] == "api";
  const std::string group = core ? "" : parts[1];
  next = core ? 1 : 2;
  const std::string version = parts[next++];
  if (next + 2 < parts.size() && parts[next] == "namespaces") {
    route.ns = parts[next + 1];
    next += 2;
  }
  if (next >= parts.size()) {
    return std::nullopt;
  }
  route.collection = absl::StrCat(group, "/", version, "/", parts[next++]);
  if (next < parts.size()) {
    route.name = parts[next++];
  }
  route.status = next < parts.size() && parts[next] == "status";
  return route;
}

// Metadata only, when that is what the client asked for.
json Shaped(const FakeRequest& request, json object) {
  const auto accept = request.headers.find("accept");
  if (accept == request.headers.end() ||
      accept->second.find("as=PartialObjectMetadata") == std::string::npos) {
    return object;
  }
  const auto reduce = [](const json& full) {
    return json{{"kind", "PartialObjectMetadata"},
                {"apiVersion", "meta.k8s.io/v1"},
                {"metadata", full.at("metadata")}};
  };
  if (!object.contains("items")) {
    return object.value("kind", "") == "Status" ? object : reduce(object);
  }
  for (json& item : object["items"]) {
    item = reduce(item);
  }
  object["kind"] = "PartialObjectMetadataList";
  object["apiVersion"] = "meta.k8s.io/v1";
  return object;
}

std::string Line(const char* type, const json& object) {
  return json{{"type", type}, {"object", object}}.dump() + "\n";
}

}  // namespace

FakeApiServer::FakeApiServer(FakeApiServerOptions options)
    : options_(std::move(options)), token_(options_.token) {
  // OpenSSL writes without MSG_NOSIGNAL; our programs ignore the signal as well.
  signal(SIGPIPE, SIG_IGN);
  if (options_.tls) {
    authority_ = MakeAuthority("fake API server CA");
    certificate_ = MakeCertificate(authority_, "fake", "", {"127.0.0.1", "localhost", "fake.test"});
    tls_.reset(ServerContext(certificate_));
  }
  Start();
}

FakeApiServer::~FakeApiServer() { Stop(); }

void FakeApiServer::Start() {
  listener_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const int on = 1;
  setsockopt(listener_, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(port_);
  auto* generic = reinterpret_cast<sockaddr*>(&address);
  Check(bind(listener_, generic, sizeof(address)) == 0 && listen(listener_, 128) == 0, "listening");
  socklen_t size = sizeof(address);
  getsockname(listener_, generic, &size);
  port_ = ntohs(address.sin_port);
  {
    std::lock_guard guard(mutex_);
    stopping_ = false;
  }
  acceptor_ = std::jthread([this, fd = listener_](std::stop_token stop) { Accept(fd, stop); });
}

void FakeApiServer::Stop() {
  if (!acceptor_.joinable()) {
    return;
  }
  acceptor_.request_stop();
  acceptor_.join();
  close(listener_);
  std::list<std::jthread> threads;
  {
    std::lock_guard guard(mutex_);
    stopping_ = true;
    for (const auto& connection : connections_) {
      connection->Cut();
    }
    changed_.notify_all();
    threads.swap(threads_);
  }
  threads.clear();
}

kube::ClientConfig FakeApiServer::ClientConfig() const {
  kube::ClientConfig config;
  config.origin = "fake";
  config.tls = options_.tls;
  config.host = "127.0.0.1";
  config.port = port_;
  config.ca_data = authority_.certificate;
  config.token = SecretString(options_.token);
  return config;
}

void FakeApiServer::Accept(int listener, std::stop_token stop) {
  while (!stop.stop_requested()) {
    pollfd waiting{listener, POLLIN, 0};
    if (poll(&waiting, 1, 20) <= 0) {
      continue;
    }
    const int fd = accept4(listener, nullptr, nullptr, SOCK_CLOEXEC);
    if (fd < 0) {
      continue;
    }
    const int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    auto connection = std::make_shared<FakeConnection>(fd, tls_.get());
    std::lock_guard guard(mutex_);
    connections_.push_back(connection);
    threads_.emplace_back([this, connection] {
      if (connection->Handshake()) {
        Serve(*connection);
      }
      std::lock_guard inner(mutex_);
      connections_.remove(connection);
    });
  }
}

void FakeApiServer::Serve(FakeConnection& connection) {
  while (const std::optional<FakeRequest> request = connection.Read()) {
    if (!Handle(connection, *request)) {
      return;
    }
  }
}

bool FakeApiServer::Handle(FakeConnection& connection, const FakeRequest& request) {
  const std::optional<Route> route = ParsePath(request.path);
  const bool watch = request.query.contains("watch");
  std::string kind = "write";
  if (request.method == "GET") {
    kind = watch ? "watch" : (route.has_value() && route->name.empty() ? "list" : "get");
  } else if (request.method == "PATCH") {
    kind = "apply";
  }
  FakeAnswer answer =
      StatusAnswer(404, "NotFound", "the server could not find the requested resource");
  kube::Resource resource;
  bool known = false;
  {
    std::lock_guard guard(mutex_);
    ++requests_[kind];
    const auto authorization = request.headers.find("authorization");
    if (!token_.empty() &&
        (authorization == request.headers.end() || authorization->second != "Bearer " + token_)) {
      answer = StatusAnswer(401, "Unauthorized", "Unauthorized");
    } else if (route.has_value()) {
      if (const kube::Resource* found = state_.Find(route->collection)) {
        resource = *found;
        known = true;
      }
    }
    changed_.notify_all();
  }
  const std::optional<Fault> fault = TakeFault(kind, request.target);
  if (known && watch && (!fault.has_value() || *fault >= Fault::kStreamExpired)) {
    if (fault.has_value()) {
      return ServeStreamFault(connection, *fault);
    }
    return ServeWatch(connection, request, resource, route->ns);
  }
  if (known && !watch) {
    std::lock_guard guard(mutex_);
    answer = Answer(request, resource, route->ns, route->name, route->status);
    changed_.notify_all();
  }
  const std::string body = Shaped(request, answer.body).dump();
  if (fault.has_value()) {
    return ServeFault(connection, *fault, body);
  }
  return connection.WriteAnswer(answer.code, "application/json", "", body);
}

// Of the field selectors the one for a name is known here.
bool IsSelected(const FakeRequest& request, const json& object) {
  const auto selector = request.query.find("fieldSelector");
  return selector == request.query.end() ||
         selector->second == "metadata.name=" + object.at("metadata").at("name").get<std::string>();
}

FakeAnswer FakeApiServer::Answer(const FakeRequest& request, const kube::Resource& resource,
                                 const std::string& ns, const std::string& name, bool status) {
  const json body = json::parse(request.body, nullptr, false);
  if (request.method == "POST") {
    return state_.Create(resource, ns, body);
  }
  if (request.method == "PUT") {
    return state_.Update(resource, ns, name, body);
  }
  if (request.method == "DELETE") {
    return state_.Delete(resource, ns, name);
  }
  const auto type = request.headers.find("content-type");
  if (request.method == "PATCH" && type != request.headers.end() &&
      type->second == "application/merge-patch+json") {
    return state_.MergePatch(resource, ns, name, body);
  }
  if (request.method == "PATCH") {
    const auto manager = request.query.find("fieldManager");
    if (!status || manager == request.query.end() || !body.is_object()) {
      return StatusAnswer(400, "BadRequest", "only server-side apply of the status is known here");
    }
    return state_.ApplyStatus(resource, ns, name, manager->second, body);
  }
  if (!name.empty()) {
    return state_.Get(resource, ns, name);
  }
  size_t limit = 0;
  if (const auto found = request.query.find("limit"); found != request.query.end()) {
    Check(absl::SimpleAtoi(found->second, &limit), "reading limit");
  }
  const auto token = request.query.find("continue");
  FakeAnswer list =
      state_.List(resource, ns, limit, token == request.query.end() ? "" : token->second);
  if (list.code == 200) {
    json selected = json::array();
    for (json& item : list.body.at("items")) {
      if (IsSelected(request, item)) {
        selected.push_back(std::move(item));
      }
    }
    list.body["items"] = std::move(selected);
  }
  return list;
}

bool FakeApiServer::ServeWatch(FakeConnection& connection, const FakeRequest& request,
                               const kube::Resource& resource, const std::string& ns) {
  uint64_t version = 0;
  int64_t seconds = 1800;
  const auto start = request.query.find("resourceVersion");
  const bool streams = request.query.contains("sendInitialEvents");
  if (streams && options_.streaming == FakeStreaming::kRefused) {
    return connection.WriteAnswer(
        422, "application/json", "",
        StatusAnswer(422, "Invalid",
                     "sendInitialEvents is forbidden for watch unless the WatchList feature gate "
                     "is enabled")
            .body.dump());
  }
  if (!streams && (start == request.query.end() || !absl::SimpleAtoi(start->second, &version))) {
    return connection.WriteAnswer(500, "text/plain", "",
                                  "resourceVersion: Invalid value: invalid syntax");
  }
  if (const auto timeout = request.query.find("timeoutSeconds"); timeout != request.query.end()) {
    Check(absl::SimpleAtoi(timeout->second, &seconds), "reading timeoutSeconds");
  }
  if (!connection.Write("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
                        "Transfer-Encoding: chunked\r\n\r\n")) {
    return false;
  }
  const MonotonicTime deadline = clock_.Now() + std::chrono::seconds(seconds);
  bool early_bookmark = seconds > 2;
  std::unique_lock lock(mutex_);
  ++open_watches_;
  changed_.notify_all();
  const uint64_t epoch = watch_epoch_;
  uint64_t bookmarks = bookmarks_;
  bool good = true;
  bool last = false;
  std::string lines;
  if (streams) {
    version = state_.version();
    lines = InitialEvents(request, resource, ns);
    last = options_.streaming == FakeStreaming::kFailing;
  } else if (state_.IsTooOld(version)) {
    lines = Line("ERROR", StatusAnswer(410, "Expired", "too old resource version").body);
    last = true;
  }
  while (good && !stopping_) {
    last = last || epoch != watch_epoch_ || clock_.Now() >= deadline;
    if (!last || lines.empty()) {
      for (const FakeEvent& event : state_.EventsAfter(resource, ns, version)) {
        version = event.version;
        if (!IsSelected(request, event.object)) {
          continue;
        }
        lines += Line(event.type.c_str(), Shaped(request, event.object));
      }
      // Like the real one: shortly before the end, and only when there is progress to tell.
      const bool closing = early_bookmark && clock_.Now() > deadline - std::chrono::seconds(2);
      if ((closing && version != state_.version()) || bookmarks != bookmarks_) {
        early_bookmark = early_bookmark && !closing;
        bookmarks = bookmarks_;
        version = state_.version();
        lines += Line("BOOKMARK", {{"kind", resource.kind},
                                   {"apiVersion", "v1"},
                                   {"metadata", {{"resourceVersion", std::to_string(version)}}}});
      }
    }
    const bool quiet = lines.empty();
    lock.unlock();
    good = (quiet || connection.WriteChunk(lines)) && !connection.ClientGone(0);
    lock.lock();
    lines.clear();
    if (last) {
      break;
    }
    if (good && quiet) {
      changed_.wait_for(lock, std::chrono::milliseconds(20));
    }
  }
  --open_watches_;
  const bool cut = stopping_;
  changed_.notify_all();
  lock.unlock();
  return !cut && connection.EndChunks();
}

std::string FakeApiServer::InitialEvents(const FakeRequest& request, const kube::Resource& resource,
                                         const std::string& ns) {
  if (options_.streaming == FakeStreaming::kFailing) {
    return Line("ERROR",
                StatusAnswer(500, "InternalError",
                             "a watch stream was requested by the client but the required storage "
                             "feature RequestWatchProgress is disabled")
                    .body);
  }
  std::string lines;
  const FakeAnswer list = state_.List(resource, ns, 0, "");
  for (const json& item : list.body.at("items")) {
    if (IsSelected(request, item)) {
      lines += Line("ADDED", Shaped(request, item));
    }
  }
  if (options_.streaming == FakeStreaming::kServed) {
    lines += Line("BOOKMARK", {{"kind", resource.kind},
                               {"apiVersion", "v1"},
                               {"metadata",
                                {{"resourceVersion", std::to_string(state_.version())},
                                 {"annotations", {{"k8s.io/initial-events-end", "true"}}}}}});
  }
  return lines;
}

bool FakeApiServer::ServeStreamFault(FakeConnection& connection, Fault fault) {
  connection.Write(
      "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n");
  json error = StatusAnswer(500, "InternalError", "the store is busy").body;
  error["details"] = {{"retryAfterSeconds", 1}};
  const json nameless = {{"metadata", {{"name", "a"}, {"namespace", "default"}}}};
  switch (fault) {
    case Fault::kStreamExpired:
      connection.WriteChunk(
          Line("ERROR", StatusAnswer(410, "Expired", "too old resource version").body));
      break;
    case Fault::kStreamError:
      connection.WriteChunk(Line("ERROR", error));
      break;
    case Fault::kGarbageEvent:
      connection.WriteChunk("{\"type\":\"ADDED\",\"object\":{\n");
      break;
    case Fault::kUnknownEvent:
      connection.WriteChunk(Line("RENAMED", nameless));
      break;
    case Fault::kVersionlessEvent:
      connection.WriteChunk(Line("MODIFIED", nameless));
      break;
    case Fault::kHugeEvent:
      for (int i = 0; i < 160 && connection.WriteChunk(std::string(64 << 10, 'x')); ++i) {
      }
      break;
    default:
      break;
  }
  return connection.EndChunks();
}

bool FakeApiServer::ServeFault(FakeConnection& connection, Fault fault, const std::string& right) {
  const auto status = [&](int code, const char* reason) {
    return connection.WriteAnswer(code, "application/json", "",
                                  StatusAnswer(code, reason, "ordered by the test").body.dump());
  };
  const std::string head = absl::StrCat(
      "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: ", right.size(),
      "\r\n\r\n");
  switch (fault) {
    case Fault::kExpired:
      return status(410, "Expired");
    case Fault::kTooManyRequests:
      return connection.WriteAnswer(429, "text/plain; charset=utf-8", "Retry-After: 1\r\n",
                                    "Too many requests, please try again later.\n");
    case Fault::kServerError:
      return status(500, "InternalError");
    case Fault::kUnavailable:
      return connection.WriteAnswer(503, "text/html", "", "<html>no healthy upstream</html>");
    case Fault::kUnauthorized:
      return status(401, "Unauthorized");
    case Fault::kForbidden:
      return status(403, "Forbidden");
    case Fault::kNotFound:
      return status(404, "NotFound");
    case Fault::kResetBeforeHead:
      connection.Reset();
      return false;
    case Fault::kResetMidBody:
      connection.Write(head + right.substr(0, right.size() / 2));
      connection.Reset();
      return false;
    case Fault::kTruncatedJson:
      return connection.WriteAnswer(200, "application/json", "", right.substr(0, right.size() / 2));
    case Fault::kSlowBody: {
      bool good = connection.Write(head);
      const size_t step = right.size() / 20 + 1;
      for (size_t at = 0; good && at < right.size(); at += step) {
        good = !connection.ClientGone(5) && connection.Write(right.substr(at, step));
      }
      return good;
    }
    case Fault::kHang:
      while (!connection.ClientGone(20)) {
      }
      return false;
    default:
      Check(false, "a fault of watches was ordered for another request, which");
      return false;
  }
}

std::optional<Fault> FakeApiServer::TakeFault(const std::string& kind, const std::string& target) {
  std::lock_guard guard(mutex_);
  for (auto order = faults_.begin(); order != faults_.end(); ++order) {
    if (order->kind == kind && target.find(order->target) != std::string::npos) {
      const Fault fault = order->fault;
      if (--order->times == 0) {
        faults_.erase(order);
      }
      return fault;
    }
  }
  return std::nullopt;
}

void FakeApiServer::Register(const kube::Resource& resource) {
  std::lock_guard guard(mutex_);
  state_.Register(resource);
}

json FakeApiServer::Create(const kube::Resource& resource, const std::string& ns, json object) {
  std::lock_guard guard(mutex_);
  const FakeAnswer answer = state_.Create(resource, ns, std::move(object));
  Check(answer.code == 201, answer.body.dump().c_str());
  changed_.notify_all();
  return answer.body;
}

json FakeApiServer::Replace(const kube::Resource& resource, const std::string& ns,
                            const std::string& name, json object) {
  std::lock_guard guard(mutex_);
  const FakeAnswer answer = state_.Replace(resource, ns, name, std::move(object));
  Check(answer.code == 200, answer.body.dump().c_str());
  changed_.notify_all();
  return answer.body;
}

void FakeApiServer::Delete(const kube::Resource& resource, const std::string& ns,
                           const std::string& name) {
  std::lock_guard guard(mutex_);
  const FakeAnswer answer = state_.Delete(resource, ns, name);
  Check(answer.code == 200, answer.body.dump().c_str());
  changed_.notify_all();
}

json FakeApiServer::Get(const kube::Resource& resource, const std::string& ns,
                        const std::string& name) {
  std::lock_guard guard(mutex_);
  const FakeAnswer answer = state_.Get(resource, ns, name);
  Check(answer.code == 200, answer.body.dump().c_str());
  return answer.body;
}

void FakeApiServer::Inject(Fault fault, const std::string& kind, const std::string& target,
                           int times) {
  std::lock_guard guard(mutex_);
  faults_.push_back({fault, kind, target, times});
}

bool FakeApiServer::AllFaultsMet() const {
  std::lock_guard guard(mutex_);
  return faults_.empty();
}

void FakeApiServer::Compact() {
  std::lock_guard guard(mutex_);
  state_.Compact();
}

void FakeApiServer::SendBookmarks() {
  std::lock_guard guard(mutex_);
  ++bookmarks_;
  changed_.notify_all();
}

void FakeApiServer::EndWatches() {
  std::lock_guard guard(mutex_);
  ++watch_epoch_;
  changed_.notify_all();
}

void FakeApiServer::SetToken(const std::string& token) {
  std::lock_guard guard(mutex_);
  token_ = token;
}

int FakeApiServer::Requests(const std::string& kind) const {
  std::lock_guard guard(mutex_);
  const auto found = requests_.find(kind);
  return found == requests_.end() ? 0 : found->second;
}

int FakeApiServer::open_watches() const {
  std::lock_guard guard(mutex_);
  return open_watches_;
}

}  // namespace rota::testing
