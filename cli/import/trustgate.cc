#include "cli/import/trustgate.h"

#include <algorithm>
#include <map>
#include <optional>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "cli/import/api_builder.h"
#include "cli/import/secret_book.h"
#include "cli/import/trustgate_target.h"

namespace rota::importer {
namespace {

using Json = nlohmann::json;

constexpr int64_t kMaxWeightThere = 1'000'000;
constexpr int64_t kMaxAttempts = 5;
constexpr int64_t kTierOfFallback = 2;

// What the paths of an upstream's targets are, told from the first one.
std::string KindOfPath(const std::string& path) {
  if (absl::EndsWith(path, "/embeddings")) return "embeddings";
  const bool is_text =
      absl::EndsWith(path, "/completions") && !absl::EndsWith(path, "/chat/completions");
  return is_text ? "completions" : "chat";
}

std::string BelowOf(const std::string& kind) {
  return kind == "chat" ? "/chat/completions" : "/" + kind;
}

// A weight that counts: 0 serves as 1 there.
int64_t WeightOf(Fields& fields, int64_t otherwise) {
  const int64_t weight = fields.Whole("weight", 0, kMaxWeightThere).value_or(otherwise);
  if (weight == 0) {
    fields.report().Mapped(fields.At("weight"), "0 serves as 1 there, and is 1 here");
    return 1;
  }
  return weight;
}

// {model, endpoint, weight} and what a client may ask for beside the default.
OrderedJson MakeTarget(const std::string& model, const std::string& endpoint, int64_t weight,
                       const std::vector<std::string>& models) {
  OrderedJson target = {{"model", model}, {"endpoint", endpoint}, {"weight", weight}};
  const bool has_others = std::any_of(models.begin(), models.end(),
                                      [&](const std::string& other) { return other != model; });
  if (has_others) {
    target["allowedModels"] = models;
  }
  return target;
}

class TrustGateImporter {
 public:
  explicit TrustGateImporter(Imported& out) : out_(out), secrets_(out.secrets) {}

  // An object, or a list of them.
  void Collect(const Json& value, const Place& place) {
    if (value.is_array()) {
      for (size_t i = 0; i < value.size(); ++i) {
        Collect(value[i], place.Index(i));
      }
    } else if (value.is_object() && value.contains("targets")) {
      upstreams_.push_back({&value, place});
    } else if (value.is_object() && value.contains("lb_config")) {
      consumers_.push_back({&value, place});
      CollectRegistries(value, place);
    } else if (value.is_object() && value.contains("provider")) {
      AddRegistry({&value, place});
    } else if (value.is_object() && (value.contains("upstreams") || value.contains("consumers"))) {
      CollectGroups(value, place);
    } else {
      out_.report.Error(place,
                        "is neither an upstream (targets), nor a consumer (lb_config), nor a "
                        "registry (provider)");
    }
  }

  void Import() {
    for (const Fields::Item& upstream : upstreams_) {
      ImportUpstream(upstream);
    }
    for (const Fields::Item& consumer : consumers_) {
      ImportConsumer(consumer);
    }
    for (const auto& [id, registry] : registries_) {
      if (!registry.is_used) {
        out_.report.NoEqual(registry.item.place, "no consumer of the files uses the registry");
      }
    }
  }

 private:
  struct Registry {
    Fields::Item item;
    bool is_used = false;
  };

  void CollectGroups(const Json& value, const Place& place) {
    Fields file(value, place, out_.report);
    for (const char* const key : {"upstreams", "registries", "consumers"}) {
      for (const Fields::Item& item : file.List(key)) {
        Collect(*item.value, item.place);
      }
    }
    file.Finish();
  }

  // Those that a consumer holds itself.
  void CollectRegistries(const Json& value, const Place& place) {
    const auto list = value.find("registries");
    if (list == value.end() || !list->is_array()) {
      return;
    }
    for (size_t i = 0; i < list->size(); ++i) {
      if ((*list)[i].is_object() && (*list)[i].contains("provider")) {
        AddRegistry({&(*list)[i], place.Key("registries").Index(i)});
      }
    }
  }

  // By its id, and by its name where a file was written by hand.
  void AddRegistry(const Fields::Item& item) {
    for (const char* const key : {"id", "name"}) {
      const auto id = item.value->find(key);
      if (id != item.value->end() && id->is_string()) {
        registries_.try_emplace(id->get<std::string>(), Registry{item, false});
        return;
      }
    }
    out_.report.Error(item.place, "a registry without id and name; consumers cannot refer to it");
  }

  std::string NameOf(Fields& fields, const char* fallback) {
    return UniqueName(
        NameFrom(fields.Text("name").value_or(""), fallback), [this](const std::string& candidate) {
          return std::any_of(out_.apis.begin(), out_.apis.end(),
                             [&](const ImportedApi& a) { return a.name == candidate; });
        });
  }

  void Publish(ApiBuilder& builder, const std::string& name, const std::string& kind,
               const Place& place) {
    if (!builder.has_targets()) {
      out_.report.Error(place, "no target of it could be imported");
      return;
    }
    if (!FitWeights(builder.targets())) {
      out_.report.Differs(place, "weights above 10000 were made smaller in proportion");
    }
    builder.AddOperation(BelowOf(kind), kind, /*is_secured=*/true);
    out_.apis.push_back(builder.Build());
    out_.report.Mapped(place, absl::StrCat("API ", name, ": POST /", name, BelowOf(kind), " and /",
                                           name, "/v1", BelowOf(kind)));
    out_.report.Differs(
        place, absl::StrCat("the file does not say the path that clients use; it is /", name,
                            " here, change basePath to the path of your rule"));
  }

  void ImportUpstream(const Fields::Item& item) {
    Fields upstream(*item.value, item.place, out_.report);
    const std::string name = NameOf(upstream, "upstream");
    ApiBuilder builder(name, "/" + name, "v1");
    const std::optional<TrustGateShares> shares = ReadTrustGateAlgorithm(upstream);
    ReadTrustGateHealth(upstream, builder.parameters());
    std::string kind;
    for (const Fields::Item& target_item : upstream.List("targets")) {
      Fields target(*target_item.value, target_item.place, out_.report);
      if (kind.empty()) {
        kind = KindOfPath(target.Text("path").value_or(""));
      }
      ImportTarget(target, shares.value_or(TrustGateShares::kEqual), name, builder);
    }
    upstream.NoEqual({"embedding_config"}, "belongs to an algorithm that Rota does not have");
    upstream.NoEqual({"websocket_config"}, "Rota serves no websockets");
    upstream.NoEqual({"proxy"}, "requests go out directly");
    upstream.Bookkeeping({"id", "gateway_id", "tags", "created_at", "updated_at"});
    upstream.Finish();
    if (shares) {
      Publish(builder, name, kind, item.place);
    }
  }

  void ImportTarget(Fields& target, TrustGateShares shares, const std::string& api,
                    ApiBuilder& builder) {
    const std::vector<std::string> models = target.Texts("models");
    const std::string model =
        target.Text("default_model").value_or(models.empty() ? "" : models.front());
    const int64_t weight = WeightOf(target, 1);
    const int64_t priority = target.Whole("priority", 0, kMaxWeightThere).value_or(1);
    if (priority != 1) {
      out_.report.Differs(
          target.At("priority"),
          "no algorithm there acts on it, so it is left out; set `tier` to use some "
          "targets only when others are away");
    }
    const std::optional<EndpointDraft> endpoint = ReadTrustGateEndpoint(target, api, secrets_);
    target.NoEqual({"stream"}, "the client says whether it wants a stream");
    target.NoEqual({"description"}, "belongs to an algorithm that Rota does not have");
    target.Bookkeeping({"id", "tags"});
    if (endpoint) {
      target.Finish();
    }
    if (model.empty()) {
      out_.report.Error(target.At("default_model"), "is missing; a target needs a model");
      return;
    }
    if (!endpoint) {
      return;
    }
    builder.AddTarget(MakeTarget(model, builder.UseEndpoint(*endpoint),
                                 shares == TrustGateShares::kByWeight ? weight : 1, models));
    out_.report.Mapped(target.place(), absl::StrCat("model ", Quoted(model)));
  }

  void ImportConsumer(const Fields::Item& item) {
    Fields consumer(*item.value, item.place, out_.report);
    const std::string name = NameOf(consumer, "consumer");
    ApiBuilder builder(name, "/" + name, "v1");
    std::optional<Fields> config = consumer.Map("lb_config");
    if (config && !config->Bool("enabled").value_or(true)) {
      out_.report.Error(config->At("enabled"), "is false: nothing there shares requests out");
      return;
    }
    std::optional<TrustGateShares> shares;
    if (config) {
      shares = ReadTrustGateAlgorithm(*config);
      for (const Fields::Item& member : config->List("members")) {
        ImportMember(member, shares.value_or(TrustGateShares::kEqual), name, builder);
      }
      config->NoEqual({"pool_alias"}, "clients use the API's path, and any model's name");
      config->NoEqual({"embedding_config", "smart_routing"},
                      "belongs to an algorithm that Rota does not have");
      config->Finish();
    }
    ImportFallback(consumer, name, builder);
    if (!builder.parameters().contains("healthChecks")) {
      ReadTrustGateHealth(consumer, builder.parameters());
    }
    consumer.Find("registries");
    consumer.NoEqual({"model_policies"},
                     "`allowedModels` of each target says what a client may ask for");
    consumer.NoEqual({"auths", "auth", "audience", "policies", "plugins"},
                     "callers are not told apart or checked here yet");
    consumer.Bookkeeping(
        {"id", "gateway_id", "slug", "type", "active", "tags", "created_at", "updated_at"});
    consumer.Finish();
    if (shares) {
      Publish(builder, name, "chat", item.place);
    }
  }

  void ImportMember(const Fields::Item& item, TrustGateShares shares, const std::string& api,
                    ApiBuilder& builder) {
    Fields member(*item.value, item.place, out_.report);
    const std::string id = member.Text("registry_id").value_or("");
    const std::vector<std::string> models = member.Texts("models");
    std::string model = member.Text("model").value_or("");
    const int64_t weight = WeightOf(member, WeightOfRegistry(id));
    member.Finish();
    if (model.empty() && !models.empty()) {
      model = models.front();
      out_.report.Differs(member.At("model"),
                          absl::StrCat("is absent; ", Quoted(model),
                                       ", the first of `models`, answers what a "
                                       "client does not name"));
    }
    AddFromRegistry(id, model, models, shares == TrustGateShares::kByWeight ? weight : 1, 1,
                    member.place(), api, builder);
  }

  // `fallback.chain` is used when the members fail: a tier of its own.
  void ImportFallback(Fields& consumer, const std::string& api, ApiBuilder& builder) {
    std::optional<Fields> fallback = consumer.Map("fallback");
    if (!fallback) {
      return;
    }
    const bool is_enabled = fallback->Bool("enabled").value_or(true);
    for (const std::string& trigger : fallback->Texts("triggers")) {
      if (trigger == "plugin_rejection") {
        out_.report.NoEqual(fallback->At("triggers"),
                            "plugin_rejection: there are no plugins here");
      }
    }
    if (is_enabled) {
      out_.report.Differs(fallback->At("triggers"),
                          "here quota, 5xx answers and refused connections always fail over, and a "
                          "timeout before the first byte does not");
      for (const Fields::Item& link : fallback->List("chain")) {
        ImportLink(link, api, builder);
      }
    }
    if (std::optional<Fields> budget = fallback->Map("budget")) {
      const int64_t attempts = budget->Whole("max_attempts", 0, 1000).value_or(0);
      if (is_enabled && attempts > 0) {
        // Theirs are tries after the first one.
        builder.parameters()["retry"]["attempts"] = std::min(attempts + 1, kMaxAttempts);
      }
      budget->NoEqual({"max_total_latency"}, "the time-outs of the endpoints hold");
      budget->NoEqual({"max_cost_usd"}, "Rota does not count costs");
      budget->Finish();
    }
    fallback->Finish();
  }

  // One registry of the chain: by its id, or whole.
  void ImportLink(const Fields::Item& link, const std::string& api, ApiBuilder& builder) {
    std::string id = link.value->is_string() ? link.value->get<std::string>() : "";
    std::vector<std::string> models;
    std::string model;
    if (id.empty()) {
      Fields fields(*link.value, link.place, out_.report);
      id = fields.Text(fields.Has("registry_id") ? "registry_id" : "id").value_or("");
      model = fields.Text("model").value_or("");
      models = fields.Texts("models");
      if (fields.Has("provider")) {
        AddRegistry(link);
      } else {
        fields.Finish();
      }
    }
    if (model.empty()) {
      model = models.empty() ? DefaultModelOf(id) : models.front();
    }
    AddFromRegistry(id, model, models, 1, kTierOfFallback, link.place, api, builder);
  }

  // Of a registry: what members without a weight have.
  int64_t WeightOfRegistry(const std::string& id) {
    const auto found = registries_.find(id);
    if (found == registries_.end()) {
      return 1;
    }
    Fields registry(*found->second.item.value, found->second.item.place, out_.report);
    return WeightOf(registry, 1);
  }

  // The default of the registry's model policies, where it has one.
  std::string DefaultModelOf(const std::string& id) {
    const auto found = registries_.find(id);
    if (found == registries_.end()) {
      return "";
    }
    const Json policies = found->second.item.value->value("model_policies", Json::object());
    return policies.is_object() && policies.contains("default") && policies["default"].is_string()
               ? policies["default"].get<std::string>()
               : "";
  }

  void AddFromRegistry(const std::string& id, const std::string& wished_model,
                       const std::vector<std::string>& models, int64_t weight, int64_t tier,
                       const Place& place, const std::string& api, ApiBuilder& builder) {
    const auto found = registries_.find(id);
    if (found == registries_.end()) {
      out_.report.Error(place,
                        absl::StrCat("the registry ", Quoted(id),
                                     " is in none of the files; add the file that holds it"));
      return;
    }
    found->second.is_used = true;
    const std::string model = wished_model.empty() ? DefaultModelOf(id) : wished_model;
    Fields registry(*found->second.item.value, found->second.item.place, out_.report);
    std::optional<Fields> nested = registry.Map("llm_target");
    Fields& target = nested ? *nested : registry;
    const std::optional<EndpointDraft> endpoint = ReadTrustGateEndpoint(target, api, secrets_);
    if (target.Has("health_checks") && !builder.parameters().contains("healthChecks")) {
      ReadTrustGateHealth(target, builder.parameters());
    }
    if (nested) {
      nested->Finish();
    }
    for (const char* const known : {"id", "name", "weight"}) {
      registry.Find(known);
    }
    registry.NoEqual(
        {"model_policies"},
        "`allowedModels` of each target says what a client may ask for; its default was taken "
        "where no model is named");
    registry.Bookkeeping({"gateway_id", "description", "type", "created_at", "updated_at"});
    registry.Finish();
    if (model.empty()) {
      out_.report.Error(place, "names no model; a target needs one");
    }
    if (!endpoint || model.empty()) {
      return;
    }
    OrderedJson entry = MakeTarget(model, builder.UseEndpoint(*endpoint), weight, models);
    if (tier > 1) {
      entry["tier"] = tier;
    }
    builder.AddTarget(std::move(entry));
    out_.report.Mapped(place, absl::StrCat("model ", Quoted(model), tier > 1 ? ", tier 2" : ""));
  }

  Imported& out_;
  SecretBook secrets_;
  std::vector<Fields::Item> upstreams_;
  std::vector<Fields::Item> consumers_;
  std::map<std::string, Registry> registries_;
};

}  // namespace

Imported ImportTrustGate(const std::vector<SourceDocument>& documents) {
  Imported out;
  TrustGateImporter importer(out);
  for (const SourceDocument& document : documents) {
    importer.Collect(document.root, {&document});
  }
  importer.Import();
  KeepUsedSecrets(out);
  return out;
}

}  // namespace rota::importer
