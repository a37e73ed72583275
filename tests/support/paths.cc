#include "tests/support/paths.h"

namespace rota::test {

std::string SourceDir() { return ROTA_SOURCE_DIR; }

}  // namespace rota::test
