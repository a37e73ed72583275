#include "bench/load/response_reader.h"

#include <algorithm>
#include <charconv>
#include <utility>

namespace rota::bench {
namespace {

constexpr size_t kMaxHead = 64 << 10;
constexpr size_t kMaxLine = 4 << 10;

char Lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

bool EqualsIgnoreCase(std::string_view a, std::string_view b) {
  return a.size() == b.size() && std::equal(a.begin(), a.end(), b.begin(),
                                            [](char x, char y) { return Lower(x) == Lower(y); });
}

std::string_view Trim(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) {
    text.remove_prefix(1);
  }
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t' || text.back() == '\r')) {
    text.remove_suffix(1);
  }
  return text;
}

bool ParseNumber(std::string_view text, int base, uint64_t& value) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
  return error == std::errc() && end == text.data() + text.size();
}

}  // namespace

void ResponseReader::Reset() {
  state_ = State::kHead;
  framing_ = Framing::kLength;
  chunk_part_ = ChunkPart::kSize;
  head_.clear();
  line_.clear();
  left_ = 0;
  status_ = 0;
  must_close_ = false;
  has_retry_after_ = false;
}

void ResponseReader::Hand(std::string_view piece) const {
  if (on_body_ && !piece.empty()) {
    on_body_(piece);
  }
}

ResponseReader::State ResponseReader::Read(std::string_view bytes) {
  if (state_ == State::kHead) {
    // The end may lie across two reads: look from three bytes back.
    const size_t from = head_.size() < 3 ? 0 : head_.size() - 3;
    const size_t before = head_.size();
    head_.append(bytes);
    const size_t end = head_.find("\r\n\r\n", from);
    if (end == std::string::npos) {
      state_ = head_.size() > kMaxHead ? State::kBroken : State::kHead;
      return state_;
    }
    head_.resize(end + 4);
    bytes.remove_prefix(end + 4 - before);
    ParseHead();
  }
  if (state_ == State::kBody) {
    switch (framing_) {
      case Framing::kLength: {
        const std::string_view piece = bytes.substr(0, left_);
        Hand(piece);
        left_ -= piece.size();
        bytes.remove_prefix(piece.size());
        state_ = left_ == 0 ? State::kDone : State::kBody;
        break;
      }
      case Framing::kChunked:
        ReadChunked(bytes);
        return state_;
      case Framing::kUntilEnd:
        Hand(bytes);
        return state_;
    }
  }
  if (!bytes.empty()) {
    state_ = State::kBroken;
  }
  return state_;
}

ResponseReader::State ResponseReader::ReadEnd() {
  state_ = state_ == State::kBody && framing_ == Framing::kUntilEnd ? State::kDone : State::kBroken;
  return state_;
}

void ResponseReader::ParseHead() {
  state_ = State::kBroken;
  uint64_t status = 0;
  if (head_.size() < 12 || head_.compare(0, 7, "HTTP/1.") != 0 ||
      !ParseNumber(std::string_view(head_).substr(9, 3), 10, status)) {
    return;
  }
  status_ = static_cast<int>(status);
  framing_ = Framing::kUntilEnd;
  std::string_view rest = std::string_view(head_).substr(head_.find("\r\n") + 2);
  while (!rest.empty()) {
    const std::string_view line = rest.substr(0, rest.find("\r\n"));
    rest.remove_prefix(line.size() + 2);
    const size_t colon = line.find(':');
    if (colon == std::string_view::npos) {
      continue;
    }
    const std::string_view name = line.substr(0, colon);
    const std::string_view value = Trim(line.substr(colon + 1));
    if (EqualsIgnoreCase(name, "content-length") && framing_ != Framing::kChunked) {
      framing_ = Framing::kLength;
      if (!ParseNumber(value, 10, left_)) {
        return;
      }
    } else if (EqualsIgnoreCase(name, "transfer-encoding")) {
      framing_ = Framing::kChunked;
    } else if (EqualsIgnoreCase(name, "connection") && EqualsIgnoreCase(value, "close")) {
      must_close_ = true;
    } else if (EqualsIgnoreCase(name, "retry-after")) {
      has_retry_after_ = true;
    }
  }
  must_close_ = must_close_ || framing_ == Framing::kUntilEnd;
  const bool empty =
      status_ == 204 || status_ == 304 || (framing_ == Framing::kLength && left_ == 0);
  state_ = empty ? State::kDone : State::kBody;
  if (status_ / 100 == 1) {  // an interim answer: the real one follows
    Reset();
  }
}

void ResponseReader::ReadChunked(std::string_view bytes) {
  while (!bytes.empty() && state_ == State::kBody) {
    if (chunk_part_ == ChunkPart::kData) {
      const std::string_view piece = bytes.substr(0, left_);
      Hand(piece);
      left_ -= piece.size();
      bytes.remove_prefix(piece.size());
      chunk_part_ = left_ == 0 ? ChunkPart::kDataEnd : ChunkPart::kData;
      continue;
    }
    const size_t newline = bytes.find('\n');
    line_.append(bytes.substr(0, newline));
    if (line_.size() > kMaxLine) {
      state_ = State::kBroken;
    }
    if (newline == std::string_view::npos) {
      return;
    }
    bytes.remove_prefix(newline + 1);
    const std::string line = std::exchange(line_, {});
    const std::string_view text = Trim(line);
    if (chunk_part_ == ChunkPart::kSize) {
      if (!ParseNumber(text.substr(0, text.find(';')), 16, left_)) {
        state_ = State::kBroken;
      }
      chunk_part_ = left_ == 0 ? ChunkPart::kTrailer : ChunkPart::kData;
    } else if (chunk_part_ == ChunkPart::kDataEnd) {
      chunk_part_ = ChunkPart::kSize;
      if (!text.empty()) {
        state_ = State::kBroken;
      }
    } else if (text.empty()) {
      state_ = State::kDone;
    }
  }
  if (!bytes.empty() && state_ == State::kDone) {
    state_ = State::kBroken;
  }
}

}  // namespace rota::bench
