#include "dataplane/cloud/fetch.h"

#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/file.h"
#include "common/line_ends.h"
#include "common/secret.h"
#include "common/status_macros.h"
#include "dataplane/cloud/https_post.h"

namespace rota::cloud {
namespace {

constexpr size_t kMaxTokenBytes = 64 << 10;

absl::StatusOr<TokenRequest> RequestOf(const TokenService& service) {
  if (service.token_file().empty()) {
    return service.Request("");
  }
  ASSIGN_OR_RETURN(std::string token, ReadFile(service.token_file(), kMaxTokenBytes));
  TokenRequest request = service.Request(WithoutLineEnds(token));
  WipeString(token);
  return request;
}

}  // namespace

absl::StatusOr<Grant> Fetch(const TokenService& service, const TlsContext& tls, const Clock& clock,
                            std::stop_token stop) {
  ASSIGN_OR_RETURN(TokenRequest request, RequestOf(service));
  const absl::StatusOr<std::shared_ptr<SSL_CTX>> context = tls();
  absl::StatusOr<TokenAnswer> answer =
      context.ok() ? Post(request, *context, clock, std::move(stop)) : context.status();
  WipeString(request.form);
  absl::StatusOr<Grant> grant =
      answer.ok() ? service.Read(*answer, clock.WallNow()) : answer.status();
  if (answer.ok()) {
    WipeString(answer->body);
  }
  if (!grant.ok()) {
    return absl::Status(grant.status().code(),
                        absl::StrCat(request.server.authority, request.path, ": ",
                                     std::string(grant.status().message())));
  }
  return grant;
}

}  // namespace rota::cloud
