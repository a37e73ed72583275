#pragma once

// One model of Kong's AI plugins (`model`, `auth`, `logging`) -> an endpoint, its Secret and a
// target.

#include <cstdint>

#include "cli/import/kong_plugin.h"
#include "cli/import/providers.h"

namespace rota::importer {

// Adds it to the API. False, with the reason in the report, when it cannot be imported.
bool ImportKongTarget(Fields& target, int64_t weight, const OrderedJson& resiliency,
                      const KongScope& scope);

}  // namespace rota::importer
