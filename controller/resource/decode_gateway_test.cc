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
