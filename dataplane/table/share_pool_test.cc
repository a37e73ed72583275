#include "dataplane/table/share_pool.h"

#include <string>

#include "dataplane/table/operation_index.h"
#include "gtest/gtest.h"

namespace rota::table {
namespace {

TEST(SharePoolTest, KeepsApartWhatHasOneHashAndDiffers) {
  SharePool<std::string> pool;
  const auto a = pool.Share(std::make_unique<const std::string>("a"), 1);
  const auto b = pool.Share(std::make_unique<const std::string>("b"), 1);

  EXPECT_EQ(*a, "a");
  EXPECT_EQ(*b, "b");
  EXPECT_EQ(pool.Share(std::make_unique<const std::string>("b"), 1), b);
}

std::shared_ptr<const OperationIndex> Share(SharePool<OperationIndex>& pool, const char* target,
                                            const char* verb, int number) {
  auto index = std::make_unique<OperationIndex>();
  EXPECT_TRUE(index->Add("/models", "GET", 7).ok());
  EXPECT_TRUE(index->Add(target, verb, number).ok());
  index->Freeze();
  const size_t hash = index->Hash();
  return pool.Share(std::move(index), hash);
}

TEST(SharePoolTest, EqualOperationsShareAnIndexAndOthersDoNot) {
  SharePool<OperationIndex> pool;
  const auto index = Share(pool, "/chat/{id}", "POST", 1);

  EXPECT_EQ(Share(pool, "/chat/{id}", "POST", 1), index);
  EXPECT_NE(Share(pool, "/chat/{id}", "POST", 2), index);
  EXPECT_NE(Share(pool, "/chat/{id}", "PUT", 1), index);
  EXPECT_NE(Share(pool, "/chat/{id}/", "POST", 1), index) << "how the path ends is kept";
  EXPECT_NE(Share(pool, "/chat/x", "POST", 1), index);
  EXPECT_EQ(index->Find("/chat/a", "POST").operation, 1);
}

}  // namespace
}  // namespace rota::table
