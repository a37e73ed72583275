// What a loop comes to in which order.

#include "dataplane/engine/poller.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "common/clock.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace rota::engine {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

// An eventfd that writes its name down each time that it becomes ready.
class Named final : private Poller::Source {
 public:
  Named(Poller& poller, std::vector<std::string>& order, std::string name, Patience patience)
      : poller_(poller),
        order_(order),
        name_(std::move(name)),
        descriptor_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
    set_patience(patience);
    EXPECT_TRUE(poller_.Add(descriptor_, EPOLLIN | EPOLLET, *this));
  }
  ~Named() {
    poller_.Remove(*this);
    ::close(descriptor_);
  }
  using Poller::Source::set_patience;
  void Ready() {
    const uint64_t one = 1;
    EXPECT_EQ(::write(descriptor_, &one, sizeof(one)), static_cast<ssize_t>(sizeof(one)));
  }
  std::function<void()> also;

 private:
  void OnReady(uint32_t) override {
    order_.push_back(name_);
    if (also) {
      also();
    }
  }
  void OnDeferred() override {}

  Poller& poller_;
  std::vector<std::string>& order_;
  const std::string name_;
  const int descriptor_;
};

class PatienceTest : public ::testing::Test {
 protected:
  std::unique_ptr<Named> Make(std::string name, Patience patience) {
    return std::make_unique<Named>(poller_, order_, std::move(name), patience);
  }
  // What one turn came to.
  std::vector<std::string> Turn() {
    order_.clear();
    poller_.Turn(Duration{});
    return order_;
  }
  FakeClock clock_;
  Overload overload_{std::chrono::milliseconds(50)};
  Poller poller_{clock_, &overload_};
  std::vector<std::string> order_;
};

TEST_F(PatienceTest, WhatBeginsSomethingComesAfterWhatIsUnderWay) {
  const auto first = Make("first", Patience::kWaits);
  const auto second = Make("second", Patience::kWaits);
  const auto hasty = Make("hasty", Patience::kNone);
  first->Ready();
  second->Ready();
  hasty->Ready();
  EXPECT_THAT(Turn(), ElementsAre("hasty", "first", "second"));
  EXPECT_THAT(Turn(), IsEmpty());
}

TEST_F(PatienceTest, NoMoreThanSoManyBeginInATurnAndTheRestKeepTheirOrder) {
  std::vector<std::unique_ptr<Named>> many;
  for (size_t i = 0; i < 2 * Poller::kStarts + 1; ++i) {
    many.push_back(Make(std::to_string(i), Patience::kWaits));
    many.back()->Ready();
  }
  const auto hasty = Make("hasty", Patience::kNone);
  std::vector<std::string> all = Turn();
  ASSERT_EQ(all.size(), Poller::kStarts);
  EXPECT_EQ(poller_.events(), many.size() + many.size() - Poller::kStarts);
  hasty->Ready();
  const std::vector<std::string> second = Turn();
  ASSERT_EQ(second.size(), Poller::kStarts + 1);
  EXPECT_EQ(second.front(), "hasty") << "in front of those that came before it";
  all.insert(all.end(), second.begin() + 1, second.end());
  // Waits for nothing: without that this turn would take an hour.
  order_.clear();
  poller_.Turn(std::chrono::hours(1));
  all.insert(all.end(), order_.begin(), order_.end());
  ASSERT_EQ(all.size(), many.size());
  for (size_t i = 0; i < all.size(); ++i) {
    EXPECT_EQ(all[i], std::to_string(i));
  }
}

TEST_F(PatienceTest, OneThatBecomesReadyAgainWhileItWaitsIsComeToOnce) {
  std::vector<std::unique_ptr<Named>> many;
  for (size_t i = 0; i < Poller::kStarts; ++i) {
    many.push_back(Make("other", Patience::kWaits));
    many.back()->Ready();
  }
  const auto last = Make("last", Patience::kWaits);
  last->Ready();
  EXPECT_EQ(Turn().size(), Poller::kStarts);
  last->Ready();
  last->set_patience(Patience::kNone);  // its events keep their order all the same
  EXPECT_THAT(Turn(), ElementsAre("last"));
  EXPECT_THAT(Turn(), IsEmpty());
  last->Ready();
  EXPECT_THAT(Turn(), ElementsAre("last"));
}

TEST_F(PatienceTest, OneThatGoesWhileItWaitsIsNotComeTo) {
  auto first = Make("first", Patience::kWaits);
  auto second = Make("second", Patience::kWaits);
  const auto third = Make("third", Patience::kWaits);
  first->also = [&second] { second.reset(); };
  for (Named* one : {first.get(), second.get(), third.get()}) {
    one->Ready();
  }
  EXPECT_THAT(Turn(), ElementsAre("first", "third"));
  third->Ready();
  third->also = [&first] { first.reset(); };
  EXPECT_THAT(Turn(), ElementsAre("third"));
}

TEST_F(PatienceTest, WhatIsRefusedDoesNotWait) {
  overload_.Observe(std::chrono::hours(1), clock_.Now());
  ASSERT_TRUE(overload_.is_overloaded());
  std::vector<std::unique_ptr<Named>> many;
  std::vector<std::string> turned_away;
  const size_t count = 2 * Overload::kRefusedOf;
  for (size_t i = 1; i <= count; ++i) {
    many.push_back(Make(std::to_string(i), Patience::kRefusable));
    many.back()->also = [this, &turned_away] {
      if (poller_.turns_away()) {
        turned_away.push_back(order_.back());
      }
    };
    many.back()->Ready();
  }
  const std::vector<std::string> order = Turn();
  ASSERT_EQ(order.size(), 2 + Poller::kStarts);
  EXPECT_THAT(turned_away, ElementsAre("20", "40"));
  EXPECT_EQ(order[0], "20");
  EXPECT_EQ(order[1], "40");
  EXPECT_EQ(order[2], "1");
}

TEST_F(PatienceTest, WhatOnlyWaitsIsNeverRefused) {
  overload_.Observe(std::chrono::hours(1), clock_.Now());
  const auto probe = Make("probe", Patience::kWaits);
  bool was_turned_away = false;
  probe->also = [this, &was_turned_away] { was_turned_away |= poller_.turns_away(); };
  for (uint32_t i = 0; i < 2 * Overload::kRefusedOf; ++i) {
    probe->Ready();
    EXPECT_THAT(Turn(), ElementsAre("probe"));
  }
  EXPECT_FALSE(was_turned_away);
}

TEST(PollerTest, RunsWhatIsPostedInItsOrderAndWakesUpForIt) {
  FakeClock clock;
  Poller poller(clock);
  std::vector<int> order;
  poller.Post([&order] { order.push_back(1); });
  poller.Post([&] {
    order.push_back(2);
    poller.Post([&order] { order.push_back(3); });
  });
  poller.Turn(Duration{});
  EXPECT_THAT(order, ElementsAre(1, 2));
  EXPECT_FALSE(poller.is_idle());
  poller.Turn(Duration{});
  EXPECT_THAT(order, ElementsAre(1, 2, 3));
  // Without the wake-up this turn would take an hour.
  std::jthread other([&poller, &order] { poller.Post([&order] { order.push_back(4); }); });
  while (order.size() < 4) {
    poller.Turn(std::chrono::hours(1));
  }
  EXPECT_TRUE(poller.is_idle());
}

TEST(PollerTest, PutsOffOnceAndForgets) {
  struct Counting final : Poller::Source {
    explicit Counting(Poller& owner) : poller(owner) {}
    ~Counting() { poller.Forget(*this); }
    void OnReady(uint32_t) override {}
    void OnDeferred() override {
      if (++count < 3) {
        poller.Defer(*this);
      }
    }
    Poller& poller;
    int count = 0;
  };
  FakeClock clock;
  Poller poller(clock);
  Counting counting(poller);
  auto forgotten = std::make_unique<Counting>(poller);
  poller.Defer(counting);
  poller.Defer(counting);
  poller.Defer(*forgotten);
  EXPECT_EQ(counting.count, 0);
  forgotten.reset();
  poller.Turn(Duration{});
  EXPECT_EQ(counting.count, 1) << "what is put off again is for the next turn";
  poller.Turn(Duration{});
  poller.Turn(Duration{});
  poller.Turn(Duration{});
  EXPECT_EQ(counting.count, 3);
}

}  // namespace
}  // namespace rota::engine
