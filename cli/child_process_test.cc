#include "cli/child_process.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace rota::cli {
namespace {

using testing::HasSubstr;

constexpr Duration kPatience = std::chrono::minutes(1);  // never used up when all is well

std::unique_ptr<ChildProcess> Shell(const std::string& script) {
  auto child = ChildProcess::Start({"sh", "-c", script});
  EXPECT_TRUE(child.ok()) << child.status();
  return *std::move(child);
}

TEST(ChildProcessTest, LinesAreReadWhileItRuns) {
  const auto child = Shell("echo one; echo two >&2; exec sleep 1000");
  EXPECT_EQ(*child->ReadLine(kPatience), "one");
  EXPECT_EQ(*child->ReadLine(kPatience), "two");
  EXPECT_TRUE(absl::IsDeadlineExceeded(child->ReadLine(Duration::zero()).status()));
}

TEST(ChildProcessTest, TheEndOfItsOutputIsOutOfRange) {
  const auto child = Shell("printf unfinished");
  EXPECT_TRUE(absl::IsOutOfRange(child->ReadLine(kPatience).status()));
}

TEST(ChildProcessTest, AllIsReadWhenItEndsWell) {
  EXPECT_EQ(*Shell("cat; seq 20000 | tail -n 1")->ReadAll(kPatience), "20000\n");
}

TEST(ChildProcessTest, AFailureSaysWhatItSaid) {
  const absl::Status failed = Shell("echo no access >&2; exit 3")->ReadAll(kPatience).status();
  EXPECT_THAT(std::string(failed.message()), HasSubstr("sh has failed (3): no access"));
}

TEST(ChildProcessTest, OneThatIsNotThereIsNamed) {
  const auto child = ChildProcess::Start({"rota-no-such-program"});
  ASSERT_TRUE(child.ok()) << child.status();
  EXPECT_THAT(std::string((*child)->ReadAll(kPatience).status().message()),
              HasSubstr("rota-no-such-program is not on the PATH"));
}

}  // namespace
}  // namespace rota::cli
