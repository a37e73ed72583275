#include "common/secret.h"

#include <gtest/gtest.h>

#include <sstream>
#include <type_traits>

namespace rota {
namespace {

template <typename T>
concept Printable = requires(std::ostream& out, const T& value) {
  out << value;
};

TEST(SecretTest, CannotBePrintedOrTurnedIntoAStringByAccident) {
  EXPECT_FALSE(Printable<SecretString>);
  EXPECT_FALSE((std::is_convertible_v<SecretString, std::string>));
  EXPECT_FALSE((std::is_convertible_v<SecretString, std::string_view>));
}

TEST(SecretTest, IsEmptyAfterAMove) {
  SecretString first("key");
  const SecretString second = std::move(first);

  EXPECT_EQ(second.Reveal(), "key");
  EXPECT_TRUE(first.empty());  // NOLINT(bugprone-use-after-move): that is the promise under test.
}

TEST(SecretTest, ComparesByContent) {
  EXPECT_EQ(SecretString("a"), SecretString("a"));
  EXPECT_FALSE(SecretString("a") == SecretString("b"));
  EXPECT_FALSE(SecretString("a") == SecretString("aa"));
  EXPECT_EQ(SecretString(), SecretString(""));
}

TEST(SecretTest, WipesAString) {
  std::string text = "key";
  WipeString(text);
  EXPECT_TRUE(text.empty());
}

}  // namespace
}  // namespace rota
