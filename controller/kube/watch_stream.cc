#include "controller/kube/watch_stream.h"

#include <optional>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"

namespace rota::kube {
namespace {

using nlohmann::json;

std::optional<WatchEventType> TypeOf(const std::string& name) {
  if (name == "ADDED") return WatchEventType::kAdded;
  if (name == "MODIFIED") return WatchEventType::kModified;
  if (name == "DELETED") return WatchEventType::kDeleted;
  if (name == "BOOKMARK") return WatchEventType::kBookmark;
  if (name == "ERROR") return WatchEventType::kError;
  return std::nullopt;
}

std::string ResourceVersionOf(const json& object) {
  const auto metadata = object.find("metadata");
  if (metadata == object.end() || !metadata->is_object()) {
    return "";
  }
  const auto version = metadata->find("resourceVersion");
  return version != metadata->end() && version->is_string() ? version->get<std::string>() : "";
}

}  // namespace

absl::Status WatchStream::Decode(std::string_view line, const Receiver& receiver) {
  if (line.find_first_not_of(" \t\r") == std::string_view::npos) {
    return absl::OkStatus();
  }
  json document = json::parse(line.begin(), line.end(), nullptr, false);
  if (!document.is_object() || !document.contains("type") || !document["type"].is_string() ||
      !document.contains("object") || !document["object"].is_object()) {
    return absl::DataLossError("the watch sent a line that is not a watch event");
  }
  WatchEvent event;
  const std::string name = document["type"].get<std::string>();
  const std::optional<WatchEventType> type = TypeOf(name);
  if (!type.has_value()) {
    return absl::DataLossError(
        absl::StrCat("the watch sent an event of unknown type \"", name.substr(0, 40), "\""));
  }
  event.type = *type;
  event.object = std::move(document["object"]);
  event.resource_version = ResourceVersionOf(event.object);
  if (event.resource_version.empty() && event.type != WatchEventType::kError) {
    return absl::DataLossError("the watch sent an object without a resourceVersion");
  }
  ended_ = !receiver(std::move(event));
  return absl::OkStatus();
}

absl::Status WatchStream::Feed(std::string_view data, const Receiver& receiver) {
  while (!ended_ && !data.empty()) {
    const size_t end = data.find('\n');
    const std::string_view piece = data.substr(0, end);
    if (pending_.size() + piece.size() > kMaxEventBytes) {
      return absl::ResourceExhaustedError(
          absl::StrCat("the watch sent an event of more than ", kMaxEventBytes, " bytes"));
    }
    if (end == std::string_view::npos) {
      pending_.append(piece);
      return absl::OkStatus();
    }
    data.remove_prefix(end + 1);
    if (pending_.empty()) {
      RETURN_IF_ERROR(Decode(piece, receiver));
      continue;
    }
    pending_.append(piece);
    const std::string line = std::exchange(pending_, std::string());
    RETURN_IF_ERROR(Decode(line, receiver));
  }
  return absl::OkStatus();
}

}  // namespace rota::kube
