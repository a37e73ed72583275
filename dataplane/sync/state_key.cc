#include "dataplane/sync/state_key.h"

#include <openssl/evp.h>
#include <openssl/rand.h>

#include <limits>

#include "absl/strings/str_cat.h"
#include "common/file.h"
#include "common/hex.h"
#include "common/line_ends.h"
#include "common/openssl_ptr.h"
#include "common/status_macros.h"

namespace rota::sync {
namespace {

constexpr size_t kKeyBytes = 32;
constexpr size_t kNonceBytes = 12;
constexpr size_t kTagBytes = 16;

using openssl::CipherContext;

const unsigned char* Bytes(std::string_view text) {
  return reinterpret_cast<const unsigned char*>(text.data());
}
unsigned char* Bytes(std::string& text, size_t offset) {
  return reinterpret_cast<unsigned char*>(text.data()) + offset;
}

}  // namespace

absl::StatusOr<StateKey> StateKey::Read(const std::string& file) {
  ASSIGN_OR_RETURN(std::string content, ReadFile(file, 4096));
  absl::StatusOr<StateKey> key = Parse(content, file);
  WipeString(content);
  return key;
}

absl::StatusOr<StateKey> StateKey::Parse(std::string_view content, const std::string& file) {
  if (content.size() == kKeyBytes) {
    return StateKey(SecretString(content));
  }
  content = WithoutLineEnds(content);
  const absl::Status wrong = absl::InvalidArgumentError(
      absl::StrCat("state key file '", file,
                   "' must hold 64 hex digits (32 bytes): make one with 'openssl rand -hex 32'"));
  if (content.size() != 2 * kKeyBytes) {
    return wrong;
  }
  std::string key;
  key.reserve(kKeyBytes);
  for (size_t i = 0; i < content.size(); i += 2) {
    const int high = HexDigit(content[i]);
    const int low = HexDigit(content[i + 1]);
    if (high < 0 || low < 0) {
      WipeString(key);
      return wrong;
    }
    key.push_back(static_cast<char>(high << 4 | low));
  }
  SecretString secret(key);
  WipeString(key);
  return StateKey(std::move(secret));
}

absl::StatusOr<std::string> StateKey::Seal(std::string_view plain, std::string_view context) const {
  if (plain.size() > static_cast<size_t>(std::numeric_limits<int>::max()) / 2) {
    return absl::ResourceExhaustedError("too much to encrypt at once");
  }
  std::string sealed(kNonceBytes + plain.size() + kTagBytes, '\0');
  const CipherContext cipher(EVP_CIPHER_CTX_new());
  int length = 0;
  // A fresh random nonce each time; 2^32 writes of one key are far away.
  const bool ok =
      cipher != nullptr && RAND_bytes(Bytes(sealed, 0), kNonceBytes) == 1 &&
      EVP_EncryptInit_ex(cipher.get(), EVP_aes_256_gcm(), nullptr, Bytes(key_.Reveal()),
                         Bytes(sealed, 0)) == 1 &&
      EVP_EncryptUpdate(cipher.get(), nullptr, &length, Bytes(context),
                        static_cast<int>(context.size())) == 1 &&
      EVP_EncryptUpdate(cipher.get(), Bytes(sealed, kNonceBytes), &length, Bytes(plain),
                        static_cast<int>(plain.size())) == 1 &&
      EVP_EncryptFinal_ex(cipher.get(), Bytes(sealed, kNonceBytes + plain.size()), &length) == 1 &&
      EVP_CIPHER_CTX_ctrl(cipher.get(), EVP_CTRL_GCM_GET_TAG, kTagBytes,
                          Bytes(sealed, kNonceBytes + plain.size())) == 1;
  if (!ok) {
    return absl::InternalError("OpenSSL could not encrypt with AES-256-GCM");
  }
  return sealed;
}

std::optional<std::string> StateKey::Open(std::string_view sealed, std::string_view context) const {
  if (sealed.size() < kNonceBytes + kTagBytes ||
      sealed.size() > static_cast<size_t>(std::numeric_limits<int>::max()) / 2) {
    return std::nullopt;
  }
  const std::string_view cipher_text =
      sealed.substr(kNonceBytes, sealed.size() - kNonceBytes - kTagBytes);
  std::string tag(sealed.substr(sealed.size() - kTagBytes));
  std::string plain(cipher_text.size(), '\0');
  const CipherContext cipher(EVP_CIPHER_CTX_new());
  int length = 0;
  unsigned char rest[kTagBytes];
  const bool ok =
      cipher != nullptr &&
      EVP_DecryptInit_ex(cipher.get(), EVP_aes_256_gcm(), nullptr, Bytes(key_.Reveal()),
                         Bytes(sealed)) == 1 &&
      EVP_DecryptUpdate(cipher.get(), nullptr, &length, Bytes(context),
                        static_cast<int>(context.size())) == 1 &&
      EVP_DecryptUpdate(cipher.get(), Bytes(plain, 0), &length, Bytes(cipher_text),
                        static_cast<int>(cipher_text.size())) == 1 &&
      EVP_CIPHER_CTX_ctrl(cipher.get(), EVP_CTRL_GCM_SET_TAG, kTagBytes, tag.data()) == 1 &&
      EVP_DecryptFinal_ex(cipher.get(), rest, &length) == 1;
  if (!ok) {
    WipeString(plain);  // not authenticated: nobody may see it
    return std::nullopt;
  }
  return plain;
}

}  // namespace rota::sync
