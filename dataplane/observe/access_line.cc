#include "dataplane/observe/access_line.h"

#include <fmt/compile.h>
#include <fmt/format.h>

#include <ctime>
#include <iterator>

namespace rota::observe {
namespace {

// The length of the valid UTF-8 sequence at `at`, 0 when there is none (RFC 3629, table 3-7 of
// Unicode).
size_t SequenceLength(std::string_view text, size_t at) {
  const auto byte = [&](size_t i) -> unsigned {
    return at + i < text.size() ? static_cast<unsigned char>(text[at + i]) : 0U;
  };
  const auto continues = [&](size_t i) { return (byte(i) & 0xC0U) == 0x80U; };
  const unsigned lead = byte(0);
  if (lead >= 0xC2 && lead <= 0xDF) {
    return continues(1) ? 2 : 0;
  }
  if (lead >= 0xE0 && lead <= 0xEF) {
    const bool overlong = lead == 0xE0 && byte(1) < 0xA0;
    const bool surrogate = lead == 0xED && byte(1) > 0x9F;
    return continues(1) && continues(2) && !overlong && !surrogate ? 3 : 0;
  }
  if (lead >= 0xF0 && lead <= 0xF4) {
    const bool overlong = lead == 0xF0 && byte(1) < 0x90;
    const bool too_large = lead == 0xF4 && byte(1) > 0x8F;
    return continues(1) && continues(2) && continues(3) && !overlong && !too_large ? 4 : 0;
  }
  return 0;
}

void AppendText(std::string_view name, std::string_view value, std::string& line) {
  if (!value.empty()) {
    line.append(",\"").append(name).append("\":");
    AppendJsonString(value, line);
  }
}

void AppendNumber(std::string_view name, uint64_t value, std::string& line) {
  fmt::format_to(std::back_inserter(line), FMT_COMPILE(",\"{}\":{}"), name, value);
}

void AppendMilliseconds(std::string_view name, Duration value, std::string& line) {
  const int64_t us = std::chrono::duration_cast<std::chrono::microseconds>(value).count();
  fmt::format_to(std::back_inserter(line), FMT_COMPILE(",\"{}\":{}.{:03}"), name, us / 1000,
                 us % 1000);
}

void AppendTime(WallTime time, std::string& line) {
  const int64_t ms =
      std::chrono::duration_cast<std::chrono::milliseconds>(time.time_since_epoch()).count();
  // The text of a second is made once per second and thread.
  thread_local int64_t cached_second = -1;
  thread_local std::string cached_text;
  if (cached_second != ms / 1000) {
    cached_second = ms / 1000;
    const time_t seconds = static_cast<time_t>(cached_second);
    std::tm parts{};
    gmtime_r(&seconds, &parts);
    cached_text =
        fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}", parts.tm_year + 1900, parts.tm_mon + 1,
                    parts.tm_mday, parts.tm_hour, parts.tm_min, parts.tm_sec);
  }
  fmt::format_to(std::back_inserter(line), FMT_COMPILE("{{\"ts\":\"{}.{:03}Z\""), cached_text,
                 ms % 1000);
}

}  // namespace

void AppendJsonString(std::string_view text, std::string& out) {
  const bool cut = text.size() > kMaxFieldBytes;
  text = text.substr(0, kMaxFieldBytes);
  out.push_back('"');
  for (size_t i = 0; i < text.size();) {
    const unsigned char c = static_cast<unsigned char>(text[i]);
    if (c == '"' || c == '\\') {
      out.push_back('\\');
      out.push_back(text[i++]);
    } else if (c < 0x20 || c == 0x7F) {
      fmt::format_to(std::back_inserter(out), FMT_COMPILE("\\u{:04x}"), c);
      ++i;
    } else if (c < 0x80) {
      out.push_back(text[i++]);
    } else if (const size_t length = SequenceLength(text, i); length > 0) {
      out.append(text.substr(i, length));
      i += length;
    } else {
      out.append("\\ufffd");
      ++i;
    }
  }
  out.append(cut ? "...\"" : "\"");
}

void AppendAccessLine(const AccessRecord& record, WallTime time, std::string& line) {
  AppendTime(time, line);
  AppendText("id", record.request_id, line);
  AppendText("client", record.client, line);
  AppendText("method", record.method, line);
  AppendText("host", record.host, line);
  AppendText("path", record.path, line);
  AppendText("api", record.api, line);
  AppendText("environment", record.environment, line);
  AppendText("model", record.model, line);
  AppendText("target", record.target, line);
  AppendNumber("status", static_cast<uint64_t>(record.status < 0 ? 0 : record.status), line);
  AppendNumber("tries", record.tries, line);
  AppendNumber("request_bytes", record.request_bytes, line);
  AppendNumber("response_bytes", record.response_bytes, line);
  AppendMilliseconds("total_ms", record.total, line);
  AppendMilliseconds("upstream_ms", record.upstream, line);
  AppendText("error", record.error, line);
  line.append("}\n");
}

}  // namespace rota::observe
