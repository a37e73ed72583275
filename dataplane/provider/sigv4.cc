#include "dataplane/provider/sigv4.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/time/time.h"
#include "common/hash.h"
#include "common/hex.h"
#include "common/openssl_ptr.h"
#include "fmt/format.h"

namespace rota::provider {
namespace {

constexpr std::string_view kAlgorithm = "AWS4-HMAC-SHA256";
constexpr std::string_view kTerminator = "aws4_request";

std::string_view BytesOf(const SigningKey& key) {
  return {reinterpret_cast<const char*>(key.data()), key.size()};
}

SigningKey Hmac(std::string_view key, std::string_view message) {
  SigningKey digest{};
  HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()),
       reinterpret_cast<const unsigned char*>(message.data()), message.size(), digest.data(),
       nullptr);
  return digest;
}

SigningKey DeriveKey(std::string_view secret, std::string_view day, std::string_view region,
                     std::string_view service) {
  std::string first = fmt::format("AWS4{}", secret);
  SigningKey key = Hmac(first, day);
  WipeString(first);
  for (const std::string_view part : {region, service, kTerminator}) {
    key = Hmac(BytesOf(key), part);
  }
  return key;
}

using DigestContext = std::unique_ptr<EVP_MD_CTX, openssl::Freer<EVP_MD_CTX_free>>;

std::string HashOf(absl::Span<const std::string_view> pieces) {
  const DigestContext context(EVP_MD_CTX_new());
  EVP_DigestInit_ex(context.get(), EVP_sha256(), nullptr);
  for (const std::string_view piece : pieces) {
    EVP_DigestUpdate(context.get(), piece.data(), piece.size());
  }
  SigningKey digest{};
  EVP_DigestFinal_ex(context.get(), digest.data(), nullptr);
  return HexEncode(BytesOf(digest));
}

// Sorted by name, then by value, each encoded the one way that AWS encodes.
std::string CanonicalQuery(std::string_view query) {
  std::vector<std::pair<std::string, std::string>> pairs;
  while (!query.empty()) {
    const std::string_view pair = query.substr(0, query.find('&'));
    query.remove_prefix(std::min(query.size(), pair.size() + 1));
    if (pair.empty()) {
      continue;
    }
    const size_t equals = std::min(pair.find('='), pair.size());
    const std::string_view value = pair.substr(std::min(equals + 1, pair.size()));
    pairs.emplace_back(PercentEncoded(PercentDecoded(pair.substr(0, equals))),
                       PercentEncoded(PercentDecoded(value)));
  }
  std::sort(pairs.begin(), pairs.end());
  std::string canonical;
  for (const auto& [name, value] : pairs) {
    canonical.append(canonical.empty() ? "" : "&").append(name).append("=").append(value);
  }
  return canonical;
}

// Without white space around it, and with single spaces inside.
std::string CanonicalValue(std::string_view value) {
  std::string canonical(value);
  absl::RemoveExtraAsciiWhitespace(&canonical);
  return canonical;
}

struct CanonicalHeaders {
  std::string lines;         // "host:example.com\nx-amz-date:...\n"
  std::string signed_names;  // "host;x-amz-date"
};

CanonicalHeaders Canonical(const SigningInput& input, const AwsKeys& keys, std::string_view date) {
  std::vector<std::pair<std::string, std::string>> headers;
  headers.reserve(input.headers.size() + 3);
  headers.emplace_back("host", CanonicalValue(input.authority));
  headers.emplace_back("x-amz-date", date);
  if (!keys.session_token.empty()) {
    headers.emplace_back("x-amz-security-token", CanonicalValue(keys.session_token));
  }
  for (const HeaderField& header : input.headers) {
    headers.emplace_back(absl::AsciiStrToLower(header.name), CanonicalValue(header.value));
  }
  // Values of one name stay in their order.
  std::stable_sort(headers.begin(), headers.end(),
                   [](const auto& a, const auto& b) { return a.first < b.first; });
  CanonicalHeaders canonical;
  std::string_view previous;
  for (const auto& [name, value] : headers) {
    if (name == previous) {
      canonical.lines.back() = ',';
      canonical.lines.append(value).append("\n");
      continue;
    }
    canonical.lines.append(name).append(":").append(value).append("\n");
    canonical.signed_names.append(previous.empty() ? "" : ";").append(name);
    previous = name;
  }
  return canonical;
}

bool IsUnreserved(char c) {
  return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '-' || c == '.' || c == '_' ||
         c == '~';
}

}  // namespace

std::string_view AwsRegionOf(std::string_view host) {
  // The region stands in front of "amazonaws.com", and of "vpce" for an interface of one's own.
  for (const std::string_view end :
       {".vpce.amazonaws.com", ".amazonaws.com", ".amazonaws.com.cn"}) {
    if (host.ends_with(end)) {
      host.remove_suffix(end.size());
      const size_t dot = host.rfind('.');
      return dot == std::string_view::npos ? std::string_view() : host.substr(dot + 1);
    }
  }
  return {};
}

std::string PercentEncoded(std::string_view text, std::string_view keep) {
  constexpr std::string_view kDigits = "0123456789ABCDEF";
  std::string encoded;
  encoded.reserve(text.size() + 16);
  for (const char c : text) {
    if (IsUnreserved(c) || keep.find(c) != std::string_view::npos) {
      encoded.push_back(c);
      continue;
    }
    const auto byte = static_cast<unsigned char>(c);
    encoded.push_back('%');
    encoded.push_back(kDigits[byte >> 4]);
    encoded.push_back(kDigits[byte & 15]);
  }
  return encoded;
}

SigningKeyCache::~SigningKeyCache() {
  for (Entry& entry : entries_) {
    OPENSSL_cleanse(entry.key.data(), entry.key.size());
  }
}

const SigningKey& SigningKeyCache::Get(std::string_view secret, std::string_view day,
                                       std::string_view region, std::string_view service) {
  for (const Entry& entry : entries_) {
    if (entry.day == day && entry.region == region && entry.service == service &&
        entry.secret.Reveal() == secret) {
      return entry.key;
    }
  }
  if (next_ == entries_.size()) {
    entries_.emplace_back();
  }
  Entry& entry = entries_[next_];
  next_ = (next_ + 1) % kMaxKeys;
  entry.secret = SecretString(secret);
  entry.day = day;
  entry.region = region;
  entry.service = service;
  entry.key = DeriveKey(secret, day, region, service);
  return entry.key;
}

std::vector<HeaderField> SignV4(const SigningInput& input, const AwsKeys& keys,
                                SigningKeyCache* cache) {
  const std::string date = absl::FormatTime(
      "%Y%m%dT%H%M%SZ", absl::FromUnixSeconds(input.unix_time), absl::UTCTimeZone());
  const std::string_view day = std::string_view(date).substr(0, 8);
  const CanonicalHeaders headers = Canonical(input, keys, date);
  const std::string path = input.path.empty() ? "/" : PercentEncoded(input.path, "/");
  const std::string canonical =
      fmt::format("{}\n{}\n{}\n{}\n{}\n{}", input.method, path, CanonicalQuery(input.query),
                  headers.lines, headers.signed_names, HashOf(input.body));
  const std::string scope =
      fmt::format("{}/{}/{}/{}", day, input.region, input.service, kTerminator);
  const std::string to_sign =
      fmt::format("{}\n{}\n{}\n{}", kAlgorithm, date, scope, Sha256Hex(canonical));
  SigningKey key = cache != nullptr
                       ? cache->Get(keys.secret_access_key, day, input.region, input.service)
                       : DeriveKey(keys.secret_access_key, day, input.region, input.service);
  const SigningKey signature = Hmac(BytesOf(key), to_sign);
  OPENSSL_cleanse(key.data(), key.size());
  std::vector<HeaderField> added;
  added.push_back({"x-amz-date", date});
  added.push_back(
      {"authorization", fmt::format("{} Credential={}/{}, SignedHeaders={}, Signature={}",
                                    kAlgorithm, keys.access_key_id, scope, headers.signed_names,
                                    HexEncode(BytesOf(signature)))});
  if (!keys.session_token.empty()) {
    added.push_back({"x-amz-security-token", std::string(keys.session_token)});
  }
  return added;
}

}  // namespace rota::provider
