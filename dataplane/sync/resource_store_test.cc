#include "dataplane/sync/resource_store.h"

#include "dataplane/sync/stager.h"
#include "dataplane/sync/test_resources.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace rota::sync {
namespace {

namespace v1 = rota::sync::v1;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

const ResourceKey kA{v1::API, "ns/a"};

class ResourceStoreTest : public ::testing::Test {
 protected:
  absl::StatusOr<v1::Ack> Apply(v1::Chunk chunk) {
    Stager stager;
    chunk.set_transaction(1);
    return store_.Apply(
        **stager.Add(std::move(chunk)),
        [this](const ResourceMap& wanted, const ChangedKeys& changed, const std::string&) {
          ++applied_;
          wanted_ = wanted;
          changed_ = changed;
          ApplyResult result;
          for (const TestResource& resource : reject_) {
            const auto found = wanted.find({resource.kind, resource.name});
            if (found != wanted.end() && found->second->hash() == resource.hash) {
              result.rejected.push_back(MakeRejection(resource));
            }
          }
          result.refused = refuse_;
          return result;
        });
  }
  v1::Hello Hello() {
    v1::Hello hello;
    store_.FillHello(hello);
    return hello;
  }

  ResourceStore store_;
  std::vector<TestResource> reject_;
  std::vector<v1::Rejection> refuse_;
  ResourceMap wanted_;
  ChangedKeys changed_;
  int applied_ = 0;
};

TEST_F(ResourceStoreTest, AppliesADeltaToWhatIsInUse) {
  ASSERT_TRUE(Apply(MakeChunk(1, {{"ns/a"}, {"ns/b"}}, {{"ns/a"}, {"ns/b"}}, {}, true)).ok());
  const auto ack = Apply(MakeChunk(1, {{"ns/a", 2}, {"ns/c"}}, {{"ns/a", 2}, {"ns/c"}}, {"ns/b"}));
  ASSERT_TRUE(ack.ok()) << ack.status();
  EXPECT_EQ(ack->applied_snapshot_hash(), store_.snapshot_hash());
  EXPECT_THAT(wanted_, SizeIs(2));
  EXPECT_EQ(wanted_.at(kA)->hash(), 2u);
}

TEST_F(ResourceStoreTest, SaysWhatItsConfigurationWasBuiltFrom) {
  v1::Chunk chunk = MakeChunk(1, {{"ns/a"}}, {{"ns/a"}}, {}, true);
  v1::KindWatermark& watermark = *chunk.mutable_commit()->add_built_from();
  watermark.set_kind("API");
  watermark.set_resource_version("1700");
  ASSERT_TRUE(Apply(chunk).ok());
  ASSERT_THAT(Hello().seen(), SizeIs(1));
  EXPECT_EQ(Hello().seen(0).resource_version(), "1700");

  chunk.mutable_commit()->mutable_built_from(0)->set_resource_version("1800");
  ASSERT_TRUE(Apply(chunk).ok());  // nothing else is new

  EXPECT_EQ(Hello().seen(0).resource_version(), "1800");
}

TEST_F(ResourceStoreTest, AWrongCountOrHashChangesNothing) {
  ASSERT_TRUE(Apply(MakeChunk(1, {{"ns/a"}}, {{"ns/a"}}, {}, true)).ok());

  const auto count = Apply(MakeChunk(1, {{"ns/b"}}, {{"ns/b"}}));
  const auto hash = Apply(MakeChunk(1, {{"ns/b"}}, {{"ns/a", 9}, {"ns/b"}}));

  EXPECT_THAT(std::string(count.status().message()), HasSubstr("leads to 2 resources"));
  EXPECT_THAT(std::string(hash.status().message()), HasSubstr("another snapshot"));
  EXPECT_EQ(applied_, 1);
  EXPECT_THAT(store_.in_use(), SizeIs(1));
}

TEST_F(ResourceStoreTest, SaysWhatMayHaveChanged) {
  ASSERT_TRUE(Apply(MakeChunk(1, {{"ns/a"}, {"ns/b"}}, {{"ns/a"}, {"ns/b"}}, {}, true)).ok());
  EXPECT_EQ(changed_, std::nullopt) << "everything is new";
  ASSERT_TRUE(Apply(MakeChunk(1, {{"ns/c"}}, {{"ns/a"}, {"ns/c"}}, {"ns/b"})).ok());
  EXPECT_EQ(changed_, (std::set<ResourceKey>{{v1::API, "ns/b"}, {v1::API, "ns/c"}}));
}

TEST_F(ResourceStoreTest, WhatIsSentAgainAsItWasStaysTheSameObject) {
  ASSERT_TRUE(Apply(MakeChunk(1, {{"ns/a"}, {"ns/b"}}, {{"ns/a"}, {"ns/b"}}, {}, true)).ok());
  const ResourceMap before = wanted_;

  ASSERT_TRUE(Apply(MakeChunk(1, {{"ns/a"}, {"ns/b", 2}}, {{"ns/a"}, {"ns/b", 2}}, {}, true)).ok());

  EXPECT_EQ(wanted_.at(kA), before.at(kA)) << "the table keeps it too: not twice";
  EXPECT_NE(wanted_.at({v1::API, "ns/b"}), before.at({v1::API, "ns/b"}));
}

TEST_F(ResourceStoreTest, FullReplacesWhatIsNotListed) {
  ASSERT_TRUE(Apply(MakeChunk(1, {{"ns/a"}, {"ns/b"}}, {{"ns/a"}, {"ns/b"}}, {}, true)).ok());
  ASSERT_TRUE(Apply(MakeChunk(1, {{"ns/c"}}, {{"ns/c"}}, {}, true)).ok());
  EXPECT_THAT(store_.in_use(), SizeIs(1));
}

TEST_F(ResourceStoreTest, AnEmptyTransactionOfTheSameSnapshotBuildsNothing) {
  refuse_ = {MakeRejection({"ns/a"})};
  ASSERT_TRUE(Apply(MakeChunk(1, {{"ns/a"}}, {{"ns/a"}}, {}, true)).ok());
  const auto ack = Apply(MakeChunk(1, {}, {{"ns/a"}}));
  ASSERT_TRUE(ack.ok());
  EXPECT_EQ(applied_, 1);
  EXPECT_EQ(ack->applied_snapshot_hash(), store_.snapshot_hash());
  EXPECT_THAT(ack->refused(), SizeIs(1)) << "refusals are repeated with every Ack";
}

TEST_F(ResourceStoreTest, TheFirstEmptySnapshotIsApplied) {
  ASSERT_TRUE(Apply(MakeChunk(1, {}, {}, {}, true)).ok());
  EXPECT_EQ(applied_, 1);
}

TEST_F(ResourceStoreTest, ARejectedResourceKeepsTheVersionInUseAndTheHelloSaysSo) {
  ASSERT_TRUE(Apply(MakeChunk(1, {{"ns/a"}, {"ns/b"}}, {{"ns/a"}, {"ns/b"}}, {}, true)).ok());
  reject_ = {{"ns/a", 2}};

  const auto ack = Apply(MakeChunk(1, {{"ns/a", 2}, {"ns/b", 2}}, {{"ns/a", 2}, {"ns/b", 2}}));

  ASSERT_TRUE(ack.ok()) << ack.status();
  ASSERT_THAT(ack->rejected(), SizeIs(1));
  EXPECT_EQ(ack->rejected(0).rejected_hash(), 2u);
  EXPECT_EQ(ack->rejected(0).kept_hash(), 1u);
  EXPECT_EQ(ack->applied_snapshot_hash(), MakeCommit({{"ns/a", 1}, {"ns/b", 2}}).snapshot_hash());
  EXPECT_EQ(store_.in_use().at(kA)->body(), "ns/a@1");
  const v1::Hello hello = Hello();
  EXPECT_EQ(hello.inventory(0).hash(), 1u);
  EXPECT_EQ(hello.inventory(1).hash(), 2u);
  EXPECT_EQ(hello.snapshot_hash(), "");
}

TEST_F(ResourceStoreTest, ARejectedNewResourceIsNotInUse) {
  reject_ = {{"ns/a", 1}};
  const auto ack = Apply(MakeChunk(1, {{"ns/a"}, {"ns/b"}}, {{"ns/a"}, {"ns/b"}}, {}, true));
  EXPECT_EQ(ack->rejected(0).kept_hash(), 0u);
  EXPECT_THAT(Hello().inventory(), SizeIs(1));
}

TEST_F(ResourceStoreTest, AfterARejectionTheServersViewStaysTheBaseOfTheNextDelta) {
  reject_ = {{"ns/a", 1}};
  ASSERT_TRUE(Apply(MakeChunk(1, {{"ns/a"}, {"ns/b"}}, {{"ns/a"}, {"ns/b"}}, {}, true)).ok());
  // The server does not send ns/a again: the commit counts it all the same.
  const auto other = Apply(MakeChunk(1, {{"ns/b", 2}}, {{"ns/a"}, {"ns/b", 2}}));
  ASSERT_TRUE(other.ok()) << other.status();
  EXPECT_NE(other->applied_snapshot_hash(), store_.snapshot_hash());
  // It is fixed.
  const auto fixed = Apply(MakeChunk(1, {{"ns/a", 3}}, {{"ns/a", 3}, {"ns/b", 2}}));
  ASSERT_TRUE(fixed.ok()) << fixed.status();
  EXPECT_EQ(fixed->applied_snapshot_hash(), store_.snapshot_hash());
  EXPECT_THAT(fixed->rejected(), IsEmpty());
}

TEST_F(ResourceStoreTest, RejectedThenReconnectedStartsFromWhatIsInUse) {
  ASSERT_TRUE(Apply(MakeChunk(1, {{"ns/a"}}, {{"ns/a"}}, {}, true)).ok());
  reject_ = {{"ns/a", 2}};
  ASSERT_TRUE(Apply(MakeChunk(1, {{"ns/a", 2}}, {{"ns/a", 2}})).ok());

  store_.OnNewStream();

  // Another replica is still at version 1: nothing differs.
  const auto ack = Apply(MakeChunk(1, {}, {{"ns/a", 1}}));
  ASSERT_TRUE(ack.ok()) << ack.status();
  EXPECT_EQ(ack->applied_snapshot_hash(), MakeCommit({{"ns/a", 1}}).snapshot_hash());
}

TEST_F(ResourceStoreTest, RemovingARejectedResourceRemovesWhatWasKept) {
  ASSERT_TRUE(Apply(MakeChunk(1, {{"ns/a"}}, {{"ns/a"}}, {}, true)).ok());
  reject_ = {{"ns/a", 2}};
  ASSERT_TRUE(Apply(MakeChunk(1, {{"ns/a", 2}}, {{"ns/a", 2}})).ok());
  ASSERT_TRUE(Apply(MakeChunk(1, {}, {}, {"ns/a"})).ok());
  EXPECT_THAT(store_.in_use(), IsEmpty());
}

TEST_F(ResourceStoreTest, ForgetInventoryAsksForEverythingOnce) {
  ASSERT_TRUE(Apply(MakeChunk(1, {{"ns/a"}}, {{"ns/a"}}, {}, true)).ok());
  store_.ForgetInventory();
  EXPECT_THAT(Hello().inventory(), IsEmpty());
  EXPECT_EQ(Hello().snapshot_hash(), "");
  ASSERT_TRUE(Apply(MakeChunk(1, {{"ns/a"}}, {{"ns/a"}}, {}, true)).ok());
  EXPECT_THAT(Hello().inventory(), SizeIs(1));
}

TEST_F(ResourceStoreTest, OverlongMessagesAreCutBetweenCharacters) {
  v1::Rejection refusal = MakeRejection({"ns/a"});
  refusal.set_message(std::string(1023, 'x') + "\u00e9" + std::string(5000, 'x'));
  refuse_ = {refusal};
  const auto ack = Apply(MakeChunk(1, {{"ns/a"}}, {{"ns/a"}}, {}, true));
  EXPECT_EQ(ack->refused(0).message(), std::string(1023, 'x'));
}

TEST(StagerTest, StagesChunksUntilTheCommit) {
  Stager stager;
  v1::Chunk first;
  first.set_transaction(1);
  *first.add_upserts() = MakeResource({"ns/a"});
  EXPECT_FALSE(stager.Add(first)->has_value());
  EXPECT_TRUE(stager.staging());

  const auto whole = stager.Add(MakeChunk(1, {{"ns/b"}}, {{"ns/a"}, {"ns/b"}}));

  ASSERT_TRUE(whole.ok() && whole->has_value());
  EXPECT_THAT((*whole)->upserts, SizeIs(2));
}

TEST(StagerTest, TheSameIdTwiceIsAnError) {
  Stager upserts;
  EXPECT_THAT(
      std::string(
          upserts.Add(MakeChunk(1, {{"ns/a"}, {"ns/a", 2}}, {{"ns/a"}})).status().message()),
      HasSubstr("'ns/a' comes twice"));
  Stager both;
  EXPECT_FALSE(both.Add(MakeChunk(1, {{"ns/a"}}, {}, {"ns/a"})).ok());
  Stager removals;
  EXPECT_FALSE(removals.Add(MakeChunk(1, {}, {}, {"ns/a", "ns/a"})).ok());
}

TEST(StagerTest, AChunkAfterTheCommitIsAnErrorUntilTheAck) {
  Stager stager;
  ASSERT_TRUE(stager.Add(MakeChunk(1, {}, {})).ok());
  EXPECT_THAT(std::string(stager.Add(MakeChunk(1, {}, {})).status().message()),
              HasSubstr("before transaction 1 was acknowledged"));
  EXPECT_FALSE(stager.Add(MakeChunk(2, {}, {})).ok());
  stager.OnAcknowledged();
  EXPECT_TRUE(stager.Add(MakeChunk(2, {}, {})).ok());
}

TEST(StagerTest, NumbersCountUpFromOne) {
  Stager stager;
  EXPECT_FALSE(stager.Add(MakeChunk(2, {}, {})).ok());
  v1::Chunk open = MakeChunk(1, {}, {});
  open.clear_commit();
  ASSERT_TRUE(stager.Add(open).ok());
  EXPECT_THAT(std::string(stager.Add(MakeChunk(2, {}, {})).status().message()),
              HasSubstr("inside transaction 1"));
  stager.Reset();
  EXPECT_FALSE(stager.staging());
  EXPECT_TRUE(stager.Add(MakeChunk(1, {}, {})).ok());
}

TEST(StagerTest, IsBoundedInBytesAndResources) {
  StagerLimits limits;
  limits.max_bytes = 39;
  Stager bytes(limits);
  EXPECT_EQ(bytes.Add(MakeChunk(1, {{"ns/a"}, {"ns/b"}, {"ns/c"}, {"ns/d"}}, {})).status().code(),
            absl::StatusCode::kResourceExhausted);
  limits.max_bytes = 1000;
  limits.max_resources = 2;
  Stager resources(limits);
  EXPECT_EQ(resources.Add(MakeChunk(1, {{"ns/a"}, {"ns/b"}}, {}, {"ns/c"})).status().code(),
            absl::StatusCode::kResourceExhausted);
}

TEST(StagerTest, AResourceWithoutNameOrHashIsAnError) {
  Stager name;
  EXPECT_FALSE(name.Add(MakeChunk(1, {{""}}, {})).ok());
  Stager hash;
  EXPECT_FALSE(hash.Add(MakeChunk(1, {{"ns/a", 0}}, {})).ok());
}

}  // namespace
}  // namespace rota::sync
