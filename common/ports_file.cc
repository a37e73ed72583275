#include "common/ports_file.h"

#include <iostream>

#include "common/file.h"
#include "nlohmann/json.hpp"

namespace rota {

absl::Status AnnounceAddresses(const std::map<std::string, HostPort>& addresses,
                               const std::string& file) {
  nlohmann::ordered_json all = nlohmann::ordered_json::object();
  for (const auto& [name, address] : addresses) {
    all[name] = address.ToString();
    nlohmann::ordered_json line;
    line["listening"] = name;
    line["address"] = address.ToString();
    std::cout << line.dump() << "\n";
  }
  std::cout.flush();
  return file.empty() ? absl::OkStatus() : WriteFileAtomically(file, all.dump() + "\n", 0644);
}

}  // namespace rota
