#include "controller/kube/api.h"

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "common/version.h"
#include "controller/kube/error.h"
#include "controller/kube/server_url.h"

namespace rota::kube {
namespace {

using nlohmann::json;

std::string UserAgent() {
  return absl::StrCat("rota-controller/", std::string(Version()), " (linux) ",
                      std::string(Commit()));
}

// The media type that makes the server leave the content out.
std::string Accept(bool metadata_only, const char* kind) {
  return metadata_only ? absl::StrCat("application/json;as=", kind, ";g=meta.k8s.io;v=v1")
                       : std::string("application/json");
}

std::string StringMember(const json& object, const char* name) {
  const auto found = object.find(name);
  return found != object.end() && found->is_string() ? found->get<std::string>() : std::string();
}

}  // namespace

std::string Scope::ToString() const {
  const std::string what =
      name.empty() ? resource.ToString() : absl::StrCat(resource.ToString(), " '", name, "'");
  return ns.empty() ? what + " in all namespaces" : what + " in namespace " + ns;
}

bool IsEndOfList(const WatchEvent& event) {
  if (event.type != WatchEventType::kBookmark) {
    return false;
  }
  const json metadata = event.object.value("metadata", json::object());
  const auto annotations = metadata.find("annotations");
  return annotations != metadata.end() && annotations->is_object() &&
         StringMember(*annotations, "k8s.io/initial-events-end") == "true";
}

KubeApi::KubeApi(HttpTransport& transport) : transport_(transport), user_agent_(UserAgent()) {}

std::string KubeApi::PathOf(const Resource& resource, const std::string& ns,
                            const std::string& name) {
  std::string path = resource.group.empty() ? absl::StrCat("/api/", UrlEncode(resource.version))
                                            : absl::StrCat("/apis/", UrlEncode(resource.group), "/",
                                                           UrlEncode(resource.version));
  if (!ns.empty()) {
    absl::StrAppend(&path, "/namespaces/", UrlEncode(ns));
  }
  absl::StrAppend(&path, "/", UrlEncode(resource.plural));
  if (!name.empty()) {
    absl::StrAppend(&path, "/", UrlEncode(name));
  }
  return path;
}

absl::StatusOr<json> KubeApi::Exchange(HttpRequest request, std::string_view what,
                                       std::stop_token stop, const HttpLimits& limits) const {
  request.headers.emplace_back("User-Agent", user_agent_);
  absl::StatusOr<HttpResponse> response = transport_.Send(request, limits, stop);
  if (response.ok() && response->status == 401 && request.method != "POST") {
    // The transport has dropped the credential that it used; a fresh one may be accepted.
    response = transport_.Send(request, limits, stop);
  }
  if (!response.ok()) {
    return absl::Status(response.status().code(),
                        absl::StrCat(std::string(what), ": ", response.status().message()));
  }
  if (response->status < 200 || response->status >= 300) {
    return ErrorFromResponse(*response, what);
  }
  json body = json::parse(response->body, nullptr, false);
  if (!body.is_object()) {
    return absl::UnavailableError(
        absl::StrCat(std::string(what), ": the answer is not a JSON object"));
  }
  return body;
}

absl::StatusOr<ListPage> KubeApi::List(const Scope& scope, int limit,
                                       const std::string& continue_token,
                                       std::stop_token stop) const {
  HttpRequest request;
  request.target = PathOf(scope.resource, scope.ns);
  char separator = '?';
  const auto add = [&](const char* name, const std::string& value) {
    absl::StrAppend(&request.target, std::string(1, separator), name, "=", UrlEncode(value));
    separator = '&';
  };
  if (limit > 0) {
    add("limit", std::to_string(limit));
  }
  if (!continue_token.empty()) {
    add("continue", continue_token);
  }
  if (!scope.name.empty()) {
    add("fieldSelector", "metadata.name=" + scope.name);
  }
  request.headers.emplace_back("Accept", Accept(scope.metadata_only, "PartialObjectMetadataList"));
  const std::string what = "list " + scope.ToString();
  ASSIGN_OR_RETURN(json body, Exchange(std::move(request), what, stop));
  ListPage page;
  const auto metadata = body.find("metadata");
  const auto items = body.find("items");
  if (metadata != body.end() && metadata->is_object()) {
    page.resource_version = StringMember(*metadata, "resourceVersion");
    page.continue_token = StringMember(*metadata, "continue");
  }
  if (page.resource_version.empty() || items == body.end() ||
      !(items->is_array() || items->is_null())) {
    return absl::UnavailableError(
        absl::StrCat(what, ": the answer is not a list (no items or no resourceVersion)"));
  }
  for (json& item : *items) {
    if (!item.is_object() || !item.contains("metadata") || !item["metadata"].is_object()) {
      return absl::UnavailableError(absl::StrCat(what, ": an item has no metadata"));
    }
    page.items.push_back(std::move(item));
  }
  return page;
}

absl::Status KubeApi::Watch(const Scope& scope, const WatchOptions& options,
                            const std::function<void()>& on_open,
                            const WatchStream::Receiver& on_event, std::stop_token stop) const {
  const int64_t seconds = std::max<int64_t>(
      1, std::chrono::duration_cast<std::chrono::seconds>(options.timeout).count());
  HttpRequest request;
  request.target = absl::StrCat(
      PathOf(scope.resource, scope.ns),
      "?watch=1&allowWatchBookmarks=true&timeoutSeconds=", seconds,
      options.sends_initial_events
          ? std::string("&sendInitialEvents=true&resourceVersionMatch=NotOlderThan")
          : "&resourceVersion=" + UrlEncode(options.resource_version),
      scope.name.empty() ? std::string()
                         : "&fieldSelector=" + UrlEncode("metadata.name=" + scope.name));
  request.headers.emplace_back("User-Agent", user_agent_);
  request.headers.emplace_back("Accept", Accept(scope.metadata_only, "PartialObjectMetadata"));
  HttpLimits limits;
  limits.idle_timeout = options.timeout + options.idle_margin;
  limits.max_body_bytes = size_t{1} << 20;  // of an error's body
  bool open = false;
  WatchStream stream;
  absl::Status unreadable;
  const absl::StatusOr<HttpResponse> response = transport_.Stream(
      request, limits,
      [&](const HttpResponse& head) {
        if (head.status == 200) {
          open = true;
          on_open();
        }
      },
      [&](const HttpResponse&, std::string_view data) {
        unreadable = stream.Feed(data, on_event);
        return unreadable.ok() && !stream.ended();
      },
      stop);
  const std::string what = "watch " + scope.ToString();
  if (!unreadable.ok()) {
    return absl::Status(unreadable.code(), absl::StrCat(what, ": ", unreadable.message()));
  }
  if (open) {
    return absl::OkStatus();
  }
  if (!response.ok()) {
    return absl::Status(response.status().code(),
                        absl::StrCat(what, ": ", response.status().message()));
  }
  return ErrorFromResponse(*response, what);
}

absl::StatusOr<json> KubeApi::Get(const Resource& resource, const std::string& ns,
                                  const std::string& name, std::stop_token stop,
                                  const std::string& not_older_than) const {
  HttpRequest request;
  request.target = PathOf(resource, ns, name);
  if (!not_older_than.empty()) {
    absl::StrAppend(&request.target, "?resourceVersion=", UrlEncode(not_older_than));
  }
  request.headers.emplace_back("Accept", "application/json");
  return Exchange(std::move(request), absl::StrCat("get ", resource.ToString(), " ", ns, "/", name),
                  stop);
}

absl::StatusOr<json> KubeApi::ApplyStatus(const Resource& resource, const std::string& ns,
                                          const std::string& name, const std::string& uid,
                                          const json& status, const std::string& field_manager,
                                          std::stop_token stop) const {
  json metadata = {{"name", name}, {"namespace", ns}};
  if (!uid.empty()) {
    metadata["uid"] = uid;
  }
  const std::string api_version =
      resource.group.empty() ? resource.version : resource.group + "/" + resource.version;
  const json body = {{"apiVersion", api_version},
                     {"kind", resource.kind},
                     {"metadata", metadata},
                     {"status", status}};
  HttpRequest request;
  request.method = "PATCH";
  request.target = absl::StrCat(PathOf(resource, ns, name),
                                "/status?force=true&fieldManager=", UrlEncode(field_manager));
  request.headers.emplace_back("Accept", "application/json");
  // YAML by name; JSON is YAML.
  request.content_type = "application/apply-patch+yaml";
  request.body = body.dump(-1, ' ', false, json::error_handler_t::replace);
  return Exchange(std::move(request),
                  absl::StrCat("apply status of ", resource.ToString(), " ", ns, "/", name), stop);
}

absl::StatusOr<json> KubeApi::Call(const std::string& method, const std::string& target,
                                   const json& body, const std::string& content_type,
                                   std::stop_token stop, const HttpLimits& limits) const {
  HttpRequest request;
  request.method = method;
  request.target = target;
  request.headers.emplace_back("Accept", "application/json");
  if (!body.is_null()) {
    request.content_type = content_type;
    request.body = body.dump(-1, ' ', false, json::error_handler_t::replace);
  }
  return Exchange(std::move(request), absl::StrCat(method, " ", target), stop, limits);
}

}  // namespace rota::kube
