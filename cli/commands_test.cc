// Command lines, and printing again and again.

#include "cli/commands.h"

#include <algorithm>
#include <sstream>

#include "cli/exit_code.h"
#include "cli/session.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace rota::cli {
namespace {

using testing::HasSubstr;

// Whoever waits has waited already.
class SkippingClock final : public Clock {
 public:
  MonotonicTime Now() const override { return now_; }
  WallTime WallNow() const override { return {}; }
  void WaitUntil(std::unique_lock<std::mutex>&, std::condition_variable_any&,
                 MonotonicTime deadline, std::stop_token) override {
    now_ = std::max(now_, deadline);
  }

 private:
  MonotonicTime now_;
};

class CommandsTest : public testing::Test {
 protected:
  CommandsTest() {
    console_.out = &out_;
    console_.err = &err_;
  }
  int RunLine(const std::string& line) {
    CLI::App app{"test"};
    Commands commands(app);
    app.parse(line);
    std::istringstream in;
    return commands.Run(console_, in, clock_).value_or(-1);
  }

  SkippingClock clock_;
  std::ostringstream out_;
  std::ostringstream err_;
  Console console_;
};

TEST_F(CommandsTest, NothingParsedIsNothingRun) { EXPECT_EQ(RunLine(""), -1); }

TEST_F(CommandsTest, AnAddressThatIsNoneIsWrongUsage) {
  EXPECT_EQ(RunLine("status --controller nonsense"), kExitUsage);
  EXPECT_THAT(err_.str(), HasSubstr("rotactl: "));
  EXPECT_THAT(err_.str(), HasSubstr("nonsense"));
}

TEST_F(CommandsTest, LiftWantsToKnowWhat) {
  EXPECT_EQ(RunLine("lift --data-plane 127.0.0.1:1"), kExitUsage);
  EXPECT_THAT(err_.str(), HasSubstr("--id"));
}

TEST_F(CommandsTest, NobodyAnsweringHasAnExitCodeOfItsOwn) {
  // Port 1 of loopback: nobody listens there.
  for (const char* line :
       {"status --controller 127.0.0.1:1", "get suspensions --data-plane 127.0.0.1:1",
        "explain chat --data-plane 127.0.0.1:1", "lift chat --data-plane 127.0.0.1:1",
        "top --data-plane 127.0.0.1:1"}) {
    EXPECT_EQ(RunLine(line), kExitUnreachable) << line;
    EXPECT_THAT(err_.str(), HasSubstr("127.0.0.1:1 does not answer"));
  }
}

TEST_F(CommandsTest, CompletionPrintsTheScript) {
  EXPECT_EQ(RunLine("completion bash"), kExitOk);
  EXPECT_THAT(out_.str(), HasSubstr("complete -o default -F _rotactl rotactl"));
}

Command Counting(int& looks) {
  return {[&looks]() -> absl::StatusOr<Json> {
            ++looks;
            return looks == 2 ? absl::StatusOr<Json>(absl::UnavailableError("gone for a moment"))
                              : Json{{"look", looks}};
          },
          [](const Json& json, Style) { return "look " + json["look"].dump() + "\n"; },
          [](const Json&) { return kExitFindings; }};
}

TEST_F(CommandsTest, OnceItIsPrintedTheVerdictIsTheExitCode) {
  int looks = 0;
  EXPECT_EQ(cli::Run(Counting(looks), {}, console_, clock_), kExitFindings);
  EXPECT_EQ(out_.str(), "look 1\n");
  looks = 0;
  EXPECT_EQ(cli::Run(Counting(looks), {.format = Format::kYaml}, console_, clock_), kExitFindings);
  EXPECT_THAT(out_.str(), HasSubstr("\nlook: 1\n"));
}

// Until its reader has left.
TEST_F(CommandsTest, WatchingPrintsAgainAndOutlivesAFailure) {
  int looks = 0;
  Command command = Counting(looks);
  command.print = [this, print = command.print](const Json& json, Style style) {
    if (json["look"] == 4) {
      out_.setstate(std::ios::badbit);
    }
    return print(json, style);
  };
  EXPECT_EQ(
      cli::Run(command, {.watch = true, .interval = std::chrono::seconds(5)}, console_, clock_),
      kExitOk);
  EXPECT_EQ(clock_.Now(), MonotonicTime(std::chrono::seconds(15)));
  EXPECT_EQ(looks, 4);
  EXPECT_EQ(out_.str(), "look 1\n\nlook 3\n\n");
  EXPECT_THAT(err_.str(), HasSubstr("gone for a moment"));
}

}  // namespace
}  // namespace rota::cli
