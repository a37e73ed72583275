#pragma once

// Early return on a failed absl::Status or absl::StatusOr.

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#define ROTA_STATUS_CONCAT_INNER(a, b) a##b
#define ROTA_STATUS_CONCAT(a, b) ROTA_STATUS_CONCAT_INNER(a, b)

#define RETURN_IF_ERROR(expression)                \
  do {                                             \
    const absl::Status rota_status = (expression); \
    if (!rota_status.ok()) {                       \
      return rota_status;                          \
    }                                              \
  } while (false)

// ASSIGN_OR_RETURN(const std::string text, ReadFile(path));
#define ASSIGN_OR_RETURN(target, expression) \
  ASSIGN_OR_RETURN_IMPL(ROTA_STATUS_CONCAT(rota_status_or_, __LINE__), target, expression)
#define ASSIGN_OR_RETURN_IMPL(result, target, expression) \
  auto result = (expression);                             \
  if (!result.ok()) {                                     \
    return std::move(result).status();                    \
  }                                                       \
  target = *std::move(result)
