#include "dataplane/rotation/rotation.h"

#include <algorithm>
#include <utility>

#include "dataplane/rotation/leads.h"
#include "dataplane/rotation/paced_order.h"
#include "dataplane/rotation/pin.h"
#include "dataplane/rotation/schedule.h"
#include "dataplane/rotation/sequencer.h"
#include "dataplane/rotation/suspension_book.h"

namespace rota::rotation {
namespace {

// Orders that are remembered: of tries after a failure one per set of targets left to try, of first
// picks one per set of targets that an operation cannot have (there are fewer operations than
// that).
constexpr size_t kMaxNextSchedules = 16;
constexpr size_t kMaxOrdersWithout = 16;
// Parts of a long order that are ready beside the one in use: with two threads there is always one
// that the other does not hold.
constexpr size_t kSpareParts = 2;
// A target's pace may be off by less than one pick either way, and its lead is one at most.
constexpr int64_t kLeastLead = -kOnePick;
constexpr int64_t kMostLead = 2 * kOnePick;

// One pick, and what everybody has earned by it.
uint32_t TakeOne(Sequencer& sequencer, std::vector<int64_t>& leads) {
  const uint32_t target = sequencer.Next();
  for (const Sequencer::Item& item : sequencer.items()) {
    int64_t& lead = leads[item.target];
    lead += ShareOf(1, item.weight, sequencer.cycle_length());
    lead -= item.target == target ? kOnePick : 0;
    lead = std::clamp(lead, kLeastLead, kMostLead);
  }
  return target;
}

PickResult Nothing(MonotonicTime next_return) {
  return next_return == MonotonicTime::max() ? PickResult{}
                                             : PickResult{std::nullopt, {next_return}};
}

}  // namespace

std::string_view ReasonName(Reason reason) {
  switch (reason) {
    case Reason::kQuota:
      return "quota";
    case Reason::kFailures:
      return "failures";
    case Reason::kAuth:
      return "auth";
  }
  return "unknown";
}

// The order of second and further picks over one set of targets.
struct Rotation::NextSchedule {
  TargetSet targets;
  Sequencer sequencer;
};

// The order of first picks without some targets. Made anew when another set is eligible.
struct Rotation::OrderWithout {
  TargetSet excluded;
  TargetSet targets;
  Leads leads;
  std::unique_ptr<Sequencer> sequencer;
};

Rotation::Rotation(RotationSpec spec, std::shared_ptr<SuspensionBook> book,
                   std::shared_ptr<ChangeSignal> signal,
                   std::shared_ptr<const SuspensionListener> listener, uint64_t place)
    : spec_(std::move(spec)),
      book_(std::move(book)),
      signal_(std::move(signal)),
      listener_(std::move(listener)),
      records_(std::min(spec_.targets.size(), kMaxTargets)),
      settled_picks_(records_.size()),
      leads_(EvenLeads(records_.size())),
      place_(place) {}

Rotation::~Rotation() { delete schedule_.load(std::memory_order_relaxed); }

uint64_t Rotation::change_count() const { return signal_->load(std::memory_order_acquire); }

void Rotation::Prepare() const {
  static constexpr size_t kLine = 64;  // bytes
  // Only its address is used: it may be gone any moment.
  const auto schedule = reinterpret_cast<uintptr_t>(schedule_.load(std::memory_order_relaxed));
  for (size_t place = 0; place < sizeof(Schedule); place += kLine) {
    __builtin_prefetch(reinterpret_cast<const void*>(schedule + place));
  }
  __builtin_prefetch(signal_.get());
  __builtin_prefetch(records_.data());
}

PickResult Rotation::PickFirst(MonotonicTime now) {
  for (;;) {
    {
      Pin pin;
      Schedule* const schedule = pin.Protect(schedule_);
      if (schedule != nullptr &&
          schedule->IsCurrent(signal_->load(std::memory_order_acquire), now)) {
        if (schedule->targets().none()) {
          return Nothing(schedule->next_return());
        }
        std::optional<Pick> pick = schedule->Next();
        if (pick.has_value()) {
          return {pick, {}};
        }
      }
    }
    RefreshSchedule(now);
  }
}

PickResult Rotation::PickFirst(MonotonicTime now, const TargetSet& excluded) {
  if (excluded.none()) {
    return PickFirst(now);
  }
  std::lock_guard guard(mutex_);
  now = latest_now_ = std::max(now, latest_now_);
  const Eligible eligible = FindEligible(now, excluded);
  if (eligible.active.none()) {
    return Nothing(eligible.next_return);
  }
  OrderWithout& order = OrderOf(excluded, eligible.active);
  const uint32_t target = TakeOne(*order.sequencer, order.leads);
  ++settled_picks_[target];
  return {Pick{target, 0, 0}, {}};
}

PickResult Rotation::PickNext(MonotonicTime now, const TargetSet& tried,
                              const TargetSet& excluded) {
  std::lock_guard guard(mutex_);
  const Eligible eligible = FindEligible(now, excluded);
  const TargetSet rest = LowestTier(eligible.all & ~tried);
  if (rest.none()) {
    return Nothing(eligible.next_return);
  }
  return {Pick{TakeOne(ScheduleOverRest(rest).sequencer, next_leads_), 0, 0}, {}};
}

std::optional<NothingEligible> Rotation::WhyNothing(MonotonicTime now, const TargetSet& excluded) {
  std::lock_guard guard(mutex_);
  const Eligible eligible = FindEligible(std::max(now, latest_now_), excluded);
  if (eligible.active.any()) {
    return std::nullopt;
  }
  return Nothing(eligible.next_return).nothing;
}

bool Rotation::Suspend(size_t target, Reason reason, MonotonicTime now, MonotonicTime until,
                       uint64_t generation) {
  if (target >= records_.size()) {
    return false;
  }
  const std::optional<Suspension> told =
      book_->Suspend(spec_.targets[target].id, reason, now, until, generation, signal_);
  if (told.has_value() && listener_ != nullptr && *listener_) {
    (*listener_)(*told);
  }
  return told.has_value();
}

void Rotation::RecordSuccess(size_t target) {
  if (target >= records_.size()) {
    return;
  }
  TargetRecord* const record = records_[target].load(std::memory_order_acquire);
  if (record != nullptr) {
    record->ClearFailures();
  }
}

std::vector<size_t> Rotation::RecordFailures(const std::vector<Failure>& failures,
                                             MonotonicTime now) {
  std::vector<size_t> suspended;
  if (spec_.failure_threshold == 0) {
    return suspended;
  }
  std::vector<Suspension> told;
  {
    std::lock_guard guard(mutex_);
    for (const Failure& failure : failures) {
      const bool is_alike =
          std::any_of(failures.begin(), failures.end(), [&failure](const Failure& other) {
            return other.kind == failure.kind && other.target != failure.target;
          });
      // Two targets that fail alike on one request: it is the request.
      if (is_alike || failure.target >= records_.size()) {
        continue;
      }
      const std::string& id = spec_.targets[failure.target].id;
      const uint32_t count = book_->CountFailure(id, now, signal_);
      RecordAt(failure.target);  // for the success that ends the row
      if (count >= spec_.failure_threshold && SuspendForFailures(failure.target, now, told)) {
        suspended.push_back(failure.target);
      }
    }
  }
  if (listener_ != nullptr && *listener_) {
    for (const Suspension& suspension : told) {
      (*listener_)(suspension);
    }
  }
  return suspended;
}

bool Rotation::SuspendForFailures(size_t target, MonotonicTime now, std::vector<Suspension>& told) {
  TargetSet others = FindEligible(now, {}).all;
  others.reset(target);
  if (others.none()) {
    return false;
  }
  std::optional<Suspension> suspension = book_->Suspend(spec_.targets[target].id, Reason::kFailures,
                                                        now, now + spec_.failure_suspension,
                                                        /*generation=*/UINT64_MAX, signal_);
  if (!suspension.has_value()) {
    return false;
  }
  told.push_back(*std::move(suspension));
  return true;
}

std::vector<Rotation::TargetState> Rotation::Inspect(MonotonicTime now) const {
  std::lock_guard guard(mutex_);
  std::vector<uint64_t> first_picks = settled_picks_;
  for (const std::unique_ptr<Schedule>& schedule : retired_) {
    schedule->CountPicks(first_picks);
  }
  if (const Schedule* schedule = schedule_.load(std::memory_order_acquire)) {
    schedule->CountPicks(first_picks);
  }
  std::vector<TargetState> states(records_.size());
  for (size_t i = 0; i < states.size(); ++i) {
    states[i].first_picks = first_picks[i];
    const std::shared_ptr<TargetRecord> record = book_->Find(spec_.targets[i].id);
    if (record != nullptr) {
      states[i].consecutive_failures = record->failures();
      states[i].suspension = book_->ActiveOf(*record, now);
    }
  }
  return states;
}

std::vector<size_t> Rotation::Upcoming(MonotonicTime now, size_t most) {
  RefreshSchedule(now);  // as the next pick would
  std::lock_guard guard(mutex_);
  return schedule_.load(std::memory_order_relaxed)->Upcoming(most);
}

// Failures never take the last target, nor do those that other data planes have seen: where nobody
// else is left, those that are off for failures alone are as good as any.
Rotation::Eligible Rotation::FindEligible(MonotonicTime now, const TargetSet& excluded) {
  Eligible eligible;
  TargetSet failing;
  for (size_t i = 0; i < records_.size(); ++i) {
    if (spec_.targets[i].weight == 0 || !spec_.targets[i].usable || excluded.test(i)) {
      continue;
    }
    const TargetRecord* const record = RecordAt(i);
    if (record == nullptr || !record->IsSuspended(now)) {
      eligible.all.set(i);
      continue;
    }
    const bool is_failing = record->asked_until() <= now;
    failing.set(i, is_failing);
    eligible.next_return =
        std::min(eligible.next_return, is_failing ? record->until() : record->asked_until());
  }
  if (eligible.all.none()) {
    eligible.all = failing;
  }
  eligible.active = LowestTier(eligible.all);
  return eligible;
}

const TargetRecord* Rotation::RecordAt(size_t target) {
  TargetRecord* record = records_[target].load(std::memory_order_relaxed);
  if (record == nullptr) {
    if (std::shared_ptr<TargetRecord> found = book_->Find(spec_.targets[target].id)) {
      record = found.get();
      held_records_.push_back(std::move(found));
      records_[target].store(record, std::memory_order_release);
    }
  }
  return record;
}

TargetSet Rotation::LowestTier(const TargetSet& targets) const {
  uint32_t lowest = UINT32_MAX;
  for (size_t i = 0; i < records_.size(); ++i) {
    if (targets.test(i)) {
      lowest = std::min(lowest, spec_.targets[i].tier);
    }
  }
  TargetSet chosen;
  for (size_t i = 0; i < records_.size(); ++i) {
    chosen.set(i, targets.test(i) && spec_.targets[i].tier == lowest);
  }
  return chosen;
}

void Rotation::RefreshSchedule(MonotonicTime now) {
  std::lock_guard guard(mutex_);
  // Loops read the clock at different moments: a target that has returned for one has for all.
  now = latest_now_ = std::max(now, latest_now_);
  const uint64_t signal = signal_->load(std::memory_order_acquire);
  Schedule* const current = schedule_.load(std::memory_order_relaxed);
  const bool is_used_up = current != nullptr && current->is_used_up();
  if (current != nullptr && !is_used_up && current->IsCurrent(signal, now)) {
    return;
  }
  const Eligible eligible = FindEligible(now, {});
  const bool goes_on = current != nullptr && current->targets() == eligible.active;
  if (goes_on && !is_used_up) {
    current->SetCurrent(signal, eligible.next_return);
    return;
  }
  std::unique_ptr<Schedule> next;
  if (goes_on) {
    next = TakeSpare();
    next->Continue(*current);
  } else {
    next = MakeSchedule(eligible.active);
  }
  next->SetCurrent(signal, eligible.next_return);
  schedule_.store(next.release(), std::memory_order_seq_cst);
  if (current != nullptr) {
    retired_.emplace_back(current);
  }
  FreeRetired();
}

std::unique_ptr<Schedule> Rotation::MakeSchedule(const TargetSet& active) {
  if (const Schedule* const before = schedule_.load(std::memory_order_relaxed)) {
    SettleLeads(*before);
  }
  if (schedules_made_ == 0 && place_ > 0 && active.any()) {
    StartInPlace(active, leads_);
  }
  ++schedules_made_;
  auto schedule = std::make_unique<Schedule>();
  schedule->Begin(schedules_made_, active, ItemsInOrder(active, leads_));
  if (!schedule->is_part()) {
    spares_.clear();
  }
  if (schedule->is_part()) {
    // Parts move between these two lists while requests wait: neither has to grow then.
    spares_.reserve(kSpareParts + 2);
    retired_.reserve(kSpareParts + 2);
  }
  while (schedule->is_part() && spares_.size() < kSpareParts) {
    spares_.push_back(std::make_unique<Schedule>());
    spares_.back()->GetReadyForParts();
  }
  return schedule;
}

std::unique_ptr<Schedule> Rotation::TakeSpare() {
  if (spares_.empty()) {
    return std::make_unique<Schedule>();
  }
  std::unique_ptr<Schedule> spare = std::move(spares_.back());
  spares_.pop_back();
  return spare;
}

// As if the picks that a data plane of this place is ahead by had been made already. Of a long
// order they are not made: what is due by then, less whole picks, is near enough.
void Rotation::StartInPlace(const TargetSet& active, Leads& leads) const {
  const Sequencer sequencer(ItemsInOrder(active, leads));
  const std::vector<Sequencer::Item>& items = sequencer.items();
  const uint64_t total = sequencer.cycle_length();
  const uint64_t start = FleetStart(place_, items);
  for (const Sequencer::Item& item : items) {
    leads[item.target] += ShareOf(start, item.weight, total);
  }
  if (total > Schedule::kMaxTableLength) {
    for (const Sequencer::Item& item : items) {
      leads[item.target] %= kOnePick;
    }
    return;
  }
  std::vector<uint8_t> picks;
  PacedOrder(items).Make(start, picks);
  for (const uint8_t target : picks) {
    leads[target] -= kOnePick;
  }
}

Rotation::Leads Rotation::EvenLeads(size_t count) {
  Leads leads(count);
  for (size_t i = 0; i < count; ++i) {
    leads[i] = EvenLead(i, count);
  }
  return leads;
}

// The target whose next pick is due first comes first. All that a change of the set carries over
// is what of its next pick each target has earned, so that frequent changes favour nobody, a return
// brings no burst, and a fleet's data planes keep their different rhythms.
std::vector<Sequencer::Item> Rotation::ItemsInOrder(const TargetSet& targets,
                                                    const Leads& leads) const {
  std::vector<Sequencer::Item> items;
  for (uint32_t i = 0; i < records_.size(); ++i) {
    if (targets.test(i)) {
      items.push_back({i, std::min(spec_.targets[i].weight, Sequencer::kMaxWeight), leads[i]});
    }
  }
  std::stable_sort(items.begin(), items.end(), WishesEarlier);
  return items;
}

void Rotation::SettleLeads(const Schedule& schedule) {
  const Schedule::Progress progress = schedule.MeasureProgress();
  for (const Schedule::Share& share : progress.shares) {
    int64_t& lead = leads_[share.target];
    lead += ShareOf(progress.picks, share.weight, progress.cycle_length) -
            static_cast<int64_t>(share.picks) * kOnePick;
    lead = std::clamp(lead, kLeastLead, kMostLead);
  }
}

void Rotation::FreeRetired() {
  const bool wants_spares = schedule_.load(std::memory_order_relaxed)->is_part();
  size_t kept = 0;
  for (std::unique_ptr<Schedule>& schedule : retired_) {
    if (IsPinned(schedule.get())) {
      std::swap(retired_[kept++], schedule);
      continue;
    }
    schedule->CountPicks(settled_picks_);
    if (wants_spares && schedule->is_part() && spares_.size() < kSpareParts) {
      spares_.push_back(std::move(schedule));
    }
    schedule.reset();
  }
  retired_.resize(kept);
}

Rotation::NextSchedule& Rotation::ScheduleOverRest(const TargetSet& rest) {
  if (next_schedules_ == nullptr) {
    next_schedules_ = std::make_unique<std::vector<NextSchedule>>();
    next_leads_ = EvenLeads(records_.size());
  }
  std::vector<NextSchedule>& schedules = *next_schedules_;
  const auto found =
      std::find_if(schedules.begin(), schedules.end(),
                   [&rest](const NextSchedule& schedule) { return schedule.targets == rest; });
  if (found != schedules.end()) {
    return *found;
  }
  if (schedules.size() == kMaxNextSchedules) {
    schedules.erase(schedules.begin());
  }
  schedules.push_back({rest, Sequencer(ItemsInOrder(rest, next_leads_))});
  return schedules.back();
}

Rotation::OrderWithout& Rotation::OrderOf(const TargetSet& excluded, const TargetSet& active) {
  if (orders_without_ == nullptr) {
    orders_without_ = std::make_unique<std::vector<OrderWithout>>();
  }
  std::vector<OrderWithout>& orders = *orders_without_;
  auto order = std::find_if(orders.begin(), orders.end(), [&excluded](const OrderWithout& known) {
    return known.excluded == excluded;
  });
  if (order == orders.end()) {
    if (orders.size() == kMaxOrdersWithout) {
      orders.erase(orders.begin());
    }
    order = orders.insert(orders.end(), {excluded, {}, EvenLeads(records_.size()), nullptr});
    if (place_ > 0) {
      StartInPlace(active, order->leads);
    }
  }
  if (order->targets != active) {
    order->targets = active;
    order->sequencer = std::make_unique<Sequencer>(ItemsInOrder(active, order->leads));
  }
  return *order;
}

}  // namespace rota::rotation
