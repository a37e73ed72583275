#pragma once

// AWS Signature Version 4 for every service but S3
// (https://docs.aws.amazon.com/IAM/latest/UserGuide/create-signed-request.html): the headers that
// make a request good for AWS, from its bytes as they go on the wire. The path is percent-encoded
// once by whoever sends it and once more here, as AWS wants it (a model id holds ":" and "/");
// nothing is normalised. The vectors of AWS's published test suite are in the test.
//
// Pure: time comes in as an argument. Functions are thread-safe, SigningKeyCache is
// thread-compatible. No errors: whatever is given can be signed.

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/types/span.h"
#include "common/secret.h"
#include "dataplane/provider/header_field.h"

namespace rota::provider {

struct AwsKeys {
  std::string_view access_key_id;
  std::string_view secret_access_key;
  std::string_view session_token;  // "" for long-lived keys
};

struct SigningInput {
  std::string_view method;
  std::string_view authority;  // as the Host header says it
  std::string_view path;       // as on the wire, percent-encoded, without the query; "" is "/"
  std::string_view query;      // as on the wire, without '?'
  absl::Span<const std::string_view> body;  // its pieces
  std::string_view region;
  std::string_view service;  // "bedrock"
  int64_t unix_time = 0;
  // Further headers of the request that are to be signed with it.
  absl::Span<const HeaderField> headers;
};

using SigningKey = std::array<unsigned char, 32>;

// Keys of a day, region and service, so that a request costs one HMAC instead of five. Bounded: the
// oldest goes.
class SigningKeyCache {
 public:
  static constexpr size_t kMaxKeys = 64;

  SigningKeyCache() = default;
  ~SigningKeyCache();
  SigningKeyCache(const SigningKeyCache&) = delete;
  SigningKeyCache& operator=(const SigningKeyCache&) = delete;

  // `day`: "20150830". The key is good until the next call.
  const SigningKey& Get(std::string_view secret, std::string_view day, std::string_view region,
                        std::string_view service);
  size_t size() const { return entries_.size(); }

 private:
  struct Entry {
    SecretString secret;
    std::string day;
    std::string region;
    std::string service;
    SigningKey key;
  };
  std::vector<Entry> entries_;
  size_t next_ = 0;  // where the next key goes: behind the last, or over the oldest
};

// The headers to add: x-amz-date, authorization and, with a session token, x-amz-security-token.
// Signed: host, those, and `input.headers`. `cache` may be null.
std::vector<HeaderField> SignV4(const SigningInput& input, const AwsKeys& keys,
                                SigningKeyCache* cache = nullptr);

// "bedrock-runtime.eu-west-1.amazonaws.com" -> "eu-west-1"; "" for other hosts.
std::string_view AwsRegionOf(std::string_view host);

// "a/b:c" -> "a%2Fb%3Ac": everything but letters, digits, "-._~" and the characters of `keep`.
std::string PercentEncoded(std::string_view text, std::string_view keep = "");

}  // namespace rota::provider
