#include "dataplane/rotation/order.h"

#include <algorithm>
#include <numeric>

namespace rota::rotation {
namespace {

// Data planes beyond so many begin where the first ones do.
constexpr uint64_t kPlaces = 64;
// Starts that are compared for each place, and targets that are looked at for it.
constexpr uint64_t kMaxStarts = 256;
constexpr uint64_t kMaxStartWork = 2048;

uint64_t TotalOf(const std::vector<Sequencer::Item>& items) {
  return std::accumulate(
      items.begin(), items.end(), uint64_t{0},
      [](uint64_t sum, const Sequencer::Item& item) { return sum + item.weight; });
}

// What may be picked next so that the rest still finds its places. slack[t] is the number of picks
// before step t that no deadline up to t asks for. Picking a target whose next deadline is d takes
// one from the slack of every step before d; where the slack is 0, all picks until then belong to
// the deadlines until then. As an order that is exact exists from every such state, nothing else
// has to be looked at.
class Slack {
 public:
  Slack(const std::vector<Sequencer::Item>& items, uint64_t total) : slack_(total + 1) {
    for (const Sequencer::Item& item : items) {
      for (uint64_t pick = 1; pick <= item.weight; ++pick) {
        --slack_[(pick * total + item.weight - 1) / item.weight];
      }
    }
    for (uint64_t t = 1; t <= total; ++t) {
      slack_[t] += slack_[t - 1] + 1;
    }
    NoteTight(0, total + 1, 0);
  }
  // The latest deadline of what may be picked at `step`.
  uint64_t LatestDeadline(uint64_t step) {
    while (tight_.back() <= step) {
      tight_.pop_back();
    }
    return tight_.back();
  }
  // REQUIRES: deadline <= LatestDeadline(step).
  void Take(uint64_t step, uint64_t deadline) { NoteTight(step, deadline, 1); }

 private:
  // Takes `less` from every step between `from` and `to`. They lie before the earliest tight one.
  void NoteTight(uint64_t from, uint64_t to, int32_t less) {
    for (uint64_t t = to - 1; t > from; --t) {
      slack_[t] -= less;
      if (slack_[t] == 0) {
        tight_.push_back(t);
      }
    }
  }

  std::vector<int32_t> slack_;
  std::vector<uint64_t> tight_;  // steps without slack, the earliest last
};

// The pick of a target that comes next: at a step from `release` on, before step `deadline`. After
// the last one of the cycle the release is the cycle's end.
struct NextPick {
  uint64_t number = 1;
  uint64_t release = 0;
  uint64_t deadline = 0;

  static NextPick Of(const Sequencer::Item& item, uint64_t number, uint64_t total) {
    return {number, (number - 1) * total / item.weight,
            (number * total + item.weight - 1) / item.weight};
  }
};

// How much two data planes whose starts differ by `distance` picks deviate together: the product of
// two sawtooths of one rhythm, apart by x of a tooth, is x*x - x + 1/6 on average (times one half).
double Togetherness(const std::vector<Sequencer::Item>& items, uint64_t total, uint64_t distance) {
  double sum = 0;
  for (const Sequencer::Item& item : items) {
    const double apart =
        static_cast<double>(distance * item.weight % total) / static_cast<double>(total);
    sum += apart * apart - apart + 1.0 / 6;
  }
  return sum;
}

}  // namespace

int64_t ShareOf(uint64_t picks, uint64_t weight, uint64_t total) {
  return static_cast<int64_t>(static_cast<double>(picks * weight) / static_cast<double>(total) *
                              static_cast<double>(kOnePick));
}

bool WishesEarlier(const Sequencer::Item& a, uint64_t picks_a, const Sequencer::Item& b,
                   uint64_t picks_b) {
  const auto wish = [](const Sequencer::Item& item, uint64_t picks) {
    return static_cast<int64_t>(picks) * kOnePick - item.lead;
  };
  return wish(a, picks_a) * b.weight < wish(b, picks_b) * a.weight;
}

std::vector<uint8_t> MakeOrder(const std::vector<Sequencer::Item>& items) {
  const uint64_t total = TotalOf(items);
  Slack slack(items, total);
  std::vector<NextPick> next;
  for (const Sequencer::Item& item : items) {
    next.push_back(NextPick::Of(item, 1, total));
  }
  std::vector<uint8_t> order;
  order.reserve(total);
  for (uint64_t step = 0; step < total; ++step) {
    const uint64_t latest = slack.LatestDeadline(step);
    size_t chosen = items.size();
    for (size_t i = 0; i < items.size(); ++i) {
      const bool fits = next[i].release <= step && next[i].deadline <= latest;
      if (fits && (chosen == items.size() ||
                   WishesEarlier(items[i], next[i].number, items[chosen], next[chosen].number))) {
        chosen = i;
      }
    }
    slack.Take(step, next[chosen].deadline);
    next[chosen] = NextPick::Of(items[chosen], next[chosen].number + 1, total);
    order.push_back(static_cast<uint8_t>(items[chosen].target));
  }
  return order;
}

int64_t EvenLead(size_t place, size_t count) {
  const auto parts = static_cast<int64_t>(2 * count);
  return kOnePick - kOnePick / parts * static_cast<int64_t>(2 * place + 1);
}

uint64_t FleetStart(uint64_t place, const std::vector<Sequencer::Item>& items, uint64_t limit) {
  const uint64_t total = TotalOf(items);
  const uint64_t span = std::min(total, limit);
  const uint64_t count =
      std::min({span, kMaxStarts, std::max<uint64_t>(kMaxStartWork / items.size(), 1)});
  std::vector<double> together(count);
  uint64_t start = 0;
  for (uint64_t taken = 0; taken < place % kPlaces; ++taken) {
    size_t best = 0;
    for (size_t i = 0; i < count; ++i) {
      const uint64_t candidate = i * span / count;
      together[i] += Togetherness(items, total, candidate + total - start);
      // What differs by rounding only is alike, and then the earlier one is taken.
      if (together[i] < together[best] - 1e-9) {
        best = i;
      }
    }
    start = best * span / count;
  }
  return start;
}

}  // namespace rota::rotation
