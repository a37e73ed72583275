#include "cli/import/kong_target.h"

#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "cli/import/aws_keys.h"

namespace rota::importer {
namespace {

// What becomes of `model`.
struct Model {
  std::string name;
  const ProviderRow* row = nullptr;
  EndpointDraft endpoint;
  OrderedJson defaults = OrderedJson::object();
};

// The provider whose API the model speaks; llama2 and mistral may speak several.
const ProviderRow* ReadProvider(Fields& model, Fields& options) {
  const std::string provider = model.Text("provider").value_or("");
  std::string spelling = provider;
  for (const char* const family : {"llama2", "mistral"}) {
    const std::string key = absl::StrCat(family, "_format");
    const std::string format = options.Text(key).value_or("");
    if (provider != family) {
      continue;
    }
    if (format == "ollama") {
      spelling = "ollama";
    } else if (format == "openai") {
      spelling = provider == "mistral" ? "mistral" : "vllm";
    } else if (!format.empty() || provider == "llama2") {
      model.report().Error(options.At(key), absl::StrCat("is ", Quoted(format),
                                                         "; Rota speaks the formats openai and "
                                                         "ollama to such a server"));
      return nullptr;
    }
  }
  const ProviderRow* const row = FindProvider(spelling);
  if (row == nullptr) {
    model.report().Error(model.At("provider"),
                         absl::StrCat(Quoted(provider), " is no provider that Rota can speak to"));
  }
  return row;
}

void ReadDefaults(Fields& options, OrderedJson& defaults) {
  for (const char* const key : {"max_tokens", "temperature", "top_p", "top_k"}) {
    if (const nlohmann::json* const value = options.Find(key)) {
      if (value->is_number()) {
        defaults[key] = *value;
      } else {
        options.report().Error(options.At(key), "must be a number; write it in place");
      }
    }
  }
}

// Where an Azure model is.
bool ReadAzure(Fields& options, EndpointDraft& endpoint) {
  const std::string instance = options.Text("azure_instance").value_or("");
  if (!instance.empty()) {
    endpoint.url = absl::StrCat("https://", instance, ".openai.azure.com");
  }
  endpoint.options["apiVersion"] = options.Text("azure_api_version").value_or("2023-05-15");
  if (const auto deployment = options.Text("azure_deployment_id")) {
    endpoint.options["deployment"] = *deployment;
  }
  if (endpoint.url.empty() && !options.Has("upstream_url")) {
    options.report().Error(options.At("azure_instance"), "is missing; it says where the model is");
    return false;
  }
  return true;
}

bool ReadBedrock(Fields& options, EndpointDraft& endpoint) {
  std::string region;
  if (std::optional<Fields> bedrock = options.Map("bedrock")) {
    region = bedrock->Text("aws_region").value_or("");
    bedrock->NoEqual({"aws_assume_role_arn", "aws_role_session_name", "aws_sts_endpoint_url"},
                     "no role is taken on: the key in the Secret signs as it is");
    bedrock->NoEqual({"embeddings_normalize", "performance_config_latency", "batch_bucket_prefix",
                      "batch_role_arn"},
                     "Rota does not send it");
    bedrock->Finish();
  }
  const bool is_reference = region.find_first_of("${}") != std::string::npos;
  if (region.empty() || is_reference) {
    options.report().Error(options.At("bedrock").Key("aws_region"),
                           is_reference ? "is a reference; the URL is made of it, so write it here"
                                        : "is missing; Kong takes it from its environment, write "
                                          "it here");
    return false;
  }
  endpoint.url = absl::StrCat("https://bedrock-runtime.", region, ".amazonaws.com");
  endpoint.options["region"] = region;
  return true;
}

bool ReadGemini(Fields& options) {
  std::optional<Fields> gemini = options.Map("gemini");
  if (!gemini) {
    return true;
  }
  bool is_vertex = false;
  for (const char* const key : {"project_id", "location_id", "api_endpoint", "endpoint_id"}) {
    is_vertex = gemini->Has(key) || is_vertex;
  }
  gemini->Finish();
  if (is_vertex) {
    options.report().Error(gemini->place(),
                           "Vertex AI with a service account is not supported; use a key of the "
                           "Gemini API");
  }
  return !is_vertex;
}

// `upstream_url` wins over everything else that says where the model is.
bool ReadUpstreamUrl(Fields& options, const ProviderRow& row, EndpointDraft& endpoint) {
  const std::optional<std::string> url = options.Text("upstream_url");
  if (url) {
    const std::optional<std::string> base = BaseOfOperation(*url);
    endpoint.url = base.value_or(*url);
    if (!base) {
      options.report().Differs(
          options.At("upstream_url"),
          "the path of the operation is added to it here, as the provider's API has it");
    }
  } else if (endpoint.url.empty() && !row.url.empty()) {
    endpoint.url = row.url;
  }
  options.NoEqual({"upstream_path"}, "the dialect of the provider says the path");
  if (endpoint.url.empty()) {
    options.report().Error(options.At("upstream_url"), "is missing; it says where the model is");
    return false;
  }
  return true;
}

bool ReadOptions(Fields& model, Fields& options, Model& out) {
  out.row = ReadProvider(model, options);
  if (out.row == nullptr) {
    return false;
  }
  out.endpoint.provider = out.row->provider;
  out.endpoint.name = out.row->provider;
  bool is_good = true;
  if (out.endpoint.provider == "azure") {
    is_good = ReadAzure(options, out.endpoint);
  } else if (out.endpoint.provider == "bedrock") {
    is_good = ReadBedrock(options, out.endpoint);
  } else if (out.endpoint.provider == "gemini") {
    is_good = ReadGemini(options);
  }
  is_good = is_good && ReadUpstreamUrl(options, *out.row, out.endpoint);
  ReadDefaults(options, out.defaults);
  if (const auto version = options.Text("anthropic_version")) {
    out.endpoint.options["apiVersion"] = *version;
  }
  options.NoEqual({"input_cost", "output_cost"}, "Rota does not count costs");
  options.NoEqual({"embeddings_dimensions", "huggingface", "cohere", "databricks", "dashscope"},
                  "Rota does not send it");
  options.Finish();
  return is_good;
}

std::optional<Model> ReadModel(Fields& target, Report& report) {
  static const auto* const kNone = new nlohmann::json(nlohmann::json::object());
  std::optional<Fields> model = target.Map("model");
  if (!model) {
    report.Error(target.At("model"), "is missing");
    return std::nullopt;
  }
  Model out;
  const nlohmann::json* const options_value = model->Find("options");
  Fields options(options_value == nullptr ? *kNone : *options_value, model->At("options"), report);
  bool is_good = ReadOptions(*model, options, out);
  out.name = model->Text("name").value_or("");
  if (out.name.empty()) {
    report.Error(model->At("name"),
                 "is missing: there the client names the model, here a target does");
    is_good = false;
  }
  if (model->Has("model_alias") || model->Has("alias")) {
    for (const char* const key : {"model_alias", "alias"}) {
      model->NoEqual({key},
                     "requests are not routed by the model that they name: every target of "
                     "the rotation gets its share");
    }
  }
  model->Finish();
  return is_good ? std::optional<Model>(std::move(out)) : std::nullopt;
}

// A key in a header or in the query; null when there is none. False: it cannot be sent from here.
bool ReadPlainKey(Fields& auth, const KongScope& scope, const std::string& wished,
                  OrderedJson& security) {
  const bool in_query = !auth.Has("header_name") && auth.Has("param_name");
  const std::string name = auth.Text(in_query ? "param_name" : "header_name").value_or("");
  const std::string value = auth.Text(in_query ? "param_value" : "header_value").value_or("");
  const std::string place = auth.Text("param_location").value_or("query");
  if (name.empty() || value.empty()) {
    return true;
  }
  if (in_query && place != "query") {
    scope.report.Error(auth.At("param_location"),
                       "a key in the body has no equal; use the provider's header");
    return false;
  }
  const bool is_authorization = absl::EqualsIgnoreCase(name, "authorization");
  const KeySource source = ReadKeySource(value, is_authorization);
  security = KeySecurity(scope.secrets.Use({{"apiKey", source}}, wished), name, in_query);
  return true;
}

// What `auth` holds beside a plain key. False when the model cannot be reached without it.
bool ReadIdentities(Fields& auth, Report& report) {
  bool is_good = true;
  if (auth.Bool("allow_override").value_or(false)) {
    report.NoEqual(auth.At("allow_override"),
                   "a client's own credential never reaches a provider here");
  }
  for (const char* const key : {"azure_use_managed_identity", "gcp_use_service_account"}) {
    if (auth.Bool(key).value_or(false)) {
      report.Error(auth.At(key), "has no equal; use a key of the provider");
      is_good = false;
    }
  }
  auth.NoEqual({"azure_client_id", "azure_client_secret", "azure_tenant_id",
                "gcp_service_account_json", "gcp_metadata_url", "gcp_oauth_token_url"},
               "belongs to an identity that Rota cannot take on");
  return is_good;
}

// `auth`. False when the model cannot be reached with what Rota can send.
bool ReadAuth(Fields& target, Model& model, const KongScope& scope) {
  static const auto* const kNone = new nlohmann::json(nlohmann::json::object());
  const nlohmann::json* const value = target.Find("auth");
  Fields auth(value == nullptr ? *kNone : *value, target.At("auth"), scope.report);
  const std::string wished = absl::StrCat(scope.api, "-", model.endpoint.name);
  bool is_good = ReadPlainKey(auth, scope, wished, model.endpoint.security);
  is_good = ReadIdentities(auth, scope.report) && is_good;
  const AwsKeyFields aws = {"aws_access_key_id", "aws_secret_access_key", ""};
  const bool may_sign = model.endpoint.provider == "bedrock" && model.endpoint.security.is_null();
  if (may_sign && HasAwsKey(auth, aws)) {
    is_good = ReadAwsKey(auth, aws, wished, scope.secrets, model.endpoint.security) && is_good;
  } else {
    auth.NoEqual({"aws_access_key_id", "aws_secret_access_key"},
                 "is of no use beside another key, or to another provider");
  }
  auth.Finish();
  const bool has_key = !model.endpoint.security.is_null();
  if (is_good && !has_key && !model.row->url.empty()) {
    scope.report.Differs(target.At("auth"),
                         "there is no key, so requests go out without one; a client's own "
                         "credential is never passed on here");
  }
  return is_good;
}

}  // namespace

bool ImportKongTarget(Fields& target, int64_t weight, const OrderedJson& resiliency,
                      const KongScope& scope) {
  std::optional<Model> model = ReadModel(target, scope.report);
  target.NoEqual({"logging"}, "logs and metrics are the data plane's own");
  if (!model || !ReadAuth(target, *model, scope)) {
    return false;
  }
  model->endpoint.resiliency = resiliency;
  const std::string endpoint = scope.builder.UseEndpoint(model->endpoint);
  OrderedJson entry = {{"model", model->name}, {"endpoint", endpoint}, {"weight", weight}};
  if (!model->defaults.empty()) {
    entry["defaults"] = std::move(model->defaults);
  }
  scope.builder.AddTarget(std::move(entry));
  scope.report.Mapped(target.place(),
                      absl::StrCat("model ", Quoted(model->name), " at the endpoint ", endpoint));
  return true;
}

}  // namespace rota::importer
