#include "dataplane/engine/request_signature.h"

#include <algorithm>
#include <chrono>
#include <string>

namespace rota::engine {
namespace {

// The query as AppendUpstreamHead writes it, without its "?".
std::string QueryOf(const UpstreamRequest& request, std::string_view own) {
  std::string query;
  if (!request.is_translated && request.head->has_query) {
    AppendQuery(request.head->query, request.endpoint->credential, query);
  }
  if (own.empty()) {
    return query.empty() ? query : query.substr(1);
  }
  if (!query.empty()) {
    query.front() = '&';
  }
  return std::string(own).append(query);
}

}  // namespace

std::vector<provider::HeaderField> SignatureOf(const UpstreamRequest& request,
                                               absl::Span<const std::string_view> body,
                                               const Clock& clock,
                                               provider::SigningKeyCache& keys) {
  const table::Endpoint& endpoint = *request.endpoint;
  const table::Credential& credential = endpoint.credential;
  if (credential.place != table::Credential::Place::kAwsSignature) {
    return {};
  }
  const size_t mark = std::min(request.path.find('?'), request.path.size());
  const std::string path = std::string(endpoint.base_path).append(request.path.substr(0, mark));
  const std::string query =
      QueryOf(request, request.path.substr(std::min(mark + 1, request.path.size())));
  provider::SigningInput input;
  input.method = request.head->method;
  input.authority = endpoint.authority;
  input.path = path;
  input.query = query;
  input.body = body;
  input.region = credential.aws.region;
  input.service = credential.aws.service;
  input.unix_time =
      std::chrono::duration_cast<std::chrono::seconds>(clock.WallNow().time_since_epoch()).count();
  return provider::SignV4(input,
                          {credential.aws.access_key_id.Reveal(), credential.value.Reveal(),
                           credential.aws.session_token.Reveal()},
                          &keys);
}

}  // namespace rota::engine
