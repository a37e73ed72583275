#include "dataplane/provider/framing.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace rota::provider {
namespace {

// A buffer that has held a large frame is given back.
constexpr size_t kKeptCapacity = 16 << 10;

absl::Status TooLarge() {
  return absl::DataLossError(
      absl::StrCat("an event of the upstream's stream is larger than ", kMaxFrameBytes, " bytes"));
}

void ClearBuffer(std::string& buffer) {
  buffer.clear();
  if (buffer.capacity() > kKeptCapacity) {
    std::string().swap(buffer);
  }
}

// Hands out whole lines (LF, CR or CRLF), however the bytes come.
class LineReader {
 public:
  // `line` returns false to end it. A line is good until `line` returns.
  absl::Status Add(std::string_view bytes, absl::FunctionRef<bool(std::string_view)> line) {
    while (!bytes.empty()) {
      if (skips_line_feed_ && bytes.front() == '\n') {
        bytes.remove_prefix(1);
      }
      skips_line_feed_ = false;
      const size_t end = std::min(bytes.find_first_of("\r\n"), bytes.size());
      if (rest_.size() + end > kMaxFrameBytes) {
        return TooLarge();
      }
      if (end == bytes.size()) {
        rest_.append(bytes);
        return absl::OkStatus();
      }
      skips_line_feed_ = bytes[end] == '\r';
      bool goes_on = true;
      if (rest_.empty()) {
        goes_on = line(bytes.substr(0, end));
      } else {
        rest_.append(bytes.substr(0, end));
        goes_on = line(rest_);
        ClearBuffer(rest_);
      }
      if (!goes_on) {
        return absl::OkStatus();
      }
      bytes.remove_prefix(end + 1);
    }
    return absl::OkStatus();
  }

  // What has come of a line that is not ended.
  std::string_view rest() const { return rest_; }

 private:
  std::string rest_;
  bool skips_line_feed_ = false;
};

class SseDecoder final : public FrameDecoder {
 public:
  absl::Status Add(std::string_view bytes, absl::FunctionRef<bool(const Frame&)> sink) override {
    absl::Status status =
        lines_.Add(bytes, [this, sink](std::string_view line) { return TakeLine(line, sink); });
    return is_too_large_ ? TooLarge() : status;
  }

  absl::Status Finish(absl::FunctionRef<bool(const Frame&)> sink) override {
    const std::string line(lines_.rest());
    if (TakeLine(line, sink)) {
      TakeLine("", sink);
    }
    return is_too_large_ ? TooLarge() : absl::OkStatus();
  }

 private:
  bool TakeLine(std::string_view line, absl::FunctionRef<bool(const Frame&)> sink) {
    if (line.empty()) {
      return Dispatch(sink);
    }
    const size_t colon = std::min(line.find(':'), line.size());
    const std::string_view field = line.substr(0, colon);
    std::string_view value = line.substr(std::min(colon + 1, line.size()));
    if (value.starts_with(' ')) {
      value.remove_prefix(1);
    }
    if (field == "event") {
      name_.assign(value.substr(0, kMaxName));
    } else if (field == "data") {
      if (data_.size() + value.size() > kMaxFrameBytes) {
        is_too_large_ = true;
        return false;
      }
      if (has_data_) {
        data_.push_back('\n');
      }
      data_.append(value);
      has_data_ = true;
    }
    return true;
  }

  bool Dispatch(absl::FunctionRef<bool(const Frame&)> sink) {
    bool goes_on = true;
    if (has_data_) {
      goes_on = sink(Frame{name_, data_, false});
    }
    name_.clear();
    ClearBuffer(data_);
    has_data_ = false;
    return goes_on;
  }

  static constexpr size_t kMaxName = 256;
  LineReader lines_;
  std::string name_;
  std::string data_;
  bool has_data_ = false;
  bool is_too_large_ = false;
};

class NdjsonDecoder final : public FrameDecoder {
 public:
  absl::Status Add(std::string_view bytes, absl::FunctionRef<bool(const Frame&)> sink) override {
    return lines_.Add(bytes, [sink](std::string_view line) { return TakeLine(line, sink); });
  }

  absl::Status Finish(absl::FunctionRef<bool(const Frame&)> sink) override {
    TakeLine(lines_.rest(), sink);
    return absl::OkStatus();
  }

 private:
  static bool TakeLine(std::string_view line, absl::FunctionRef<bool(const Frame&)> sink) {
    return line.empty() || sink(Frame{"", line, false});
  }

  LineReader lines_;
};

}  // namespace

std::unique_ptr<FrameDecoder> NewSseDecoder() { return std::make_unique<SseDecoder>(); }

std::unique_ptr<FrameDecoder> NewNdjsonDecoder() { return std::make_unique<NdjsonDecoder>(); }

}  // namespace rota::provider
