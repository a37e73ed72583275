#include "controller/resource/decode_gateway.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "controller/resource/decode.h"

namespace rota::resource {
namespace {

using Json = nlohmann::json;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

TEST(DecodeGatewayTest, EverythingHasADefault) {
  const DecodedGateway decoded = DecodeGateway(Json::object());

  ASSERT_TRUE(decoded.gateway.has_value());
  EXPECT_EQ(*decoded.gateway, Gateway{});
  EXPECT_THAT(decoded.diagnostics, IsEmpty());
}

TEST(DecodeGatewayTest, ReadsEveryField) {
  const DecodedGateway decoded = DecodeGateway(Json::parse(R"({
    "productionHosts": ["a.example.com"], "sandboxHosts": ["*.b", "_x-1.c"],
    "allowLocalUpstreams": true, "allowedNamespaces": {"from": "Same"}})"));

  ASSERT_TRUE(decoded.gateway.has_value());
  EXPECT_THAT(decoded.gateway->production_hosts, ElementsAre("a.example.com"));
  EXPECT_THAT(decoded.gateway->sandbox_hosts, ElementsAre("*.b", "_x-1.c"));
  EXPECT_TRUE(decoded.gateway->allow_local_upstreams);
  EXPECT_EQ(decoded.gateway->allowed_namespaces, AllowedNamespaces::kSame);
}

TEST(DecodeGatewayTest, ReadsWhoseApisMayUseItsIdentity) {
  const auto decode = [](const Json& namespaces) {
    return DecodeGateway(Json{{"ambientIdentityNamespaces", namespaces}});
  };
  EXPECT_THAT(decode(Json::array({"a", "b-1"})).gateway->ambient_identity_namespaces,
              ElementsAre("a", "b-1"));
  EXPECT_THAT(DecodeGateway(Json::object()).gateway->ambient_identity_namespaces, IsEmpty());

  for (const Json& wrong : {Json::array({"*"}), Json::array({""}), Json::array({"a.b"}),
                            Json::array({"A"}), Json::array({"a", "a"})}) {
    const DecodedGateway decoded = decode(wrong);
    EXPECT_FALSE(decoded.gateway.has_value()) << wrong;
    ASSERT_THAT(decoded.diagnostics, SizeIs(1)) << wrong;
    EXPECT_EQ(decoded.diagnostics[0].field,
              "spec.ambientIdentityNamespaces[" + std::to_string(wrong.size() - 1) + "]");
  }
}

TEST(DecodeGatewayTest, ReadsTheListeners) {
  const DecodedGateway decoded = DecodeGateway(Json::parse(R"({"listeners": [
    {"name": "public", "hostname": "*.example.com", "certificateRef": {"name": "wild.tls"}},
    {"name": "rest", "certificateRef": {"name": "rest-tls"}}]})"));

  ASSERT_TRUE(decoded.gateway.has_value());
  EXPECT_THAT(decoded.gateway->listeners,
              ElementsAre(GatewayListener{"public", "*.example.com", "wild.tls"},
                          GatewayListener{"rest", "", "rest-tls"}));
}

TEST(DecodeGatewayTest, RefusesListenersThatCannotBe) {
  const Json reference = {{"name", "tls"}};
  const std::pair<Json, const char*> cases[] = {
      {{{{"certificateRef", reference}}}, "spec.listeners[0].name"},
      {{{{"name", "A"}, {"certificateRef", reference}}}, "spec.listeners[0].name"},
      {{{{"name", "a"}}}, "spec.listeners[0].certificateRef"},
      {{{{"name", "a"}, {"certificateRef", Json::object()}}},
       "spec.listeners[0].certificateRef.name"},
      {{{{"name", "a"}, {"hostname", "a:443"}, {"certificateRef", reference}}},
       "spec.listeners[0].hostname"},
      {{{{"name", "a"}, {"certificateRef", reference}},
        {{"name", "b"}, {"certificateRef", reference}}},
       "spec.listeners[1].hostname"},
      {{{{"name", "a"}, {"certificateRef", reference}},
        {{"name", "a"}, {"hostname", "a.test"}, {"certificateRef", reference}}},
       "spec.listeners[1].name"}};
  for (const auto& [listeners, field] : cases) {
    const DecodedGateway decoded = DecodeGateway(Json{{"listeners", Json(listeners)}});
    EXPECT_FALSE(decoded.gateway.has_value()) << listeners;
    ASSERT_THAT(decoded.diagnostics, SizeIs(1)) << listeners;
    EXPECT_EQ(decoded.diagnostics[0].field, field);
  }
}

TEST(DecodeGatewayTest, ReadsTheDefaults) {
  const DecodedGateway decoded = DecodeGateway(Json::parse(R"({"defaults": {
    "onQuotaExceedSuspendDuration": "1m", "maxSuspendDuration": 600, "onAllSuspended": "Wait",
    "waitTimeout": 5, "retry": {"attempts": 2, "nonIdempotent": true},
    "healthChecks": {"passive": {"enabled": true, "threshold": 7, "interval": "90s"}},
    "timeout": {"connectTimeout": "500ms", "upstreamResponseTimeout": 20},
    "limits": {"requestBodyBytes": 65536}}})"));

  ASSERT_TRUE(decoded.gateway.has_value());
  GatewayDefaults said;
  said.rotation.quota_suspension = std::chrono::seconds(60);
  said.rotation.max_suspension = std::chrono::seconds(600);
  said.rotation.all_suspended = OnAllSuspended::kWait;
  said.rotation.wait_timeout = std::chrono::seconds(5);
  said.rotation.attempts = 2;
  said.rotation.retry_non_idempotent = true;
  said.rotation.passive_health_checks = true;
  said.rotation.failure_threshold = 7;
  said.rotation.failure_suspension = std::chrono::seconds(90);
  said.connect_timeout = std::chrono::milliseconds(500);
  said.first_byte_timeout = std::chrono::seconds(20);
  said.limits.body_bytes = 65536;
  EXPECT_EQ(decoded.gateway->defaults, said);
}

TEST(DecodeGatewayTest, RefusesDefaultsThatNoApiCouldHave) {
  const std::pair<Json, const char*> cases[] = {
      {{{"retry", {{"attempts", 9}}}}, "spec.defaults.retry.attempts"},
      {{{"timeout", {{"connectTimeout", "0s"}}}}, "spec.defaults.timeout.connectTimeout"},
      {{{"limits", {{"requestBodyBytes", 0}}}}, "spec.defaults.limits.requestBodyBytes"},
      {{{"onAllSuspended", "Hope"}}, "spec.defaults.onAllSuspended"},
      {{{"waitTimeout", "1h"}}, "spec.defaults.waitTimeout"}};
  for (const auto& [defaults, field] : cases) {
    const DecodedGateway decoded = DecodeGateway({{"defaults", defaults}});
    EXPECT_FALSE(decoded.gateway.has_value()) << field;
    ASSERT_THAT(decoded.diagnostics, SizeIs(1)) << field;
    EXPECT_EQ(decoded.diagnostics[0].field, field);
  }
}

TEST(DecodeGatewayTest, ReadsASelector) {
  const DecodedGateway decoded = DecodeGateway(Json::parse(R"({"allowedNamespaces": {
    "from": "Selector", "selector": {"matchLabels": {"team": "a"}, "matchExpressions": [
      {"key": "stage", "operator": "NotIn", "values": ["test"]},
      {"key": "owner", "operator": "Exists"}]}}})"));

  ASSERT_TRUE(decoded.gateway.has_value());
  EXPECT_EQ(decoded.gateway->allowed_namespaces, AllowedNamespaces::kSelector);
  EXPECT_EQ(ToString(decoded.gateway->namespace_selector), "team=a,stage notin (test),owner");
}

TEST(DecodeGatewayTest, AnEmptySelectorIsOne) {
  const DecodedGateway decoded =
      DecodeGateway({{"allowedNamespaces", {{"from", "Selector"}, {"selector", Json::object()}}}});

  ASSERT_TRUE(decoded.gateway.has_value());
  EXPECT_TRUE(Matches(decoded.gateway->namespace_selector, {}));
}

TEST(DecodeGatewayTest, BoundsTheLabelsOfASelector) {
  Json labels = Json::object();
  for (size_t i = 0; i <= kMaxSelectorLabels; ++i) {
    labels["label-" + std::to_string(i)] = "a";
  }

  const DecodedGateway decoded = DecodeGateway(
      {{"allowedNamespaces", {{"from", "Selector"}, {"selector", {{"matchLabels", labels}}}}}});

  EXPECT_FALSE(decoded.gateway.has_value());
  EXPECT_EQ(decoded.diagnostics.at(0).reason, "TooMany");
}

TEST(DecodeGatewayTest, RefusesALabelThatNoNamespaceCanHave) {
  for (const std::string& label : {std::string(), std::string(kMaxLabelKeyBytes + 1, 'a')}) {
    const DecodedGateway decoded =
        DecodeGateway({{"allowedNamespaces",
                        {{"from", "Selector"}, {"selector", {{"matchLabels", {{label, "a"}}}}}}}});
    EXPECT_FALSE(decoded.gateway.has_value());
    ASSERT_THAT(decoded.diagnostics, SizeIs(1));
    EXPECT_EQ(decoded.diagnostics[0].field, "spec.allowedNamespaces.selector.matchLabels");
  }
}

TEST(DecodeGatewayTest, RefusesWhatIsNoHostPattern) {
  for (const char* const host :
       {"", ".", "a..b", "a.", ".a", "*", "*.", "a.*", "**.a", "A", "a b", "a:1", "a/b", "*a.b"}) {
    const DecodedGateway decoded = DecodeGateway({{"sandboxHosts", Json::array({host})}});
    EXPECT_FALSE(decoded.gateway.has_value()) << host;
    ASSERT_THAT(decoded.diagnostics, SizeIs(1)) << host;
    EXPECT_EQ(decoded.diagnostics[0].field, "spec.sandboxHosts[0]");
  }
}

TEST(DecodeGatewayTest, BoundsItsLists) {
  const Json many = std::vector<std::string>(kMaxHosts + 1, "a");

  const DecodedGateway decoded = DecodeGateway({{"productionHosts", many}});

  EXPECT_FALSE(decoded.gateway.has_value());
  EXPECT_EQ(decoded.diagnostics.at(0).reason, "TooMany");
}

// The names that an API of the namespace `team` gives.
std::vector<std::string> Names(const Json& list, Diagnostics* diagnostics = nullptr) {
  Reporter reporter(nullptr);
  const Json spec = {{"gateways", list}};
  ObjectReader reader(spec, {"spec", "/spec"}, reporter);
  std::vector<std::string> names = DecodeGatewayNames(reader, "team");
  if (diagnostics != nullptr) {
    *diagnostics = std::move(reporter).Take();
  }
  return names;
}

TEST(DecodeGatewayNamesTest, ANameAloneIsOfTheApisNamespace) {
  EXPECT_THAT(Names(Json::array({"edge", "other/edge", "team/edge"})),
              ElementsAre("team/edge", "other/edge"));
}

TEST(DecodeGatewayNamesTest, RefusesWhatIsNoName) {
  for (const char* const name : {"", "/", "a/", "/a", "a/b/c", "A", "a b", "-a", "a/-b"}) {
    Diagnostics diagnostics;
    EXPECT_THAT(Names(Json::array({name}), &diagnostics), IsEmpty()) << name;
    ASSERT_THAT(diagnostics, SizeIs(1)) << name;
    EXPECT_EQ(diagnostics[0].field, "spec.gateways[0]");
    EXPECT_THAT(diagnostics[0].message, HasSubstr("RotaGateway"));
  }
}

}  // namespace
}  // namespace rota::resource
