#pragma once

// One whole cycle of first picks at once. Like Sequencer's, exact on every prefix; beyond that each
// target keeps as near as possible to a pace of its own: its m-th pick when m picks, less its lead,
// are due to it. Data planes that give their targets different leads pick in different rhythms for
// good, while Sequencer's order forgets how it began.
//
// Pure. Thread-safe (functions without state).

#include <cstdint>
#include <vector>

#include "dataplane/rotation/sequencer.h"

namespace rota::rotation {

// The unit of leads: a lead of kOnePick is a whole pick.
inline constexpr int64_t kOnePick = int64_t{1} << 32;

// `picks` * weight / total picks, in kOnePick.
int64_t ShareOf(uint64_t picks, uint64_t weight, uint64_t total);

// Whether `a` wishes its `picks_a`-th pick before `b` its `picks_b`-th.
bool WishesEarlier(const Sequencer::Item& a, uint64_t picks_a, const Sequencer::Item& b,
                   uint64_t picks_b);

// The targets of the picks of one cycle. `items` are those of a Sequencer: weights without a common
// divisor. Takes 2 to 8 ns * length * targets.
std::vector<uint8_t> MakeOrder(const std::vector<Sequencer::Item>& items);

// Leads that make an order in which targets of equal weight take turns as they are listed: spread
// evenly over one pick.
int64_t EvenLead(size_t place, size_t count);

// How many picks of its order data plane number `place` (from 0) of a fleet should be ahead, so
// that the sum over the fleet stays near the exact share: chosen one after the other, each as far
// as possible from those before it in the rhythm of every target. At most `limit`.
uint64_t FleetStart(uint64_t place, const std::vector<Sequencer::Item>& items, uint64_t limit);

}  // namespace rota::rotation
