#include "dataplane/engine/body_decoder.h"

#include <algorithm>
#include <cstring>

#include "common/hex.h"

namespace rota::engine {
namespace {

bool IsControl(char c) {
  const auto byte = static_cast<unsigned char>(c);
  return (byte < 0x20 && c != '\t') || byte == 0x7f;
}

bool IsTokenCharacter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
         (c != '\0' && std::strchr("!#$%&'*+-.^_`|~", c) != nullptr);
}

}  // namespace

BodyDecoder::BodyDecoder(Framing framing, uint64_t length) : framing_(framing), remaining_(length) {
  switch (framing) {
    case Framing::kNone:
      state_ = State::kDone;
      break;
    case Framing::kLength:
      state_ = length == 0 ? State::kDone : State::kData;
      break;
    case Framing::kChunked:
      state_ = State::kSize;
      break;
    case Framing::kUntilClose:
      state_ = State::kData;
      remaining_ = UINT64_MAX;
      break;
  }
}

BodyDecoder::Result BodyDecoder::Decode(std::span<char> input) {
  Result result;
  char* out = nullptr;  // where the decoded piece ends
  size_t at = 0;
  while (at < input.size() && !done() && !failed()) {
    if (state_ != State::kData) {
      Step(input[at++]);
      continue;
    }
    const size_t size = static_cast<size_t>(std::min<uint64_t>(remaining_, input.size() - at));
    char* piece = input.data() + at;
    if (out == nullptr) {
      result.decoded = {piece, size};
      out = piece + size;
    } else {
      std::memmove(out, piece, size);
      out += size;
      result.decoded = {result.decoded.data(), result.decoded.size() + size};
    }
    at += size;
    if (framing_ != Framing::kUntilClose) {
      remaining_ -= size;
      if (remaining_ == 0) {
        state_ = framing_ == Framing::kLength ? State::kDone : State::kDataReturn;
      }
    }
  }
  result.consumed = at;
  return result;
}

void BodyDecoder::StepSize(char c) {
  const int digit = HexDigit(c);
  if (digit >= 0) {
    // 15 digits keep the sum below 2^60; leading zeros count, so that a line cannot grow without
    // end.
    if (++digits_ > 15) {
      state_ = State::kFailed;
      return;
    }
    remaining_ = remaining_ * 16 + static_cast<uint64_t>(digit);
  } else if (digits_ == 0) {
    state_ = State::kFailed;
  } else if (c == '\r') {
    state_ = State::kSizeLineFeed;
  } else if (c == ' ' || c == '\t') {
    state_ = State::kSizeSpace;
  } else if (c == ';') {
    state_ = State::kExtension;
  } else {
    state_ = State::kFailed;
  }
}

void BodyDecoder::StepExtension(char c) {
  if (++line_bytes_ > kMaxLineBytes) {
    state_ = State::kFailed;
  } else if (state_ == State::kSizeSpace && c != ' ' && c != '\t') {
    state_ = c == ';' ? State::kExtension : State::kFailed;
  } else if (c == '\r') {
    state_ = State::kSizeLineFeed;
  } else if (IsControl(c)) {
    state_ = State::kFailed;
  }
}

void BodyDecoder::EndSizeLine(char c) {
  excess_bytes_ += line_bytes_;
  excess_bytes_ -= std::min(excess_bytes_, 2 * remaining_);
  line_bytes_ = 0;
  digits_ = 0;
  if (c != '\n' || excess_bytes_ > kMaxExcessBytes) {
    state_ = State::kFailed;
  } else {
    state_ = remaining_ == 0 ? State::kTrailerStart : State::kData;
  }
}

void BodyDecoder::StepTrailer(char c) {
  if (++trailer_bytes_ > kMaxTrailerBytes) {
    state_ = State::kFailed;
  } else if (state_ == State::kTrailerStart && c == '\r') {
    state_ = State::kEndLineFeed;
  } else if (state_ == State::kTrailerValue) {
    if (c == '\r') {
      state_ = State::kTrailerLineFeed;
    } else if (IsControl(c)) {
      state_ = State::kFailed;
    }
  } else if (state_ == State::kTrailerName && c == ':') {
    state_ = State::kTrailerValue;
  } else {
    state_ = IsTokenCharacter(c) ? State::kTrailerName : State::kFailed;
  }
}

void BodyDecoder::Step(char c) {
  switch (state_) {
    case State::kSize:
      StepSize(c);
      return;
    case State::kSizeSpace:
    case State::kExtension:
      StepExtension(c);
      return;
    case State::kSizeLineFeed:
      EndSizeLine(c);
      return;
    case State::kDataReturn:
      state_ = c == '\r' ? State::kDataLineFeed : State::kFailed;
      return;
    case State::kDataLineFeed:
      state_ = c == '\n' ? State::kSize : State::kFailed;
      return;
    case State::kTrailerStart:
    case State::kTrailerName:
    case State::kTrailerValue:
      StepTrailer(c);
      return;
    case State::kTrailerLineFeed:
      ++trailer_bytes_;
      state_ = c == '\n' ? State::kTrailerStart : State::kFailed;
      return;
    case State::kEndLineFeed:
      state_ = c == '\n' ? State::kDone : State::kFailed;
      return;
    case State::kData:
    case State::kDone:
    case State::kFailed:
      return;
  }
}

}  // namespace rota::engine
