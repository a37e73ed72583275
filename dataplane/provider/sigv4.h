#pragma once

// AWS Signature Version 4
// (https://docs.aws.amazon.com/IAM/latest/UserGuide/create-signed-request.html) with the whole body
// in the hash. Pure and thread-safe: time comes in as an argument.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

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
  std::string_view path;       // as on the wire, percent-encoded, without the query
  std::string_view query;      // as on the wire, without '?'
  std::string_view body;
  std::string_view region;
  std::string_view service;  // "bedrock": encodes the path a second time, as all services but S3
  int64_t unix_time = 0;
};

// The headers to add: authorization, x-amz-date, x-amz-content-sha256 and, with a session token,
// x-amz-security-token. Signed: those and host.
std::vector<HeaderField> SignV4(const SigningInput& input, const AwsKeys& keys);

}  // namespace rota::provider
