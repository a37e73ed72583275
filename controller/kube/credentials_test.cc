#include "controller/kube/credentials.h"

#include <gmock/gmock.h>
#include <sys/stat.h>

#include <condition_variable>
#include <cstdlib>
#include <filesystem>
#include <mutex>

#include "common/file.h"

namespace rota::kube {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

class CredentialsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = (std::filesystem::temp_directory_path() / "rota-credentials-XXXXXX").string();
    ASSERT_NE(mkdtemp(folder_.data()), nullptr);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  std::string Write(const std::string& name, const std::string& content, mode_t mode = 0600) {
    const std::string path = folder_ + "/" + name;
    EXPECT_TRUE(WriteFileAtomically(path, content, mode).ok());
    chmod(path.c_str(), mode);
    return path;
  }
  // A plugin that counts its runs in a file and prints what `body` prints.
  ClientConfig ExecConfig(const std::string& body) {
    ClientConfig config;
    ExecPlugin exec;
    exec.api_version = "client.authentication.k8s.io/v1";
    exec.command = Write("plugin", "#!/bin/sh\necho run >> " + folder_ + "/runs\n" + body, 0700);
    exec.env = {{"PLUGIN_TOKEN", "from-env"}};
    exec.install_hint = "install the plugin";
    config.exec = exec;
    return config;
  }
  int Runs() {
    const auto text = ReadFile(folder_ + "/runs");
    return text.ok() ? static_cast<int>(std::count(text->begin(), text->end(), '\n')) : 0;
  }
  static std::string Printed(const std::string& status) {
    return "printf '%s' '{\"kind\":\"ExecCredential\",\"apiVersion\":"
           "\"client.authentication.k8s.io/v1\",\"status\":" +
           status + "}'\n";
  }
  static std::string TokenOf(Credentials& credentials) {
    const auto token = credentials.Token({});
    return token.ok() ? std::string(token->Reveal()) : std::string(token.status().message());
  }

  std::string folder_;
  FakeClock clock_;
};

TEST_F(CredentialsTest, ReadsTheTokenFileAgainAfterAMinute) {
  ClientConfig config;
  config.token_file = Write("token", "one\n");
  Credentials credentials(config, clock_);
  EXPECT_EQ(TokenOf(credentials), "one");
  Write("token", "two\n");

  clock_.Advance(std::chrono::seconds(59));
  EXPECT_EQ(TokenOf(credentials), "one");
  clock_.Advance(std::chrono::seconds(1));
  EXPECT_EQ(TokenOf(credentials), "two");
}

TEST_F(CredentialsTest, KeepsTheLastTokenWhenTheFileCannotBeReadOrIsEmpty) {
  ClientConfig config;
  config.token_file = Write("token", "one");
  Credentials credentials(config, clock_);
  ASSERT_EQ(TokenOf(credentials), "one");

  std::filesystem::remove(config.token_file);
  clock_.Advance(std::chrono::minutes(1));
  EXPECT_EQ(TokenOf(credentials), "one");
  Write("token", " \n");
  clock_.Advance(std::chrono::minutes(1));
  EXPECT_EQ(TokenOf(credentials), "one");
  Write("token", "two");
  clock_.Advance(std::chrono::minutes(1));
  EXPECT_EQ(TokenOf(credentials), "two");
}

TEST_F(CredentialsTest, ARefusedTokenIsReadAgainAtOnceUnlessItWasReadSince) {
  ClientConfig config;
  config.token_file = Write("token", "one");
  Credentials credentials(config, clock_);
  ASSERT_EQ(TokenOf(credentials), "one");
  Write("token", "two");
  const MonotonicTime before = clock_.Now() - std::chrono::seconds(1);

  credentials.InvalidateOlderThan(before);  // that request used an older one
  EXPECT_EQ(TokenOf(credentials), "one");
  credentials.InvalidateOlderThan(clock_.Now());
  EXPECT_EQ(TokenOf(credentials), "two");
}

TEST_F(CredentialsTest, GivesNoTokenToAnHttpServer) {
  ClientConfig config;
  config.tls = false;
  config.token = SecretString("secret");
  Credentials credentials(config, clock_);

  EXPECT_EQ(TokenOf(credentials), "");
}

TEST_F(CredentialsTest, AChangedAuthorityIsANewGenerationAndAnUnreadableOneIsNot) {
  ClientConfig config;
  config.ca_file = Write("ca.crt", "first");
  Credentials credentials(config, clock_);
  const uint64_t first = credentials.Tls({})->generation;

  std::filesystem::remove(config.ca_file);
  clock_.Advance(std::chrono::minutes(5));
  EXPECT_EQ(credentials.Tls({})->generation, first);
  Write("ca.crt", "second");
  clock_.Advance(std::chrono::minutes(5));
  const auto second = credentials.Tls({});
  EXPECT_NE(second->generation, first);
  EXPECT_EQ(second->ca, "second");
}

TEST_F(CredentialsTest, RunsThePluginOnceAndAgainWhenTheTokenHasExpired) {
  // FakeClock starts at 2026-01-01T00:00:00Z.
  const ClientConfig config =
      ExecConfig(Printed("{\"token\":\"t\",\"expirationTimestamp\":\"2026-01-01T00:10:00Z\"}"));
  Credentials credentials(config, clock_);

  EXPECT_EQ(TokenOf(credentials), "t");
  EXPECT_EQ(TokenOf(credentials), "t");
  EXPECT_EQ(Runs(), 1);
  clock_.Advance(std::chrono::minutes(10));
  EXPECT_EQ(TokenOf(credentials), "t");
  EXPECT_EQ(Runs(), 2);
}

TEST_F(CredentialsTest, ThePluginGetsItsEnvironmentAndTheExecInfo) {
  const ClientConfig config = ExecConfig(
      "case \"$KUBERNETES_EXEC_INFO\" in *'\"interactive\":false'*) ;; *) exit 3;; esac\n"
      "printf '{\"kind\":\"ExecCredential\",\"apiVersion\":\"client.authentication.k8s.io/v1\","
      "\"status\":{\"token\":\"%s\"}}' \"$PLUGIN_TOKEN\"\n");
  Credentials credentials(config, clock_);

  EXPECT_EQ(TokenOf(credentials), "from-env");
}

TEST_F(CredentialsTest, AFailedPluginIsToldWithoutItsOutput) {
  Credentials failing(ExecConfig("echo very-secret; exit 7\n"), clock_);
  EXPECT_THAT(TokenOf(failing), AllOf(HasSubstr("exit code 7"), Not(HasSubstr("very-secret"))));

  Credentials half(ExecConfig(Printed("{\"clientCertificateData\":\"c\"}")), clock_);
  EXPECT_THAT(TokenOf(half), HasSubstr("only one of"));

  ClientConfig config = ExecConfig("");
  config.exec->command = "/nowhere/plugin";
  Credentials missing(config, clock_);
  EXPECT_THAT(TokenOf(missing),
              AllOf(HasSubstr("/nowhere/plugin"), HasSubstr("install the plugin")));
}

TEST_F(CredentialsTest, APluginThatDoesNotEndIsKilledWithItsChildren) {
  const ClientConfig config = ExecConfig("sleep 600 & echo $! > " + folder_ + "/child\nwait\n");
  RealClock clock;

  const auto credential = RunExecPlugin(*config.exec, config, clock, std::chrono::seconds(1), {});

  EXPECT_TRUE(absl::IsDeadlineExceeded(credential.status())) << credential.status();
  const auto child = ReadFile(folder_ + "/child");
  ASSERT_TRUE(child.ok());
  // The kernel takes a moment to end it; then it is gone, or a zombie that init has not reaped yet.
  const std::string stat_file = "/proc/" + std::to_string(std::stoi(*child)) + "/stat";
  const auto ended = [&] {
    const auto stat = ReadFile(stat_file);
    return !stat.ok() || stat->find(") Z ") != std::string::npos;
  };
  std::mutex mutex;
  std::condition_variable_any never;
  std::unique_lock lock(mutex);
  const MonotonicTime deadline = clock.Now() + std::chrono::seconds(10);
  while (!ended() && clock.Now() < deadline) {
    clock.WaitUntil(lock, never, clock.Now() + std::chrono::milliseconds(5), {});
  }
  EXPECT_TRUE(ended());
}

TEST_F(CredentialsTest, StopEndsAWaitForThePlugin) {
  const ClientConfig config = ExecConfig("sleep 600\n");
  std::stop_source stop;
  stop.request_stop();

  const auto credential =
      RunExecPlugin(*config.exec, config, clock_, std::chrono::seconds(30), stop.get_token());

  EXPECT_TRUE(absl::IsCancelled(credential.status())) << credential.status();
}

}  // namespace
}  // namespace rota::kube
