#pragma once

// The static key of an AWS account as other gateways have it (an id, a secret, for temporary keys a
// token) -> the AWS form of `endpointSecurity`. Pure.

#include <string>
#include <string_view>

#include "cli/import/imported.h"
#include "cli/import/secret_book.h"
#include "cli/import/source.h"

namespace rota::importer {

// How the source calls the parts; "" for one that it does not have.
struct AwsKeyFields {
  std::string id;
  std::string secret;
  std::string token;
};

// Whether one of the parts is there.
bool HasAwsKey(Fields& fields, const AwsKeyFields& names);

// Sets `security`. False, with the reason in the report: the id or the secret is missing.
// REQUIRES: HasAwsKey().
bool ReadAwsKey(Fields& fields, const AwsKeyFields& names, std::string_view wished,
                SecretBook& secrets, OrderedJson& security);

}  // namespace rota::importer
