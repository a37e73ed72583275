#include "common/address.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace rota {
namespace {

TEST(AddressTest, ReadsNamesIpv4AndBracketedIpv6) {
  EXPECT_EQ(ParseHostPort("127.0.0.1:8080").value(), (HostPort{"127.0.0.1", 8080}));
  EXPECT_EQ(ParseHostPort("localhost:0").value(), (HostPort{"localhost", 0}));
  EXPECT_EQ(ParseHostPort("[::1]:443").value(), (HostPort{"::1", 443}));
  EXPECT_EQ(ParseHostPort(":9090").value(), (HostPort{"0.0.0.0", 9090}));
}

TEST(AddressTest, WritesWhatItReads) {
  for (const char* text : {"127.0.0.1:8080", "[::1]:443", "example.org:1"}) {
    EXPECT_EQ(ParseHostPort(text).value().ToString(), text);
  }
}

TEST(AddressTest, RefusesEverythingElseAndNamesIt) {
  for (const char* text : {"", "8080", "host", "host:", "host:x", "host:65536", "host:-1", "::1:80",
                           "[::1]", "[zz]:80", "a b:80", "host:+1", "http://host:80"}) {
    const auto parsed = ParseHostPort(text);
    ASSERT_FALSE(parsed.ok()) << text;
    EXPECT_THAT(std::string(parsed.status().message()), testing::HasSubstr(text));
  }
}

TEST(AddressTest, TellsAddressesFromNames) {
  for (const char* address : {"127.0.0.1", "10.0.0.1", "::1", "fe80::1"}) {
    EXPECT_TRUE(IsAddress(address)) << address;
  }
  for (const char* name : {"", "localhost", "127.0.0.1.example.org", "256.0.0.1", "[::1]"}) {
    EXPECT_FALSE(IsAddress(name)) << name;
  }
}

TEST(AddressTest, KnowsLoopback) {
  EXPECT_TRUE(IsLoopbackHost("127.0.0.1"));
  EXPECT_TRUE(IsLoopbackHost("127.8.9.1"));
  EXPECT_TRUE(IsLoopbackHost("::1"));
  EXPECT_TRUE(IsLoopbackHost("localhost"));
  EXPECT_FALSE(IsLoopbackHost("0.0.0.0"));
  EXPECT_FALSE(IsLoopbackHost("10.0.0.1"));
  EXPECT_FALSE(IsLoopbackHost("localhost.example.org"));
}

}  // namespace
}  // namespace rota
