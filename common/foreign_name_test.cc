#include "common/foreign_name.h"

#include <gtest/gtest.h>

namespace rota {
namespace {

TEST(ForeignNameTest, OnesOwnHaveNoSlash) { EXPECT_EQ(ForeignNameOf("keys"), std::nullopt); }

TEST(ForeignNameTest, WhatIsWrittenIsRead) {
  const ForeignName secret{ReferentKind::kSecret, "vault", "keys"};
  const ForeignName service{ReferentKind::kService, "models", "llm"};
  EXPECT_EQ(ToReference(secret), "vault/keys");
  EXPECT_EQ(ToReference(service), "models/service/llm");
  EXPECT_EQ(ForeignNameOf("vault/keys"), secret);
  EXPECT_EQ(ForeignNameOf("models/service/llm"), service);
}

}  // namespace
}  // namespace rota
