#include "controller/kube/config.h"

#include <gmock/gmock.h>

#include <cstdlib>
#include <filesystem>

#include "absl/strings/escaping.h"
#include "common/file.h"

namespace rota::kube {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

class ConfigTest : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = (std::filesystem::temp_directory_path() / "rota-config-XXXXXX").string();
    ASSERT_NE(mkdtemp(folder_.data()), nullptr);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  std::string Write(const std::string& name, const std::string& content) {
    const std::string path = folder_ + "/" + name;
    std::filesystem::create_directories(std::filesystem::path(path).parent_path());
    EXPECT_TRUE(WriteFileAtomically(path, content).ok());
    return path;
  }
  // A kubeconfig with these members of cluster and user (flow style).
  std::string Kubeconfig(const std::string& cluster, const std::string& user,
                         const std::string& name = "config") {
    return Write(name,
                 "apiVersion: v1\nkind: Config\ncurrent-context: c\ncontexts:\n"
                 "- name: c\n  context: {cluster: k, user: u, namespace: team}\n"
                 "clusters:\n- name: k\n  cluster: " +
                     cluster + "\nusers:\n- name: u\n  user: " + user + "\n");
  }
  ConfigSources Sources(std::map<std::string, std::string> environment) {
    ConfigSources sources;
    sources.environment = [environment](const std::string& name) -> std::optional<std::string> {
      const auto found = environment.find(name);
      return found == environment.end() ? std::nullopt : std::optional(found->second);
    };
    sources.service_account_dir = folder_ + "/account";
    return sources;
  }
  std::string ErrorOf(const std::string& cluster, const std::string& user) {
    const auto config = LoadKubeconfig({Kubeconfig(cluster, user)});
    EXPECT_FALSE(config.ok());
    return std::string(config.status().message());
  }

  std::string folder_;
  static constexpr char kServer[] = "{server: 'https://10.0.0.1:6443'}";
};

TEST_F(ConfigTest, ReadsServerTokenAndNamespace) {
  const auto config = LoadKubeconfig(
      {Kubeconfig("{server: 'https://[fd00::1]:6443/k8s/c1/', tls-server-name: kube.local}",
                  "{token: t0ken}")});

  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->host, "fd00::1");
  EXPECT_EQ(config->port, 6443);
  EXPECT_EQ(config->path_prefix, "/k8s/c1");
  EXPECT_EQ(config->tls_server_name, "kube.local");
  EXPECT_EQ(config->token.Reveal(), "t0ken");
  EXPECT_EQ(config->default_namespace, "team");
  EXPECT_EQ(config->server(), "https://[fd00::1]:6443/k8s/c1");
}

TEST_F(ConfigTest, InlineDataWinsOverFilesAndRelativePathsStartAtTheKubeconfig) {
  const auto config = LoadKubeconfig({Kubeconfig(
      "{server: 'https://a', certificate-authority: pki/ca.crt}",
      "{client-certificate-data: " + absl::Base64Escape("CERT") +
          ", client-certificate: x.crt, client-key: pki/x.key, tokenFile: /abs/token}")});

  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->ca_file, folder_ + "/pki/ca.crt");
  EXPECT_EQ(config->client_certificate_data, "CERT");
  EXPECT_EQ(config->client_certificate_file, "");
  EXPECT_EQ(config->client_key_file, folder_ + "/pki/x.key");
  EXPECT_EQ(config->token_file, "/abs/token");
}

TEST_F(ConfigTest, RefusesByNameWhatIsNotSupported) {
  EXPECT_THAT(ErrorOf("{server: 'https://a', proxy-url: 'http://p'}", "{}"),
              HasSubstr("proxy-url"));
  EXPECT_THAT(ErrorOf(kServer, "{username: a, password: b}"), HasSubstr("username and password"));
  EXPECT_THAT(ErrorOf(kServer, "{auth-provider: {name: gcp}}"), HasSubstr("auth-provider"));
  EXPECT_THAT(ErrorOf(kServer, "{as: root, token: t}"), HasSubstr("impersonation"));
  EXPECT_THAT(ErrorOf(kServer, "{client-certificate: a}"), HasSubstr("without client-key"));
  EXPECT_THAT(ErrorOf(kServer, "{exec: {apiVersion: client.authentication.k8s.io/v1alpha1}}"),
              HasSubstr("v1beta1"));
  EXPECT_THAT(ErrorOf(kServer, "{exec: {apiVersion: client.authentication.k8s.io/v1, command: a}}"),
              HasSubstr("interactiveMode"));
  EXPECT_THAT(ErrorOf("{server: 'ftp://a'}", "{}"), HasSubstr("no scheme"));
  EXPECT_THAT(ErrorOf("{server: 'https://a', certificate-authority-data: '%%%'}", "{}"),
              HasSubstr("certificate-authority-data is not base64"));
}

TEST_F(ConfigTest, NeverTakesACredentialForAnHttpServer) {
  EXPECT_THAT(ErrorOf("{server: 'http://a:8001'}", "{token: very-secret}"),
              AllOf(HasSubstr("plain http"), Not(HasSubstr("very-secret"))));
  EXPECT_TRUE(LoadKubeconfig({Kubeconfig("{server: 'http://localhost:8001'}", "{}")}).ok());
}

TEST_F(ConfigTest, BadYamlIsToldByLineWithoutQuotingIt) {
  const std::string path = Write("bad", "users:\n- name: u\n  user: {token: very-secret\n");

  const std::string message(LoadKubeconfig({path}).status().message());

  EXPECT_THAT(message, HasSubstr(path));
  EXPECT_THAT(message, HasSubstr("line "));
  EXPECT_THAT(message, Not(HasSubstr("very-secret")));
}

TEST_F(ConfigTest, OfSeveralFilesTheFirstThatNamesAThingWins) {
  const std::string first =
      Write("first", "current-context: c\nusers:\n- name: u\n  user: {token: first}\n");
  const std::string second = Kubeconfig(kServer, "{token: second}", "second");

  const auto config = LoadKubeconfig({folder_ + "/absent", first, second});

  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->token.Reveal(), "first");
  EXPECT_EQ(config->host, "10.0.0.1");
}

TEST_F(ConfigTest, TheExplicitPathWinsOverTheVariableOverTheHomeOverTheCluster) {
  const std::string explicit_path = Kubeconfig("{server: 'https://explicit'}", "{}", "explicit");
  const std::string variable = Kubeconfig("{server: 'https://variable'}", "{}", "variable");
  Kubeconfig("{server: 'https://home'}", "{}", "home/.kube/config");
  Write("account/token", "t\n");
  Write("account/ca.crt", "ca");
  Write("account/namespace", "pod-ns\n");
  std::map<std::string, std::string> environment = {{"KUBECONFIG", variable},
                                                    {"HOME", folder_ + "/home"},
                                                    {"KUBERNETES_SERVICE_HOST", "fd00::2"},
                                                    {"KUBERNETES_SERVICE_PORT", "443"}};

  EXPECT_EQ(LoadConfig(explicit_path, Sources(environment))->host, "explicit");
  EXPECT_EQ(LoadConfig("", Sources(environment))->host, "variable");
  environment.erase("KUBECONFIG");
  EXPECT_EQ(LoadConfig("", Sources(environment))->host, "home");
  environment.erase("HOME");
  const auto in_cluster = LoadConfig("", Sources(environment));
  ASSERT_TRUE(in_cluster.ok()) << in_cluster.status();
  EXPECT_EQ(in_cluster->host, "fd00::2");
  EXPECT_EQ(in_cluster->default_namespace, "pod-ns");
}

TEST_F(ConfigTest, SaysWhereItLookedAndWhatIsWrong) {
  EXPECT_THAT(std::string(LoadConfig("", Sources({})).status().message()),
              HasSubstr("give --kubeconfig FILE"));
  EXPECT_THAT(std::string(LoadConfig("/nowhere/config", Sources({})).status().message()),
              HasSubstr("/nowhere/config does not exist"));
  Write("account/token", " \n");
  Write("account/ca.crt", "ca");
  EXPECT_THAT(std::string(LoadConfig("", Sources({{"KUBERNETES_SERVICE_HOST", "10.0.0.1"},
                                                  {"KUBERNETES_SERVICE_PORT", "443"}}))
                              .status()
                              .message()),
              HasSubstr("token is empty"));
}

}  // namespace
}  // namespace rota::kube
