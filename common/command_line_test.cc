#include "common/command_line.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>

#include "common/file.h"

namespace rota {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class CommandLineTest : public testing::Test {
 protected:
  CommandLineTest() : line_("rota-test", "A program.") {
    AddHostPort(line_.app(), "--listen", listen_, "Where to listen");
    AddDuration(line_.app(), "--drain-timeout", drain_, "How long to drain");
    line_.app().add_option("--namespace", namespaces_, "Namespaces");
    line_.app().add_flag("--insecure", insecure_, "Allow plaintext");
  }
  void TearDown() override {
    unsetenv("ROTA_LISTEN");
    unsetenv("ROTA_NAMESPACE");
    unsetenv("ROTA_INSECURE");
    std::filesystem::remove(file_);
  }

  std::optional<int> Parse(std::vector<const char*> arguments) {
    arguments.insert(arguments.begin(), "rota-test");
    testing::internal::CaptureStderr();
    testing::internal::CaptureStdout();
    const auto code = line_.Parse(static_cast<int>(arguments.size()), arguments.data());
    errors_ = testing::internal::GetCapturedStderr();
    output_ = testing::internal::GetCapturedStdout();
    return code;
  }
  const char* ConfigFile(const std::string& content) {
    file_ = testing::TempDir() + "rota-command-line-test.yaml";
    EXPECT_TRUE(WriteFileAtomically(file_, content).ok());
    return file_.c_str();
  }

  CommandLine line_;
  std::optional<HostPort> listen_;
  Duration drain_ = std::chrono::seconds(30);
  std::vector<std::string> namespaces_;
  bool insecure_ = false;
  std::string errors_;
  std::string output_;
  std::string file_;
};

TEST_F(CommandLineTest, ReadsFlags) {
  EXPECT_EQ(Parse({"--listen", "[::1]:80", "--drain-timeout=1m", "--namespace", "a", "--namespace",
                   "b", "--insecure"}),
            std::nullopt);
  EXPECT_EQ(listen_, (HostPort{"::1", 80}));
  EXPECT_EQ(drain_, std::chrono::minutes(1));
  EXPECT_THAT(namespaces_, ElementsAre("a", "b"));
  EXPECT_TRUE(insecure_);
}

TEST_F(CommandLineTest, AFlagWinsOverTheEnvironmentAndTheEnvironmentOverTheFile) {
  setenv("ROTA_LISTEN", "127.0.0.1:2", 1);
  setenv("ROTA_NAMESPACE", "from-environment,second", 1);
  const char* file =
      ConfigFile("listen: 127.0.0.1:1\nnamespace: [from-file]\ndrain-timeout: 5\ninsecure: true\n");

  EXPECT_EQ(Parse({"--config", file, "--listen", "127.0.0.1:3"}), std::nullopt);

  EXPECT_EQ(listen_->port, 3);
  EXPECT_THAT(namespaces_, ElementsAre("from-environment", "second"));
  EXPECT_EQ(drain_, std::chrono::seconds(5));
  EXPECT_TRUE(insecure_);
}

TEST_F(CommandLineTest, NamesFileLineAndKeyOfAnUnknownOption) {
  EXPECT_EQ(Parse({"--config", ConfigFile("listen: 127.0.0.1:1\nlisten-on: 3\n")}), 2);
  EXPECT_THAT(errors_, HasSubstr("rota-command-line-test.yaml:2: unknown option 'listen-on'"));
}

TEST_F(CommandLineTest, RefusesBadValuesWithAHint) {
  EXPECT_EQ(Parse({"--listen", "nowhere"}), 2);
  EXPECT_THAT(errors_, HasSubstr("'nowhere' is not HOST:PORT"));
  EXPECT_EQ(Parse({"--drain-timeout", "soon"}), 2);
  EXPECT_THAT(errors_, HasSubstr("'soon' is not a duration"));
  EXPECT_EQ(Parse({"--config", "/does/not/exist"}), 2);
  EXPECT_THAT(errors_, HasSubstr("/does/not/exist"));
  EXPECT_EQ(Parse({"--config", ConfigFile("a: [b\n")}), 2);
  EXPECT_THAT(errors_, HasSubstr("not readable YAML"));
}

TEST_F(CommandLineTest, HelpShowsDefaultsAndVersionShowsTheCommit) {
  EXPECT_EQ(Parse({"--help"}), 0);
  EXPECT_THAT(output_, HasSubstr("30s"));
  EXPECT_THAT(output_, HasSubstr("HOST:PORT"));
  EXPECT_EQ(Parse({"--version"}), 0);
  EXPECT_THAT(output_, HasSubstr("rota-test "));
}

}  // namespace
}  // namespace rota
