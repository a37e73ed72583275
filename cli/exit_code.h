#pragma once

// What rotactl ends with; docs/reference/rotactl.md says so to people.

namespace rota::cli {

inline constexpr int kExitOk = 0;
inline constexpr int kExitFindings = 1;     // asked and answered: something is not as it should be
inline constexpr int kExitUsage = 2;        // wrong command line, unreadable files
inline constexpr int kExitUnreachable = 3;  // no answer from Rota, or kubectl has failed

}  // namespace rota::cli
