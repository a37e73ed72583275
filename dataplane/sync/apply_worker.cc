#include "dataplane/sync/apply_worker.h"

#include "absl/strings/str_cat.h"
#include "common/file.h"
#include "common/hash.h"
#include "common/log.h"
#include "common/process.h"
#include "common/status_macros.h"

namespace rota::sync {
namespace {

namespace v1 = rota::sync::v1;

// Larger than any snapshot that a transaction may carry.
constexpr size_t kMaxFileBytes = 512 << 20;
// Resources in a transaction whose leftovers are worth looking for.
constexpr size_t kLargeTransaction = 256;

}  // namespace

std::string_view ConfigSourceName(ConfigSource source) {
  switch (source) {
    case ConfigSource::kNone:
      return "none";
    case ConfigSource::kController:
      return "controller";
    case ConfigSource::kLastKnownGood:
      return "last-known-good";
  }
  return "none";
}

ApplyWorker::ApplyWorker(ApplyWorkerOptions options, Applier applier,
                         std::shared_ptr<SyncInbox> inbox, Clock& clock)
    : options_(std::move(options)),
      file_(absl::StrCat(options_.state_dir, "/", kLastKnownGoodFile)),
      applier_(std::move(applier)),
      inbox_(std::move(inbox)),
      clock_(clock) {
  if (!options_.state_dir.empty()) {
    writer_ = std::make_unique<LastKnownGoodWriter>(file_, options_.save_interval, clock_,
                                                    [this] { return Encode(); });
  }
  thread_ = std::jthread([this](std::stop_token stop) { Run(stop); });
}

ApplyWorker::~ApplyWorker() {
  thread_.request_stop();
  thread_.join();
  writer_.reset();  // writes what is new while the store is still there
}

void ApplyWorker::Post(Job job) {
  std::lock_guard guard(jobs_mutex_);
  jobs_.push_back(std::move(job));
  wake_.notify_all();
}

void ApplyWorker::Apply(uint64_t stream, Transaction transaction) {
  Post(ApplyJob{stream, std::move(transaction)});
}

void ApplyWorker::LoadLastKnownGood() { Post(LoadJob{}); }

void ApplyWorker::Run(std::stop_token stop) {
  while (true) {
    std::optional<Job> job;
    {
      std::unique_lock lock(jobs_mutex_);
      if (!wake_.wait(lock, stop, [this] { return !jobs_.empty(); }) || stop.stop_requested()) {
        return;
      }
      job = std::move(jobs_.front());
      jobs_.pop_front();
    }
    std::visit([this](auto& what) { Do(std::move(what)); }, *job);
  }
}

void ApplyWorker::Do(ApplyJob job) {
  const MonotonicTime started = clock_.Now();
  const size_t resources = job.transaction.upserts.size() + job.transaction.removals.size();
  const bool changes = job.transaction.commit.full() || resources > 0;
  absl::StatusOr<v1::Ack> ack;
  {
    std::lock_guard guard(store_mutex_);
    ack = store_.Apply(std::move(job.transaction), applier_);
  }
  if (ack.ok()) {
    ToProto(clock_.Now() - started, *ack->mutable_apply_time());
    Record(ConfigSource::kController, started);
  }
  const bool ok = ack.ok();
  inbox_->Push({job.stream, AppliedEvent{std::move(ack)}});
  if (ok && changes && writer_ != nullptr) {
    writer_->Changed();
  }
  if (resources >= kLargeTransaction) {
    ReturnFreedMemory();
  }
}

void ApplyWorker::Do(LoadJob) {
  inbox_->Push({0, LoadedEvent{Load()}});
  ReturnFreedMemory();
}

absl::Status ApplyWorker::Load() {
  if (options_.state_dir.empty()) {
    return absl::NotFoundError("there is no last-known-good file without --state-dir");
  }
  const MonotonicTime started = clock_.Now();
  const StateKey* key = options_.state_key.has_value() ? &*options_.state_key : nullptr;
  absl::StatusOr<std::string> content = ReadFile(file_, kMaxFileBytes);
  absl::StatusOr<LastKnownGood> loaded =
      content.ok() ? DecodeLastKnownGood(*content, options_.gateway, key, file_) : content.status();
  if (!loaded.ok()) {
    if (!absl::IsNotFound(loaded.status())) {
      std::lock_guard guard(state_mutex_);
      state_.last_known_good_problem = std::string(loaded.status().message());
    }
    return loaded.status();
  }
  {
    std::lock_guard guard(store_mutex_);
    store_.Load(std::move(loaded->resources), loaded->snapshot_hash, applier_);
  }
  Record(ConfigSource::kLastKnownGood, started);
  log::Warn("sync", "serving from the last-known-good file: no controller has answered",
            {{"file", file_},
             {"resources", state_.resources},
             {"missing_secrets", loaded->missing_secrets},
             {"problem", loaded->problem}});
  std::lock_guard guard(state_mutex_);
  state_.saved_at = loaded->saved_at;
  state_.missing_secrets = std::move(loaded->missing_secrets);
  state_.last_known_good_problem = std::move(loaded->problem);
  return absl::OkStatus();
}

void ApplyWorker::Record(ConfigSource source, MonotonicTime started) {
  const MonotonicTime now = clock_.Now();
  std::scoped_lock guard(store_mutex_, state_mutex_);
  state_.source = source;
  state_.snapshot_hash = store_.complete() ? store_.snapshot_hash() : "";
  state_.resources = store_.in_use().size();
  state_.rejected = store_.rejected_count();
  state_.refused = store_.refused_count();
  state_.applied_at = now;
  state_.applied_at_wall = clock_.WallNow();
  state_.apply_time = now - started;
  if (source == ConfigSource::kController) {
    ++state_.transactions;
    state_.missing_secrets.clear();
    state_.last_known_good_problem.clear();
    state_.saved_at.reset();
  }
}

void ApplyWorker::FillHello(v1::Hello& hello) {
  std::lock_guard guard(store_mutex_);
  store_.OnNewStream();
  store_.FillHello(hello);
}

void ApplyWorker::ForgetInventory() {
  std::lock_guard guard(store_mutex_);
  store_.ForgetInventory();
}

void ApplyWorker::FillState(SyncState& state) const {
  std::lock_guard guard(state_mutex_);
  state = state_;
}

absl::StatusOr<std::string> ApplyWorker::Encode() {
  std::lock_guard guard(store_mutex_);
  const StateKey* key = options_.state_key.has_value() ? &*options_.state_key : nullptr;
  return EncodeLastKnownGood(store_.in_use(), store_.complete() ? store_.snapshot_hash() : "",
                             options_.gateway, clock_.WallNow(), key);
}

}  // namespace rota::sync
