#include "common/file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>

namespace rota {
namespace {

class FileTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = testing::TempDir() + "rota-file-XXXXXX";
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    directory_ = pattern;
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }

  std::string directory_;
};

TEST_F(FileTest, ReplacesAFileInOneStepWithTheModeAskedFor) {
  const std::string path = directory_ + "/state";
  ASSERT_TRUE(WriteFileAtomically(path, "old").ok());
  ASSERT_TRUE(WriteFileAtomically(path, std::string(100000, 'x'), 0640).ok());

  EXPECT_EQ(ReadFile(path).value(), std::string(100000, 'x'));
  struct stat info {};
  ASSERT_EQ(stat(path.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0640U);
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(directory_), {}), 1);
}

TEST_F(FileTest, NamesTheFileThatIsNotThere) {
  const auto content = ReadFile(directory_ + "/absent");

  EXPECT_TRUE(absl::IsNotFound(content.status()));
  EXPECT_THAT(std::string(content.status().message()), testing::HasSubstr("/absent"));
}

TEST_F(FileTest, RefusesAFileOverTheLimit) {
  ASSERT_TRUE(WriteFileAtomically(directory_ + "/big", "123456").ok());

  EXPECT_TRUE(absl::IsResourceExhausted(ReadFile(directory_ + "/big", 5).status()));
  EXPECT_TRUE(ReadFile(directory_ + "/big", 6).ok());
}

TEST_F(FileTest, ReportsAFolderThatDoesNotExist) {
  EXPECT_TRUE(absl::IsNotFound(WriteFileAtomically(directory_ + "/no/file", "x")));
}

}  // namespace
}  // namespace rota
