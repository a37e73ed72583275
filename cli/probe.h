#pragma once

// rotactl probe URL: does a data plane answer there, as a client would ask it? What `helm test`
// runs. Asks for a path that no API has: Rota's own answer to it carries x-rota-error, nobody
// else's does. Single-thread.

#include <string>

#include "cli/session.h"
#include "common/clock.h"

namespace rota::cli {

struct ProbeOptions {
  std::string url;  // http(s)://HOST[:PORT][/...]
  Duration timeout = std::chrono::seconds(60);
  bool insecure = false;  // whom the certificate is for does not matter
};

// Asks again until somebody answers or the time is over. Returns the exit code.
int Probe(const ProbeOptions& options, const Console& console, Clock& clock);

}  // namespace rota::cli
