#include "dataplane/table/operation_index.h"

#include <string>
#include <utility>
#include <vector>

#include "gtest/gtest.h"

namespace rota::table {
namespace {

OperationIndex MakeIndex(const std::vector<std::pair<std::string, std::string>>& operations) {
  OperationIndex index;
  int number = 0;
  for (const auto& [verb, target] : operations) {
    const absl::Status status = index.Add(target, verb, number++);
    EXPECT_TRUE(status.ok()) << status;
  }
  index.Freeze();
  return index;
}

TEST(OperationIndexTest, FindsALiteralTargetWithOrWithoutATrailingSlash) {
  const OperationIndex index =
      MakeIndex({{"POST", "/chat/completions"}, {"GET", "/models/"}, {"GET", "/"}});

  EXPECT_EQ(index.Find("/chat/completions", "POST").operation, 0);
  EXPECT_EQ(index.Find("/chat/completions/", "POST").operation, 0);
  EXPECT_EQ(index.Find("/models", "GET").operation, 1);
  EXPECT_EQ(index.Find("", "GET").operation, 2);
  EXPECT_EQ(index.Find("/", "GET").operation, 2);
  for (const char* path :
       {"/chat", "/chat/completions/x", "/chat/completions//", "/Chat/completions"}) {
    EXPECT_FALSE(index.Find(path, "POST").path_exists) << path;
  }
}

TEST(OperationIndexTest, TheMostSpecificTargetWins) {
  const OperationIndex index = MakeIndex({{"GET", "/*"},
                                          {"GET", "/files/*"},
                                          {"GET", "/files/{id}"},
                                          {"GET", "/files/{id}/content"},
                                          {"GET", "/files/latest"},
                                          {"GET", "/{kind}/latest"}});

  EXPECT_EQ(index.Find("/files/latest", "GET").operation, 4);
  EXPECT_EQ(index.Find("/files/a", "GET").operation, 2);
  EXPECT_EQ(index.Find("/files/a/content", "GET").operation, 3);
  EXPECT_EQ(index.Find("/files/a/b", "GET").operation, 1);
  EXPECT_EQ(index.Find("/files", "GET").operation, 1);
  EXPECT_EQ(index.Find("/images/latest", "GET").operation, 5);
  EXPECT_EQ(index.Find("/images", "GET").operation, 0);
  EXPECT_EQ(index.Find("/", "GET").operation, 0);
}

TEST(OperationIndexTest, AParameterIsOneSegmentThatIsNotEmpty) {
  const OperationIndex index = MakeIndex({{"GET", "/threads/{id}/runs"}});

  EXPECT_TRUE(index.Find("/threads/a b/runs", "GET").path_exists);
  EXPECT_FALSE(index.Find("/threads//runs", "GET").path_exists);
  EXPECT_FALSE(index.Find("/threads/a/b/runs", "GET").path_exists);
}

TEST(OperationIndexTest, AnotherVerbIsLookedForInTheLessSpecificTargets) {
  const OperationIndex index =
      MakeIndex({{"GET", "/files/{id}"}, {"DELETE", "/files/{id}"}, {"POST", "/files/*"}});

  EXPECT_EQ(index.Find("/files/a", "POST").operation, 2);
  const OperationIndex::Found none = index.Find("/files/a", "PUT");
  EXPECT_TRUE(none.path_exists);
  EXPECT_EQ(none.operation, -1);
  EXPECT_EQ(index.Allowed("/files/a"), "GET, DELETE, POST");
  EXPECT_EQ(index.Allowed("/other"), "");
}

TEST(OperationIndexTest, ManyLiteralTargetsAreFoundByHash) {
  std::vector<std::pair<std::string, std::string>> operations;
  for (int i = 0; i < 500; ++i) {
    operations.emplace_back("GET", "/operation/" + std::to_string(i));
  }
  operations.emplace_back("GET", "/operation/{other}");
  const OperationIndex index = MakeIndex(operations);

  EXPECT_EQ(index.Find("/operation/321", "GET").operation, 321);
  EXPECT_EQ(index.Find("/operation/999", "GET").operation, 500);
}

TEST(OperationIndexTest, LiteralSegmentsAreComparedDecoded) {
  const OperationIndex index = MakeIndex({{"GET", "/a%20b"}});

  EXPECT_TRUE(index.Find("/a b", "GET").path_exists);
}

TEST(OperationIndexTest, RefusesTargetsThatMeanNothing) {
  OperationIndex index;
  for (const char* target :
       {"", "a", "/*/a", "/a/../b", "/a//b", "/{a", "/a}", "/a{b}", "/a*", "/a%2fb", "/a%zz"}) {
    EXPECT_FALSE(index.Add(target, "GET", 0).ok()) << target;
  }
  ASSERT_TRUE(index.Add("/a/{x}", "GET", 0).ok());
  EXPECT_FALSE(index.Add("/a/{y}/", "GET", 1).ok());
  EXPECT_TRUE(index.Add("/a/{y}", "POST", 1).ok());
}

}  // namespace
}  // namespace rota::table
