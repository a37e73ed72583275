#include "cli/import/aws_keys.h"

#include <utility>
#include <vector>

namespace rota::importer {

bool HasAwsKey(Fields& fields, const AwsKeyFields& names) {
  bool has_any = false;
  for (const std::string* const name : {&names.id, &names.secret, &names.token}) {
    has_any = (!name->empty() && fields.Has(*name)) || has_any;
  }
  return has_any;
}

bool ReadAwsKey(Fields& fields, const AwsKeyFields& names, std::string_view wished,
                SecretBook& secrets, OrderedJson& security) {
  const std::string id = fields.Text(names.id).value_or("");
  const std::string secret = fields.Text(names.secret).value_or("");
  const std::string token = names.token.empty() ? "" : fields.Text(names.token).value_or("");
  if (id.empty() || secret.empty()) {
    const std::string& missing = id.empty() ? names.id : names.secret;
    fields.report().Error(fields.At(missing),
                          "is missing: a key of AWS has an id and a secret, and Rota takes neither "
                          "from its environment");
    return false;
  }
  std::vector<SecretBook::Key> keys = {{"accessKey", ReadKeySource(id, false)},
                                       {"secretKey", ReadKeySource(secret, false)}};
  if (!token.empty()) {
    keys.push_back({"sessionToken", ReadKeySource(token, false)});
    fields.report().Differs(fields.At(names.token),
                            "a temporary key: the Secret has to be renewed before it ends");
  }
  OrderedJson type = {{"secretName", secrets.Use(keys, wished)},
                      {"accessKeyRef", "accessKey"},
                      {"secretKeyRef", "secretKey"}};
  if (!token.empty()) {
    type["sessionTokenRef"] = "sessionToken";
  }
  security = {{"enabled", true}, {"securityType", std::move(type)}};
  return true;
}

}  // namespace rota::importer
