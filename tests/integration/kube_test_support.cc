#include "tests/integration/kube_test_support.h"

#include <condition_variable>
#include <mutex>

namespace rota::testing {

using nlohmann::json;

bool Eventually(const std::function<bool()>& condition, int seconds) {
  RealClock clock;
  std::mutex mutex;
  std::condition_variable_any never;
  std::unique_lock lock(mutex);
  const MonotonicTime deadline = clock.Now() + std::chrono::seconds(seconds);
  while (!condition()) {
    if (clock.Now() > deadline) {
      return false;
    }
    clock.WaitUntil(lock, never, clock.Now() + std::chrono::milliseconds(2), {});
  }
  return true;
}

json Widget(const std::string& name, int size) {
  return {{"apiVersion", "test.rota.dev/v1"},
          {"kind", "Widget"},
          {"metadata", {{"name", name}}},
          {"spec", {{"size", size}}}};
}

json SecretManifest(const std::string& name, const std::string& base64_value) {
  return {{"apiVersion", "v1"},
          {"kind", "Secret"},
          {"metadata", {{"name", name}}},
          {"data", {{"apiKey", base64_value}}}};
}

json WidgetDefinition() {
  const json text = {{"type", "string"}};
  const json condition = {{"type", "object"},
                          {"required", {"type", "status"}},
                          {"properties",
                           {{"type", text},
                            {"status", text},
                            {"reason", text},
                            {"message", text},
                            {"lastTransitionTime", text}}}};
  const json status = {{"type", "object"},
                       {"properties",
                        {{"note", text},
                         {"conditions",
                          {{"type", "array"},
                           {"items", condition},
                           {"x-kubernetes-list-type", "map"},
                           {"x-kubernetes-list-map-keys", {"type"}}}}}}};
  const json spec = {{"type", "object"}, {"properties", {{"size", {{"type", "integer"}}}}}};
  const json version = {
      {"name", "v1"},
      {"served", true},
      {"storage", true},
      {"subresources", {{"status", json::object()}}},
      {"schema",
       {{"openAPIV3Schema",
         {{"type", "object"}, {"properties", {{"spec", spec}, {"status", status}}}}}}}};
  return {{"apiVersion", "apiextensions.k8s.io/v1"},
          {"kind", "CustomResourceDefinition"},
          {"metadata", {{"name", "widgets.test.rota.dev"}}},
          {"spec",
           {{"group", "test.rota.dev"},
            {"scope", "Namespaced"},
            {"names", {{"plural", "widgets"}, {"singular", "widget"}, {"kind", "Widget"}}},
            {"versions", json::array({version})}}}};
}

}  // namespace rota::testing
