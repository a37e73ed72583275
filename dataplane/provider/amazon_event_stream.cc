#include "dataplane/provider/amazon_event_stream.h"

#include <zlib.h>

#include <algorithm>
#include <cstdint>

#include "absl/strings/str_cat.h"
#include "dataplane/provider/json.h"

namespace rota::provider {
namespace {

constexpr size_t kPrelude = 12;  // two lengths and their checksum
constexpr size_t kChecksum = 4;
constexpr size_t kMinFrame = kPrelude + kChecksum;

// Types of header values.
constexpr unsigned char kBytes = 6;
constexpr unsigned char kString = 7;
constexpr unsigned char kTypeCount = 10;
// Sizes of the values whose type says it: true, false, byte, short, int, long, -, -, timestamp,
// UUID.
constexpr size_t kFixedSize[kTypeCount] = {0, 0, 1, 2, 4, 8, 0, 0, 8, 16};

// Big-endian, as the format has it.
size_t ReadNumber(std::string_view bytes, size_t place, size_t size) {
  size_t number = 0;
  for (size_t i = 0; i < size; ++i) {
    number = number << 8 | static_cast<unsigned char>(bytes[place + i]);
  }
  return number;
}

uint32_t Crc32(std::string_view bytes) {
  return static_cast<uint32_t>(
      crc32(0, reinterpret_cast<const Bytef*>(bytes.data()), static_cast<uInt>(bytes.size())));
}

absl::Status Damaged(const char* what) {
  return absl::DataLossError(absl::StrCat("the event stream is damaged: ", what));
}

// How long the frame is whose prelude `bytes` begin with. REQUIRES: kPrelude bytes.
absl::Status CheckPrelude(std::string_view bytes, size_t& frame_size) {
  if (Crc32(bytes.substr(0, kPrelude - kChecksum)) !=
      ReadNumber(bytes, kPrelude - kChecksum, kChecksum)) {
    return Damaged("wrong checksum of a prelude");
  }
  frame_size = ReadNumber(bytes, 0, 4);
  const size_t headers_size = ReadNumber(bytes, 4, 4);
  if (frame_size < kMinFrame || headers_size > frame_size - kMinFrame) {
    return Damaged("lengths that do not fit together");
  }
  if (frame_size > kMaxFrameBytes || headers_size > AmazonEventStreamDecoder::kMaxHeaderBytes) {
    return Damaged("a frame larger than the limit");
  }
  return absl::OkStatus();
}

// Reads one header off the front of `headers`. `value` is empty unless it is a string. False when
// it is not complete.
bool TakeHeader(std::string_view& headers, std::string_view& name, std::string_view& value) {
  const size_t name_size = ReadNumber(headers, 0, 1);
  if (name_size == 0 || headers.size() < name_size + 2) {
    return false;
  }
  name = headers.substr(1, name_size);
  const auto type = static_cast<unsigned char>(headers[1 + name_size]);
  headers.remove_prefix(name_size + 2);
  if (type >= kTypeCount) {
    return false;
  }
  size_t size = kFixedSize[type];
  if (type == kBytes || type == kString) {
    if (headers.size() < 2) {
      return false;
    }
    size = ReadNumber(headers, 0, 2);
    headers.remove_prefix(2);
  }
  if (headers.size() < size) {
    return false;
  }
  value = type == kString ? headers.substr(0, size) : std::string_view();
  headers.remove_prefix(size);
  return true;
}

struct Headers {
  std::string_view message_type;
  std::string_view name;
  std::string_view error_message;
};

absl::Status ReadHeaders(std::string_view bytes, Headers& headers) {
  std::string_view name;
  std::string_view value;
  while (!bytes.empty()) {
    if (!TakeHeader(bytes, name, value)) {
      return Damaged("a header that breaks the format");
    }
    if (name == ":message-type") {
      headers.message_type = value;
    } else if (name == ":event-type" || name == ":exception-type" || name == ":error-code") {
      headers.name = value;
    } else if (name == ":error-message") {
      headers.error_message = value;
    }
  }
  return absl::OkStatus();
}

// `bytes`: one whole frame whose prelude is good. `goes_on` is what the sink answers.
absl::Status DecodeFrame(std::string_view bytes, absl::FunctionRef<bool(const Frame&)> sink,
                         bool& goes_on) {
  const size_t end = bytes.size() - kChecksum;
  if (Crc32(bytes.substr(0, end)) != ReadNumber(bytes, end, kChecksum)) {
    return Damaged("wrong checksum of a frame");
  }
  const size_t payload = kPrelude + ReadNumber(bytes, 4, 4);
  Headers headers;
  const absl::Status status = ReadHeaders(bytes.substr(kPrelude, payload - kPrelude), headers);
  if (!status.ok()) {
    return status;
  }
  Frame frame;
  frame.name = headers.name;
  frame.data = bytes.substr(payload, end - payload);
  frame.is_exception = headers.message_type == "exception" || headers.message_type == "error";
  std::string error;
  if (headers.message_type == "error" && frame.data.empty()) {
    Json document = Json::object();
    document["message"] = std::string(headers.error_message);
    error = DumpJson(document);
    frame.data = error;
  }
  goes_on = sink(frame);
  return absl::OkStatus();
}

}  // namespace

bool HasAmazonFrame(std::string_view bytes) {
  if (bytes.size() < 4) {
    return false;
  }
  const size_t length = ReadNumber(bytes, 0, 4);
  return bytes.size() >= length || length > kMaxFrameBytes;
}

absl::Status AmazonEventStreamDecoder::Add(std::string_view bytes,
                                           absl::FunctionRef<bool(const Frame&)> sink) {
  if (failure_.ok() && !is_over_) {
    failure_ = Decode(bytes, sink);
  }
  return failure_;
}

absl::Status AmazonEventStreamDecoder::Finish(absl::FunctionRef<bool(const Frame&)> /*sink*/) {
  if (failure_.ok() && !is_over_ && !pending_.empty()) {
    failure_ = Damaged("it ends inside a frame");
  }
  return failure_;
}

absl::Status AmazonEventStreamDecoder::Decode(std::string_view bytes,
                                              absl::FunctionRef<bool(const Frame&)> sink) {
  while (!bytes.empty() && !is_over_) {
    // Only the bytes of a frame that began in an earlier piece are copied.
    if (!pending_.empty() && pending_.size() < kPrelude) {
      const size_t taken = std::min(bytes.size(), kPrelude - pending_.size());
      pending_.append(bytes.substr(0, taken));
      bytes.remove_prefix(taken);
    }
    const std::string_view start = pending_.empty() ? bytes : std::string_view(pending_);
    if (start.size() < kPrelude) {
      if (pending_.empty()) {
        pending_.assign(bytes);
      }
      return absl::OkStatus();
    }
    size_t frame_size = 0;
    absl::Status status = CheckPrelude(start, frame_size);
    if (!status.ok()) {
      return status;
    }
    const size_t missing = frame_size - pending_.size();
    if (bytes.size() < missing) {
      pending_.append(bytes);
      return absl::OkStatus();
    }
    bool goes_on = true;
    if (pending_.empty()) {
      status = DecodeFrame(bytes.substr(0, frame_size), sink, goes_on);
    } else {
      pending_.append(bytes.substr(0, missing));
      status = DecodeFrame(pending_, sink, goes_on);
      pending_.clear();
    }
    bytes.remove_prefix(missing);
    if (!status.ok()) {
      return status;
    }
    is_over_ = !goes_on;
  }
  return absl::OkStatus();
}

}  // namespace rota::provider
