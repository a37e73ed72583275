#include "common/published.h"

#include <gtest/gtest.h>

#include <thread>
#include <vector>

namespace rota {
namespace {

TEST(PublishedTest, AReaderKeepsItsValueUntilItAsksAgain) {
  Published<int> published(std::make_shared<const int>(1));
  Published<int>::Reader reader(published);
  const std::shared_ptr<const int> held = reader.Get();

  published.Publish(std::make_shared<const int>(2));

  EXPECT_EQ(*held, 1);
  EXPECT_EQ(*reader.Get(), 2);
}

TEST(PublishedTest, ManyReadersNeverSeeTimeGoBack) {
  Published<int> published(std::make_shared<const int>(0));
  std::vector<std::jthread> readers;
  for (int i = 0; i < 4; ++i) {
    readers.emplace_back([&published] {
      Published<int>::Reader reader(published);
      int last = 0;
      while (last < 1000) {
        const int now = *reader.Get();
        ASSERT_GE(now, last);
        last = now;
      }
    });
  }
  for (int value = 1; value <= 1000; ++value) {
    published.Publish(std::make_shared<const int>(value));
  }
}

}  // namespace
}  // namespace rota
