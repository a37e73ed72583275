// The sync protocol over real gRPC: plaintext on loopback, mutual TLS, certificates that change.

#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <deque>
#include <random>
#include <thread>

#include "controller/serve/grpc_server.h"
#include "controller/serve/peer_exchange.h"
#include "dataplane/sync/grpc_transport.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "rota/sync/v1/sync.grpc.pb.h"
#include "tests/integration/sync_certificates.h"
#include "tests/integration/sync_fleet.h"

namespace rota::tests {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::HasSubstr;

class SyncGrpcTest : public ::testing::Test {
 protected:
  SyncGrpcTest()
      : certificates_(::testing::TempDir() + "/sync-grpc-" +
                      ::testing::UnitTest::GetInstance()->current_test_info()->name()) {
    server_options_.listen = {"127.0.0.1", 0};
  }

  absl::Status StartServer() {
    auto server = serve::GrpcServer::Start(server_options_, controller_.service, clock_);
    if (!server.ok()) {
      return server.status();
    }
    server_ = std::move(*server);
    return absl::OkStatus();
  }
  // Mutual TLS, each side from its own mount.
  void UseTls() {
    certificates_.MakeAuthority("ca");
    certificates_.MakeCertificate("ca", "server", {"localhost", "127.0.0.1"});
    certificates_.MakeCertificate("ca", "client", {"some-pod"});
    certificates_.Mount("server-mount", "server", "ca");
    certificates_.Mount("client-mount", "client", "ca");
    server_options_.tls_cert = certificates_.Mounted("server-mount", "tls.crt");
    server_options_.tls_key = certificates_.Mounted("server-mount", "tls.key");
    server_options_.tls_client_ca = certificates_.Mounted("server-mount", "ca.crt");
    server_options_.certificate_refresh = seconds(1);
  }
  sync::GrpcTransportOptions ClientTls(const std::string& mount) {
    sync::GrpcTransportOptions options;
    options.tls_cert = certificates_.Mounted(mount, "tls.crt");
    options.tls_key = certificates_.Mounted(mount, "tls.key");
    options.tls_ca = certificates_.Mounted(mount, "ca.crt");
    options.certificate_refresh = seconds(1);
    return options;
  }
  std::unique_ptr<TestDataPlane> MakeDataPlane(const std::string& node,
                                               sync::GrpcTransportOptions options = {}) {
    options.controllers = {server_->address()};
    auto transport = sync::MakeGrpcTransport(options);
    EXPECT_TRUE(transport.ok()) << transport.status();
    sync::SyncClientOptions client;
    client.first_retry = milliseconds(10);
    client.longest_retry = milliseconds(200);
    return std::make_unique<TestDataPlane>(node, std::move(*transport), clock_, client);
  }
  // Waits for the reason why this data plane cannot connect.
  std::string AwaitError(const TestDataPlane& plane) {
    EXPECT_TRUE(Await([&] { return !plane.state().last_error.empty(); }));
    EXPECT_FALSE(plane.state().connected);
    return plane.state().last_error;
  }

  RealClock clock_;
  TestCertificates certificates_;
  TestController controller_{clock_};
  serve::GrpcServerOptions server_options_;
  std::unique_ptr<serve::GrpcServer> server_;
};

TEST_F(SyncGrpcTest, DataPlanesFollowSnapshotsAndShareSuspensions) {
  controller_.Publish({{"ns/a", 1}});
  ASSERT_TRUE(StartServer().ok());
  const auto a = MakeDataPlane("a");
  const auto b = MakeDataPlane("b");
  for (uint64_t version = 2; version <= 100; ++version) {
    controller_.Publish({{"ns/a", version}});
  }
  ASSERT_TRUE(Await([&] { return a->Version("ns/a") == 100 && b->Version("ns/a") == 100; }));

  a->Suspend(2, seconds(60));

  ASSERT_TRUE(Await([&] { return b->IsSuspended("t2"); }));
}

TEST_F(SyncGrpcTest, TenThousandResourcesArriveWhole) {
  std::vector<serve::TestResource> resources;
  for (int i = 0; i < 10'000; ++i) {
    resources.push_back({"ns/api-" + std::to_string(i), 1, compile::ResourceKind::kApi, 1500});
  }
  controller_.Publish(resources);
  ASSERT_TRUE(StartServer().ok());
  const auto plane = MakeDataPlane("node");
  ASSERT_TRUE(Await([&] { return plane->resources() == 10'000; }));
  EXPECT_EQ(plane->applied(), 1);
}

TEST_F(SyncGrpcTest, AStreamIsRefusedUntilASnapshotIsPublishedAndTriedAgain) {
  ASSERT_TRUE(StartServer().ok());
  const auto plane = MakeDataPlane("node");
  EXPECT_THAT(AwaitError(*plane), HasSubstr("no configuration yet"));
  controller_.Publish({{"ns/a", 1}});
  EXPECT_TRUE(Await([&] { return plane->Version("ns/a") == 1; }));
}

TEST_F(SyncGrpcTest, AControllerThatRestartsIsFoundAgainAndNothingIsLostMeanwhile) {
  controller_.Publish({{"ns/a", 1}});
  ASSERT_TRUE(StartServer().ok());
  const auto plane = MakeDataPlane("node");
  ASSERT_TRUE(Await([&] { return plane->Version("ns/a") == 1; }));
  server_options_.listen = server_->address();

  server_.reset();
  ASSERT_TRUE(Await([&] { return !plane->state().connected; }));
  EXPECT_EQ(plane->Version("ns/a"), 1u);
  controller_.Publish({{"ns/a", 2}});
  ASSERT_TRUE(StartServer().ok());

  EXPECT_TRUE(Await([&] { return plane->Version("ns/a") == 2; }));
}

TEST_F(SyncGrpcTest, TheMaximumAgeOfAConnectionMovesNothing) {
  server_options_.max_connection_age = milliseconds(300);
  server_options_.max_connection_grace = milliseconds(100);
  controller_.Publish({{"ns/a", 1}});
  ASSERT_TRUE(StartServer().ok());
  const auto plane = MakeDataPlane("node");
  ASSERT_TRUE(Await([&] { return plane->state().streams >= 3; }));
  ASSERT_TRUE(Await([&] { return plane->state().connected; }));
  EXPECT_EQ(plane->applied(), 1);
}

TEST_F(SyncGrpcTest, MutualTlsWorksAndWhoShowsNoGoodCertificateIsRefused) {
  UseTls();
  controller_.Publish({{"ns/a", 1}});
  ASSERT_TRUE(StartServer().ok());
  certificates_.MakeAuthority("stranger-ca");
  certificates_.MakeCertificate("stranger-ca", "stranger", {"stranger"});
  certificates_.Mount("stranger-mount", "stranger", "ca");

  const auto good = MakeDataPlane("good", ClientTls("client-mount"));
  const auto stranger = MakeDataPlane("stranger", ClientTls("stranger-mount"));
  sync::GrpcTransportOptions no_certificate;
  no_certificate.tls_ca = certificates_.Mounted("client-mount", "ca.crt");
  const auto nobody = MakeDataPlane("nobody", no_certificate);
  const auto plaintext = MakeDataPlane("plaintext");

  EXPECT_TRUE(Await([&] { return good->Version("ns/a") == 1; }));
  AwaitError(*stranger);
  AwaitError(*nobody);
  AwaitError(*plaintext);
  EXPECT_EQ(controller_.gateway.fleet.connected(), 1u);
  EXPECT_EQ(controller_.service.stats().streams_accepted, 1u);
}

TEST_F(SyncGrpcTest, AServerOfAnotherNameOrAuthorityIsNotTrusted) {
  UseTls();
  certificates_.MakeCertificate("ca", "elsewhere", {"elsewhere.example"});
  certificates_.Mount("server-mount", "elsewhere", "ca");
  controller_.Publish({{"ns/a", 1}});
  ASSERT_TRUE(StartServer().ok());
  certificates_.MakeAuthority("other-ca");
  certificates_.Mount("distrustful-mount", "client", "other-ca");

  const auto wrong_name = MakeDataPlane("wrong-name", ClientTls("client-mount"));
  const auto wrong_authority = MakeDataPlane("wrong-ca", ClientTls("distrustful-mount"));

  AwaitError(*wrong_name);
  AwaitError(*wrong_authority);
  EXPECT_EQ(controller_.service.stats().streams_accepted, 0u);
}

TEST_F(SyncGrpcTest, ACertificateBoundToANodeIsGoodForThatNodeOnly) {
  UseTls();
  certificates_.MakeCertificate("ca", "bound", {"pod", "URI:urn:rota:node:node-7"});
  certificates_.Mount("bound-mount", "bound", "ca");
  controller_.Publish({{"ns/a", 1}});
  ASSERT_TRUE(StartServer().ok());

  const auto right = MakeDataPlane("node-7", ClientTls("bound-mount"));
  const auto wrong = MakeDataPlane("node-8", ClientTls("bound-mount"));

  EXPECT_TRUE(Await([&] { return right->Version("ns/a") == 1; }));
  EXPECT_THAT(AwaitError(*wrong), HasSubstr("not for node 'node-8'"));
}

TEST_F(SyncGrpcTest, CertificatesAreReplacedWhileStreamsGoOn) {
  UseTls();
  controller_.Publish({{"ns/a", 1}});
  ASSERT_TRUE(StartServer().ok());
  const auto plane = MakeDataPlane("streaming", ClientTls("client-mount"));
  ASSERT_TRUE(Await([&] { return plane->Version("ns/a") == 1; }));
  certificates_.Mount("old-mount", "client", "ca");

  certificates_.MakeAuthority("new-ca");
  certificates_.MakeCertificate("new-ca", "new-server", {"localhost", "127.0.0.1"});
  certificates_.MakeCertificate("new-ca", "new-client", {"some-pod"});
  certificates_.Mount("server-mount", "new-server", "new-ca");
  certificates_.Mount("client-mount", "new-client", "new-ca");

  // A newcomer with the new certificates gets in as soon as the server has read its own.
  const auto newcomer = MakeDataPlane("newcomer", ClientTls("client-mount"));
  ASSERT_TRUE(Await([&] { return newcomer->Version("ns/a") == 1; }));
  // The old ones are worth nothing any more, for new streams.
  const auto late = MakeDataPlane("late", ClientTls("old-mount"));
  AwaitError(*late);
  // The stream from before has not noticed.
  controller_.Publish({{"ns/a", 2}});
  ASSERT_TRUE(Await([&] { return plane->Version("ns/a") == 2; }));
  EXPECT_EQ(plane->state().streams, 1u);
}

TEST_F(SyncGrpcTest, ShutdownAfterDrainLeavesNoStream) {
  controller_.Publish({{"ns/a", 1}});
  ASSERT_TRUE(StartServer().ok());
  const auto plane = MakeDataPlane("node");
  ASSERT_TRUE(Await([&] { return plane->Version("ns/a") == 1; }));
  controller_.service.Drain(seconds(0));
  server_->Shutdown(seconds(5));
  EXPECT_EQ(controller_.gateway.fleet.connected(), 0u);
  EXPECT_TRUE(plane->state().ready());
}

TEST_F(SyncGrpcTest, ASuspensionSpreadsInMillisecondsWhileSnapshotsFlow) {
  controller_.Publish({{"ns/a", 1}});
  ASSERT_TRUE(StartServer().ok());
  const auto a = MakeDataPlane("a");
  const auto b = MakeDataPlane("b");
  ASSERT_TRUE(Await([&] { return controller_.gateway.fleet.connected() == 2; }));
  std::vector<Duration> spread;
  for (int i = 0; i < 100; ++i) {
    controller_.Publish({{"ns/a", static_cast<uint64_t>(i + 2)}});
    const MonotonicTime start = clock_.Now();
    a->Suspend(0, seconds(60 + i));
    ASSERT_TRUE(Await([&] { return b->IsSuspended("t0"); }));
    spread.push_back(b->remote_at() - start);
    b->Lift("t0");
    ASSERT_TRUE(Await([&] { return !a->IsSuspended("t0") && !b->IsSuspended("t0"); }));
  }
  std::sort(spread.begin(), spread.end());
  const auto microseconds = [](Duration d) { return static_cast<int>(d.count() / 1000); };
  RecordProperty("spread_p50_us", microseconds(spread[50]));
  RecordProperty("spread_p99_us", microseconds(spread[98]));
  std::cout << "spread p50 " << microseconds(spread[50]) << " us, p99 " << microseconds(spread[98])
            << " us\n";
  // Loose, because test machines are busy; the figure itself is for benchmarks.
  EXPECT_LT(spread[50], milliseconds(200));
}

// Says yes to everybody, a moment later, on threads of its own.
class SlowAuthenticator final : public serve::Authenticator {
 public:
  SlowAuthenticator() {
    for (int i = 0; i < 2; ++i) {
      threads_.emplace_back([this](std::stop_token stop) { Work(stop); });
    }
  }
  void Authenticate(serve::PeerIdentity peer, SecretString, Done done) override {
    std::lock_guard guard(mutex_);
    ++asked_;
    waiting_.push_back([peer = std::move(peer), done = std::move(done)] { done(peer); });
    changed_.notify_one();
  }
  uint64_t asked() const {
    std::lock_guard guard(mutex_);
    return asked_;
  }

 private:
  void Work(std::stop_token stop) {
    std::unique_lock lock(mutex_);
    while (changed_.wait(lock, stop, [this] { return !waiting_.empty(); })) {
      const std::function<void()> answer = std::move(waiting_.front());
      waiting_.pop_front();
      lock.unlock();
      answer();
      lock.lock();
    }
  }

  mutable std::mutex mutex_;
  std::condition_variable_any changed_;
  std::deque<std::function<void()>> waiting_;
  uint64_t asked_ = 0;
  std::vector<std::jthread> threads_;  // last: they use the rest
};

// Opens streams until `end`, and cancels each within half a millisecond.
template <typename Open>
void OpenAndCancel(const Clock& clock, MonotonicTime end, Open open) {
  std::mt19937 random(7);
  while (clock.Now() < end) {
    grpc::ClientContext context;
    const auto stream = open(&context);
    const MonotonicTime cancel_at = clock.Now() + std::chrono::microseconds(random() % 500);
    while (clock.Now() < cancel_at) {
      std::this_thread::yield();
    }
    context.TryCancel();
    stream->Finish();
  }
}

TEST(SyncGrpcReviewTest, StreamsThatAreCancelledAsTheirReviewEndsEndOnceAndLeaveNothing) {
  RealClock clock;
  serve::ServiceOptions options;
  options.new_streams_burst = 1e6;
  TestController controller(clock, options);
  controller.Publish({{"ns/a", 1}});
  serve::PeerExchange exchange({}, controller.service, clock);
  SlowAuthenticator authenticator;
  serve::GrpcServerOptions server_options;
  server_options.listen = {"127.0.0.1", 0};
  server_options.authenticator = &authenticator;
  auto server = *serve::GrpcServer::Start(server_options, controller.service, clock, &exchange);
  const auto channel =
      grpc::CreateChannel(server->address().ToString(), grpc::InsecureChannelCredentials());
  const auto planes = sync::v1::SnapshotService::NewStub(channel);
  const auto replicas = sync::v1::PeerService::NewStub(channel);

  const MonotonicTime end = clock.Now() + seconds(1);
  std::vector<std::jthread> clients;
  for (int i = 0; i < 2; ++i) {
    clients.emplace_back(
        [&] { OpenAndCancel(clock, end, [&](auto* context) { return planes->Sync(context); }); });
    clients.emplace_back([&] {
      OpenAndCancel(clock, end, [&](auto* context) { return replicas->Exchange(context); });
    });
  }
  EXPECT_TRUE(Await([&] { return end - clock.Now() < milliseconds(200); }));
  exchange.Stop();
  clients.clear();
  server->Shutdown(seconds(0));  // waits for every stream

  const serve::ServiceStats stats = controller.service.stats();
  EXPECT_GT(stats.streams_accepted, 10u);
  EXPECT_GT(exchange.stats().streams_failed, 10u);
  EXPECT_EQ(stats.streams_accepted + stats.streams_refused + exchange.stats().streams_failed,
            authenticator.asked());
}

TEST(SyncGrpcOptionsTest, PlaintextBeyondLoopbackIsRefusedUnlessAskedFor) {
  RealClock clock;
  TestController controller(clock);
  serve::GrpcServerOptions server;
  server.listen = {"0.0.0.0", 0};
  const auto refused = serve::GrpcServer::Start(server, controller.service, clock).status();
  EXPECT_EQ(refused.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(refused.message()), HasSubstr("--insecure"));
  server.insecure = true;
  EXPECT_TRUE(serve::GrpcServer::Start(server, controller.service, clock).ok());

  sync::GrpcTransportOptions client;
  EXPECT_THAT(std::string(sync::MakeGrpcTransport(client).status().message()),
              HasSubstr("--controller"));
  client.controllers = {{"127.0.0.1", 1}, {"controller.example", 18000}};
  EXPECT_THAT(std::string(sync::MakeGrpcTransport(client).status().message()),
              HasSubstr("controller.example:18000"));
  client.insecure = true;
  EXPECT_TRUE(sync::MakeGrpcTransport(client).ok());
}

TEST(SyncGrpcOptionsTest, WrongFilesAreNamed) {
  RealClock clock;
  TestController controller(clock);
  serve::GrpcServerOptions server;
  server.listen = {"127.0.0.1", 0};
  server.tls_cert = "/does/not/exist.crt";
  EXPECT_THAT(
      std::string(serve::GrpcServer::Start(server, controller.service, clock).status().message()),
      HasSubstr("belong together"));
  server.tls_key = "/does/not/exist.key";
  server.tls_client_ca = "/does/not/exist.ca";
  EXPECT_THAT(
      std::string(serve::GrpcServer::Start(server, controller.service, clock).status().message()),
      HasSubstr("--tls-cert: cannot open '/does/not/exist.crt'"));
  sync::GrpcTransportOptions client;
  client.controllers = {{"127.0.0.1", 1}};
  client.tls_ca = "/dev/null";
  EXPECT_THAT(std::string(sync::MakeGrpcTransport(client).status().message()),
              HasSubstr("has no PEM block"));
  client.tls_key = "/dev/null";
  EXPECT_THAT(std::string(sync::MakeGrpcTransport(client).status().message()),
              HasSubstr("belong together"));
}

TEST(SyncGrpcOptionsTest, AnAddressInUseIsNamed) {
  RealClock clock;
  TestController controller(clock);
  serve::GrpcServerOptions options;
  options.listen = {"127.0.0.1", 0};
  const auto first = serve::GrpcServer::Start(options, controller.service, clock);
  ASSERT_TRUE(first.ok());
  options.listen = (*first)->address();
  EXPECT_THAT(
      std::string(serve::GrpcServer::Start(options, controller.service, clock).status().message()),
      HasSubstr(options.listen.ToString()));
}

}  // namespace
}  // namespace rota::tests
