#pragma once

// SecretString: bytes that must not leak. No formatter, no operator<<, no implicit conversion;
// zeroed when destroyed, overwritten or moved from. Whoever calls Reveal() owns the consequences:
// never a log, an error, a status, a metric or /debug.

#include <string>
#include <string_view>
#include <vector>

namespace rota {

// Thread-compatible.
class SecretString {
 public:
  SecretString() = default;
  explicit SecretString(std::string_view bytes);
  SecretString(const SecretString& other) = default;
  SecretString(SecretString&& other) noexcept;
  SecretString& operator=(const SecretString& other);
  SecretString& operator=(SecretString&& other) noexcept;
  ~SecretString();

  std::string_view Reveal() const { return {bytes_.data(), bytes_.size()}; }
  bool empty() const { return bytes_.empty(); }
  // Constant-time in the bytes.
  friend bool operator==(const SecretString& a, const SecretString& b);

 private:
  void Wipe();
  std::vector<char> bytes_;  // not std::string: its small buffer survives a move
};

// Overwrites and clears a string that held a secret on its way.
void WipeString(std::string& bytes);

}  // namespace rota
