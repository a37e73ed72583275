#pragma once

// AES-256-GCM over what must not lie readable on a disk. Thread-safe (const after construction);
// the key is wiped when destroyed.

#include <optional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "common/secret.h"

namespace rota::sync {

class StateKey {
 public:
  // 32 bytes as 64 hex digits (a newline may follow) or raw. InvalidArgument says what is wrong
  // with the file and how to make one.
  static absl::StatusOr<StateKey> Read(const std::string& file);
  static absl::StatusOr<StateKey> Parse(std::string_view content, const std::string& file);

  // Nonce (12 bytes), ciphertext, tag (16 bytes). `context` is bound to it, not contained.
  absl::StatusOr<std::string> Seal(std::string_view plain, std::string_view context) const;
  // Nothing when the key or the context is another one, or a bit has changed.
  std::optional<std::string> Open(std::string_view sealed, std::string_view context) const;

 private:
  explicit StateKey(SecretString key) : key_(std::move(key)) {}

  SecretString key_;
};

}  // namespace rota::sync
