// The exchange between replicas over real gRPC: plaintext on loopback, mutual TLS, names.

#include "controller/serve/grpc_server.h"
#include "controller/serve/peer_dialler.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/integration/sync_certificates.h"
#include "tests/integration/sync_fleet.h"

namespace rota::tests {
namespace {

namespace v1 = rota::sync::v1;
using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::HasSubstr;
using ::testing::SizeIs;

struct Replica {
  Replica(Clock& the_clock, const std::string& name) : clock(the_clock), controller(the_clock) {
    serve::PeerOptions options;
    options.replica = name;
    options.first_retry = milliseconds(10);
    options.longest_retry = milliseconds(200);
    exchange.emplace(std::move(options), controller.service, the_clock);
    controller.Publish({{"ns/a", 1}});
  }
  ~Replica() {
    exchange->Stop();
    server.reset();
  }
  absl::Status Listen(const serve::GrpcServerOptions& options) {
    auto started = serve::GrpcServer::Start(options, controller.service, clock, &*exchange);
    if (started.ok()) {
      server = std::move(*started);
    }
    return started.status();
  }
  absl::Status Dial(const serve::PeerDiallerOptions& options) {
    auto dialler = serve::MakePeerDialler(options, clock);
    if (dialler.ok()) {
      exchange->Start(std::move(*dialler));
    }
    return dialler.status();
  }
  // Says that a target is off, as a data plane of this replica.
  void Suspend(const std::string& target) {
    v1::Suspension item;
    item.set_target(target);
    item.set_origin("node");
    item.set_epoch(1);
    item.set_reason(v1::QUOTA);
    item.mutable_remaining()->set_seconds(60);
    serve::SuspensionHub::Items items;
    *items.Add() = item;
    controller.service.MergeFromPeer(TestController::kGateway, items, clock.Now());
  }
  size_t active() const { return controller.gateway.hub.Active(clock.Now()).size(); }

  Clock& clock;
  TestController controller;
  std::optional<serve::PeerExchange> exchange;
  std::unique_ptr<serve::GrpcServer> server;
};

class PeerGrpcTest : public ::testing::Test {
 protected:
  PeerGrpcTest()
      : certificates_(::testing::TempDir() + "/peer-grpc-" +
                      ::testing::UnitTest::GetInstance()->current_test_info()->name()) {
    server_.listen = {"127.0.0.1", 0};
  }
  // Both replicas show the same certificate.
  void UseTls(const std::vector<std::string>& names) {
    certificates_.MakeAuthority("ca");
    certificates_.MakeCertificate("ca", "controller", names);
    certificates_.Mount("mount", "controller", "ca");
    server_.tls_cert = dialler_.tls_cert = certificates_.Mounted("mount", "tls.crt");
    server_.tls_key = dialler_.tls_key = certificates_.Mounted("mount", "tls.key");
    server_.tls_client_ca = dialler_.tls_client_ca = certificates_.Mounted("mount", "ca.crt");
  }
  // Two replicas, of which the second one dials both of them by `host`.
  void Start(const std::string& host) {
    ASSERT_TRUE(a_.Listen(server_).ok());
    ASSERT_TRUE(b_.Listen(server_).ok());
    dialler_.peers = {{host, a_.server->address().port}, {host, b_.server->address().port}};
    const absl::Status status = b_.Dial(dialler_);
    ASSERT_TRUE(status.ok()) << status;
  }
  bool AwaitConnected() {
    return Await(
        [&] { return a_.exchange->Peers().size() == 1 && b_.exchange->Peers().size() == 1; });
  }

  RealClock clock_;
  TestCertificates certificates_;
  serve::GrpcServerOptions server_;
  serve::PeerDiallerOptions dialler_;
  Replica a_{clock_, "a"};
  Replica b_{clock_, "b"};
};

TEST_F(PeerGrpcTest, OneStreamCarriesBothWaysAndAReplicaThatRestartsIsToldAgain) {
  a_.Suspend("before");
  Start("127.0.0.1");
  ASSERT_TRUE(AwaitConnected());
  ASSERT_TRUE(Await([&] { return b_.active() == 1; }));
  EXPECT_EQ(b_.exchange->Peers()[0].streams, 1u);

  server_.listen = a_.server->address();
  a_.server.reset();
  ASSERT_TRUE(Await([&] { return b_.exchange->Peers().empty(); }));
  b_.Suspend("meanwhile");
  ASSERT_TRUE(a_.Listen(server_).ok());

  ASSERT_TRUE(Await([&] { return a_.active() == 2; }));
}

TEST_F(PeerGrpcTest, ANameMayStandForSeveralAddressesAndTheCertificateIsForTheName) {
  UseTls({"localhost"});
  Start("localhost");
  EXPECT_TRUE(AwaitConnected());
}

TEST_F(PeerGrpcTest, AReplicaOfAnotherNameIsNotTrusted) {
  UseTls({"elsewhere.example"});
  Start("localhost");
  ASSERT_TRUE(Await([&] { return b_.exchange->stats().streams_failed >= 2; }));
  EXPECT_THAT(b_.exchange->Peers(), SizeIs(0));
}

TEST_F(PeerGrpcTest, StrangersAndDataPlanesAreNoPeers) {
  UseTls({"localhost"});
  ASSERT_TRUE(a_.Listen(server_).ok());
  certificates_.MakeAuthority("stranger-ca");
  certificates_.MakeCertificate("stranger-ca", "stranger", {"localhost"});
  certificates_.Mount("stranger-mount", "stranger", "ca");
  certificates_.MakeCertificate("ca", "plane", {"localhost", "URI:urn:rota:node:node-7"});
  certificates_.Mount("plane-mount", "plane", "ca");
  dialler_.peers = {{"localhost", a_.server->address().port}};

  for (const char* mount : {"stranger-mount", "plane-mount"}) {
    Replica intruder(clock_, "intruder");
    dialler_.tls_cert = certificates_.Mounted(mount, "tls.crt");
    dialler_.tls_key = certificates_.Mounted(mount, "tls.key");
    ASSERT_TRUE(intruder.Dial(dialler_).ok());
    EXPECT_TRUE(Await([&] { return intruder.exchange->stats().streams_failed >= 4; })) << mount;
    EXPECT_EQ(a_.exchange->stats().streams_opened, 0u) << mount;
  }
}

TEST_F(PeerGrpcTest, APeerThatDoesNotListenIsTriedAgainAndHoldsNobodyUp) {
  ASSERT_TRUE(a_.Listen(server_).ok());
  dialler_.peers = {{"127.0.0.1", 1}, {"127.0.0.1", a_.server->address().port}};
  ASSERT_TRUE(b_.Dial(dialler_).ok());
  EXPECT_TRUE(Await([&] { return b_.exchange->Peers().size() == 1; }));
  EXPECT_TRUE(Await([&] { return b_.exchange->stats().streams_failed >= 3; }));
}

TEST(PeerGrpcOptionsTest, PlaintextBeyondLoopbackIsRefusedUnlessAskedFor) {
  RealClock clock;
  serve::PeerDiallerOptions options;
  options.peers = {{"127.0.0.1", 1}, {"rota-controller.example", 9900}};
  EXPECT_THAT(std::string(serve::MakePeerDialler(options, clock).status().message()),
              HasSubstr("rota-controller.example:9900"));
  options.insecure = true;
  EXPECT_TRUE(serve::MakePeerDialler(options, clock).ok());
  options.tls_cert = "/does/not/exist.crt";
  EXPECT_THAT(std::string(serve::MakePeerDialler(options, clock).status().message()),
              HasSubstr("belong together"));
}

}  // namespace
}  // namespace rota::tests
