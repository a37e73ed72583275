#include "cli/peer.h"

#include <cctype>
#include <cstdint>
#include <memory>
#include <string_view>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "common/address.h"
#include "common/status_macros.h"
#include "httplib.h"

namespace rota::cli {
namespace {

constexpr time_t kConnectSeconds = 5;
constexpr time_t kReadSeconds = 20;
constexpr size_t kMaxAnswerBytes = size_t{256} << 20;
constexpr size_t kMaxMessageBytes = 500;

absl::StatusOr<Answer> Exchange(httplib::Client& client, const std::string& method,
                                const std::string& target) {
  Answer answer;
  httplib::Request request;
  request.method = method;
  request.path = target;
  request.content_receiver = [&answer](const char* data, size_t size, uint64_t, uint64_t) {
    if (answer.body.size() + size > kMaxAnswerBytes) {
      return false;
    }
    answer.body.append(data, size);
    return true;
  };
  const httplib::Result result = client.send(request);
  if (!result) {
    return absl::UnavailableError(result.error() == httplib::Error::Canceled
                                      ? absl::StrCat("more than ", kMaxAnswerBytes, " bytes")
                                      : httplib::to_string(result.error()));
  }
  answer.status = result->status;
  return answer;
}

std::string Escaped(const std::string& text) {
  static constexpr char kDigits[] = "0123456789ABCDEF";
  static constexpr std::string_view kUnreserved = "-._~";
  std::string escaped;
  for (const char c : text) {
    const auto byte = static_cast<uint8_t>(c);
    if (std::isalnum(byte) != 0 || kUnreserved.find(c) != std::string_view::npos) {
      escaped.push_back(c);
    } else {
      escaped.push_back('%');
      escaped.push_back(kDigits[byte >> 4]);
      escaped.push_back(kDigits[byte & 15]);
    }
  }
  return escaped;
}

// {"error": "..."} or plain text.
std::string MessageOf(const std::string& body) {
  const Json json = Json::parse(body, nullptr, false);
  if (json.is_object() && json.contains("error") && json["error"].is_string()) {
    return json["error"].get<std::string>();
  }
  return Printable(std::string_view(body).substr(0, kMaxMessageBytes));
}

absl::Status Refusal(const Peer& peer, const std::string& target, const Answer& answer) {
  const std::string text = absl::StrCat(peer.name, ": ", MessageOf(answer.body));
  switch (answer.status) {
    case 400:
      return absl::InvalidArgumentError(text);
    case 403:
      return absl::PermissionDeniedError(text);
    case 404:
      return absl::NotFoundError(text);
    default:
      return absl::UnavailableError(
          absl::StrCat(text, " (", answer.status, " to ", target.substr(0, target.find('?')), ")"));
  }
}

absl::StatusOr<std::string> Ask(const Peer& peer, const std::string& method,
                                const std::string& target) {
  absl::StatusOr<Answer> answer = peer.ask(method, target);
  if (!answer.ok()) {
    return absl::UnavailableError(
        absl::StrCat(peer.name, " does not answer: ", std::string(answer.status().message())));
  }
  if (answer->status != 200) {
    return Refusal(peer, target, *answer);
  }
  return std::move(answer->body);
}

}  // namespace

absl::StatusOr<Peer> PeerAt(const std::string& url, std::string name) {
  absl::string_view address = url;
  if (!absl::ConsumePrefix(&address, "http://") && absl::StrContains(url, "://")) {
    return absl::InvalidArgumentError(
        absl::StrCat("'", url, "' is not an admin port: give http://HOST:PORT"));
  }
  absl::ConsumeSuffix(&address, "/");
  ASSIGN_OR_RETURN(const HostPort host_port,
                   ParseHostPort(std::string_view(address.data(), address.size())));
  auto client = std::make_shared<httplib::Client>(host_port.host, host_port.port);
  client->set_connection_timeout(kConnectSeconds);
  client->set_read_timeout(kReadSeconds);
  client->set_keep_alive(true);
  return Peer{name.empty() ? host_port.ToString() : std::move(name),
              [client](const std::string& method, const std::string& target) {
                return Exchange(*client, method, target);
              }};
}

absl::StatusOr<Json> AskJson(const Peer& peer, const std::string& method,
                             const std::string& target) {
  ASSIGN_OR_RETURN(const std::string body, Ask(peer, method, target));
  Json json = Json::parse(body, nullptr, false);
  if (json.is_discarded()) {
    return absl::UnavailableError(absl::StrCat(
        peer.name, ": ", target, " is not JSON: is that the admin port of a Rota program?"));
  }
  return json;
}

absl::StatusOr<std::string> AskText(const Peer& peer, const std::string& target) {
  return Ask(peer, "GET", target);
}

absl::StatusOr<std::vector<NamedJson>> AskEach(const std::vector<Peer>& peers,
                                               const std::string& target,
                                               std::vector<std::string>& problems) {
  std::vector<NamedJson> answers;
  absl::Status failure = absl::InvalidArgumentError("nobody to ask: give --data-plane URL");
  for (const Peer& peer : peers) {
    absl::StatusOr<Json> json = AskJson(peer, "GET", target);
    if (json.ok()) {
      answers.push_back({peer.name, *std::move(json)});
    } else {
      failure = json.status();
      problems.emplace_back(failure.message());
    }
  }
  if (answers.empty()) {
    return failure;
  }
  return answers;
}

std::string WithQuery(const std::string& path, const std::map<std::string, std::string>& query) {
  std::string target = path;
  char separator = '?';
  for (const auto& [name, value] : query) {
    if (!value.empty()) {
      absl::StrAppend(&target, std::string(1, separator), name, "=", Escaped(value));
      separator = '&';
    }
  }
  return target;
}

}  // namespace rota::cli
