#include "cli/import/trustgate_target.h"

#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "cli/import/aws_keys.h"
#include "cli/import/providers.h"

namespace rota::importer {
namespace {

// Whose keys go where. Null when they cannot be sent as a plain key.
struct Context {
  EndpointDraft& draft;
  const ProviderRow* row;  // null: a host of its own
  const std::string& wished;
  SecretBook& secrets;
};

void UseKey(const Context& context, const std::string& value, const std::string& name,
            bool in_query) {
  const KeySource source = ReadKeySource(value, absl::EqualsIgnoreCase(name, "authorization"));
  context.draft.security =
      KeySecurity(context.secrets.Use({{"apiKey", source}}, context.wished), name, in_query);
}

// api_key, or a header or parameter with its value.
bool ReadPlainKey(Fields& keys, const Context& context) {
  const std::string api_key = keys.Text("api_key").value_or("");
  const std::string header = keys.Text("header_name").value_or("");
  const std::string header_value = keys.Text("header_value").value_or("");
  const std::string parameter = keys.Text("param_name").value_or("");
  const std::string parameter_value = keys.Text("param_value").value_or("");
  const std::string location = keys.Text("param_location").value_or("query");
  if (!header.empty() && !header_value.empty()) {
    UseKey(context, header_value, header, false);
  } else if (!parameter.empty() && !parameter_value.empty()) {
    if (location != "query") {
      keys.report().Error(keys.At("param_location"),
                          "a key in the body has no equal; use the provider's header");
      return false;
    }
    UseKey(context, parameter_value, parameter, true);
  } else if (!api_key.empty()) {
    const bool has_header = context.row != nullptr && !context.row->header.empty();
    UseKey(context, api_key, has_header ? std::string(context.row->header) : "Authorization",
           false);
  }
  return true;
}

// Azure's endpoint, version and key; `prefix` "azure_" in credentials, "" in auth.azure.
bool ReadAzure(Fields& keys, const std::string& prefix, const Context& context) {
  if (const auto endpoint = keys.Text(prefix + "endpoint")) {
    context.draft.url = *endpoint;
  }
  if (const auto version = keys.Text(prefix + "version")) {
    context.draft.options["apiVersion"] = *version;
  }
  const std::string flag = prefix + "use_managed_identity";
  const bool by_identity = keys.Bool(flag).value_or(false);
  bool by_principal = false;
  for (const char* const key : {"client_id", "client_secret", "tenant_id"}) {
    by_principal = keys.Has(prefix + key) || by_principal;
  }
  if (by_identity || by_principal) {
    keys.report().Error(by_identity ? keys.At(flag) : keys.place(),
                        "an identity of Azure has no equal; use a key of the resource");
  }
  return !by_identity && !by_principal;
}

// Bedrock's region and keys; `prefix` "aws_" in credentials, "" in auth.aws. False: half of a key
// is missing.
bool ReadAws(Fields& keys, const std::string& prefix, const Context& context) {
  if (const auto region = keys.Text(prefix + "region")) {
    context.draft.options["region"] = *region;
    context.draft.url = absl::StrCat("https://bedrock-runtime.", *region, ".amazonaws.com");
  }
  for (const char* const key : {"role", "use_role"}) {
    if (keys.Has(prefix + key)) {
      keys.report().NoEqual(keys.At(prefix + key), "roles are not taken on");
    }
  }
  const AwsKeyFields names = {prefix + "access_key_id", prefix + "secret_access_key",
                              prefix + "session_token"};
  if (!HasAwsKey(keys, names)) {
    return true;
  }
  if (context.draft.provider != "bedrock" || !context.draft.security.is_null()) {
    for (const std::string* const name : {&names.id, &names.secret, &names.token}) {
      if (keys.Has(*name)) {
        keys.report().NoEqual(keys.At(*name),
                              "is of no use beside another key, or to another provider");
      }
    }
    return true;
  }
  return ReadAwsKey(keys, names, context.wished, context.secrets, context.draft.security);
}

bool ReadCredentials(Fields& fields, const Context& context) {
  std::optional<Fields> keys = fields.Map("credentials");
  if (!keys) {
    return true;
  }
  bool is_good = ReadPlainKey(*keys, context);
  is_good = ReadAzure(*keys, "azure_", context) && is_good;
  is_good = ReadAws(*keys, "aws_", context) && is_good;
  keys->NoEqual({"gcp_use_service_account", "gcp_service_account_json"},
                "an account of Google's cloud has no equal; use a key");
  keys->Finish();
  return is_good;
}

// A registry's `auth`: one of several forms.
bool ReadAuth(Fields& fields, const Context& context) {
  std::optional<Fields> auth = fields.Map("auth");
  if (!auth) {
    return true;
  }
  const std::string type = auth->Text("type").value_or("");
  bool is_good = true;
  if (std::optional<Fields> key = auth->Map("api_key")) {
    is_good = ReadPlainKey(*key, context);
    key->Finish();
  }
  if (std::optional<Fields> azure = auth->Map("azure")) {
    is_good = ReadAzure(*azure, "", context) && ReadPlainKey(*azure, context) && is_good;
    azure->Finish();
  }
  if (std::optional<Fields> aws = auth->Map("aws")) {
    is_good = ReadAws(*aws, "", context) && is_good;
    aws->Finish();
  }
  if (auth->Has("oauth") || auth->Has("gcp_service_account") || type == "oauth2") {
    auth->report().Error(
        auth->At("type"),
        absl::StrCat("is ", Quoted(type), "; Rota sends keys, and fetches no tokens"));
    is_good = false;
  }
  auth->Finish();
  return is_good;
}

void ReadOptions(Fields& fields, EndpointDraft& draft) {
  std::optional<Fields> options = fields.Map("provider_options");
  if (!options) {
    return;
  }
  for (const auto& [there, here] :
       {std::pair{"region", "region"}, std::pair{"api_version", "apiVersion"},
        std::pair{"deployment", "deployment"}, std::pair{"deployment_id", "deployment"}}) {
    if (const auto value = options->Text(there)) {
      draft.options[here] = *value;
    }
  }
  if (const auto base = options->Text("base_url")) {
    draft.url = *base;
  }
  const std::string api = options->Text("api").value_or("completions");
  if (api == "responses") {
    options->report().NoEqual(options->At("api"), "chat completions are sent to the provider");
  }
  options->Finish();
}

void ReadHeaders(Fields& fields, EndpointDraft& draft) {
  std::optional<Fields> headers = fields.Map("headers");
  if (!headers) {
    return;
  }
  for (const std::string& name : headers->Keys()) {
    const std::string value = headers->Text(name).value_or("");
    if (absl::EqualsIgnoreCase(name, "anthropic-version")) {
      draft.options["apiVersion"] = value;
    } else if (absl::EqualsIgnoreCase(name, "api-version") && draft.provider == "azure") {
      draft.options["apiVersion"] = value;
    } else {
      headers->report().NoEqual(headers->At(name), "no header is added to requests");
    }
  }
}

// Where a target without a provider is.
bool ReadHost(Fields& fields, EndpointDraft& draft) {
  const std::string host = fields.Text("host").value_or("");
  const std::string protocol = fields.Text("protocol").value_or("https");
  const auto port = fields.Whole("port", 1, 65'535);
  if (host.empty()) {
    fields.report().Error(fields.place(), "names neither a provider nor a host");
    return false;
  }
  draft.name = host;
  draft.url = absl::StrCat(protocol, "://", host, port ? absl::StrCat(":", *port) : "");
  return true;
}

// The path of the operation is the dialect's; what stands before it is a part of the URL.
void ReadPath(Fields& fields, bool is_provider, EndpointDraft& draft) {
  const std::string path = fields.Text("path").value_or("");
  if (path.empty()) {
    return;
  }
  const std::optional<std::string> base = BaseOfOperation(path);
  if (!base) {
    fields.report().Differs(fields.At("path"), "the provider's own paths are used here");
  } else if (!is_provider) {
    draft.url += *base;
  }
}

}  // namespace

std::optional<EndpointDraft> ReadTrustGateEndpoint(Fields& fields, const std::string& wished,
                                                   SecretBook& secrets) {
  EndpointDraft draft;
  const std::string provider = fields.Text("provider").value_or("");
  const ProviderRow* const row = provider.empty() ? nullptr : FindProvider(provider);
  if (!provider.empty() && row == nullptr) {
    fields.report().Error(fields.At("provider"),
                          absl::StrCat(Quoted(provider), " is no provider that Rota can speak to"));
    return std::nullopt;
  }
  if (row == nullptr && !ReadHost(fields, draft)) {
    return std::nullopt;
  }
  if (row != nullptr) {
    draft.provider = row->provider;
    draft.name = row->provider;
    draft.url = row->url;
  }
  const std::string secret = absl::StrCat(wished, "-", draft.name);
  const Context context{draft, row, secret, secrets};
  ReadPath(fields, row != nullptr, draft);
  ReadOptions(fields, draft);
  ReadHeaders(fields, draft);
  bool is_good = ReadCredentials(fields, context);
  is_good = ReadAuth(fields, context) && is_good;
  if (fields.Bool("insecure_ssl").value_or(false)) {
    fields.report().NoEqual(fields.At("insecure_ssl"),
                            "certificates are always checked; name the CA in `certificate`");
  }
  if (is_good && draft.url.empty()) {
    fields.report().Error(fields.place(), absl::StrCat("nothing says where ", Quoted(provider),
                                                       " is (its endpoint or region)"));
    return std::nullopt;
  }
  return is_good ? std::optional<EndpointDraft>(std::move(draft)) : std::nullopt;
}

void ReadTrustGateHealth(Fields& fields, OrderedJson& parameters) {
  OrderedJson& passive = parameters["healthChecks"]["passive"];
  std::optional<Fields> checks = fields.Map("health_checks");
  if (!checks || !checks->Bool("passive").value_or(false)) {
    passive["enabled"] = false;
    fields.report().Mapped(fields.At("health_checks"),
                           "no passive checks: failures are not counted, as there; take "
                           "healthChecks.passive out to have Rota's own (3 failures, 60 s)");
  } else {
    passive["threshold"] = checks->Whole("threshold", 1, 1000).value_or(3);
    passive["interval"] = checks->Whole("interval", 1, 31'536'000).value_or(60);
  }
  if (checks) {
    checks->Find("threshold");
    checks->Find("interval");
    checks->NoEqual({"path", "headers"}, "no probes are sent; real requests show who is well");
    checks->Finish();
  }
}

std::optional<TrustGateShares> ReadTrustGateAlgorithm(Fields& fields) {
  const std::string algorithm = fields.Text("algorithm").value_or("round-robin");
  const Place place = fields.At("algorithm");
  if (algorithm == "weighted-round-robin") {
    return TrustGateShares::kByWeight;
  }
  if (algorithm == "round-robin" || algorithm.empty()) {
    fields.report().Mapped(place, "round-robin: weights are ignored there, and all are equal here");
    return TrustGateShares::kEqual;
  }
  for (const char* const known :
       {"least-conn", "least-connections", "random", "semantic", "ip-hash", "smart-routing"}) {
    if (algorithm == known) {
      fields.report().Differs(place, absl::StrCat(Quoted(algorithm),
                                                  " is no rotation: every target gets the same "
                                                  "share here"));
      return TrustGateShares::kEqual;
    }
  }
  fields.report().Error(place, absl::StrCat("there is no algorithm ", Quoted(algorithm)));
  return std::nullopt;
}

}  // namespace rota::importer
