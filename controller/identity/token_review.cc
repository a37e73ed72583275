#include "controller/identity/token_review.h"

#include <algorithm>
#include <string_view>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "controller/identity/kube_call.h"
#include "nlohmann/json.hpp"

namespace rota::identity {
namespace {

using nlohmann::json;

constexpr char kAccountPrefix[] = "system:serviceaccount:";
constexpr char kPodName[] = "authentication.kubernetes.io/pod-name";
constexpr size_t kMaxProblemBytes = 512;

const json* Member(const json& object, const char* name) {
  if (!object.is_object()) {
    return nullptr;
  }
  const auto found = object.find(name);
  return found == object.end() ? nullptr : &*found;
}

std::string TextOf(const json& object, const char* name) {
  const json* member = Member(object, name);
  return member != nullptr && member->is_string() ? member->get<std::string>() : "";
}

// "NAMESPACE/NAME", or "" for a user who is no ServiceAccount.
std::string AccountOf(const std::string& user) {
  if (user.rfind(kAccountPrefix, 0) != 0) {
    return "";
  }
  std::string account = user.substr(sizeof kAccountPrefix - 1);
  const size_t colon = account.find(':');
  if (colon == std::string::npos || colon == 0 || colon + 1 == account.size()) {
    return "";
  }
  account[colon] = '/';
  return account;
}

bool Contains(const json* list, const std::string& text) {
  return list != nullptr && list->is_array() &&
         std::find(list->begin(), list->end(), json(text)) != list->end();
}

TokenVerdict Bad(std::string problem) {
  TokenVerdict verdict;
  verdict.problem = std::move(problem).substr(0, kMaxProblemBytes);
  return verdict;
}

}  // namespace

absl::StatusOr<TokenVerdict> VerdictOf(const json& review) {
  const json* status = Member(review, "status");
  if (status == nullptr || !status->is_object()) {
    return absl::UnavailableError("review a token: the answer has no status");
  }
  const json* authenticated = Member(*status, "authenticated");
  if (authenticated == nullptr || !authenticated->is_boolean() || !authenticated->get<bool>()) {
    const std::string error = TextOf(*status, "error");
    return Bad(error.empty() ? "the Kubernetes API does not know it" : error);
  }
  // A server that knows nothing of audiences finds every token good.
  if (!Contains(Member(*status, "audiences"), kAudience)) {
    return Bad(absl::StrCat("it is not for the audience ", kAudience));
  }
  const json* user = Member(*status, "user");
  const std::string name = user == nullptr ? "" : TextOf(*user, "username");
  TokenVerdict verdict;
  verdict.service_account = AccountOf(name);
  if (verdict.service_account.empty()) {
    return Bad(absl::StrCat("it belongs to user '", name, "', which is no ServiceAccount"));
  }
  if (const json* extra = Member(*user, "extra")) {
    if (const json* pods = Member(*extra, kPodName);
        pods != nullptr && pods->is_array() && !pods->empty() && pods->front().is_string()) {
      verdict.pod = pods->front().get<std::string>();
    }
  }
  verdict.good = true;
  return verdict;
}

TokenAuthenticator::Reviewer KubeReviewer(kube::HttpTransport& transport) {
  return [&transport](const SecretString& token,
                      std::stop_token stop) -> absl::StatusOr<TokenVerdict> {
    kube::HttpRequest request;
    request.method = "POST";
    request.target = "/apis/authentication.k8s.io/v1/tokenreviews";
    request.content_type = "application/json";
    // Written by hand, so that no copy of the token stays behind: its bytes need no escape.
    std::string shown(token.Reveal());
    request.body = absl::StrCat(
        R"({"apiVersion":"authentication.k8s.io/v1","kind":"TokenReview","spec":{"audiences":[")",
        kAudience, R"("],"token":")", shown, R"("}})");
    WipeString(shown);
    absl::StatusOr<json> review = CallKube(transport, std::move(request), "review a token", stop);
    if (!review.ok()) {
      return review.status();
    }
    absl::StatusOr<TokenVerdict> verdict = VerdictOf(*review);
    WipeStrings(*review);  // the answer repeats the token
    return verdict;
  };
}

absl::StatusOr<std::string> AccountOfOwnToken(const SecretString& token) {
  const std::string_view text = token.Reveal();
  const size_t first = text.find('.');
  const size_t second = first == std::string_view::npos ? first : text.find('.', first + 1);
  std::string claims;
  if (second != std::string_view::npos) {
    const std::string_view part = text.substr(first + 1, second - first - 1);
    absl::WebSafeBase64Unescape(absl::string_view(part.data(), part.size()), &claims);
  }
  const json parsed = json::parse(claims, nullptr, false);
  std::string account = AccountOf(TextOf(parsed, "sub"));
  if (account.empty()) {
    return absl::InvalidArgumentError("it is not the token of a ServiceAccount");
  }
  return account;
}

}  // namespace rota::identity
