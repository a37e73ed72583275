#include "controller/kube/reflector_state.h"

#include "controller/kube/error.h"

namespace rota::kube {
namespace {

// A custom resource that is not installed (yet): nobody is in a hurry.
constexpr Duration kMissingResourceWait = std::chrono::seconds(30);
// Shorter and without any event: the server (or a proxy) is refusing, not serving.
constexpr Duration kVeryShortWatch = std::chrono::seconds(1);

Wait WaitFor(const ApiError& error) {
  if (error.http_code == 404) {
    return {Wait::Kind::kExactly, kMissingResourceWait};
  }
  return {Wait::Kind::kBackoff, error.retry_after.value_or(Duration::zero())};
}

Decision FromScratch() {
  Decision decision;
  decision.discard = true;
  decision.stop_watch = true;
  return decision;
}

Decision Again(const ReflectorState& state) {
  Decision decision;
  decision.next = state;
  decision.next.phase = ReflectorPhase::kListed;
  decision.stop_watch = true;
  return decision;
}

}  // namespace

Decision AfterPage(const ReflectorState& state, const std::string& resource_version,
                   const std::string& continue_token) {
  Decision decision;
  decision.next = state;
  if (state.phase == ReflectorPhase::kEmpty) {
    decision.next.resource_version = resource_version;  // later pages repeat it
  }
  decision.next.continue_token = continue_token;
  if (!continue_token.empty()) {
    decision.next.phase = ReflectorPhase::kPaging;
    return decision;
  }
  decision.next.phase = ReflectorPhase::kListed;
  decision.next.unpaged = false;
  decision.next.unstreamed = false;
  decision.commit = true;
  return decision;
}

Decision AfterStreamOpened(const ReflectorState& state) {
  Decision decision;
  decision.next = state;
  decision.next.phase = ReflectorPhase::kStreaming;
  return decision;
}

Decision AfterInitialEvents(const ReflectorState& state, const std::string& resource_version) {
  Decision decision;
  decision.next = state;
  decision.next.phase = ReflectorPhase::kWatching;
  decision.next.resource_version = resource_version;
  decision.commit = true;
  return decision;
}

Decision AfterStreamFailed(const absl::Status& error, bool in_stream) {
  const ApiError facts = ErrorOf(error);
  Decision decision = FromScratch();
  // Whatever was wrong with the stream, a list may do better.
  decision.next.unstreamed = true;
  // The parameter is not known, or its feature gate is off; or the store behind the server cannot
  // tell how far it is (then it says so in the stream, for want of a better place).
  decision.no_streams = facts.http_code == 400 || facts.http_code == 422 ||
                        (in_stream && facts.http_code == 500 && !facts.retry_after.has_value());
  if (!decision.no_streams && !facts.expired()) {
    decision.wait = WaitFor(facts);
  }
  return decision;
}

Decision AfterStreamWithoutEnd() {
  Decision decision = FromScratch();
  decision.next.unstreamed = true;
  decision.no_streams = true;
  return decision;
}

Decision AfterListFailed(const ReflectorState& state, const absl::Status& error) {
  const ApiError facts = ErrorOf(error);
  Decision decision = FromScratch();
  if (facts.expired() && state.phase == ReflectorPhase::kPaging && !state.unpaged) {
    // The snapshot behind the pages is gone. One list without pages cannot run into that.
    decision.next.unpaged = true;
    decision.next.unstreamed = state.unstreamed;
    return decision;
  }
  decision.wait = WaitFor(facts);
  return decision;
}

Decision AfterWatchOpened(const ReflectorState& state) {
  Decision decision;
  decision.next = state;
  decision.next.phase = ReflectorPhase::kWatching;
  return decision;
}

Decision AfterWatchNotOpened(const ReflectorState& state, const absl::Status& error) {
  const ApiError facts = ErrorOf(error);
  if (facts.expired()) {
    return FromScratch();
  }
  Decision decision;
  if (facts.http_code == 400 || facts.http_code == 422 || facts.resource_version_too_large) {
    // It does not know our resource version: a restored store, or another server behind the name.
    decision = FromScratch();
  } else {
    decision = Again(state);
  }
  const bool nobody_answered = facts.http_code == 0 && absl::IsUnavailable(error);
  decision.wait = nobody_answered ? Wait{Wait::Kind::kReconnect, Duration::zero()} : WaitFor(facts);
  return decision;
}

Decision AfterEvent(const ReflectorState& state, const std::string& resource_version) {
  Decision decision;
  decision.next = state;
  decision.next.resource_version = resource_version;
  return decision;
}

Decision AfterErrorEvent(const ReflectorState& state, const absl::Status& error) {
  const ApiError facts = ErrorOf(error);
  if (facts.expired()) {
    return FromScratch();
  }
  Decision decision = facts.resource_version_too_large ? FromScratch() : Again(state);
  decision.wait = WaitFor(facts);
  return decision;
}

Decision AfterUnreadableEvent(const ReflectorState&) {
  Decision decision = FromScratch();
  // A server that always sends rubbish must not be listed in a tight loop.
  decision.wait = {Wait::Kind::kBackoff, Duration::zero()};
  return decision;
}

Decision AfterWatchEnded(const ReflectorState& state, Duration lifetime, bool had_events) {
  Decision decision = Again(state);
  if (lifetime < kVeryShortWatch && !had_events) {
    decision.wait = {Wait::Kind::kBackoff, Duration::zero()};
  }
  return decision;
}

}  // namespace rota::kube
