#include "dataplane/engine/exchange.h"

#include <algorithm>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"

namespace rota::engine {
namespace {

bool IsJson(std::string_view content_type) {
  const std::string_view type = MediaTypeOf(content_type);
  return EqualsIgnoringCase(type, "application/json") ||
         (type.size() > 5 && EqualsIgnoringCase(type.substr(type.size() - 5), "+json"));
}

std::string_view WithoutPort(std::string_view host) {
  if (host.starts_with('[')) {
    return host.substr(0, std::min(host.find(']') + 1, host.size()));
  }
  return host.substr(0, std::min(host.rfind(':'), host.size()));
}

bool SameHost(std::string_view a, std::string_view b) {
  if (a.ends_with('.')) {
    a.remove_suffix(1);
  }
  if (b.ends_with('.')) {
    b.remove_suffix(1);
  }
  return EqualsIgnoringCase(a, b);
}

}  // namespace

Exchange::Exchange(ClientConnection& client)
    : client_(client),
      loop_(client.loop()),
      head_(client.head()),
      body_share_(loop_.shared().bodies, loop_.metrics()),
      upstream_deadline_(
          loop_.wheel(), [](void* self) { static_cast<Exchange*>(self)->OnUpstreamDeadline(); },
          this),
      start_(loop_.TurnTime()) {
  loop_.AddOpenRequests(1);
}

Exchange::~Exchange() {
  DropUpstream();
  DropSaved();
  loop_.AddOpenRequests(-1);
}

void Exchange::Cancel() {
  cancelled_ = true;
  if (dial_ != nullptr) {
    dial_->Cancel();
  }
  if (upstream_ != nullptr) {
    upstream_->stream().Close();
  }
  if (waiting_ != nullptr) {
    waiting_->Cancel();
  }
}

bool Exchange::HasBody() const { return head_.chunked || head_.content_length.has_value(); }

bool Exchange::UsesRotation() const {
  if (match_.route->rotation == nullptr) {
    return false;
  }
  if (head_.method != "POST" && head_.method != "PUT" && head_.method != "PATCH") {
    return false;
  }
  const std::string_view content_type = head_.Find(FieldKind::kContentType);
  return content_type.empty() || IsJson(content_type);
}

std::optional<GatewayError> Exchange::Admit() {
  request_id_ = head_.Find(FieldKind::kRequestId);
  if (!IsUsableRequestId(request_id_)) {
    made_id_ = loop_.NextRequestId();
    request_id_ = made_id_.view();
  }
  const size_t open = loop_.open_requests.load(std::memory_order_relaxed);
  if (open > loop_.shared().requests_per_loop) {
    loop_.metrics().CountLimit(observe::Limit::kConcurrency);
    return GatewayError{503, "too_many_requests_open",
                        "this gateway serves as many requests as it can; retry in a moment", 1, ""};
  }
  if (loop_.poller().turns_away()) {
    loop_.metrics().CountLimit(observe::Limit::kQueueWait);
    return GatewayError{503, "overloaded",
                        "this gateway is asked for more than it can do; retry in a moment", 1, ""};
  }
  if (!client_.server_name().empty() && !SameHost(client_.server_name(), WithoutPort(head_.host))) {
    return GatewayError{
        421, "misdirected_request",
        "the Host of the request is not the one that the TLS connection was made for; "
        "open a connection of its own",
        -1, ""};
  }
  return Match();
}

std::optional<GatewayError> Exchange::Match() {
  table_ = loop_.table();
  if (table_ == nullptr) {
    return GatewayError{503, "no_configuration",
                        "this gateway has no configuration yet; retry in a moment", 1, ""};
  }
  match_ = table_->Find(head_.host, head_.method, head_.path);
  switch (match_.status) {
    case table::MatchStatus::kOk:
      __builtin_prefetch(match_.route->rotation);  // needed once the body has been read
      break;
    case table::MatchStatus::kNotFound:
      return GatewayError{404, "not_found", "no API has an operation of that path", -1, ""};
    case table::MatchStatus::kMethodNotAllowed:
      return GatewayError{
          405, "method_not_allowed",
          absl::StrCat("that path does not take this method; allowed: ", match_.allow), -1,
          match_.allow};
    case table::MatchStatus::kNoEnvironment:
      return GatewayError{
          404, "not_found",
          absl::StrCat("the API has nothing in the ",
                       std::string(table::EnvironmentName(match_.environment)), " environment"),
          -1, ""};
    case table::MatchStatus::kBadPath:
      return GatewayError{400, "bad_path",
                          "the path holds an encoded slash, a control byte, or dot segments that "
                          "lead out of it",
                          -1, ""};
  }
  if (match_.operation->secured && !loop_.shared().options.allow_unauthenticated) {
    return GatewayError{403, "AUTH_NOT_ENFORCED",
                        "this operation asks for authentication, which this gateway does not "
                        "enforce yet; declare it `secured: false` or start the data plane with "
                        "--allow-unauthenticated",
                        -1, ""};
  }
  rotated_ = UsesRotation();
  return CheckContentType();
}

std::optional<GatewayError> Exchange::CheckContentType() {
  const std::string_view coding = head_.Find(FieldKind::kContentEncoding);
  if (rotated_ && !coding.empty() && !EqualsIgnoringCase(coding, "identity")) {
    return GatewayError{415, "content_encoding_not_supported",
                        "the body must not be compressed: its model is chosen here", -1, ""};
  }
  return std::nullopt;
}

std::optional<GatewayError> Exchange::CheckBody() {
  if (!rotated_) {
    return std::nullopt;
  }
  match_.route->rotation->rotation->Prepare();
  span_ = provider::FindModel(body_);
  if (span_.error == provider::BodyError::kNone) {
    return std::nullopt;
  }
  return GatewayError{400, "bad_request_body", provider::ErrorText(span_), -1, ""};
}

// REQUIRES: the request has an operation.
size_t Exchange::BodyLimit() const {
  const uint64_t of_api = match_.operation->max_body_bytes;
  const size_t of_process = loop_.limits().body_bytes;
  return of_api == 0 ? of_process : std::min<size_t>(of_api, of_process);
}

GatewayError Exchange::BodyErrorOf(BodyResult result) {
  switch (result) {
    case BodyResult::kTooLarge:
      loop_.metrics().CountLimit(observe::Limit::kBodySize);
      return {413, "body_too_large",
              absl::StrCat("the body is larger than ", BodyLimit(), " bytes"), -1, ""};
    case BodyResult::kOverBudget:
      loop_.metrics().CountLimit(observe::Limit::kBodyMemory);
      return {503, "body_memory_used_up",
              "this gateway holds as many request bodies as it can; retry in a moment", 1, ""};
    case BodyResult::kTooSlow:
      loop_.metrics().CountLimit(observe::Limit::kBodyTime);
      return {408, "request_timeout", "the body did not arrive in time", -1, ""};
    case BodyResult::kMalformed:
    case BodyResult::kOk:
    case BodyResult::kGone:
      break;
  }
  return {400, "bad_request", "the chunked coding of the body is malformed", -1, ""};
}

Task<void> Exchange::Run() {
  std::optional<GatewayError> error = Admit();
  if (error.has_value()) {
    co_await Answer(*error);
  } else if (head_.ForwardsLeft() == 0u) {
    co_await AnswerOptions();
  } else {
    co_await Serve();
  }
  Account();
}

Task<void> Exchange::Serve() {
  if (HasBody()) {
    const size_t limit = BodyLimit();
    std::optional<BodyResult> result = client_.TakeBody(limit, body_share_, body_);
    if (!result.has_value()) {
      result = co_await client_.ReadBody(limit, body_share_, body_storage_, body_);
    }
    if (result == BodyResult::kGone) {
      co_return;
    }
    if (result != BodyResult::kOk) {
      client_.CloseAfterAnswer();
      const GatewayError error = BodyErrorOf(*result);
      co_await Answer(error);
      co_return;
    }
  } else {
    client_.SkipBody();
  }
  request_bytes_ = body_.size();
  std::optional<GatewayError> error = CheckBody();
  if (!error.has_value()) {
    client_.WatchForDeparture();
    if (client_.gone()) {
      co_return;
    }
  }
  while (!error.has_value()) {
    bool is_served = true;
    if (match_.operation->kind == rota::sync::v1::MODELS && match_.route->rotation != nullptr) {
      co_await AnswerModels();
    } else if (rotated_) {
      is_served = co_await ForwardRotated();
    } else {
      co_await ForwardFixed();
    }
    if (is_served) {
      co_return;
    }
    error = Match();
    if (!error.has_value()) {
      error = CheckBody();
    }
  }
  co_await Answer(*error);
}

Task<void> Exchange::Write(std::string_view bytes) {
  iovec part = Part(bytes);
  Writing writing = client_.Write({&part, 1});
  const IoResult result = co_await writing;
  if (!result.ok()) {
    client_.Kill();
  }
}

Task<void> Exchange::Answer(const GatewayError& error) {
  if (client_.gone()) {
    co_return;
  }
  client_.SkipBody();
  status_ = error.status;
  error_code_ = error.code;
  head_sent_ = true;
  if (match_.route != nullptr && !has_series_) {
    series_ = match_.route->gateway_series;
    has_series_ = true;
  }
  std::string answer;
  const AnswerForm form{client_.keep_alive(), head_.http_1_0, head_.method == "HEAD"};
  AppendErrorAnswer(error, form, request_id_, answer);
  co_await Write(answer);
}

Task<void> Exchange::AnswerModels() {
  const table::BoundRotation& rotation = *match_.route->rotation;
  std::string json = R"({"object":"list","data":[)";
  std::set<std::string_view> seen;
  for (const table::Target& target : rotation.targets) {
    if (!seen.insert(target.model).second) {
      continue;
    }
    json.append(seen.size() > 1 ? "," : "");
    json.append(R"({"id":)").append(target.model_json);
    json.append(R"(,"object":"model","created":0,"owned_by":)");
    AppendJsonString(target.endpoint->provider, json);
    json.append("}");
  }
  json.append("]}");
  status_ = 200;
  head_sent_ = true;
  series_ = match_.route->gateway_series;
  has_series_ = true;
  std::string answer;
  const AnswerForm form{client_.keep_alive(), head_.http_1_0, head_.method == "HEAD"};
  AppendJsonAnswer(status_, json, form, request_id_, answer);
  co_await Write(answer);
}

// As the last recipient of a request that may not be forwarded.
Task<void> Exchange::AnswerOptions() {
  client_.SkipBody();
  status_ = 204;
  head_sent_ = true;
  series_ = match_.route->gateway_series;
  has_series_ = true;
  // Of a method that no operation has, the table says which ones there are.
  const std::string allow = table_->Find(head_.host, /*method=*/"", head_.path).allow;
  std::string answer;
  const AnswerForm form{client_.keep_alive(), head_.http_1_0, /*head_only=*/false};
  AppendOptionsAnswer(allow, form, request_id_, answer);
  co_await Write(answer);
}

void Exchange::Account() {
  const MonotonicTime now = loop_.Now();
  if (client_.gone() && !head_sent_) {
    status_ = 499;  // as nginx: the client left before it got an answer
  }
  if (!has_series_ && match_.route != nullptr) {
    series_ = match_.route->gateway_series;
    has_series_ = true;
  }
  observe::LoopMetrics& metrics = loop_.metrics();
  if (has_series_) {
    metrics.CountRequest(series_, status_);
    if (tries_ > 0) {
      metrics.ObserveUpstream(series_, upstream_time_);
      metrics.ObserveOverhead(series_, std::max(Duration{}, now - start_ - upstream_time_));
    }
  } else {
    metrics.CountUnmatched(status_);
  }
  WriteAccessRecord(now);
}

void Exchange::WriteAccessRecord(MonotonicTime now) {
  if (loop_.shared().context.access_log == nullptr) {
    return;
  }
  observe::AccessRecord record;
  record.request_id = request_id_;
  record.client = client_.peer();
  record.method = head_.method;
  record.host = head_.host;
  record.path = head_.path;
  if (match_.api != nullptr) {
    record.api = match_.api->id;
    record.environment = table::EnvironmentName(match_.environment);
  }
  record.model = model_;
  record.target = target_name_;
  record.status = status_;
  record.tries = tries_;
  record.request_bytes = request_bytes_;
  record.response_bytes = response_bytes_sent_;
  record.total = now - start_;
  record.upstream = upstream_time_;
  record.error = error_code_;
  loop_.shared().context.access_log->Write(record);
}

}  // namespace rota::engine
