#include "dataplane/sync/stager.h"

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"

namespace rota::sync {
namespace {

namespace v1 = rota::sync::v1;

absl::Status Broken(const std::string& message) {
  return absl::InvalidArgumentError(absl::StrCat("the controller breaks the protocol: ", message));
}

}  // namespace

absl::Status Stager::Count(const std::string& name, size_t body_bytes) {
  if (name.empty() || name.size() > 1024) {
    return Broken("a resource name must have 1 to 1024 bytes");
  }
  bytes_ += name.size() + body_bytes;
  if (bytes_ > limits_.max_bytes) {
    return absl::ResourceExhaustedError(
        absl::StrCat("a transaction is larger than ", limits_.max_bytes, " bytes"));
  }
  if (staging_->upserts.size() + staging_->removals.size() >= limits_.max_resources) {
    return absl::ResourceExhaustedError(
        absl::StrCat("a transaction has more than ", limits_.max_resources, " resources"));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::optional<Transaction>> Stager::Add(v1::Chunk chunk) {
  if (waiting_) {
    return Broken(absl::StrCat("a chunk of transaction ", chunk.transaction(),
                               " came before transaction ", last_number_, " was acknowledged"));
  }
  if (!staging_.has_value()) {
    if (chunk.transaction() != last_number_ + 1) {
      return Broken(
          absl::StrCat("transaction ", chunk.transaction(), " follows transaction ", last_number_));
    }
    staging_.emplace();
    staging_->number = chunk.transaction();
    bytes_ = 0;
  } else if (chunk.transaction() != staging_->number) {
    return Broken(absl::StrCat("transaction ", chunk.transaction(), " starts inside transaction ",
                               staging_->number));
  }
  for (v1::Resource& resource : *chunk.mutable_upserts()) {
    RETURN_IF_ERROR(Count(resource.id().name(), resource.body().size()));
    ResourceKey key = KeyOf(resource.id());
    if (resource.hash() == 0) {
      return Broken(absl::StrCat("'", key.second, "' has no hash"));
    }
    if (staging_->removals.contains(key) ||
        !staging_->upserts.emplace(key, std::make_shared<const v1::Resource>(std::move(resource)))
             .second) {
      return Broken(
          absl::StrCat("'", key.second, "' comes twice in transaction ", staging_->number));
    }
  }
  for (const v1::ResourceId& id : chunk.removals()) {
    RETURN_IF_ERROR(Count(id.name(), 0));
    ResourceKey key = KeyOf(id);
    if (staging_->upserts.contains(key) || !staging_->removals.insert(key).second) {
      return Broken(
          absl::StrCat("'", key.second, "' comes twice in transaction ", staging_->number));
    }
  }
  if (!chunk.has_commit()) {
    return std::optional<Transaction>();
  }
  staging_->commit = chunk.commit();
  last_number_ = staging_->number;
  waiting_ = true;
  return std::exchange(staging_, std::nullopt);
}

void Stager::Reset() {
  staging_.reset();
  last_number_ = 0;
  waiting_ = false;
  bytes_ = 0;
}

}  // namespace rota::sync
