#include "controller/compile/snapshot.h"

#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

namespace rota::compile {
namespace {

ResourceBodyPtr Body(uint64_t hash) {
  auto body = std::make_shared<ResourceBody>();
  body->hash = hash;
  return body;
}
ResourceKey Api(int number) { return {ResourceKind::kApi, "ns/" + std::to_string(number)}; }

TEST(ResourceSetTest, ACopyStaysAsItWasWhateverBecomesOfTheOther) {
  ResourceSet set;
  set.Set(Api(1), Body(1));
  set.Set(Api(2), Body(2));
  const ResourceSet before = set;
  const std::string hash = before.Hash();

  set.Set(Api(1), Body(9));
  set.Erase(Api(2));
  set.Set(Api(3), Body(3));

  EXPECT_EQ(before.size(), 2U);
  EXPECT_EQ(before.Find(Api(1))->second->hash, 1U);
  EXPECT_TRUE(before.contains(Api(2)));
  EXPECT_FALSE(before.contains(Api(3)));
  EXPECT_EQ(before.Hash(), hash);
  EXPECT_EQ(set.size(), 2U);
  EXPECT_EQ(set.Find(Api(1))->second->hash, 9U);
  EXPECT_FALSE(set.contains(Api(2)));
  EXPECT_NE(set.Hash(), hash);
}

TEST(ResourceSetTest, OneNameMayHaveSeveralKinds) {
  ResourceSet set;
  set.Set({ResourceKind::kApi, "ns/a"}, Body(1));
  set.Set({ResourceKind::kSecret, "ns/a"}, Body(2));
  set.Erase({ResourceKind::kApi, "ns/a"});
  set.Erase({ResourceKind::kApi, "ns/a"});
  EXPECT_EQ(set.size(), 1U);
  EXPECT_TRUE(set.contains({ResourceKind::kSecret, "ns/a"}));
}

// Against a plain map, with a copy after every few changes as the assembler makes them.
TEST(ResourceSetTest, EqualsAMapAfterRandomChangesAndNamesEachDifference) {
  std::mt19937 dice(11);
  ResourceSet set;
  std::map<ResourceKey, ResourceBodyPtr> expected;
  for (int round = 0; round < 200; ++round) {
    const ResourceSet before = set;
    const std::map<ResourceKey, ResourceBodyPtr> old = expected;
    for (auto change = dice() % 20; change > 0; --change) {
      const ResourceKey key = Api(static_cast<int>(dice() % 600));
      if (dice() % 3 == 0) {
        set.Erase(key);
        expected.erase(key);
      } else {
        const ResourceBodyPtr body = Body(dice());
        set.Set(key, body);
        expected[key] = body;
      }
    }
    std::map<ResourceKey, ResourceBodyPtr> found;
    set.ForEach([&found](const ResourceSet::Entry& entry) { found.insert(entry); });
    ASSERT_EQ(found, expected);
    ASSERT_EQ(set.size(), expected.size());
    ResourceSet fresh;
    for (const auto& [key, body] : expected) {
      fresh.Set(key, body);
    }
    ASSERT_EQ(set.Hash(), fresh.Hash());
    ASSERT_TRUE(set == fresh);
    std::map<ResourceKey, ResourceBodyPtr> replayed = old;
    ResourceSet::Compare(
        before, set, [&replayed](const ResourceSet::Entry* gone, const ResourceSet::Entry* come) {
          if (gone != nullptr) {
            EXPECT_EQ(replayed.at(gone->first), gone->second);
            replayed.erase(gone->first);
          }
          if (come != nullptr) {
            replayed.insert(*come);
          }
        });
    ASSERT_EQ(replayed, expected);
  }
}

}  // namespace
}  // namespace rota::compile
