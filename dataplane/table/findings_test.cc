#include "dataplane/table/findings.h"

#include <string>

#include "gtest/gtest.h"

namespace rota::table {
namespace {

namespace v1 = rota::sync::v1;
using v1::Rejection;

Rejection Finding(const std::string& name, Rejection::Code code, const std::string& field,
                  const std::string& message) {
  Rejection finding;
  finding.mutable_id()->set_kind(v1::API);
  finding.mutable_id()->set_name(name);
  finding.set_code(code);
  finding.set_field(field);
  finding.set_message(message);
  return finding;
}

TEST(FindingsTest, OneStaysAsItIs) {
  const auto joined = OnePerResource({Finding("ns/a", Rejection::INVALID, "base_path", "is taken"),
                                      Finding("ns/b", Rejection::INVALID, "", "is bad")});
  ASSERT_EQ(joined.size(), 2u);
  EXPECT_EQ(joined[0].field(), "base_path");
  EXPECT_EQ(joined[0].message(), "is taken");
  EXPECT_EQ(joined[1].message(), "is bad");
}

TEST(FindingsTest, SeveralAboutOneResourceAreOne) {
  const auto joined = OnePerResource(
      {Finding("ns/a", Rejection::SECRET_MISSING, "endpoints[0].credential", "no Secret x"),
       Finding("ns/b", Rejection::INVALID, "base_path", "is taken"),
       Finding("ns/a", Rejection::SECRET_MISSING, "endpoints[1].credential", "no Secret y"),
       Finding("ns/a", Rejection::INVALID, "", "also bad")});
  ASSERT_EQ(joined.size(), 2u);
  EXPECT_EQ(joined[0].id().name(), "ns/a");
  EXPECT_EQ(joined[0].code(), Rejection::INVALID);
  EXPECT_EQ(joined[0].field(), "");
  EXPECT_EQ(joined[0].message(),
            "endpoints[0].credential: no Secret x; endpoints[1].credential: no Secret y; also bad");
  EXPECT_EQ(joined[1].id().name(), "ns/b");
}

}  // namespace
}  // namespace rota::table
