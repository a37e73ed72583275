#include "common/version.h"

namespace rota {

std::string_view Version() { return ROTA_VERSION; }
std::string_view Commit() { return ROTA_COMMIT; }

}  // namespace rota
