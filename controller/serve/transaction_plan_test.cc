#include "controller/serve/transaction_plan.h"

#include <set>

#include "controller/serve/test_snapshots.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace rota::serve {
namespace {

namespace v1 = rota::sync::v1;
using ::testing::IsEmpty;
using ::testing::SizeIs;

TEST(SnapshotDeltaTest, HoldsWhatIsNewChangedAndGone) {
  const auto from = MakeSnapshot({{"ns/a", 1}, {"ns/b", 1}, {"ns/c", 1}});
  const auto to = MakeSnapshot({{"ns/b", 2}, {"ns/c", 1}, {"ns/d", 1}});

  const auto delta = DeltaBetween(from.get(), to);

  ASSERT_THAT(delta->upserts, SizeIs(2));
  EXPECT_EQ(delta->upserts[0]->first.second, "ns/b");
  EXPECT_EQ(delta->upserts[1]->first.second, "ns/d");
  ASSERT_THAT(delta->removals, SizeIs(1));
  EXPECT_EQ(delta->removals[0].second, "ns/a");
  EXPECT_FALSE(delta->full);
}

TEST(SnapshotDeltaTest, FromAnInventoryEqualsFromASnapshot) {
  const auto from = MakeSnapshot({{"ns/a", 1}, {"ns/b", 1}});
  const auto to = MakeSnapshot({{"ns/b", 2}, {"ns/d", 1}});
  const auto delta = DeltaFromInventory(
      {{{compile::ResourceKind::kApi, "ns/a"}, 1}, {{compile::ResourceKind::kApi, "ns/b"}, 1}}, to);
  const auto expected = DeltaBetween(from.get(), to);
  EXPECT_EQ(delta->upserts, expected->upserts);
  EXPECT_EQ(delta->removals, expected->removals);
}

TEST(DeltaCacheTest, ComputesEachDifferenceOnce) {
  DeltaCache cache;
  const auto from = MakeSnapshot({{"ns/a", 1}});
  const auto to = MakeSnapshot({{"ns/a", 2}});
  EXPECT_EQ(cache.Between(from, to), cache.Between(from, to));
  EXPECT_TRUE(cache.Between(nullptr, to)->full);
}

TEST(TransactionPlanTest, CutsAFullSyncOfTenThousandResourcesIntoBoundedChunks) {
  std::vector<TestResource> resources;
  for (int i = 0; i < 10'000; ++i) {
    resources.push_back({"ns/api-" + std::to_string(i), 1, compile::ResourceKind::kApi, 1500});
  }
  const auto snapshot = MakeSnapshot(resources);
  TransactionPlan plan(1, DeltaBetween(nullptr, snapshot));
  std::set<std::string> names;
  size_t chunks = 0;
  constexpr size_t kChunk = 256 << 10;
  while (!plan.done()) {
    const v1::Chunk chunk = plan.Next(kChunk);
    ++chunks;
    EXPECT_LE(chunk.ByteSizeLong(), kChunk);
    EXPECT_EQ(chunk.has_commit(), plan.done());
    for (const v1::Resource& resource : chunk.upserts()) {
      EXPECT_TRUE(names.insert(resource.id().name()).second);
    }
  }
  EXPECT_EQ(names.size(), 10'000u);
  EXPECT_GT(chunks, 50u);
  EXPECT_LT(chunks, 80u);
}

TEST(TransactionPlanTest, AResourceLargerThanAChunkGoesAlone) {
  const auto snapshot = MakeSnapshot({{"ns/a", 1, compile::ResourceKind::kApi, 10},
                                      {"ns/b", 1, compile::ResourceKind::kApi, 5000},
                                      {"ns/c", 1, compile::ResourceKind::kApi, 10}});
  TransactionPlan plan(1, DeltaBetween(nullptr, snapshot));
  EXPECT_THAT(plan.Next(1000).upserts(), SizeIs(1));
  EXPECT_THAT(plan.Next(1000).upserts(), SizeIs(1));
  const v1::Chunk last = plan.Next(1000);
  EXPECT_THAT(last.upserts(), SizeIs(1));
  EXPECT_EQ(last.commit().resource_count(), 3u);
  EXPECT_EQ(last.commit().snapshot_hash(), snapshot->hash);
  EXPECT_TRUE(last.commit().full());
}

TEST(TransactionPlanTest, NothingToChangeIsOneEmptyCommit) {
  const auto snapshot = MakeSnapshot({{"ns/a", 1}});
  TransactionPlan plan(4, DeltaBetween(snapshot.get(), snapshot));
  const v1::Chunk chunk = plan.Next(1000);
  EXPECT_TRUE(plan.done());
  EXPECT_EQ(chunk.transaction(), 4u);
  EXPECT_THAT(chunk.upserts(), IsEmpty());
  EXPECT_THAT(chunk.removals(), IsEmpty());
  EXPECT_TRUE(chunk.has_commit());
  EXPECT_FALSE(chunk.commit().full());
}

}  // namespace
}  // namespace rota::serve
