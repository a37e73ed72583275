#pragma once

// What a server shows its clients. Thread-compatible (a value).

#include <string>

#include "common/secret.h"

namespace rota::serve {

struct ServingCertificate {
  std::string chain;  // PEM
  SecretString key;   // PEM
};

}  // namespace rota::serve
