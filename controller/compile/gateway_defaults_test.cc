#include "controller/compile/gateway_defaults.h"

#include <gtest/gtest.h>

namespace rota::compile {
namespace {

namespace pb = rota::sync::v1;
using std::chrono::seconds;

// Two endpoints, the first with time-outs of its own, and one rotation over both.
std::shared_ptr<const CompiledApi> Compiled(const resource::RotationSettings& settings = {},
                                            std::optional<uint64_t> body_bytes = std::nullopt) {
  resource::Api api;
  api.name = "chat";
  api.base_path = "/chat";
  api.version = "1.0";
  resource::Endpoint first;
  first.url = "https://a.example.com";
  first.connect_timeout = seconds(1);
  first.first_byte_timeout = seconds(2);
  resource::Endpoint second;
  second.url = "https://b.example.com";
  api.endpoint_configurations.production = {first, second};
  resource::Operation operation;
  operation.target = "/chat/completions";
  operation.verb = "POST";
  api.operations = {operation};
  api.round_robin.emplace();
  for (const resource::Endpoint& endpoint : api.endpoint_configurations.production) {
    resource::ModelTarget target;
    target.model = "gpt-4o";
    target.endpoint = endpoint.url;
    api.round_robin->production.push_back(target);
  }
  api.round_robin->settings = settings;
  api.limits.body_bytes = body_bytes;
  auto compiled =
      std::make_shared<const CompiledApi>(CompileApi({"team", "chat"}, "uid", api, "spec."));
  EXPECT_NE(compiled->body, nullptr);
  return compiled;
}

pb::Api Decode(const std::shared_ptr<const CompiledApi>& compiled) {
  pb::Api api;
  EXPECT_TRUE(api.ParseFromString(compiled->body->bytes));
  return api;
}

resource::GatewayDefaults Defaults() {
  resource::GatewayDefaults defaults;
  defaults.rotation.quota_suspension = seconds(60);
  defaults.rotation.max_suspension = seconds(600);
  defaults.rotation.all_suspended = resource::OnAllSuspended::kWait;
  defaults.rotation.wait_timeout = seconds(7);
  defaults.rotation.attempts = 3;
  defaults.rotation.retry_non_idempotent = true;
  defaults.rotation.failure_threshold = 9;
  defaults.rotation.failure_suspension = seconds(90);
  defaults.connect_timeout = seconds(4);
  defaults.first_byte_timeout = seconds(40);
  return defaults;
}

TEST(GatewayDefaultsTest, AnApiInheritsWhatItDoesNotSay) {
  const auto inherited = WithDefaults(Compiled(), Defaults());

  const pb::Rotation rotation = Decode(inherited).rotations(0);
  EXPECT_EQ(rotation.quota_suspension().seconds(), 60);
  EXPECT_EQ(rotation.max_suspension().seconds(), 600);
  EXPECT_EQ(rotation.on_all_suspended(), pb::WAIT);
  EXPECT_EQ(rotation.wait_timeout().seconds(), 7);
  EXPECT_EQ(rotation.attempts(), 3U);
  EXPECT_TRUE(rotation.retry_non_idempotent());
  EXPECT_EQ(rotation.failure_threshold(), 9U);
  EXPECT_EQ(rotation.failure_suspension().seconds(), 90);
  EXPECT_EQ(inherited->body->hash, WithDefaults(Compiled(), Defaults())->body->hash);
  EXPECT_NE(inherited->body->hash, Compiled()->body->hash);
}

TEST(GatewayDefaultsTest, WhatAnApiSaysItKeepsEachFieldByItself) {
  resource::RotationSettings said;
  said.quota_suspension = seconds(0);
  said.all_suspended = resource::OnAllSuspended::kReject;
  said.attempts = 1;
  said.retry_non_idempotent = false;
  said.passive_health_checks = true;
  resource::GatewayDefaults defaults = Defaults();
  defaults.rotation.passive_health_checks = false;

  const pb::Rotation rotation = Decode(WithDefaults(Compiled(said), defaults)).rotations(0);

  EXPECT_EQ(rotation.quota_suspension().seconds(), 0);
  EXPECT_EQ(rotation.on_all_suspended(), pb::REJECT);
  EXPECT_EQ(rotation.attempts(), 1U);
  EXPECT_FALSE(rotation.retry_non_idempotent());
  EXPECT_EQ(rotation.failure_threshold(), 9U);
  EXPECT_EQ(rotation.max_suspension().seconds(), 600);
}

TEST(GatewayDefaultsTest, EndpointsKeepTheirOwnTimeouts) {
  const pb::Api api = Decode(WithDefaults(Compiled(), Defaults()));

  EXPECT_EQ(api.endpoints(0).connect_timeout().seconds(), 1);
  EXPECT_EQ(api.endpoints(0).first_byte_timeout().seconds(), 2);
  EXPECT_EQ(api.endpoints(1).connect_timeout().seconds(), 4);
  EXPECT_EQ(api.endpoints(1).first_byte_timeout().seconds(), 40);
}

TEST(GatewayDefaultsTest, AnApiInheritsALimitUnlessItHasOne) {
  resource::GatewayDefaults defaults;
  defaults.limits.body_bytes = 1000;

  EXPECT_EQ(Decode(WithDefaults(Compiled(), defaults)).max_body_bytes(), 1000U);
  EXPECT_EQ(Decode(WithDefaults(Compiled({}, 5000), defaults)).max_body_bytes(), 5000U);
  EXPECT_EQ(Decode(WithDefaults(Compiled({}, 500), defaults)).max_body_bytes(), 500U);
  EXPECT_EQ(Decode(Compiled()).max_body_bytes(), 0U);
}

TEST(GatewayDefaultsTest, TargetsStayTheSameOnes) {
  const pb::Rotation before = Decode(Compiled()).rotations(0);
  const pb::Rotation after = Decode(WithDefaults(Compiled(), Defaults())).rotations(0);

  EXPECT_EQ(before.id(), after.id());
  ASSERT_EQ(before.targets_size(), 2);
  EXPECT_EQ(before.targets(0).id(), after.targets(0).id());
  EXPECT_EQ(before.targets(1).id(), after.targets(1).id());
}

TEST(GatewayDefaultsTest, AnApiThatSaysEverythingIsNotCopied) {
  resource::GatewayDefaults defaults;
  defaults.rotation.attempts = 4;
  resource::RotationSettings said;
  said.attempts = 1;
  const auto compiled = Compiled(said);

  EXPECT_EQ(WithDefaults(compiled, defaults), compiled);
  EXPECT_NE(WithDefaults(Compiled(), defaults)->body->bytes, Compiled()->body->bytes);
}

}  // namespace
}  // namespace rota::compile
