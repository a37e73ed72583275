#include "cli/import/agentcc.h"

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "cli/import/api_builder.h"
#include "cli/import/providers.h"
#include "cli/import/secret_book.h"

namespace rota::importer {
namespace {

using Json = nlohmann::json;

constexpr int64_t kMaxNumber = 1'000'000;
constexpr int64_t kMaxAttempts = 5;
constexpr size_t kMaxTiers = 16;

enum class Strategy { kEqual, kWeighted, kTiers };

std::optional<Strategy> ReadStrategy(Fields& fields, const std::string& key,
                                     const std::string& otherwise) {
  const std::string strategy = fields.Text(key).value_or(otherwise);
  if (strategy.empty() || strategy == "round-robin") {
    return Strategy::kEqual;
  }
  if (strategy == "weighted") {
    return Strategy::kWeighted;
  }
  if (strategy == "cost-optimized") {
    fields.report().Mapped(fields.At(key), "targets of a smaller `priority` are used first: tiers");
    return Strategy::kTiers;
  }
  if (strategy == "least-latency" || strategy == "adaptive") {
    fields.report().Differs(
        fields.At(key),
        absl::StrCat(Quoted(strategy), " is no rotation: every target gets the same share here"));
    return Strategy::kEqual;
  }
  fields.report().Error(fields.At(key), absl::StrCat("there is no strategy ", Quoted(strategy),
                                                     "; round-robin, weighted and cost-optimized "
                                                     "are imported"));
  return std::nullopt;
}

// What holds for every policy of the files.
struct Resilience {
  OrderedJson parameters = OrderedJson::object();
  bool has_breaker = false;
};

class AgentCommandCenterImporter {
 public:
  explicit AgentCommandCenterImporter(Imported& out) : out_(out), secrets_(out.secrets) {}

  void Collect(const SourceDocument& document) {
    Fields file(document.root, {&document}, out_.report);
    if (std::optional<Fields> providers = file.Map("providers")) {
      for (const std::string& name : providers->Keys()) {
        if (const Json* const value = providers->Find(name)) {
          providers_.try_emplace(name, Provider{value, providers->At(name), false});
        }
      }
    }
    if (file.Has("routing_policy")) {
      for (const Fields::Item& item : file.List("routing_policy")) {
        policies_.push_back(item);
      }
    }
    if (std::optional<Fields> routing = file.Map("routing")) {
      CollectRouting(*routing);
    }
    file.NoEqual({"model_map"}, "clients use an API's path; any model that they name is replaced");
    file.NoEqual({"auth", "rbac", "budgets", "ip_acl", "rate_limiting", "guardrails"},
                 "callers and contents are not checked or limited here yet");
    file.NoEqual({"server", "cache", "cost_tracking", "logging", "admin", "cors", "audit",
                  "alerting", "privacy", "tool_policy", "mcp", "a2a"},
                 "of the other gateway's own process");
    file.Finish();
  }

  void Import() {
    for (const Fields::Item& policy : policies_) {
      ImportPolicy(policy);
    }
    for (const ModelRoute& route : models_) {
      ImportModelRoute(route);
    }
    for (const auto& [name, provider] : providers_) {
      if (!provider.is_used) {
        out_.report.NoEqual(provider.place, "no policy of the files uses the provider");
      }
    }
    if (policies_.empty() && models_.empty()) {
      out_.report.Error({}, "the files hold no routing_policy and no routing.targets");
    }
  }

 private:
  struct Provider {
    const Json* value = nullptr;
    Place place;
    bool is_used = false;
  };
  struct ModelRoute {
    std::string model;
    std::vector<Fields::Item> targets;
    Strategy strategy = Strategy::kEqual;
    Place place;
  };

  void CollectRouting(Fields& routing) {
    const std::optional<Strategy> strategy = ReadStrategy(routing, "default_strategy", "");
    if (std::optional<Fields> targets = routing.Map("targets")) {
      for (const std::string& model : targets->Keys()) {
        if (strategy) {
          models_.push_back({model, targets->List(model), *strategy, targets->At(model)});
        }
        targets->Find(model);
      }
    }
    ReadFailover(routing);
    ReadBreaker(routing);
    routing.NoEqual({"retry"}, "one request tries each target once, and none twice");
    routing.NoEqual({"model_fallbacks"}, "put such models into the policy's targets, in a `tier`");
    routing.NoEqual({"model_timeouts"}, "time-outs are the endpoint's: resiliency.timeout");
    routing.NoEqual({"mirror", "conditional_routes"},
                    "every request goes to one target, by its turn");
    routing.Finish();
  }

  void ReadFailover(Fields& routing) {
    std::optional<Fields> failover = routing.Map("failover");
    if (!failover) {
      return;
    }
    const bool is_enabled = failover->Bool("enabled").value_or(true);
    const int64_t attempts = failover->Whole("max_attempts", 1, kMaxNumber).value_or(3);
    resilience_.parameters["retry"]["attempts"] =
        is_enabled ? std::min(attempts, kMaxAttempts) : int64_t{1};
    failover->NoEqual({"on_status_codes", "on_timeout"},
                      "here quota, 5xx answers and refused connections always fail over, and a "
                      "timeout before the first byte does not");
    failover->Finish();
  }

  void ReadBreaker(Fields& routing) {
    std::optional<Fields> breaker = routing.Map("circuit_breaker");
    if (!breaker) {
      return;
    }
    resilience_.has_breaker = true;
    OrderedJson& passive = resilience_.parameters["healthChecks"]["passive"];
    if (breaker->Bool("enabled").value_or(false)) {
      passive["threshold"] = breaker->Whole("failure_threshold", 1, 1000).value_or(5);
      passive["interval"] = breaker->Text("cooldown").value_or("30s");
      breaker->NoEqual({"success_threshold"}, "a target is back when its time is over");
    } else {
      passive["enabled"] = false;
      breaker->NoEqual({"failure_threshold", "cooldown", "success_threshold"},
                       "the circuit breaker is switched off");
    }
    breaker->Finish();
  }

  void ImportPolicy(const Fields::Item& item) {
    Fields policy(*item.value, item.place, out_.report);
    const std::string wished = policy.Text("name").value_or("");
    const std::optional<Strategy> strategy = ReadStrategy(policy, "strategy", "");
    const std::vector<Fields::Item> targets = policy.List("targets");
    policy.NoEqual({"condition", "conditions", "fallbacks", "timeout"},
                   "every request goes to one target, by its turn");
    policy.Bookkeeping({"id", "description", "created_at", "updated_at"});
    policy.Finish();
    if (strategy) {
      ImportTargets(wished, "", targets, *strategy, item.place);
    }
  }

  void ImportModelRoute(const ModelRoute& route) {
    ImportTargets(route.model, route.model, route.targets, route.strategy, route.place);
  }

  // `model`: of targets that name none.
  void ImportTargets(const std::string& wished, const std::string& model,
                     const std::vector<Fields::Item>& items, Strategy strategy,
                     const Place& place) {
    const std::string name =
        UniqueName(NameFrom(wished, "policy"), [this](const std::string& candidate) {
          return std::any_of(out_.apis.begin(), out_.apis.end(),
                             [&](const ImportedApi& api) { return api.name == candidate; });
        });
    ApiBuilder builder(name, "/" + name, "v1");
    builder.parameters() = resilience_.parameters;
    for (const Fields::Item& item : items) {
      Fields target(*item.value, item.place, out_.report);
      ImportTarget(target, model, strategy, builder);
    }
    if (!builder.has_targets()) {
      out_.report.Error(place, "no target of it could be imported");
      return;
    }
    SettleTiers(strategy, builder.targets());
    if (!FitWeights(builder.targets())) {
      out_.report.Differs(place, "weights above 10000 were made smaller in proportion");
    }
    builder.AddOperation("/chat/completions", "chat", /*is_secured=*/true);
    out_.apis.push_back(builder.Build());
    out_.report.Mapped(place,
                       absl::StrCat("API ", name, ": POST /", name, "/chat/completions and /", name,
                                    "/v1/chat/completions"));
    out_.report.Differs(place,
                        "there 401 is passed on; here it fails over and takes the target off the "
                        "rota, because its own key is refused. A timeout fails over there and not "
                        "here");
    if (!resilience_.has_breaker) {
      out_.report.Differs(place,
                          "no circuit_breaker is configured: Rota's own counts (3 failures in "
                          "a row, 60 s)");
    }
  }

  void ImportTarget(Fields& target, const std::string& route_model, Strategy strategy,
                    ApiBuilder& builder) {
    const std::string provider = target.Text("provider").value_or("");
    const std::string model = target.Text(target.Has("model_override") ? "model_override" : "model")
                                  .value_or(route_model);
    int64_t weight = target.Whole("weight", 0, kMaxNumber).value_or(1);
    const int64_t priority = target.Whole("priority", 0, kMaxNumber).value_or(0);
    target.Find("model");
    if (weight == 0) {
      out_.report.Mapped(target.At("weight"), "0 counts as 1 there, and is 1 here");
      weight = 1;
    }
    if (strategy != Strategy::kWeighted && weight != 1) {
      out_.report.Mapped(target.At("weight"), "the strategy there does not look at it");
    }
    target.Finish();
    if (provider.empty() || model.empty()) {
      out_.report.Error(target.place(), "needs a provider and a model");
      return;
    }
    const std::optional<EndpointDraft> endpoint = EndpointOf(provider, target.At("provider"));
    if (!endpoint) {
      return;
    }
    OrderedJson entry = {{"model", model},
                         {"endpoint", builder.UseEndpoint(*endpoint)},
                         {"weight", strategy == Strategy::kWeighted ? weight : 1}};
    if (strategy == Strategy::kTiers) {
      entry["tier"] = priority;  // settled when all are known
    }
    builder.AddTarget(std::move(entry));
    out_.report.Mapped(target.place(), absl::StrCat("model ", Quoted(model), " of ", provider));
  }

  // Priorities become tiers, the smallest first.
  static void SettleTiers(Strategy strategy, OrderedJson& targets) {
    if (strategy != Strategy::kTiers) {
      return;
    }
    std::set<int64_t> priorities;
    for (const OrderedJson& target : targets) {
      priorities.insert(target["tier"].get<int64_t>());
    }
    for (OrderedJson& target : targets) {
      const auto at = priorities.find(target["tier"].get<int64_t>());
      const auto rank = static_cast<size_t>(std::distance(priorities.begin(), at)) + 1;
      target["tier"] = std::min(rank, kMaxTiers);
    }
  }

  std::optional<EndpointDraft> EndpointOf(const std::string& name, const Place& place) {
    const auto known = providers_.find(name);
    if (known != providers_.end()) {
      known->second.is_used = true;
      return DefinedEndpoint(name, known->second);
    }
    const ProviderRow* const row = GuessProvider(name);
    if (row == nullptr || row->url.empty()) {
      out_.report.Error(
          place, absl::StrCat("no file defines the provider ", Quoted(name),
                              "; add the file with `providers`, or --provider ", name, "=URL"));
      return std::nullopt;
    }
    out_.report.Differs(place,
                        absl::StrCat("no file defines ", Quoted(name), "; by its name it is ",
                                     std::string(row->provider), " at ", std::string(row->url),
                                     ", with a key of its own"));
    EndpointDraft draft;
    draft.name = name;
    draft.url = row->url;
    draft.provider = row->provider;
    draft.security = KeySecurity(SecretOf(name, ""), row->header);
    return draft;
  }

  // The Secret with the provider's key. Without a value in the files, each provider has its own.
  std::string SecretOf(const std::string& provider, const std::string& value) {
    KeySource source = ReadKeySource(value, true);
    if (value.empty()) {
      source.origin = "not in the files";
      source.identity = "of the provider " + provider;
    }
    return secrets_.Use({{"apiKey", source}}, provider);
  }

  std::optional<EndpointDraft> DefinedEndpoint(const std::string& name, const Provider& provider) {
    Fields fields(*provider.value, provider.place, out_.report);
    const std::string format = fields.Text("api_format").value_or("");
    const std::string type = fields.Text("type").value_or("");
    const std::string key = fields.Text("api_key").value_or("");
    const std::string spelling = !type.empty() ? type : format;
    const ProviderRow* const row = FindProvider(spelling.empty() ? "openai" : spelling);
    if (row == nullptr) {
      out_.report.Error(fields.At(type.empty() ? "api_format" : "type"),
                        absl::StrCat(Quoted(spelling), " is no provider that Rota can speak to"));
      return std::nullopt;
    }
    EndpointDraft draft;
    draft.name = name;
    draft.provider = row->provider;
    draft.url = fields.Text("base_url").value_or(std::string(row->url));
    // Theirs is the host; OpenAI's paths begin with the version.
    const bool is_bare = draft.url.find('/', draft.url.find("://") + 3) == std::string::npos;
    if (format == "openai" && is_bare && !draft.url.empty()) {
      draft.url += "/v1";
      if (draft.provider == "ollama") {
        draft.options["format"] = "openai";
      }
    }
    std::string header(row->header);
    const bool is_good = ReadHeaders(fields, draft, header);
    if (!key.empty() && !header.empty()) {
      draft.security = KeySecurity(SecretOf(name, key), header);
    }
    if (const auto timeout = fields.Text("default_timeout")) {
      draft.resiliency = {{"timeout", {{"upstreamResponseTimeout", *timeout}}}};
      out_.report.Differs(fields.At("default_timeout"),
                          "of the whole request there, until the first byte of the answer here");
    }
    fields.NoEqual({"models"}, "the policy's targets say which models are used");
    fields.NoEqual({"max_concurrent", "conn_pool_size"}, "the data plane's limits hold");
    fields.NoEqual({"skip_tls"}, "certificates are always checked; name the CA in `certificate`");
    fields.NoEqual({"local", "auto_discover"}, "models are not looked up");
    fields.Finish();
    if (draft.url.empty()) {
      out_.report.Error(fields.At("base_url"), "is missing; it says where the provider is");
    }
    return is_good && !draft.url.empty() ? std::optional<EndpointDraft>(std::move(draft))
                                         : std::nullopt;
  }

  // Options that are headers there. False: the provider cannot be reached with a plain key.
  bool ReadHeaders(Fields& fields, EndpointDraft& draft, std::string& key_header) {
    std::optional<Fields> headers = fields.Map("headers");
    if (!headers) {
      return true;
    }
    bool is_good = true;
    for (const std::string& name : headers->Keys()) {
      const std::string value = headers->Text(name).value_or("");
      if (name == "anthropic-version" || name == "api-version") {
        draft.options["apiVersion"] = value;
      } else if (name == "x-aws-region") {
        draft.options["region"] = value;
      } else if (name == "auth-type" && value == "bearer") {
        key_header = "Authorization";
      } else if (name == "x-gcp-project" || name == "x-gcp-location") {
        out_.report.Error(headers->At(name),
                          "Vertex AI is not supported; use a key of the Gemini API");
        is_good = false;
      } else {
        out_.report.NoEqual(headers->At(name), "no header is added to requests");
      }
    }
    return is_good;
  }

  Imported& out_;
  SecretBook secrets_;
  std::map<std::string, Provider> providers_;
  std::vector<Fields::Item> policies_;
  std::vector<ModelRoute> models_;
  Resilience resilience_;
};

}  // namespace

Imported ImportAgentCommandCenter(const std::vector<SourceDocument>& documents) {
  Imported out;
  AgentCommandCenterImporter importer(out);
  for (const SourceDocument& document : documents) {
    importer.Collect(document);
  }
  importer.Import();
  KeepUsedSecrets(out);
  return out;
}

absl::StatusOr<SourceDocument> ProvidersFromFlags(const std::vector<std::string>& flags) {
  SourceDocument document;
  document.file = "--provider";
  document.root = {{"providers", Json::object()}};
  for (const std::string& flag : flags) {
    const size_t equals = flag.find('=');
    const std::vector<std::string> parts =
        absl::StrSplit(equals == std::string::npos ? "" : flag.substr(equals + 1), ',');
    if (equals == 0 || equals == std::string::npos || parts.front().empty() || parts.size() > 3) {
      return absl::InvalidArgumentError(
          absl::StrCat("--provider ", flag,
                       ": write NAME=URL, NAME=URL,FORMAT or NAME=URL,FORMAT,VARIABLE, as in "
                       "openai-east=https://api.openai.com/v1,openai,OPENAI_EAST_KEY"));
    }
    Json& provider = document.root["providers"][flag.substr(0, equals)];
    provider = {{"base_url", parts[0]}, {"api_format", parts.size() > 1 ? parts[1] : "openai"}};
    if (parts.size() > 2) {
      provider["api_key"] = absl::StrCat("${", parts[2], "}");
    }
  }
  return document;
}

}  // namespace rota::importer
