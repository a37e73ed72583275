#include "dataplane/rotation/leads.h"

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

bool WishesEarlier(const Sequencer::Item& a, const Sequencer::Item& b) {
  return (kOnePick - a.lead) * b.weight < (kOnePick - b.lead) * a.weight;
}

int64_t EvenLead(size_t place, size_t count) {
  const auto parts = static_cast<int64_t>(2 * count);
  return kOnePick - kOnePick / parts * static_cast<int64_t>(2 * place + 1);
}

uint64_t FleetStart(uint64_t place, const std::vector<Sequencer::Item>& items) {
  const uint64_t total = TotalOf(items);
  const uint64_t count =
      std::min({total, kMaxStarts, std::max<uint64_t>(kMaxStartWork / items.size(), 1)});
  std::vector<double> together(count);
  uint64_t start = 0;
  for (uint64_t taken = 0; taken < place % kPlaces; ++taken) {
    size_t best = 0;
    for (size_t i = 0; i < count; ++i) {
      const uint64_t candidate = i * total / count;
      together[i] += Togetherness(items, total, candidate + total - start);
      // What differs by rounding only is alike, and then the earlier one is taken.
      if (together[i] < together[best] - 1e-9) {
        best = i;
      }
    }
    start = best * total / count;
  }
  return start;
}

}  // namespace rota::rotation
