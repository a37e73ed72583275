#pragma once

// A cloud's token service, as one identity of this process sees it: what is sent to it, and what
// its answer is good for. One class per cloud; a service is asked by Fetch (fetch.h) and its
// answers are kept fresh by a Refresher (refresher.h).
//
// Pure and thread-safe. Errors are Unavailable and say what the service said, never a secret.

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "common/clock.h"
#include "common/secret.h"
#include "dataplane/table/endpoint_url.h"

namespace rota::cloud {

// The value of an environment variable; nullopt when it is not set.
using Environment = std::function<std::optional<std::string>(const std::string& name)>;

// What a service has given, by the names of table/identity.h, and how long it is good for.
struct Grant {
  std::map<std::string, SecretString> values;
  Duration lifetime{};  // above 0, at most kMaxLifetime
};

// Longer than any service gives; what a wrong clock would make of an absolute time is cut to it.
inline constexpr Duration kMaxLifetime = std::chrono::hours(24);

// A form that is POSTed, always over TLS. Whoever has it wipes it: it holds a credential.
struct TokenRequest {
  table::EndpointUrl server;
  std::string path;
  std::string form;  // application/x-www-form-urlencoded
};

struct TokenAnswer {
  int status = 0;
  std::string body;  // it holds secrets as well
};

class TokenService {
 public:
  virtual ~TokenService() = default;
  // "aws": the label of metrics and logs.
  virtual std::string_view name() const = 0;
  // The file whose content proves to the service who this process is. It is read for each request,
  // since it is replaced long before it ends; "": none is needed.
  virtual const std::string& token_file() const = 0;
  // `token`: the content of that file.
  virtual TokenRequest Request(std::string_view token) const = 0;
  virtual absl::StatusOr<Grant> Read(const TokenAnswer& answer, WallTime now) const = 0;
};

}  // namespace rota::cloud
