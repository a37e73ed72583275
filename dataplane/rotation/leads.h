#pragma once

// How an order of first picks begins: the leads that its targets have (see paced_order.h), and what
// gives each data plane of a fleet a rhythm of its own.
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

// Whether `a` wishes for its first pick before `b` does.
bool WishesEarlier(const Sequencer::Item& a, const Sequencer::Item& b);

// Leads that make an order in which targets of equal weight take turns as they are listed: spread
// evenly over one pick.
int64_t EvenLead(size_t place, size_t count);

// How many picks of its order data plane number `place` (from 0) of a fleet should be ahead, so
// that the sum over the fleet stays near the exact share: chosen one after the other, each as far
// as possible from those before it in the rhythm of every target. Less than a cycle.
uint64_t FleetStart(uint64_t place, const std::vector<Sequencer::Item>& items);

}  // namespace rota::rotation
