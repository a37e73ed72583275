// Paths of requests: one that is accepted means one thing, and settling it again changes nothing.

#include <string>

#include "dataplane/table/path.h"
#include "tests/fuzz/pieces.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using rota::fuzz::Require;
  const std::string path = "/" + std::string(reinterpret_cast<const char*>(data), size);
  rota::table::SettledPath settled;
  if (!settled.Settle(path)) {
    return 0;
  }
  const std::string decoded(settled.decoded());
  for (const char c : decoded) {
    Require(static_cast<unsigned char>(c) >= 0x20 && c != 0x7F && c != '\\');
  }
  const std::string ended = decoded + "/";
  Require(ended.find("/../") == std::string::npos && ended.find("/./") == std::string::npos);

  rota::table::SettledPath again;
  const std::string raw(settled.raw());
  Require(again.Settle(raw));
  Require(again.decoded() == decoded && again.raw() == raw);
  return 0;
}
