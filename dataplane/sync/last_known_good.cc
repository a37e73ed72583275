#include "dataplane/sync/last_known_good.h"

#include <limits>

#include "absl/strings/str_cat.h"
#include "common/file.h"
#include "common/hash.h"
#include "common/log.h"
#include "common/status_macros.h"
#include "rota/sync/v1/saved_state.pb.h"

namespace rota::sync {
namespace {

namespace v1 = rota::sync::v1;

// File: magic with the version, length of the payload (8 bytes, big-endian), SHA-256 of it,
// payload.
constexpr std::string_view kMagic = "rota-last-known-good ";
constexpr std::string_view kHeader = "rota-last-known-good 1\n";
constexpr size_t kLengthBytes = 8;
constexpr size_t kDigestBytes = 32;

std::string BigEndian(uint64_t value) {
  std::string bytes;
  for (int shift = 56; shift >= 0; shift -= 8) {
    bytes.push_back(static_cast<char>(value >> shift & 0xFF));
  }
  return bytes;
}

absl::StatusOr<std::string> SealSecrets(const ResourceMap& resources, const StateKey& key,
                                        const std::string& gateway) {
  v1::SavedSecrets secrets;
  for (const auto& [id, resource] : resources) {
    if (id.first == v1::SECRET) {
      *secrets.add_resources() = *resource;
    }
  }
  std::string plain = secrets.SerializeAsString();
  for (v1::Resource& resource : *secrets.mutable_resources()) {
    WipeString(*resource.mutable_body());
  }
  absl::StatusOr<std::string> sealed = key.Seal(plain, gateway);
  WipeString(plain);
  return sealed;
}

// The payload, or why it is not one.
absl::StatusOr<std::string_view> CheckEnvelope(std::string_view content, const std::string& file) {
  const auto unusable = [&file](const std::string& why) {
    return absl::DataLossError(
        absl::StrCat("last-known-good file '", file, "' ", why,
                     "; starting without it (a controller writes a new one)"));
  };
  if (!content.starts_with(kMagic)) {
    return unusable("is not one: it does not start with its mark");
  }
  if (!content.starts_with(kHeader)) {
    const std::string_view version = content.substr(kMagic.size(), 8);
    return unusable(absl::StrCat("has format version '",
                                 std::string(version.substr(0, version.find('\n'))),
                                 "', this program reads 1"));
  }
  content.remove_prefix(kHeader.size());
  if (content.size() < kLengthBytes + kDigestBytes) {
    return unusable("is truncated");
  }
  const std::string_view length = content.substr(0, kLengthBytes);
  const std::string_view digest = content.substr(kLengthBytes, kDigestBytes);
  const std::string_view payload = content.substr(kLengthBytes + kDigestBytes);
  if (BigEndian(payload.size()) != length) {
    return unusable("is truncated");
  }
  if (Sha256(payload) != digest) {
    return unusable("is damaged (its checksum is wrong)");
  }
  return payload;
}

void OpenSecrets(v1::SavedState& state, const StateKey* key, const std::string& file,
                 LastKnownGood& result) {
  if (state.sealed_secrets().empty()) {
    return;
  }
  if (key == nullptr) {
    result.problem = absl::StrCat("the Secrets in '", file,
                                  "' are encrypted: give --state-key-file to use them");
    return;
  }
  std::optional<std::string> plain = key->Open(state.sealed_secrets(), state.gateway());
  v1::SavedSecrets secrets;
  if (!plain.has_value() || !secrets.ParseFromString(*plain)) {
    result.problem = absl::StrCat("the Secrets in '", file,
                                  "' were encrypted with another key than --state-key-file names");
    return;
  }
  WipeString(*plain);
  for (v1::Resource& resource : *secrets.mutable_resources()) {
    ResourceKey id = KeyOf(resource.id());
    result.resources[std::move(id)] = std::make_shared<const v1::Resource>(std::move(resource));
  }
}

}  // namespace

absl::StatusOr<std::string> EncodeLastKnownGood(const ResourceMap& resources,
                                                const std::string& snapshot_hash,
                                                const std::string& gateway, WallTime now,
                                                const StateKey* key) {
  v1::SavedState head;
  head.set_gateway(gateway);
  head.set_snapshot_hash(snapshot_hash);
  head.mutable_saved_at()->set_seconds(
      std::chrono::duration_cast<std::chrono::seconds>(now.time_since_epoch()).count());
  for (const auto& [id, resource] : resources) {
    if (id.first == v1::SECRET) {
      v1::ResourceId& secret = *head.add_secrets();
      secret.set_kind(id.first);
      secret.set_name(id.second);
    }
  }
  if (key != nullptr && head.secrets_size() > 0) {
    ASSIGN_OR_RETURN(*head.mutable_sealed_secrets(), SealSecrets(resources, *key, gateway));
  }
  // One small part per resource, straight to its place: the whole message, or a payload of its own,
  // would hold everything twice.
  constexpr size_t kPartOverhead = 16;
  size_t bytes = kHeader.size() + kLengthBytes + kDigestBytes + head.ByteSizeLong();
  for (const auto& [id, resource] : resources) {
    bytes += id.first != v1::SECRET ? resource->ByteSizeLong() + kPartOverhead : 0;
  }
  std::string content(kHeader);
  content.reserve(bytes);
  content.append(kLengthBytes + kDigestBytes, '\0');
  const size_t payload_begin = content.size();
  head.AppendToString(&content);
  for (const auto& [id, resource] : resources) {
    if (id.first != v1::SECRET) {
      v1::SavedState part;
      *part.add_resources() = *resource;
      part.AppendToString(&content);
    }
  }
  const std::string_view payload = std::string_view(content).substr(payload_begin);
  const std::string envelope = BigEndian(payload.size()) + Sha256(payload);
  content.replace(kHeader.size(), envelope.size(), envelope);
  return content;
}

absl::StatusOr<LastKnownGood> DecodeLastKnownGood(std::string_view content,
                                                  const std::string& gateway, const StateKey* key,
                                                  const std::string& file) {
  ASSIGN_OR_RETURN(const std::string_view payload, CheckEnvelope(content, file));
  v1::SavedState state;
  if (payload.size() > static_cast<size_t>(std::numeric_limits<int>::max()) ||
      !state.ParseFromArray(payload.data(), static_cast<int>(payload.size()))) {
    return absl::DataLossError(
        absl::StrCat("last-known-good file '", file, "' does not decode; starting without it"));
  }
  if (state.gateway() != gateway) {
    return absl::FailedPreconditionError(absl::StrCat(
        "last-known-good file '", file, "' is of gateway '", state.gateway(), "', not '", gateway,
        "'; starting without it (use another --state-dir per gateway)"));
  }
  LastKnownGood result;
  result.saved_at = WallTime(std::chrono::seconds(state.saved_at().seconds()));
  for (v1::Resource& resource : *state.mutable_resources()) {
    ResourceKey id = KeyOf(resource.id());
    result.resources[std::move(id)] = std::make_shared<const v1::Resource>(std::move(resource));
  }
  OpenSecrets(state, key, file, result);
  for (const v1::ResourceId& secret : state.secrets()) {
    if (!result.resources.contains(KeyOf(secret))) {
      result.missing_secrets.push_back(secret.name());
    }
  }
  if (result.missing_secrets.empty()) {
    result.snapshot_hash = state.snapshot_hash();
  }
  return result;
}

LastKnownGoodWriter::LastKnownGoodWriter(std::string file, Duration interval, Clock& clock,
                                         std::function<absl::StatusOr<std::string>()> encode)
    : file_(std::move(file)),
      interval_(interval),
      clock_(clock),
      encode_(std::move(encode)),
      thread_([this](std::stop_token stop) { Run(stop); }) {}

LastKnownGoodWriter::~LastKnownGoodWriter() {
  thread_.request_stop();
  thread_.join();
  if (changed_) {
    Write();
  }
}

void LastKnownGoodWriter::Changed() {
  std::lock_guard guard(mutex_);
  changed_ = true;
  wake_.notify_all();
}

uint64_t LastKnownGoodWriter::written() const {
  std::lock_guard guard(mutex_);
  return written_;
}

uint64_t LastKnownGoodWriter::failed() const {
  std::lock_guard guard(mutex_);
  return failed_;
}

void LastKnownGoodWriter::Run(std::stop_token stop) {
  while (!stop.stop_requested()) {
    {
      std::unique_lock lock(mutex_);
      wake_.wait(lock, stop, [this] { return changed_; });
      if (!changed_) {
        return;
      }
      if (written_at_.has_value() && clock_.Now() < *written_at_ + interval_) {
        clock_.WaitUntil(lock, wake_, *written_at_ + interval_, stop);
        continue;
      }
      changed_ = false;
      written_at_ = clock_.Now();
    }
    Write();
  }
}

absl::Status LastKnownGoodWriter::EncodeAndWrite() {
  ASSIGN_OR_RETURN(const std::string content, encode_());
  return WriteFileAtomically(file_, content, 0600);
}

void LastKnownGoodWriter::Write() {
  const absl::Status status = EncodeAndWrite();
  if (!status.ok()) {
    log::Warn("sync", "the last-known-good file could not be written",
              {{"file", file_}, {"reason", std::string(status.message())}});
  }
  std::lock_guard guard(mutex_);
  ++(status.ok() ? written_ : failed_);
}

}  // namespace rota::sync
