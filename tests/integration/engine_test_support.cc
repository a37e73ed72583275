#include "engine_test_support.h"

#include <arpa/inet.h>
#include <google/protobuf/text_format.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdlib>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"

namespace rota::engine::testing {
namespace {

constexpr int kPatienceMilliseconds =
    static_cast<int>(std::chrono::duration_cast<std::chrono::milliseconds>(kPatience).count());

bool WaitReadable(int descriptor, int milliseconds) {
  pollfd item{descriptor, POLLIN, 0};
  return ::poll(&item, 1, milliseconds) == 1;
}

// Takes the chunking off `buffer`'s front; false while it is not whole.
bool Unchunk(std::string& buffer, std::string& body) {
  size_t at = 0;
  while (true) {
    const size_t line = buffer.find("\r\n", at);
    if (line == std::string::npos) {
      return false;
    }
    const size_t size = std::strtoul(buffer.c_str() + at, nullptr, 16);
    const size_t data = line + 2;
    if (buffer.size() < data + size + 2) {
      return false;
    }
    if (size == 0) {
      buffer.erase(0, data + 2);
      return true;
    }
    body.append(buffer, data, size);
    at = data + size + 2;
  }
}

}  // namespace

bool Eventually(const std::function<bool()>& done, Duration patience) {
  const RealClock clock;
  const MonotonicTime deadline = clock.Now() + patience;
  while (!done()) {
    if (clock.Now() >= deadline) {
      return false;
    }
    ::poll(nullptr, 0, 2);
  }
  return true;
}

Wire::~Wire() {
  if (ssl_ != nullptr) {
    SSL_free(ssl_);
  }
  ::close(descriptor_);
}

bool Wire::StartTls(SSL_CTX* context, bool as_server, const std::string& server_name) {
  ssl_ = SSL_new(context);
  SSL_set_fd(ssl_, descriptor_);
  if (as_server) {
    return SSL_accept(ssl_) == 1;
  }
  if (!server_name.empty()) {
    SSL_ctrl(ssl_, SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name,
             const_cast<char*>(server_name.c_str()));
    SSL_set1_host(ssl_, server_name.c_str());
  }
  return SSL_connect(ssl_) == 1;
}

bool Wire::Send(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t sent = ssl_ != nullptr
                             ? SSL_write(ssl_, bytes.data(), static_cast<int>(bytes.size()))
                             : ::send(descriptor_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent <= 0) {
      return false;
    }
    bytes.remove_prefix(static_cast<size_t>(sent));
  }
  return true;
}

std::string Wire::Receive() {
  char bytes[16384];
  if ((ssl_ == nullptr || SSL_pending(ssl_) == 0) &&
      !WaitReadable(descriptor_, kPatienceMilliseconds)) {
    ADD_FAILURE() << "nothing arrived in time";
    return "";
  }
  const ssize_t size = ssl_ != nullptr ? SSL_read(ssl_, bytes, sizeof(bytes))
                                       : ::recv(descriptor_, bytes, sizeof(bytes), 0);
  return size > 0 ? std::string(bytes, static_cast<size_t>(size)) : "";
}

void Wire::CloseSending() { ::shutdown(descriptor_, SHUT_WR); }

void Wire::Reset() {
  const linger now{1, 0};
  ::setsockopt(descriptor_, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
  ::shutdown(descriptor_, SHUT_RD);
}

int Message::status() const { return start.size() > 12 ? std::atoi(start.c_str() + 9) : 0; }

std::string Message::Field(std::string_view name) const {
  size_t at = head.find("\r\n");
  while (at != std::string::npos && at + 2 < head.size()) {
    const size_t end = head.find("\r\n", at + 2);
    const std::string line = head.substr(at + 2, end - at - 2);
    const size_t colon = line.find(':');
    if (colon != std::string::npos && absl::AsciiStrToLower(line.substr(0, colon)) == name) {
      return std::string(absl::StripAsciiWhitespace(line.substr(colon + 1)));
    }
    at = end;
  }
  return "";
}

bool Reader::Fill() {
  const std::string more = wire_.Receive();
  buffer_ += more;
  return !more.empty();
}

std::optional<Message> Reader::ReadMessage(bool is_response, bool has_no_body) {
  size_t end = 0;
  while ((end = buffer_.find("\r\n\r\n")) == std::string::npos) {
    if (!Fill()) {
      return std::nullopt;
    }
  }
  Message message;
  message.head = buffer_.substr(0, end + 2);
  message.start = message.head.substr(0, message.head.find("\r\n"));
  buffer_.erase(0, end + 4);
  const std::string length = message.Field("content-length");
  if (has_no_body || (is_response && (message.status() == 204 || message.status() == 304 ||
                                      message.status() / 100 == 1))) {
    message.complete = true;
  } else if (message.Field("transfer-encoding") == "chunked") {
    while (!(message.complete = Unchunk(buffer_, message.body)) && Fill()) {
      message.body.clear();
    }
  } else if (!length.empty()) {
    const size_t size = std::strtoul(length.c_str(), nullptr, 10);
    while (buffer_.size() < size && Fill()) {
    }
    message.complete = buffer_.size() >= size;
    message.body = buffer_.substr(0, size);
    buffer_.erase(0, size);
  } else if (is_response) {
    message.body = ReadToEnd();
    message.complete = true;
  } else {
    message.complete = true;
  }
  return message;
}

std::string Reader::ReadUntil(std::string_view mark) {
  size_t at = 0;
  while ((at = buffer_.find(mark)) == std::string::npos) {
    if (!Fill()) {
      return std::exchange(buffer_, "");
    }
  }
  const std::string result = buffer_.substr(0, at + mark.size());
  buffer_.erase(0, at + mark.size());
  return result;
}

std::string Reader::ReadToEnd() {
  while (Fill()) {
  }
  return std::exchange(buffer_, "");
}

TestUpstream::TestUpstream(Handler handler, SSL_CTX* tls, Asks asks)
    : handler_(std::move(handler)), tls_(tls), asks_(asks) {
  std::signal(SIGPIPE, SIG_IGN);
  listener_ = ::socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  EXPECT_EQ(::bind(listener_, reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
  EXPECT_EQ(::listen(listener_, 4096), 0);
  socklen_t length = sizeof(address);
  ::getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &length);
  port_ = ntohs(address.sin_port);
  acceptor_ = std::jthread([this] { Accept(); });
}

TestUpstream::~TestUpstream() {
  stopping_ = true;
  ::shutdown(listener_, SHUT_RDWR);
  acceptor_.join();
  ::close(listener_);
  {
    std::lock_guard guard(mutex_);
    for (const int descriptor : descriptors_) {
      ::shutdown(descriptor, SHUT_RDWR);
    }
  }
  threads_.clear();
}

void TestUpstream::Accept() {
  while (!stopping_) {
    const int descriptor = ::accept(listener_, nullptr, nullptr);
    if (descriptor < 0) {
      return;
    }
    const int on = 1;
    ::setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    ++accepted_;
    ++open_;
    {
      std::lock_guard guard(mutex_);
      descriptors_.insert(descriptor);
    }
    threads_.emplace_back([this, descriptor] { Serve(descriptor); });
  }
}

void TestUpstream::Serve(int descriptor) {
  {
    Wire wire(::dup(descriptor));
    if (tls_ == nullptr || wire.StartTls(tls_, /*as_server=*/true)) {
      Reader reader(wire);
      while (!stopping_) {
        pollfd item{wire.descriptor(), POLLIN, 0};
        if (::poll(&item, 1, 100) == 0) {
          continue;  // keep-alive
        }
        const std::optional<Message> request =
            reader.ReadMessage(/*is_response=*/false, asks_ == Asks::kBehindTheHead);
        if (!request.has_value()) {
          break;
        }
        {
          std::lock_guard guard(mutex_);
          requests_.push_back(*request);
        }
        if (!handler_(*request, wire)) {
          break;
        }
      }
    }
  }
  std::lock_guard guard(mutex_);
  descriptors_.erase(descriptor);
  ::close(descriptor);
  --open_;
}

std::vector<Message> TestUpstream::requests() const {
  std::lock_guard guard(mutex_);
  return requests_;
}

std::string Answer(int status, std::string_view body, std::string_view fields) {
  return absl::StrCat("HTTP/1.1 ", status, " Text\r\ncontent-length: ", body.size(), "\r\n",
                      std::string(fields), "\r\n", std::string(body));
}

TestUpstream::Handler Always(std::string answer) {
  return [answer = std::move(answer)](const Message&, Wire& wire) { return wire.Send(answer); };
}

TestGateway::TestGateway(const std::string& api_text, GatewayOptions options)
    : options_(std::move(options)),
      clock_(options_.clock != nullptr ? *options_.clock : real_clock_),
      metrics_(options_.loops, clock_),
      registry_("test") {
  table::BuilderOptions builder;
  builder.allow_unauthenticated = options_.allow_unauthenticated;
  builder.intern_series = [this](const table::SeriesLabels& labels) {
    return metrics_.Intern(labels);
  };
  builder_ = std::make_unique<table::Builder>(builder, registry_);
  Configure(api_text);

  EngineOptions engine;
  engine.http = HostPort{"127.0.0.1", 0};
  if (options_.https) {
    engine.https = HostPort{"127.0.0.1", 0};
  }
  engine.tls_certificate_file = options_.certificate_file;
  engine.tls_key_file = options_.key_file;
  engine.upstream_ca_file = options_.upstream_ca_file;
  engine.loops = options_.loops;
  engine.limits = options_.limits;
  engine.resolve = options_.resolve;
  engine.allow_unauthenticated = options_.allow_unauthenticated;
  EngineContext context;
  context.table = &table_;
  context.metrics = metrics_.loops();
  context.clock = &clock_;
  absl::StatusOr<std::unique_ptr<Engine>> started = Engine::Start(engine, context);
  EXPECT_TRUE(started.ok()) << started.status();
  if (started.ok()) {
    engine_ = *std::move(started);
  }
}

void TestGateway::Configure(const std::string& api_text, std::optional<std::string> key) {
  namespace v1 = rota::sync::v1;
  v1::Api api;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(api_text, &api)) << api_text;
  v1::Gateway gateway;
  gateway.set_allow_local_upstreams(options_.allow_local);
  table::ResourceMap resources;
  const auto add = [&resources](v1::Kind kind, const std::string& name, const auto& body) {
    v1::Resource resource;
    resource.mutable_id()->set_kind(kind);
    resource.mutable_id()->set_name(name);
    resource.set_body(body.SerializeAsString());
    resource.set_hash(std::hash<std::string>()(resource.body()));
    resources[{kind, name}] = std::make_shared<const v1::Resource>(resource);
  };
  add(v1::GATEWAY, "default", gateway);
  add(v1::API, "default/chat", api);
  if (key.has_value()) {
    v1::Secret secret;
    auto* entry = secret.add_entries();
    entry->set_key("key");
    entry->set_value(*key);
    add(v1::SECRET, "default/keys", secret);
  }
  const table::BuildResult built = builder_->Build(resources, std::string(32, 'h'));
  for (const v1::Rejection& rejection : built.rejected) {
    ADD_FAILURE() << rejection.ShortDebugString();
  }
  table_.Publish(built.table);
  builder_->Commit(built);
  for (const std::string& target : built.changed_credentials) {
    registry_.Lift(target, clock_.Now(), built.table->generation());
  }
}

TestGateway::~TestGateway() { engine_.reset(); }

Duration TestGateway::SuspendedFor(const std::string& target) {
  for (const rotation::Suspension& suspension : registry_.Active(clock_.Now())) {
    if (suspension.target == target) {
      return suspension.until - clock_.Now();
    }
  }
  return {};
}

double TestGateway::Metric(const std::string& name, const std::string& label) const {
  double sum = 0;
  for (const prometheus::MetricFamily& family : metrics_.Collect()) {
    if (family.name != name) {
      continue;
    }
    for (const prometheus::ClientMetric& metric : family.metric) {
      const bool matches =
          label.empty() ||
          std::any_of(metric.label.begin(), metric.label.end(),
                      [&label](const auto& item) { return item.name + "=" + item.value == label; });
      if (matches) {
        sum += metric.counter.value + metric.gauge.value +
               static_cast<double>(metric.histogram.sample_count);
      }
    }
  }
  return sum;
}

std::string ChatApi(const std::vector<uint16_t>& ports, std::string_view extra) {
  std::string text = R"(
    uid: "uid" base_path: "/chat" version: "1.0"
    operations { verb: "POST" target: "/chat/completions" kind: CHAT
                 production { rotation: 1 endpoint: 0 } }
    operations { verb: "POST" target: "/other" production { rotation: 1 endpoint: 0 } }
    operations { verb: "GET" target: "/models" kind: MODELS
                 production { rotation: 1 endpoint: 0 } }
    operations { verb: "GET" target: "/files/*" production { endpoint: 0 } }
    operations { verb: "HEAD" target: "/files/*" production { endpoint: 0 } }
    operations { verb: "POST" target: "/files/*" production { endpoint: 0 } }
    operations { verb: "PUT" target: "/files/*" production { endpoint: 0 } }
    operations { verb: "GET" target: "/closed" secured: true production { endpoint: 0 } }
  )";
  std::string targets;
  for (size_t i = 0; i < ports.size(); ++i) {
    absl::StrAppend(&text, "endpoints { url: \"http://127.0.0.1:", ports[i], "/v1\" name: \"e", i,
                    "\" provider: \"openai\" credential { place: HEADER name: \"Authorization\" "
                    "value { secret: \"default/keys\" key: \"key\" } } }\n");
    absl::StrAppend(&targets, "targets { id: \"t", i, "\" model: \"m", i, "\" endpoint: ", i,
                    " weight: 1 tier: 1 }\n");
  }
  const auto unless_given = [extra](std::string_view name, int value) {
    return extra.find(name) == std::string_view::npos ? absl::StrCat(std::string(name), ": ", value)
                                                      : "";
  };
  return absl::StrCat(text, "rotations { id: \"r\" environment: PRODUCTION ", targets,
                      "quota_suspension { seconds: 60 } max_suspension { seconds: 3600 } ",
                      "failure_suspension { seconds: 60 } ", unless_given("failure_threshold", 3),
                      " ", unless_given("attempts", 5), " ", std::string(extra), " }");
}

std::string TlsApi(const std::string& host, uint16_t port) {
  std::string api = ChatApi({port});
  const std::string url = absl::StrCat("http://127.0.0.1:", port);
  api.replace(api.find(url), url.size(), absl::StrCat("https://", host, ":", port));
  return api;
}

GatewayOptions Trusting(const TestCertificates& certificates, const std::string& host,
                        uint16_t port) {
  GatewayOptions options;
  options.allow_local = false;
  options.upstream_ca_file = certificates.ca_file();
  options.resolve = {{host, port, {"127.0.0.1", port}}};
  return options;
}

int Connect(uint16_t port) {
  const int descriptor = ::socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(port);
  EXPECT_EQ(::connect(descriptor, reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
  const int on = 1;
  ::setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
  return descriptor;
}

std::optional<Message> Ask(uint16_t port, std::string_view request) {
  Wire wire(Connect(port));
  wire.Send(request);
  return Reader(wire).ReadMessage(/*is_response=*/true, request.starts_with("HEAD "));
}

std::string ChatRequest(std::string_view body, std::string_view fields) {
  return absl::StrCat(
      "POST /chat/1.0/chat/completions HTTP/1.1\r\nHost: api.example.com\r\n"
      "Content-Type: application/json\r\n",
      std::string(fields), "Content-Length: ", body.size(), "\r\n\r\n", std::string(body));
}

}  // namespace rota::engine::testing
