#pragma once

// The plugins ai-proxy and ai-proxy-advanced of Kong -> endpoints and targets of an API.
//
// What Kong means (https://developer.konghq.com/plugins/ai-proxy-advanced/reference): an absent
// weight is 100; with the algorithm `priority` a weight is the rank of a tier, larger ones first;
// times are milliseconds; max_fails 0 counts no failures; options of a model fill in what a request
// does not say.

#include <optional>
#include <string>

#include "cli/import/api_builder.h"
#include "cli/import/secret_book.h"
#include "cli/import/source.h"

namespace rota::importer {

// What the plugin stands in.
struct KongScope {
  std::string api;  // name of the API, for names of Secrets
  SecretBook& secrets;
  ApiBuilder& builder;
  Report& report;
};

// Adds the endpoints and targets of a plugin's config. Returns what its route is ("chat",
// "completions" or "embeddings"); nullopt, with the reason in the report, when nothing of it can be
// imported.
std::optional<std::string> ImportKongPlugin(Fields& config, bool is_advanced,
                                            const KongScope& scope);

}  // namespace rota::importer
