#include "dataplane/table/endpoint_pool.h"

#include <string>
#include <vector>

#include "gtest/gtest.h"

namespace rota::table {
namespace {

std::unique_ptr<Endpoint> Make(const std::string& url, const std::string& key) {
  auto endpoint = std::make_unique<Endpoint>();
  endpoint->url = url;
  endpoint->credential.place = Credential::Place::kHeader;
  endpoint->credential.name = "Authorization";
  endpoint->credential.value = SecretString(key);
  return endpoint;
}

TEST(EndpointPoolTest, EqualEndpointsAreOneObject) {
  EndpointPool pool;
  const auto first = pool.Share(Make("https://a", "k"));

  EXPECT_EQ(pool.Share(Make("https://a", "k")), first);
  EXPECT_NE(pool.Share(Make("https://b", "k")), first);
}

TEST(EndpointPoolTest, WhateverDiffersKeepsThemApart) {
  EndpointPool pool;
  const auto first = pool.Share(Make("https://a", "k"));
  auto other_timeout = Make("https://a", "k");
  other_timeout->connect_timeout = std::chrono::seconds(1);
  auto without = Make("https://a", "k");
  without->credential_missing = true;

  EXPECT_NE(pool.Share(Make("https://a", "another")), first);
  const auto slow = pool.Share(std::move(other_timeout));
  EXPECT_EQ(slow->connect_timeout, std::chrono::seconds(1));
  EXPECT_TRUE(pool.Share(std::move(without))->credential_missing);
}

TEST(EndpointPoolTest, HoldsNothingThatNobodyHas) {
  EndpointPool pool;
  std::weak_ptr<const Endpoint> gone = pool.Share(Make("https://a", "k"));
  EXPECT_TRUE(gone.expired());

  std::vector<std::shared_ptr<const Endpoint>> held;
  for (int i = 0; i < 1000; ++i) {
    held.push_back(pool.Share(Make("https://a" + std::to_string(i), "k")));
    pool.Share(Make("https://a" + std::to_string(i), "rotated"));
  }
  for (int i = 0; i < 1000; ++i) {
    EXPECT_EQ(pool.Share(Make("https://a" + std::to_string(i), "k")), held[static_cast<size_t>(i)]);
  }
}

}  // namespace
}  // namespace rota::table
