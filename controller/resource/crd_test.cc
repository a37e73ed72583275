// Holds the resource's schema, the decoder's bounds and docs/reference/api.md to each other.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <set>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "controller/resource/decode.h"
#include "controller/resource/decode_gateway.h"
#include "controller/resource/testdata_test.h"
#include "controller/resource/tree.h"
#include "tests/support/paths.h"

namespace rota::resource {
namespace {

using Json = nlohmann::json;

struct Field {
  std::string type;  // as the document writes it
  bool required = false;
  std::string default_value;
};

std::string TypeOf(const Json& schema) {
  if (schema.value("x-kubernetes-int-or-string", false)) {
    return absl::StrCat("duration ", schema.at("minimum").dump(), "..", schema.at("maximum").dump(),
                        " s");
  }
  const std::string type = schema.value("type", "");
  if (type.empty() && schema.value("x-kubernetes-preserve-unknown-fields", false)) {
    return "URL or map";
  }
  if (type == "string") {
    if (schema.contains("enum")) {
      return absl::StrJoin(schema.at("enum").get<std::vector<std::string>>(), ", ");
    }
    if (schema.value("format", "") == "date-time") {
      return "time";
    }
    return schema.contains("maxLength") ? absl::StrCat("text ", schema.value("minLength", 0), "..",
                                                       schema.at("maxLength").dump())
                                        : "text";
  }
  if (type == "integer") {
    return schema.contains("minimum") ? absl::StrCat("integer ", schema.at("minimum").dump(), "..",
                                                     schema.at("maximum").dump())
                                      : "integer";
  }
  if (type == "array") {
    const std::string list =
        schema.contains("maxItems")
            ? absl::StrCat("list ", schema.value("minItems", 0), "..", schema.at("maxItems").dump())
            : "list";
    const Json& items = schema.at("items");
    return items.value("type", "") == "object" ? list : absl::StrCat(list, " of ", TypeOf(items));
  }
  return type == "boolean" ? "boolean" : "map";
}

// The parts that occur twice are documented once.
std::string DocumentedPath(const std::string& path) {
  return absl::StrReplaceAll(
      absl::StrReplaceAll(
          path, {{"spec.operations[].endpointConfigurations", "spec.endpointConfigurations"},
                 {"spec.operations[].operationPolicies", "spec.apiPolicies"},
                 {"status.gateways[].conditions", "status.conditions"}}),
      {{"endpointConfigurations.sandbox", "endpointConfigurations.production"},
       {"apiPolicies.response", "apiPolicies.request"},
       {"sandboxModels", "productionModels"}});
}

void Collect(const Json& schema, const std::string& path, std::map<std::string, Field>& fields) {
  const std::vector<std::string> required = schema.value("required", std::vector<std::string>{});
  if (!schema.contains("properties")) {
    return;
  }
  for (const auto& [name, property] : schema.at("properties").items()) {
    const std::string field_path = path.empty() ? name : absl::StrCat(path, ".", name);
    Field field;
    field.type = TypeOf(property);
    field.required = std::find(required.begin(), required.end(), name) != required.end();
    if (property.contains("default")) {
      const Json& value = property.at("default");
      field.default_value = value.is_string() ? value.get<std::string>() : value.dump();
    }
    fields.try_emplace(DocumentedPath(field_path), field);
    if (property.contains("items")) {
      Collect(property.at("items"), field_path + "[]", fields);
    } else {
      Collect(property, field_path, fields);
    }
  }
}

Json Schema(const std::string& plural = "apis") {
  const std::string file = test::SourceDir() + "/crds/gateway.rota.dev_" + plural + ".yaml";
  Trees trees = ParseTrees(ReadWhole(file), {});
  EXPECT_TRUE(trees.problems.empty());
  return trees.trees.at(0).root.at("spec").at("versions").at(0).at("schema").at("openAPIV3Schema");
}

// Field path -> {type, default} of the rows "| `spec.name` | text 1..128 | required | ... |".
std::map<std::string, std::pair<std::string, std::string>> DocumentedRows(
    const std::string& document) {
  std::map<std::string, std::pair<std::string, std::string>> rows;
  const std::string text = ReadWhole(test::SourceDir() + "/docs/reference/" + document);
  for (const absl::string_view line : absl::StrSplit(text, '\n')) {
    const std::vector<std::string> cells = absl::StrSplit(line, " | ");
    if (cells.size() == 4 &&
        (cells[0].rfind("| `spec.", 0) == 0 || cells[0].rfind("| `status.", 0) == 0)) {
      const std::string path = cells[0].substr(3, cells[0].size() - 4);
      EXPECT_TRUE(rows.try_emplace(path, cells[1], cells[2]).second) << path << " is there twice";
    }
  }
  return rows;
}

void ExpectDocumented(const std::string& plural, const std::string& document, size_t least) {
  std::map<std::string, Field> fields;
  Collect(Schema(plural), "", fields);
  for (const char* const root : {"apiVersion", "kind", "metadata", "spec", "status"}) {
    ASSERT_EQ(fields.erase(root), 1U) << root;
  }
  const auto rows = DocumentedRows(document);
  EXPECT_GT(rows.size(), least);
  for (const auto& [path, field] : fields) {
    const auto row = rows.find(path);
    if (row == rows.end()) {
      ADD_FAILURE() << "docs/reference/" << document << " lacks the row | `" << path << "` | "
                    << field.type << " |";
      continue;
    }
    const auto& [type, default_value] = row->second;
    EXPECT_EQ(type, field.type) << path;
    EXPECT_EQ(default_value == "required", field.required && field.default_value.empty()) << path;
    if (!field.default_value.empty()) {
      EXPECT_EQ(default_value, field.default_value) << path;
    }
  }
  for (const auto& [path, row] : rows) {
    EXPECT_TRUE(fields.contains(path)) << "docs/reference/" << document << " describes " << path
                                       << ", which the schema does not have";
  }
}

TEST(CrdTest, DocumentDescribesEveryFieldAsTheSchemaHasIt) {
  ExpectDocumented("apis", "api.md", 100);
  ExpectDocumented("rotagateways", "gateway.md", 15);
}

TEST(CrdTest, BoundsOfListsAreThoseOfTheDecoder) {
  const Json gateway = Schema("rotagateways").at("properties").at("spec").at("properties");
  EXPECT_EQ(gateway.at("productionHosts").at("maxItems"), kMaxHosts);
  EXPECT_EQ(gateway.at("sandboxHosts").at("maxItems"), kMaxHosts);
  EXPECT_EQ(gateway.at("listeners").at("maxItems"), kMaxListeners);
  EXPECT_EQ(gateway.at("ambientIdentityNamespaces").at("maxItems"), kMaxAmbientNamespaces);
  const Json& selector =
      gateway.at("allowedNamespaces").at("properties").at("selector").at("properties");
  EXPECT_EQ(selector.at("matchLabels").at("maxProperties"), kMaxSelectorLabels);
  EXPECT_EQ(selector.at("matchExpressions").at("maxItems"), kMaxSelectorLabels);
  EXPECT_EQ(
      selector.at("matchExpressions").at("items").at("properties").at("values").at("maxItems"),
      kMaxSelectorValues);
  const Json spec = Schema().at("properties").at("spec").at("properties");
  EXPECT_EQ(spec.at("gateways").at("maxItems"), kMaxGatewaysOfApi);
  EXPECT_EQ(spec.at("operations").at("maxItems"), kMaxOperations);
  EXPECT_EQ(spec.at("endpointConfigurations").at("properties").at("production").at("maxItems"),
            kMaxEndpoints);
  const Json& request = spec.at("apiPolicies").at("properties").at("request");
  EXPECT_EQ(request.at("maxItems"), kMaxPolicies);
  EXPECT_EQ(request.at("items")
                .at("properties")
                .at("parameters")
                .at("properties")
                .at("productionModels")
                .at("maxItems"),
            kMaxModels);
}

// The value of a schema's type that says least; nullptr where only a text fits.
Json SampleOf(const Json& schema) {
  if (schema.contains("enum")) {
    return schema.at("enum").at(0);
  }
  const std::string type = schema.value("type", "");
  if (type == "object") {
    Json object = Json::object();
    const Json properties = schema.value("properties", Json::object());
    for (const auto& [name, property] : properties.items()) {
      object[name] = SampleOf(property);
    }
    return object;
  }
  if (type == "array") {
    return Json::array({SampleOf(schema.at("items"))});
  }
  if (type == "boolean") {
    return false;
  }
  if (type == "integer" || schema.value("x-kubernetes-int-or-string", false)) {
    return schema.value("minimum", 0);
  }
  return "https://a.example.com";
}

TEST(CrdTest, DecoderKnowsEveryFieldOfTheSchema) {
  const Json sample = SampleOf(Schema().at("properties").at("spec"));
  // One map with all fields mixes both forms of credentials and the parameters of all policies,
  // which is wrong in ways of its own; what must not happen is that a field is unknown where it
  // belongs.
  std::set<std::string> unknown;
  const Diagnostics diagnostics = DecodeApi(sample).diagnostics;
  ASSERT_LT(diagnostics.size(), kMaxDiagnostics) << "findings may have been dropped";
  for (const Diagnostic& diagnostic : diagnostics) {
    const bool is_of_another_policy = diagnostic.field.find(".parameters.") != std::string::npos;
    if (diagnostic.reason == "UnknownField" && !is_of_another_policy) {
      unknown.insert(diagnostic.field);
    }
  }
  EXPECT_THAT(unknown, testing::IsEmpty());
}

TEST(CrdTest, DecoderKnowsEveryFieldOfTheSchemaOfGateways) {
  const Json sample = SampleOf(Schema("rotagateways").at("properties").at("spec"));

  for (const Diagnostic& diagnostic : DecodeGateway(sample).diagnostics) {
    EXPECT_NE(diagnostic.reason, "UnknownField") << diagnostic.field;
  }
}

}  // namespace
}  // namespace rota::resource
