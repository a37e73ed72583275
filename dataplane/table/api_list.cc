#include "dataplane/table/api_list.h"

#include <algorithm>
#include <utility>

#include "dataplane/table/route_table.h"

namespace rota::table {
namespace {

// About as many runs as APIs in each with 5,000: both are gone through for a change.
constexpr size_t kMaxRun = 64;

bool IdIsBefore(const std::shared_ptr<const Api>& api, std::string_view id) { return api->id < id; }

}  // namespace

const std::string& ApiChange::id() const { return after == nullptr ? before->id : after->id; }

bool ApiList::StartsBehind(std::string_view id, const std::shared_ptr<const Run>& run) {
  return id < run->front()->id;
}

void ApiList::Append(std::shared_ptr<const Run> run) {
  size_ += run->size();
  runs_.push_back(std::move(run));
}

ApiList::Run ApiList::Merge(const Run& old, ApiChanges::const_iterator change,
                            ApiChanges::const_iterator last) {
  Run anew;
  anew.reserve(old.size() + static_cast<size_t>(last - change));
  auto from = old.begin();
  for (; change != last; ++change) {
    const auto place = std::lower_bound(from, old.end(), change->id(), IdIsBefore);
    anew.insert(anew.end(), from, place);
    from = change->before == nullptr ? place : place + 1;
    if (change->after != nullptr) {
      anew.push_back(change->after);
    }
  }
  anew.insert(anew.end(), from, old.end());
  return anew;
}

// Joined with the run before where both are short, cut where it has become too long.
void ApiList::AppendAnew(Run run) {
  if (!runs_.empty() && runs_.back()->size() + run.size() <= kMaxRun) {
    run.insert(run.begin(), runs_.back()->begin(), runs_.back()->end());
    size_ -= runs_.back()->size();
    runs_.pop_back();
  }
  const size_t pieces = (run.size() + kMaxRun - 1) / kMaxRun;
  auto from = run.begin();
  for (size_t left = pieces; left > 0; --left) {
    const auto to = from + (run.end() - from) / static_cast<std::ptrdiff_t>(left);
    Append(std::make_shared<const Run>(std::make_move_iterator(from), std::make_move_iterator(to)));
    from = to;
  }
}

ApiList ApiList::With(const ApiChanges& changes) const {
  ApiList next;
  next.runs_.reserve(runs_.size() + 1);
  auto run = runs_.begin();
  for (auto change = changes.begin(); change != changes.end();) {
    // It belongs to the last run that does not start behind it; to the first where all do.
    auto following = std::upper_bound(run, runs_.end(), change->id(), StartsBehind);
    if (following == run && run != runs_.end()) {
      ++following;
    }
    for (; following - run > 1; ++run) {
      next.Append(*run);
    }
    auto last = change + 1;
    while (last != changes.end() &&
           (following == runs_.end() || last->id() < (*following)->front()->id)) {
      ++last;
    }
    static const Run kNone;
    next.AppendAnew(Merge(run == following ? kNone : **run, change, last));
    run = following;
    change = last;
  }
  for (; run != runs_.end(); ++run) {
    next.Append(*run);
  }
  return next;
}

std::shared_ptr<const Api> ApiList::Find(std::string_view id) const {
  const auto behind = std::upper_bound(runs_.begin(), runs_.end(), id, StartsBehind);
  if (behind == runs_.begin()) {
    return nullptr;
  }
  const Run& run = **std::prev(behind);
  const auto place = std::lower_bound(run.begin(), run.end(), id, IdIsBefore);
  return place == run.end() || (*place)->id != id ? nullptr : *place;
}

}  // namespace rota::table
