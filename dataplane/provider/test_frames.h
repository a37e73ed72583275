#pragma once

// Streams as providers send them, for the tests of this folder: events in their framing, and what
// one gets out of them however the bytes are cut.

#include <zlib.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "dataplane/provider/framing.h"

namespace rota::provider::testing_frames {

inline std::string BigEndian(uint64_t number, int bytes) {
  std::string text;
  for (int shift = (bytes - 1) * 8; shift >= 0; shift -= 8) {
    text.push_back(static_cast<char>(number >> shift));
  }
  return text;
}

inline std::string Checksum(std::string_view bytes) {
  return BigEndian(
      crc32(0, reinterpret_cast<const Bytef*>(bytes.data()), static_cast<uInt>(bytes.size())), 4);
}

using AmazonHeaders = std::vector<std::pair<std::string, std::string>>;

// Header values are strings (type 7).
inline std::string AmazonHeaderBytes(const AmazonHeaders& headers) {
  std::string bytes;
  for (const auto& [name, value] : headers) {
    bytes += BigEndian(name.size(), 1) + name + '\x07' + BigEndian(value.size(), 2) + value;
  }
  return bytes;
}

inline std::string AmazonFrameOf(std::string_view header_bytes, std::string_view payload) {
  std::string frame =
      BigEndian(16 + header_bytes.size() + payload.size(), 4) + BigEndian(header_bytes.size(), 4);
  frame += Checksum(frame);
  frame.append(header_bytes).append(payload);
  return frame + Checksum(frame);
}

inline std::string AmazonFrame(const AmazonHeaders& headers, std::string_view payload) {
  return AmazonFrameOf(AmazonHeaderBytes(headers), payload);
}

inline std::string AmazonEvent(const std::string& name, std::string_view payload) {
  return AmazonFrame(
      {{":event-type", name}, {":content-type", "application/json"}, {":message-type", "event"}},
      payload);
}

inline std::string AmazonException(const std::string& name, std::string_view payload) {
  return AmazonFrame({{":exception-type", name},
                      {":content-type", "application/json"},
                      {":message-type", "exception"}},
                     payload);
}

// {"metadata":{...}}, as recordings have an event: its name outside its payload.
inline std::string AmazonEventOfRecording(const std::string& line) {
  const size_t end = line.find('"', 2);
  const size_t payload = line.find(':') + 1;
  return AmazonEvent(line.substr(2, end - 2), line.substr(payload, line.rfind('}') - payload));
}

inline std::string SseEvent(const std::string& line) { return "data: " + line + "\r\n\r\n"; }

inline std::string NdjsonLine(const std::string& line) { return line + "\n"; }

}  // namespace rota::provider::testing_frames
