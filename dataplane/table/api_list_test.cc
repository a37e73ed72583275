#include "dataplane/table/api_list.h"

#include <map>
#include <random>
#include <set>
#include <string>

#include "absl/strings/str_format.h"
#include "dataplane/table/route_table.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace rota::table {
namespace {

using testing::ElementsAre;
using testing::ElementsAreArray;

std::shared_ptr<const Api> MakeApi(const std::string& id) {
  auto api = std::make_shared<Api>();
  api->id = id;
  return api;
}

std::string IdOf(int number) { return absl::StrFormat("ns/api-%05d", number); }

ApiList ListOf(int count) {
  ApiChanges changes;
  for (int i = 0; i < count; ++i) {
    changes.push_back({nullptr, MakeApi(IdOf(i))});
  }
  return ApiList().With(changes);
}

std::vector<std::string> IdsOf(const ApiList& list) {
  std::vector<std::string> ids;
  for (const auto& api : list) {
    ids.push_back(api->id);
  }
  return ids;
}

// Where the list has its pointers: runs that two lists share are at the same place.
std::set<const void*> PlacesOf(const ApiList& list) {
  std::set<const void*> places;
  for (const auto& api : list) {
    places.insert(&api);
  }
  return places;
}

TEST(ApiListTest, AnEmptyOneHasNothing) {
  const ApiList empty;
  EXPECT_EQ(empty.size(), 0u);
  EXPECT_EQ(empty.begin(), empty.end());
  EXPECT_EQ(empty.Find("ns/a"), nullptr);
  EXPECT_THAT(IdsOf(empty.With({})), ElementsAre());
}

TEST(ApiListTest, AddsChangesAndRemovesInOrder) {
  const auto a = MakeApi("a");
  const auto c = MakeApi("c");
  const ApiList two = ApiList().With({{nullptr, a}, {nullptr, c}});
  const auto new_c = MakeApi("c");
  const ApiList next =
      two.With({{a, nullptr}, {nullptr, MakeApi("b")}, {c, new_c}, {nullptr, MakeApi("d")}});
  EXPECT_THAT(IdsOf(two), ElementsAre("a", "c"));
  EXPECT_THAT(IdsOf(next), ElementsAre("b", "c", "d"));
  EXPECT_EQ(two.Find("c"), c);
  EXPECT_EQ(next.Find("c"), new_c);
  EXPECT_EQ(next.Find("a"), nullptr);
  EXPECT_EQ(next.Find("e"), nullptr);
}

TEST(ApiListTest, OneChangeOfThousandsSharesTheRest) {
  const ApiList before = ListOf(5000);
  for (const int changed : {0, 63, 64, 2500, 4999}) {
    const ApiList after = before.With({{before.Find(IdOf(changed)), MakeApi(IdOf(changed))}});
    const std::set<const void*> old = PlacesOf(before);
    size_t anew = 0;
    for (const void* place : PlacesOf(after)) {
      anew += old.contains(place) ? 0 : 1;
    }
    EXPECT_EQ(after.size(), 5000u);
    EXPECT_LE(anew, 64u) << changed;
  }
}

TEST(ApiListTest, ShortRunsAreJoined) {
  ApiList list = ListOf(5000);
  for (int i = 0; i < 5000; ++i) {
    if (i % 50 != 0) {
      list = list.With({{list.Find(IdOf(i)), nullptr}});
    }
  }
  ASSERT_EQ(list.size(), 100u);
  // The first and the last pointer of a run are not next to those of others.
  size_t runs = 0;
  const std::shared_ptr<const Api>* last = nullptr;
  for (const auto& api : list) {
    runs += last == nullptr || &api != last + 1 ? 1 : 0;
    last = &api;
  }
  EXPECT_LE(runs, 8u);
}

TEST(ApiListTest, IsWhatAMapWouldBe) {
  std::mt19937 random(20261127);
  for (int round = 0; round < 20; ++round) {
    const int ids = round % 2 == 0 ? 40 : 1000;
    std::map<std::string, std::shared_ptr<const Api>> model;
    ApiList list;
    for (int step = 0; step < 200; ++step) {
      std::set<std::string> touched;
      for (size_t count = random() % (step % 20 == 0 ? 500 : 4); count > 0; --count) {
        touched.insert(IdOf(static_cast<int>(random() % static_cast<uint32_t>(ids))));
      }
      ApiChanges changes;
      for (const std::string& id : touched) {
        const auto known = model.find(id);
        ApiChange change{known == model.end() ? nullptr : known->second, nullptr};
        if (change.before == nullptr || random() % 2 == 0) {
          change.after = MakeApi(id);
          model[id] = change.after;
        } else {
          model.erase(known);
        }
        changes.push_back(change);
      }
      list = list.With(changes);
      std::vector<std::shared_ptr<const Api>> expected;
      for (const auto& [id, api] : model) {
        expected.push_back(api);
        ASSERT_EQ(list.Find(id), api);
      }
      ASSERT_EQ(list.size(), expected.size());
      ASSERT_THAT(std::vector(list.begin(), list.end()), ElementsAreArray(expected));
    }
  }
}

}  // namespace
}  // namespace rota::table
