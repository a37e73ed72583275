#include "controller/kube/error.h"

#include <algorithm>
#include <cctype>

#include "absl/strings/cord.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "nlohmann/json.hpp"

namespace rota::kube {
namespace {

using nlohmann::json;

constexpr char kPayload[] = "rota.dev/kube-error";
// Enough for a person to see what it is about; a proxy's whole HTML page is not.
constexpr size_t kMaxMessage = 600;

absl::StatusCode CodeOf(const ApiError& error) {
  switch (error.http_code) {
    case 401:
      return absl::StatusCode::kUnauthenticated;
    case 403:
      return absl::StatusCode::kPermissionDenied;
    case 404:
      return absl::StatusCode::kNotFound;
    case 409:
      return absl::StatusCode::kAborted;
    case 410:
      return absl::StatusCode::kOutOfRange;
    case 429:
      return absl::StatusCode::kResourceExhausted;
    default:
      return error.http_code >= 400 && error.http_code < 500 ? absl::StatusCode::kInvalidArgument
                                                             : absl::StatusCode::kUnavailable;
  }
}

std::string StringMember(const json& object, const char* name) {
  const auto found = object.find(name);
  return found != object.end() && found->is_string() ? found->get<std::string>() : std::string();
}

std::optional<Duration> Capped(int64_t seconds) {
  if (seconds < 0) {
    return std::nullopt;
  }
  return std::min<Duration>(kMaxRetryAfter,
                            std::chrono::seconds(std::min<int64_t>(seconds, 86400)));
}

// One printable line.
std::string Shortened(std::string text) {
  if (text.size() > kMaxMessage) {
    text.resize(kMaxMessage);
    text += "...";
  }
  for (char& c : text) {
    if (std::iscntrl(static_cast<unsigned char>(c)) != 0) {
      c = ' ';
    }
  }
  return text;
}

// Fills `error` from a Kubernetes Status and returns its message.
std::string ReadStatusObject(const json& object, ApiError& error) {
  error.reason = StringMember(object, "reason");
  if (const auto code = object.find("code");
      error.http_code == 0 && code != object.end() && code->is_number_integer()) {
    const int64_t value = code->get<int64_t>();
    error.http_code = value >= 100 && value < 600 ? static_cast<int>(value) : 500;
  }
  const auto details = object.find("details");
  if (details != object.end() && details->is_object()) {
    if (const auto retry = details->find("retryAfterSeconds");
        retry != details->end() && retry->is_number_integer()) {
      // The server writes the field also as 0, which says nothing.
      const int64_t seconds = retry->get<int64_t>();
      error.retry_after = seconds > 0 ? Capped(seconds) : std::nullopt;
    }
    if (const auto causes = details->find("causes");
        causes != details->end() && causes->is_array()) {
      for (const json& cause : *causes) {
        if (cause.is_object() && StringMember(cause, "reason") == "ResourceVersionTooLarge") {
          error.resource_version_too_large = true;
        }
      }
    }
  }
  return StringMember(object, "message");
}

}  // namespace

absl::Status MakeError(const ApiError& error, std::string_view message) {
  absl::Status status(CodeOf(error), absl::string_view(message.data(), message.size()));
  const json payload = {
      {"code", error.http_code},
      {"reason", error.reason},
      {"tooLarge", error.resource_version_too_large},
      {"retryAfter", error.retry_after.has_value() ? error.retry_after->count() : int64_t{-1}}};
  status.SetPayload(kPayload,
                    absl::Cord(payload.dump(-1, ' ', false, json::error_handler_t::replace)));
  return status;
}

ApiError ErrorOf(const absl::Status& status) {
  ApiError error;
  const absl::optional<absl::Cord> payload = status.GetPayload(kPayload);
  if (!payload.has_value()) {
    return error;
  }
  const json object = json::parse(std::string(*payload), nullptr, false);
  if (!object.is_object()) {
    return error;
  }
  error.http_code = object.value("code", 0);
  error.reason = object.value("reason", "");
  error.resource_version_too_large = object.value("tooLarge", false);
  const int64_t retry_after = object.value("retryAfter", int64_t{-1});
  if (retry_after >= 0) {
    error.retry_after = Duration(retry_after);
  }
  return error;
}

absl::Status ErrorFromResponse(const HttpResponse& response, std::string_view what) {
  ApiError error;
  error.http_code = response.status;
  std::string message;
  const json body = json::parse(response.body, nullptr, false);
  if (body.is_object() && StringMember(body, "kind") == "Status") {
    message = ReadStatusObject(body, error);
  } else {
    message = response.body;
  }
  if (const auto header = response.headers.find("retry-after"); header != response.headers.end()) {
    int64_t seconds = 0;
    if (absl::SimpleAtoi(header->second, &seconds)) {
      error.retry_after = Capped(seconds);
    }
  }
  return MakeError(error,
                   absl::StrCat(std::string(what), ": HTTP ", response.status, " ", error.reason,
                                error.reason.empty() ? "" : ": ", Shortened(std::move(message))));
}

absl::Status ErrorFromStatusObject(const json& object, std::string_view what) {
  ApiError error;
  std::string message = "the event holds no Status";
  if (object.is_object()) {
    message = ReadStatusObject(object, error);
  }
  if (error.http_code == 0) {
    error.http_code = 500;
  }
  return MakeError(error, absl::StrCat(std::string(what), ": in-stream error ", error.http_code,
                                       " ", error.reason, error.reason.empty() ? "" : ": ",
                                       Shortened(std::move(message))));
}

}  // namespace rota::kube
