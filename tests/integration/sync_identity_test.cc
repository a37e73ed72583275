// Issued certificates and ServiceAccount tokens over real gRPC: who gets in, and what a rotation
// does to streams that are open.

#include <atomic>
#include <filesystem>
#include <map>

#include "common/file.h"
#include "controller/identity/certificates.h"
#include "controller/identity/token_authenticator.h"
#include "controller/serve/grpc_server.h"
#include "controller/serve/peer_dialler.h"
#include "dataplane/sync/grpc_transport.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/integration/sync_fleet.h"

namespace rota::tests {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr char kGood[] = "good.token.1";

// A controller with a CA of its own, and an API server that knows some tokens.
class SyncIdentityTest : public ::testing::Test {
 protected:
  SyncIdentityTest()
      : folder_(::testing::TempDir() + "/sync-identity-" +
                ::testing::UnitTest::GetInstance()->current_test_info()->name()) {
    std::filesystem::remove_all(folder_);
    std::filesystem::create_directories(folder_);
    tokens_[kGood] = {true, "default/rota-dataplane", "", ""};
    authority_ = MakeAuthority("one");
    WriteFile("ca.crt", authority_.certificate);
    WriteFile("token", kGood);
    Issue(authority_);
  }
  ~SyncIdentityTest() override {
    planes_.clear();
    if (server_ != nullptr) {
      authenticator_.Stop();
    }
    server_.reset();
    std::filesystem::remove_all(folder_);
  }

  identity::KeyPair MakeAuthority(const std::string& name) {
    const WallTime now = clock_.WallNow();
    return *identity::MakeAuthority(name,
                                    {now - std::chrono::hours(1), now + std::chrono::hours(1)});
  }
  // From now on the server shows a certificate of that authority.
  void Issue(const identity::KeyPair& authority) {
    const WallTime now = clock_.WallNow();
    const identity::KeyPair issued = *identity::IssueServing(
        authority, {"localhost"}, {now - std::chrono::hours(1), now + std::chrono::hours(1)});
    certificate_.Publish(std::make_shared<const serve::ServingCertificate>(
        serve::ServingCertificate{issued.certificate, issued.key}));
  }
  std::string File(const std::string& name) const { return folder_ + "/" + name; }
  void WriteFile(const std::string& name, const std::string& content) {
    ASSERT_TRUE(WriteFileAtomically(File(name), content).ok());
  }
  void Listen() {
    controller_.Publish({{"ns/a", 1}});
    serve::GrpcServerOptions options;
    options.listen = {"127.0.0.1", 0};
    options.issued = &certificate_;
    options.authenticator = &authenticator_;
    options.max_connection_age = max_connection_age_;
    options.max_connection_grace = milliseconds(200);
    auto server = serve::GrpcServer::Start(options, controller_.service, clock_);
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = std::move(*server);
  }
  TestDataPlane& Plane(const std::string& node, const std::string& token = "token",
                       const std::string& ca = "ca.crt") {
    sync::GrpcTransportOptions options;
    options.controllers = {{"localhost", server_->address().port}};
    options.tls_ca = File(ca);
    options.token_file = token.empty() ? "" : File(token);
    options.certificate_refresh = seconds(1);
    auto transport = sync::MakeGrpcTransport(options);
    EXPECT_TRUE(transport.ok()) << transport.status();
    sync::SyncClientOptions client;
    client.gateway = "default/rota";
    client.first_retry = milliseconds(10);
    client.longest_retry = milliseconds(200);
    planes_.push_back(std::make_unique<TestDataPlane>(node, std::move(*transport), clock_, client));
    return *planes_.back();
  }
  // Waits for a reason why it cannot connect.
  std::string AwaitError(const TestDataPlane& plane, const std::string& part) {
    EXPECT_TRUE(Await([&] { return plane.state().last_error.find(part) != std::string::npos; }))
        << plane.state().last_error;
    EXPECT_FALSE(plane.state().connected);
    return plane.state().last_error;
  }
  absl::StatusOr<identity::TokenVerdict> Review(const SecretString& token) {
    std::lock_guard guard(mutex_);
    if (away_) {
      return absl::UnavailableError("connection refused");
    }
    const auto found = tokens_.find(std::string(token.Reveal()));
    return found == tokens_.end() ? identity::TokenVerdict{false, "", "", "token has expired"}
                                  : found->second;
  }
  void Know(const std::string& token, const std::string& account, const std::string& pod = "") {
    std::lock_guard guard(mutex_);
    tokens_[token] = {true, account, pod, ""};
  }

  RealClock clock_;
  const std::string folder_;
  identity::KeyPair authority_;
  Published<serve::ServingCertificate> certificate_;
  std::mutex mutex_;
  std::map<std::string, identity::TokenVerdict> tokens_;
  std::atomic<bool> away_{false};
  Duration max_connection_age_ = std::chrono::minutes(30);
  TestController controller_{clock_};
  identity::TokenAuthenticator authenticator_{
      {}, [this](const SecretString& token, std::stop_token) { return Review(token); }, clock_};
  std::unique_ptr<serve::GrpcServer> server_;
  std::vector<std::unique_ptr<TestDataPlane>> planes_;
};

TEST_F(SyncIdentityTest, AGoodTokenGetsTheConfiguration) {
  Listen();
  TestDataPlane& plane = Plane("node");
  EXPECT_TRUE(Await([&] { return plane.Version("ns/a") == 1; })) << plane.state().last_error;
  EXPECT_EQ(controller_.gateway.fleet.connected(), 1u);
}

TEST_F(SyncIdentityTest, WhoShowsNoGoodTokenGetsNothingAndIsToldWhy) {
  Listen();
  WriteFile("expired", "expired.token.1");
  Know("other.token.1", "elsewhere/rota-dataplane");
  WriteFile("other", "other.token.1");
  Know("bound.token.1", "default/rota-dataplane", "pod-1");
  WriteFile("bound", "bound.token.1");

  EXPECT_THAT(AwaitError(Plane("none", ""), "no token was shown"), HasSubstr("--token-file"));
  EXPECT_THAT(AwaitError(Plane("expired", "expired"), "token has expired"),
              Not(HasSubstr("expired.token.1")));
  EXPECT_THAT(AwaitError(Plane("other", "other"), "elsewhere/rota-dataplane"),
              AllOf(HasSubstr("default/rota"), HasSubstr("--allow-service-account")));
  EXPECT_THAT(AwaitError(Plane("pod-2", "bound"), "pod-1"), HasSubstr("'pod-2'"));
  TestDataPlane& right = Plane("pod-1", "bound");
  EXPECT_TRUE(Await([&] { return right.Version("ns/a") == 1; }));
  EXPECT_EQ(controller_.gateway.fleet.connected(), 1u);
}

TEST_F(SyncIdentityTest, AControllerOfAnotherAuthorityIsShownNoToken) {
  Listen();
  WriteFile("other-ca.crt", MakeAuthority("other").certificate);
  TestDataPlane& plane = Plane("node", "token", "other-ca.crt");
  EXPECT_TRUE(Await([&] { return !plane.state().last_error.empty(); }));
  EXPECT_FALSE(plane.state().connected);
  EXPECT_EQ(authenticator_.stats().good + authenticator_.stats().bad, 0u);
}

TEST_F(SyncIdentityTest, ATokenFileIsReadAgainForEveryTry) {
  Listen();
  WriteFile("token", "stale.token.1");
  TestDataPlane& plane = Plane("node");
  AwaitError(plane, "token has expired");
  WriteFile("token", kGood);
  EXPECT_TRUE(Await([&] { return plane.Version("ns/a") == 1; }));
}

TEST_F(SyncIdentityTest, ATokenFileThatIsGoneIsNamedAndComesBack) {
  max_connection_age_ = milliseconds(300);
  Listen();
  TestDataPlane& plane = Plane("node");
  ASSERT_TRUE(Await([&] { return plane.Version("ns/a") == 1; }));
  std::filesystem::remove(File("token"));
  EXPECT_TRUE(Await([&] {
    return plane.state().last_error.find(File("token")) != std::string::npos;
  })) << plane.state().last_error;
  EXPECT_EQ(plane.Version("ns/a"), 1u) << "it serves on";
  WriteFile("token", kGood);
  EXPECT_TRUE(Await([&] { return plane.state().connected; }));
}

TEST_F(SyncIdentityTest, WhileTokensCannotBeReviewedOpenStreamsGoOnAndNewOnesWait) {
  Listen();
  TestDataPlane& plane = Plane("node");
  ASSERT_TRUE(Await([&] { return plane.Version("ns/a") == 1; }));
  away_ = true;
  Know("new.token.1", "default/rota-dataplane");
  WriteFile("new", "new.token.1");
  TestDataPlane& late = Plane("late", "new");
  AwaitError(late, "cannot say now");
  controller_.Publish({{"ns/a", 2}});
  EXPECT_TRUE(Await([&] { return plane.Version("ns/a") == 2; }));
  away_ = false;
  EXPECT_TRUE(Await([&] { return late.Version("ns/a") == 2; }));
}

// The certificate changes every few milliseconds, the CA with it now and then, while snapshots
// flow: a stream is never cut, and whoever connects gets in.
TEST_F(SyncIdentityTest, RotationUnderLoadDropsNoStream) {
  Listen();
  std::vector<TestDataPlane*> steady;
  for (const char* node : {"a", "b", "c"}) {
    steady.push_back(&Plane(node));
    ASSERT_TRUE(Await([&] { return steady.back()->Version("ns/a") == 1; }));
  }
  uint64_t version = 1;
  for (int rotation = 0; rotation < 4; ++rotation) {
    // The new CA is published, then signs, then the old one goes.
    const identity::KeyPair next = MakeAuthority("next " + std::to_string(rotation));
    const std::string ca = "ca-" + std::to_string(rotation);
    WriteFile(ca, next.certificate + authority_.certificate);
    for (int certificate = 0; certificate < 10; ++certificate) {
      Issue(certificate < 5 ? authority_ : next);
      controller_.Publish({{"ns/a", ++version}});
      TestDataPlane& newcomer =
          Plane("new-" + std::to_string(rotation) + "-" + std::to_string(certificate), "token", ca);
      ASSERT_TRUE(Await([&] { return newcomer.Version("ns/a") == version; }))
          << newcomer.state().last_error;
      planes_.pop_back();
    }
    authority_ = next;
  }
  for (TestDataPlane* plane : steady) {
    EXPECT_TRUE(Await([&] { return plane->Version("ns/a") == version; }));
    EXPECT_EQ(plane->state().streams, 1u) << "the first stream is the one that still runs";
  }
}

TEST_F(SyncIdentityTest, ADataPlaneTrustsANewAuthorityAsSoonAsItsFileSaysSo) {
  max_connection_age_ = milliseconds(300);
  Listen();
  TestDataPlane& plane = Plane("node");
  ASSERT_TRUE(Await([&] { return plane.Version("ns/a") == 1; }));
  const identity::KeyPair next = MakeAuthority("next");
  WriteFile("ca.crt", next.certificate + authority_.certificate);
  ASSERT_TRUE(Await([&] { return plane.state().streams >= 6; }));
  Issue(next);
  const uint64_t streams = plane.state().streams;
  // Connections end with their age; the ones that follow are with the new CA's certificate.
  EXPECT_TRUE(Await([&] { return plane.state().streams >= streams + 3; }))
      << plane.state().last_error;
  EXPECT_EQ(plane.applied(), 1);
}

TEST_F(SyncIdentityTest, AStopEndsStreamsThatWaitForTheirReview) {
  std::atomic<bool> asked{false};
  identity::TokenAuthenticator slow(
      {},
      [&](const SecretString&, std::stop_token stop) -> absl::StatusOr<identity::TokenVerdict> {
        asked = true;
        std::mutex mutex;
        std::condition_variable_any never;
        std::unique_lock lock(mutex);
        never.wait(lock, stop, [] { return false; });
        return absl::CancelledError("stopped");
      },
      clock_);
  controller_.Publish({{"ns/a", 1}});
  serve::GrpcServerOptions options;
  options.listen = {"127.0.0.1", 0};
  options.issued = &certificate_;
  options.authenticator = &slow;
  auto server = serve::GrpcServer::Start(options, controller_.service, clock_);
  ASSERT_TRUE(server.ok()) << server.status();
  server_ = std::move(*server);
  Plane("node");
  ASSERT_TRUE(Await([&] { return asked.load(); }));
  slow.Stop();
  server_->Shutdown(seconds(5));
  EXPECT_EQ(controller_.service.stats().streams_accepted, 0u);
}

// --- Other replicas.

class PeerIdentityTest : public SyncIdentityTest {
 protected:
  struct Replica {
    Replica(Clock& clock, const std::string& name) : controller(clock) {
      serve::PeerOptions options;
      options.replica = name;
      options.first_retry = milliseconds(10);
      options.longest_retry = milliseconds(200);
      options.access.controller = "rota-system/rota-controller";
      exchange.emplace(std::move(options), controller.service, clock);
      controller.Publish({{"ns/a", 1}});
    }
    TestController controller;
    std::optional<serve::PeerExchange> exchange;
    std::unique_ptr<serve::GrpcServer> server;
  };
  ~PeerIdentityTest() override {
    a_.exchange->Stop();
    b_.exchange->Stop();
    authenticator_.Stop();
    a_.server.reset();
  }
  void Dial(const std::string& token) {
    serve::GrpcServerOptions options;
    options.listen = {"127.0.0.1", 0};
    options.issued = &certificate_;
    options.authenticator = &authenticator_;
    auto server = serve::GrpcServer::Start(options, a_.controller.service, clock_, &*a_.exchange);
    ASSERT_TRUE(server.ok()) << server.status();
    a_.server = std::move(*server);
    serve::PeerDiallerOptions dialler;
    dialler.peers = {{"localhost", a_.server->address().port}};
    dialler.trust = [this] {
      std::lock_guard guard(mutex_);
      return trust_;
    };
    dialler.token_file = File(token);
    dialler.resolve_interval = milliseconds(50);
    auto made = serve::MakePeerDialler(dialler, clock_);
    ASSERT_TRUE(made.ok()) << made.status();
    b_.exchange->Start(std::move(*made));
  }
  void Trust(const std::string& roots) {
    std::lock_guard guard(mutex_);
    trust_ = roots;
  }

  std::string trust_;
  Replica a_{clock_, "a"};
  Replica b_{clock_, "b"};
};

TEST_F(PeerIdentityTest, ReplicasKnowEachOtherByTheirOwnAccountOnceTheBundleIsKnown) {
  Know("controller.token.1", "rota-system/rota-controller", "controller-1");
  WriteFile("controller", "controller.token.1");
  Dial("controller");
  EXPECT_TRUE(b_.exchange->Peers().empty()) << "nothing is trusted yet";
  Trust(authority_.certificate);
  EXPECT_TRUE(Await([&] { return a_.exchange->Peers().size() == 1; }));
  EXPECT_TRUE(Await([&] { return b_.exchange->Peers().size() == 1; }));
}

TEST_F(PeerIdentityTest, ADataPlanesTokenIsNoReplicas) {
  Trust(authority_.certificate);
  Dial("token");
  EXPECT_TRUE(Await([&] { return a_.exchange->stats().streams_failed >= 2; }));
  EXPECT_TRUE(a_.exchange->Peers().empty());
}

TEST(SyncIdentityOptionsTest, WrongFilesAreNamed) {
  RealClock clock;
  sync::GrpcTransportOptions client;
  client.controllers = {{"localhost", 1}};
  client.tls_ca = "/does/not/exist";
  client.token_file = "/does/not/exist";
  EXPECT_THAT(std::string(sync::MakeGrpcTransport(client).status().message()),
              HasSubstr("--sync-tls-ca"));
  client.tls_ca = "";
  EXPECT_THAT(std::string(sync::MakeGrpcTransport(client).status().message()),
              HasSubstr("--token-file: cannot open '/does/not/exist'"));
  serve::PeerDiallerOptions dialler;
  dialler.trust = [] { return std::string(); };
  dialler.token_file = "/dev/null";
  EXPECT_THAT(std::string(serve::MakePeerDialler(dialler, clock).status().message()),
              HasSubstr("'/dev/null' is empty"));
}

}  // namespace
}  // namespace rota::tests
