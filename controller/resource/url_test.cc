#include "controller/resource/url.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace rota::resource {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

TEST(UrlTest, SpellingsOfOneUrlBecomeOne) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"https://api.openai.com/v1", "https://api.openai.com/v1"},
      {"HTTPS://API.OpenAI.com:443/v1/", "https://api.openai.com/v1"},
      {"http://host:80", "http://host"},
      {"http://host:080/", "http://host"},
      {"http://host:443", "http://host:443"},
      {"https://host.:8443//", "https://host:8443"},
      {"http://[2001:DB8:0:0::1]:8080/a", "http://[2001:db8::1]:8080/a"},
      {"http://[::1]", "http://[::1]"},
      {"http://127.0.0.1:9000/Case/Stays", "http://127.0.0.1:9000/Case/Stays"},
      {"https://h/a%2Fb;c=d", "https://h/a%2Fb;c=d"},
      {"http://my_service.ns.svc:1", "http://my_service.ns.svc:1"},
  };
  for (const auto& [text, expected] : cases) {
    const absl::StatusOr<std::string> url = NormaliseUrl(text);
    ASSERT_TRUE(url.ok()) << text << ": " << url.status();
    EXPECT_EQ(*url, expected);
    EXPECT_EQ(*NormaliseUrl(*url), expected) << "normalising twice";
  }
}

TEST(UrlTest, BadUrlsSayWhatIsWrongAndNeverRepeatThemselves) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"", "must begin with https://"},
      {"hunter2", "must begin with https://"},
      {"ftp://hunter2", "must begin with https://"},
      {"https://", "host is missing"},
      {"https://:443", "host is missing"},
      {"https://user:hunter2@host", "must not hold a user or password"},
      {"https://hunter2/x?key=1", "must not hold '?'"},
      {"https://hunter2#x", "must not hold '?'"},
      {"https://hunter2:0", "from 1 to 65535"},
      {"https://hunter2:65536", "from 1 to 65535"},
      {"https://hunter2:", "from 1 to 65535"},
      {"https://hunter2:+80", "from 1 to 65535"},
      {"https://hunter2:8080:90", "from 1 to 65535"},
      {"https://hunter2..x", "between dots is empty"},
      {"https://hun ter2", "may hold letters"},
      {"https://{hunter2}/v1", "placeholder"},
      {"https://hunter2/{deployment}", "placeholder"},
      {"https://hunter2/a b", "percent-encode"},
      {"https://hunter2/%zz", "two hexadecimal"},
      {"https://hunter2/%4", "two hexadecimal"},
      {"https://hunter2/a/../b", "'..' segment"},
      {"https://hunter2/.", "'..' segment"},
      {"https://127.1/", "looks like an IPv4"},
      {"https://0177.0.0.1", "looks like an IPv4"},
      {"https://2130706433", "looks like an IPv4"},
      {"https://1.2.3.0x7f", "looks like an IPv4"},
      {"https://[hunter2]", "not IPv6"},
      {"https://[::1", "may hold letters"},
      {"https://h\xc3\xbcnter2.de", "xn--"},
      {"\xe2\x80\x9chttps://hunter2\xe2\x80\x9d", "typographic quote"},
      {"https://hunter2/" + std::string(2048, 'a'), "2048 characters"},
      {"https://" + std::string(64, 'a'), "longer than 63"},
      {"https://hunter2/a\\b", "percent-encode"},
      {std::string("https://hunter2/\0", 17), "percent-encode"},
  };
  for (const auto& [text, expected] : cases) {
    const absl::StatusOr<std::string> url = NormaliseUrl(text);
    ASSERT_FALSE(url.ok()) << text;
    EXPECT_THAT(std::string(url.status().message()), HasSubstr(expected)) << text;
    EXPECT_THAT(std::string(url.status().message()), Not(HasSubstr("hunter2")));
  }
}

TEST(UrlTest, ServicesAndPodsOfAClusterAreKnown) {
  const auto host = [](std::string_view url) {
    const std::optional<ClusterHost> found = ClusterHostOf(url);
    return found.has_value() ? found->service + " of " + found->ns : "";
  };
  EXPECT_EQ(host("http://vllm.team-a.svc:8000"), "vllm of team-a");
  EXPECT_EQ(host("http://vllm.team-a.svc.cluster.local/v1"), "vllm of team-a");
  EXPECT_EQ(host("http://vllm-0.vllm.team-a.svc:8000"), "vllm of team-a");
  EXPECT_EQ(host("http://vllm-0.vllm.team-a.svc.cluster.local"), "vllm of team-a");
  EXPECT_EQ(host("http://10-0-0-1.team-a.pod.cluster.local/v1"), " of team-a");
  EXPECT_EQ(host("https://api.openai.com/v1"), "");
  EXPECT_EQ(host("https://svc.cluster.local.example.com"), "");
  EXPECT_EQ(host("https://cluster.local"), "");
  EXPECT_EQ(host("https://svc"), "");
  EXPECT_EQ(host("https://a.svc"), "");
}

}  // namespace
}  // namespace rota::resource
