#include "cli/completion.h"

#include "cli/commands.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace rota::cli {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

class CompletionTest : public testing::Test {
 protected:
  std::vector<std::string> Words(const std::vector<std::string>& words) {
    return Complete(app_, words);
  }
  CLI::App app_{"test"};
  Commands commands_{app_};
};

TEST_F(CompletionTest, CommandsBelowCommands) {
  EXPECT_THAT(Words({""}), ElementsAre("completion", "explain", "get", "import", "lift", "probe",
                                       "status", "top", "validate"));
  EXPECT_THAT(Words({"e"}), ElementsAre("explain"));
  EXPECT_THAT(Words({"get", ""}), ElementsAre("suspensions"));
  EXPECT_THAT(Words({"import", "t"}), ElementsAre("trustgate"));
  EXPECT_THAT(Words({"x"}), IsEmpty());
  EXPECT_THAT(Words({}), IsEmpty());
}

TEST_F(CompletionTest, OptionsOfTheCommand) {
  EXPECT_THAT(Words({"explain", "--"}), Contains("--model"));
  EXPECT_THAT(Words({"explain", "--mo"}), ElementsAre("--model"));
  EXPECT_THAT(Words({"status", "--"}), Not(Contains("--model")));
  EXPECT_THAT(Words({"get", "suspensions", "--w"}), ElementsAre("--watch"));
}

TEST_F(CompletionTest, ValuesThatAreAChoice) {
  EXPECT_THAT(Words({"explain", "--env", ""}), ElementsAre("production", "sandbox"));
  EXPECT_THAT(Words({"status", "-o", "j"}), ElementsAre("json"));
  EXPECT_THAT(Words({"completion", ""}), ElementsAre("bash", "fish", "zsh"));
  EXPECT_THAT(Words({"explain", "--model", ""}), IsEmpty());
  EXPECT_THAT(Words({"status", "--context", "get", "--na"}), ElementsAre("--namespace"))
      << "a value is no command";
}

TEST_F(CompletionTest, KubectlIsToldHowToGoOn) {
  EXPECT_EQ(CompletionAnswer(app_, {"sta"}), "status\n:4\n");
  EXPECT_EQ(CompletionAnswer(app_, {"validate", ""}), ":0\n") << "file names";
}

TEST_F(CompletionTest, ScriptsForThreeShells) {
  for (const char* shell : {"bash", "zsh", "fish"}) {
    const auto script = CompletionScript(shell);
    ASSERT_TRUE(script.ok());
    EXPECT_THAT(*script, HasSubstr("__complete"));
  }
  EXPECT_TRUE(absl::IsInvalidArgument(CompletionScript("csh").status()));
}

}  // namespace
}  // namespace rota::cli
