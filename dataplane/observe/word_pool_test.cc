#include "dataplane/observe/word_pool.h"

#include "gtest/gtest.h"

namespace rota::observe {
namespace {

TEST(WordPoolTest, AWordIsTheSamePointerHoweverOftenItIsTaken) {
  WordPool pool;
  const WordPool::Word word = pool.Take("https://api.openai.com/v1");

  EXPECT_EQ(*word, "https://api.openai.com/v1");
  EXPECT_EQ(pool.Take("https://api.openai.com/v1"), word);
  EXPECT_EQ(pool.Find("https://api.openai.com/v1"), word);
  EXPECT_NE(pool.Take(""), word);
  EXPECT_EQ(pool.size(), 2u);
}

TEST(WordPoolTest, AWordIsFreedWithItsLastUse) {
  WordPool pool;
  const WordPool::Word word = pool.Take("gpt-4o");
  pool.Take("gpt-4o");

  pool.Release(word);
  EXPECT_EQ(pool.Find("gpt-4o"), word);
  pool.Release(word);
  EXPECT_EQ(pool.Find("gpt-4o"), nullptr);
  EXPECT_EQ(pool.size(), 0u);
}

}  // namespace
}  // namespace rota::observe
