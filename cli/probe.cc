#include "cli/probe.h"

#include <ostream>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "cli/exit_code.h"
#include "httplib.h"

namespace rota::cli {
namespace {

constexpr char kPath[] = "/rotactl-probe";
constexpr char kSignature[] = "x-rota-error";
constexpr time_t kSecondsOfOneTry = 5;
constexpr Duration kBetweenTries = std::chrono::seconds(1);
constexpr size_t kMaxShown = 100;

// "https://host:8443" of "https://host:8443/path"; "" when it is no URL.
std::string OriginOf(const std::string& url) {
  const size_t scheme = url.find("://");
  if (scheme == std::string::npos) {
    return "";
  }
  const std::string name = url.substr(0, scheme);
  const std::string origin = url.substr(0, url.find('/', scheme + 3));
  const bool is_known = name == "http" || name == "https";
  return is_known && origin.size() > scheme + 3 ? origin : "";
}

}  // namespace

int Probe(const ProbeOptions& options, const Console& console, Clock& clock) {
  const std::string origin = OriginOf(options.url);
  if (origin.empty()) {
    *console.err << console.program << ": '" << Printable(options.url)
                 << "' is no URL: give http://HOST:PORT or https://HOST:PORT\n";
    return kExitUsage;
  }
  httplib::Client client(origin);
  client.set_connection_timeout(kSecondsOfOneTry);
  client.set_read_timeout(kSecondsOfOneTry);
  client.enable_server_certificate_verification(!options.insecure);
  const MonotonicTime deadline = clock.Now() + options.timeout;
  while (true) {
    const httplib::Result answer = client.Get(kPath);
    if (answer && answer->has_header(kSignature)) {
      *console.out << "a data plane answers at " << origin << ": " << answer->status << " "
                   << Printable(answer->get_header_value(kSignature).substr(0, kMaxShown)) << "\n";
      return kExitOk;
    }
    if (answer) {
      *console.err << console.program << ": somebody answers at " << origin << " ("
                   << answer->status << "), but it is no data plane: the answer has no "
                   << kSignature << "\n";
      return kExitFindings;
    }
    if (clock.Now() + kBetweenTries > deadline) {
      *console.err << console.program << ": nobody answers at " << origin << ": "
                   << httplib::to_string(answer.error()) << "\n";
      return kExitUnreachable;
    }
    Pause(clock, kBetweenTries);
  }
}

}  // namespace rota::cli
