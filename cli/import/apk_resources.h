#pragma once

// APK's custom resources -> APIs: an API names its HTTPRoutes, their rules name Backends, policies
// name what they are for.
//
// Not thread-safe.

#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "cli/import/apk_api.h"
#include "cli/import/source.h"

namespace rota::importer {

class ApkResources {
 public:
  explicit ApkResources(Imported& imported) : imported_(imported) {}

  // One object, or a List of them. Other kinds are reported. Values outlive this object.
  void Add(const nlohmann::json& object, const Place& place);
  void Import();

 private:
  using Json = nlohmann::json;
  struct Object {
    const Json* value = nullptr;
    Place place;
    std::string name;
    std::string ns;
    bool is_used = false;
  };
  // Endpoints of one environment, and where they were first named.
  struct Environment {
    std::string name;  // "production"
    Json endpoints = Json::array();
    std::set<std::string> backends;
  };

  Object* FindObject(const std::string& kind, const std::string& name, const std::string& ns);
  void ImportApi(Object& object);
  // Operations and endpoints of an environment's routes.
  void AddRoutes(Fields& spec, const Object& api, Environment& environment, Json& operations);
  void AddRule(const Fields::Item& rule, const Object& api, Environment& environment,
               Json& operations);
  void AddMatch(const Fields::Item& match, Json& operations);
  void ReadFilters(Fields& rule, const Object& api);
  void AddBackend(const std::string& name, const Object& api, const Place& place,
                  Environment& environment);
  Json EndpointOf(Object& backend);
  void AddSecurity(Fields& spec, Json& endpoint);
  void AddResiliency(Fields& spec, Json& endpoint);
  // Everything that policies say of the API.
  // False: one of them makes the API something that Rota must not serve.
  bool AddPolicies(const Object& api, std::vector<Environment>& environments, Json& out);
  bool AddPolicy(Fields& policy, const Object& api, std::vector<Environment>& environments,
                 Json& out);
  void AddModels(Fields& round_robin, const Object& api, std::vector<Environment>& environments,
                 Json& out);
  Json ModelsOf(Fields& round_robin, const std::string& key, const Object& api,
                Environment& environment);
  void AddProvider(const std::string& name, const Object& api, const Place& place, Json& out);
  void ReportUnused();
  Report& report() { return imported_.report; }

  Imported& imported_;
  std::map<std::string, std::vector<Object>> objects_;  // by kind
};

}  // namespace rota::importer
