#include "controller/resource/document.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <sstream>
#include <string>

#include "controller/resource/scalar.h"
#include "controller/resource/tree.h"

namespace rota::resource {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

using Json = nlohmann::json;

// The only document of `yaml`, or a failed expectation.
Json Read(const std::string& yaml) {
  Trees trees = ParseTrees(yaml, {});
  EXPECT_THAT(trees.problems, IsEmpty()) << trees.problems.front().message << "\n" << yaml;
  return trees.trees.empty() ? Json() : trees.trees.front().root;
}

DocumentProblem Problem(const std::string& yaml, const DocumentLimits& limits = {}) {
  const Trees trees = ParseTrees(yaml, limits);
  EXPECT_THAT(trees.problems, SizeIs(1)) << yaml;
  return trees.problems.empty() ? DocumentProblem{} : trees.problems.front();
}

TEST(ScalarTest, PlainScalarsReadAsKubectlReadsThem) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"yes", "true"},
      {"On", "true"},
      {"y", "true"},
      {"TRUE", "true"},
      {"no", "false"},
      {"off", "false"},
      {"N", "false"},
      {"yEs", "\"yEs\""},
      {"~", "null"},
      {"null", "null"},
      {"Null", "null"},
      {"nULL", "\"nULL\""},
      {"1", "1"},
      {"1.0", "1"},
      {"1.10", "1.1"},
      {"1.", "1"},
      {".5", "0.5"},
      {"+7", "7"},
      {"-7", "-7"},
      {"017", "15"},
      {"0o17", "15"},
      {"0x1F", "31"},
      {"-0x1f", "-31"},
      {"0b101", "5"},
      {"1_000", "1000"},
      {"08", "8"},
      {"1e3", "1000"},
      {"1e400", "\"1e400\""},
      {"1.2.3", "\"1.2.3\""},
      {"v1", "\"v1\""},
      {"2024-10-21", "\"2024-10-21\""},
      {".5_0", "0.5"},
      {"1_0e1_0", "100000000000"},
      {"1:30", "\"1:30\""},
      {"60s", "\"60s\""},
      {"-", "\"-\""},
      {".", "\".\""},
      {"0x", "\"0x\""},
      {"+", "\"+\""},
      {"1e", "\"1e\""},
      {"9223372036854775807", "9223372036854775807"},
      {"18446744073709551615", "18446744073709551615"},
      {"-9223372036854775808", "-9223372036854775808"},
  };
  for (const auto& [text, expected] : cases) {
    const std::optional<Json> value = ResolvePlainScalar(text);
    ASSERT_TRUE(value) << text;
    EXPECT_EQ(value->dump(), expected) << text;
  }
  EXPECT_FALSE(ResolvePlainScalar(".inf"));
  EXPECT_FALSE(ResolvePlainScalar("-.Inf"));
  EXPECT_FALSE(ResolvePlainScalar(".nan"));
}

TEST(TreeTest, QuotedScalarsAreStringsAndTagsDecide) {
  EXPECT_EQ(Read("a: \"1.0\"\nb: 'yes'\nc: !!str 1.0\nd: !!int \"3\"\ne: |\n  1\n").dump(),
            R"({"a":"1.0","b":"yes","c":"1.0","d":3,"e":"1\n"})");
  EXPECT_THAT(Problem("a: !secret x\n").message, HasSubstr("tag !secret"));
  EXPECT_THAT(Problem("a: !!int x\n").message, HasSubstr("does not fit"));
}

TEST(TreeTest, KeysBecomeText) {
  EXPECT_EQ(Read("1: a\nyes: b\n1.5: c\n").dump(), R"({"1":"a","1.5":"c","true":"b"})");
  EXPECT_THAT(Problem("? [a]\n: b\n").message, HasSubstr("a key must be plain text"));
}

TEST(TreeTest, EveryValueHasItsLine) {
  const Trees trees = ParseTrees("# comment\na: 1\nb:\n  - x\n  -\n    c/d: 2\ne:\n", {});
  ASSERT_THAT(trees.trees, SizeIs(1));
  const LineMap& lines = trees.trees[0].lines;
  EXPECT_EQ(lines.at(""), 2);
  EXPECT_EQ(lines.at("/a"), 2);
  EXPECT_EQ(lines.at("/b"), 3);
  EXPECT_EQ(lines.at("/b/0"), 4);
  EXPECT_EQ(lines.at("/b/1/c~1d"), 6);
  EXPECT_EQ(lines.at("/e"), 7);
  EXPECT_EQ(LineOf(lines, "/b/0/nothing/here"), 4);
  EXPECT_EQ(LineOf({}, "/b"), 0);
}

TEST(TreeTest, DuplicateKeysAreAnErrorWithTheLine) {
  const DocumentProblem problem = Problem("a: 1\nb:\n  c: 1\n  c: 2\n");
  EXPECT_EQ(problem.line, 4);
  EXPECT_THAT(problem.message, HasSubstr("'c' is there twice"));
  EXPECT_EQ(Problem("{\n\"a\": 1,\n\"a\": 2}").line, 3);
}

TEST(TreeTest, UnreadableYamlNamesLineColumnAndWhatToDo) {
  const DocumentProblem problem = Problem("a: 1\nb: [1, 2\nc: 2\n");
  EXPECT_GE(problem.line, 2);
  EXPECT_GE(problem.column, 1);
  EXPECT_THAT(problem.message, HasSubstr("not readable YAML"));
  EXPECT_THAT(problem.message, HasSubstr("check indentation"));
  EXPECT_THAT(Problem("a: 1\nb: \"open\nc: 2\n").message, HasSubstr("never closes"));
  EXPECT_THAT(Problem("a: 1\nb: !!str 'it''s\n").message, HasSubstr("never closes"));
  EXPECT_EQ(Read("a: &x 'it''s'").dump(), R"({"a":"it's"})");
  EXPECT_EQ(Problem("a:\n\t- b\n").line, 2);
  EXPECT_EQ(Problem("a: b: c\n").line, 1);
}

TEST(TreeTest, TextThatYamlForbidsIsNamed) {
  EXPECT_THAT(Problem("a: 1\nb: \xff\n").message, HasSubstr("UTF-8"));
  EXPECT_EQ(Problem("a: 1\nb: \xff\n").line, 2);
  EXPECT_THAT(Problem(std::string("a: 1\n\x04\nb: 2\n")).message, HasSubstr("control character"));
  EXPECT_THAT(Problem(std::string("a: \0b\n", 6)).message, HasSubstr("control character"));
  EXPECT_THAT(Problem("a: .inf\n").message, HasSubstr("no place in JSON"));
}

TEST(TreeTest, SecondDocumentNeedsItsSeparator) {
  EXPECT_THAT(ParseTrees("a: 1\n---\nb: 2\n---\n---\n# nothing\n", {}).trees, SizeIs(2));
  EXPECT_THAT(ParseTrees("a: 1\n- b\n", {}).problems, SizeIs(1));
  EXPECT_THAT(ParseTrees("{a: 1} b\n", {}).problems, SizeIs(1));
  EXPECT_THAT(ParseTrees("\"a\"\nb: 1\n", {}).problems, SizeIs(1));
  EXPECT_THAT(ParseTrees("[a]\n[b]\n", {}).problems, SizeIs(1));
  EXPECT_THAT(ParseTrees("a: 1\n...\nb: 1\n", {}).trees, SizeIs(2));
}

TEST(TreeTest, WhatStandsBeforeAnUnreadableDocumentIsKept) {
  const Trees trees = ParseTrees("a: 1\n---\nb: [\n", {});
  EXPECT_THAT(trees.trees, SizeIs(1));
  EXPECT_THAT(trees.problems, SizeIs(1));
}

TEST(TreeTest, AnchorsAndMergeKeysWork) {
  EXPECT_EQ(Read("a: &x {p: 1, q: 2}\nb: *x\nc:\n  <<: *x\n  q: 3\n").dump(),
            R"({"a":{"p":1,"q":2},"b":{"p":1,"q":2},"c":{"p":1,"q":3}})");
  EXPECT_EQ(Read("a: &x {p: 1}\nb: &y {p: 2, r: 4}\nc: {<<: [*x, *y]}\n")["c"].dump(),
            R"({"p":1,"r":4})");
  EXPECT_EQ(Read("\"<<\": 1\n").dump(), R"({"<<":1})");
  EXPECT_THAT(Problem("a: {<<: 1}\n").message, HasSubstr("<< needs a map"));
  EXPECT_THAT(Problem("a: &x\n  b: *x\n").message, HasSubstr("inside its own anchor"));
  EXPECT_THAT(Problem("a: *nothing\n").message, HasSubstr("not readable YAML"));
}

TEST(TreeTest, AliasBombsEndAtTheLimit) {
  std::string bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n";
  for (int i = 1; i < 12; ++i) {
    bomb += "a" + std::to_string(i) + ": &a" + std::to_string(i) + " [";
    for (int j = 0; j < 10; ++j) {
      bomb += (j > 0 ? ", *a" : "*a") + std::to_string(i - 1);
    }
    bomb += "]\n";
  }
  EXPECT_THAT(Problem(bomb).message, testing::AnyOf(HasSubstr("more than"), HasSubstr("too much")));

  std::string text_bomb = "a: &a \"" + std::string(1 << 20, 'x') + "\"\nb: [";
  for (int i = 0; i < 64; ++i) {
    text_bomb += "*a, ";
  }
  EXPECT_THAT(Problem(text_bomb + "1]\n").message, HasSubstr("aliases repeat"));
}

TEST(TreeTest, SizeDepthAndCountsAreBounded) {
  DocumentLimits limits;
  limits.max_bytes = 100;
  EXPECT_THAT(Problem(std::string(101, ' '), limits).message, HasSubstr("101 bytes"));
  EXPECT_THAT(Problem(std::string(80, '[') + std::string(80, ']')).message, HasSubstr("64 levels"));
  EXPECT_THAT(Problem("{\"a\":" + std::string(100'000, '[')).message, HasSubstr("64 levels"));
  limits = {};
  limits.max_documents = 2;
  EXPECT_THAT(Problem("a: 1\n---\na: 1\n---\na: 1\n", limits).message, HasSubstr("2 documents"));
  limits = {};
  limits.max_nodes_per_document = 5;
  EXPECT_THAT(Problem("[1, 2, 3, 4, 5]", limits).message, HasSubstr("more than 5 values"));
  limits = {};
  limits.max_nodes = 5;
  EXPECT_THAT(Problem("[1, 2]\n---\n[1, 2]\n", limits).message, HasSubstr("more than 5 values"));
  EXPECT_THAT(Problem("? " + std::string(2000, 'k') + "\n: 1\n").message, HasSubstr("longer than"));
}

TEST(TreeTest, JsonReadsWithItsLines) {
  const Trees trees = ParseTrees("{\n\t\"a\": \"\\ud83d\\ude00\",\n\t\"b\": [1,\n 2.0\n]\n}\n", {});
  ASSERT_THAT(trees.problems, IsEmpty());
  ASSERT_THAT(trees.trees, SizeIs(1));
  EXPECT_EQ(trees.trees[0].root.dump(), "{\"a\":\"\xf0\x9f\x98\x80\",\"b\":[1,2]}");
  EXPECT_EQ(trees.trees[0].lines.at("/a"), 2);
  EXPECT_EQ(trees.trees[0].lines.at("/b"), 3);
  EXPECT_EQ(trees.trees[0].lines.at("/b/1"), 4);
  EXPECT_EQ(Read("\xef\xbb\xbf"
                 "a: 1\r\nb: x\r\n")
                .dump(),
            R"({"a":1,"b":"x"})");
  EXPECT_EQ(Read("{a: yes}").dump(), R"({"a":true})");
  const DocumentProblem problem = Problem("{\"a\": 1,\n \"b\" 2}\n");
  EXPECT_EQ(problem.line, 2);
  EXPECT_THAT(problem.message, HasSubstr("JSON"));
}

constexpr char kApi[] = R"(
apiVersion: gateway.rota.dev/v1alpha1
kind: API
metadata: {name: chat, namespace: team-a}
spec:
  name: chat
)";

TEST(DocumentTest, ManifestsCarryNameNamespaceAndLines) {
  const ParsedFile file = ParseFile(kApi);
  ASSERT_THAT(file.problems, IsEmpty());
  ASSERT_THAT(file.apis, SizeIs(1));
  EXPECT_EQ(file.apis[0].name.ToString(), "team-a/chat");
  EXPECT_FALSE(file.apis[0].bare_apk_conf);
  EXPECT_EQ(file.apis[0].spec.dump(), R"({"name":"chat"})");
  EXPECT_EQ(file.apis[0].lines.at("/spec/name"), 6);
  EXPECT_EQ(file.apis[0].line, 2);
}

TEST(DocumentTest, BareApkConfIsAnApiOfNamespaceDefaultWithAStableName) {
  const ParsedFile first = ParseFile("name: Chat Service!\nbasePath: /chat\nversion: \"1.0\"\n");
  const ParsedFile second = ParseFile("name: Chat Service!\nbasePath: /chat\nversion: \"2.0\"\n");
  ASSERT_THAT(first.apis, SizeIs(1));
  ASSERT_THAT(second.apis, SizeIs(1));
  EXPECT_TRUE(first.apis[0].bare_apk_conf);
  EXPECT_EQ(first.apis[0].name.ns, "default");
  EXPECT_THAT(first.apis[0].name.name, testing::MatchesRegex("chat-service-[0-9a-f]{8}"));
  EXPECT_NE(first.apis[0].name, second.apis[0].name);
  EXPECT_EQ(first.apis[0].lines.at("/version"), 3);
}

TEST(DocumentTest, GatewaysAreKeptApartFromApis) {
  const ParsedFile file = ParseFile(
      "apiVersion: gateway.rota.dev/v1alpha1\n"
      "kind: RotaGatewayList\n"
      "items:\n"
      "  - apiVersion: gateway.rota.dev/v1alpha1\n"
      "    kind: RotaGateway\n"
      "    metadata: {name: edge, namespace: team}\n"
      "    spec: {allowLocalUpstreams: true}\n");

  EXPECT_TRUE(file.problems.empty());
  EXPECT_TRUE(file.apis.empty());
  ASSERT_EQ(file.gateways.size(), 1U);
  EXPECT_EQ(file.gateways[0].name, (ObjectName{"team", "edge"}));
  EXPECT_EQ(file.gateways[0].spec.at("allowLocalUpstreams"), true);
  EXPECT_EQ(file.gateways[0].lines.at("/spec/allowLocalUpstreams"), 7);
}

TEST(DocumentTest, OfANamespaceTheLabelsCount) {
  const ParsedFile file = ParseFile(
      "apiVersion: v1\nkind: Namespace\n"
      "metadata: {name: team-a, labels: {team: a}, annotations: {x: y}}\nstatus: {phase: Active}\n"
      "---\napiVersion: v1\nkind: Namespace\nmetadata: {name: bare}\n");

  EXPECT_THAT(file.problems, IsEmpty());
  EXPECT_THAT(file.foreign, IsEmpty());
  ASSERT_THAT(file.namespaces, SizeIs(2));
  EXPECT_EQ(file.namespaces[0].name, (ObjectName{"", "team-a"}));
  EXPECT_EQ(file.namespaces[0].spec,
            (nlohmann::json{{"team", "a"}, {"kubernetes.io/metadata.name", "team-a"}}));
  EXPECT_EQ(file.namespaces[1].spec.size(), 1U);
}

TEST(DocumentTest, LabelsOfANamespaceAreText) {
  for (const char* const labels : {"[a]", "text", "{team: 1}", "{team: {a: b}}"}) {
    const ParsedFile file = ParseFile(std::string("apiVersion: v1\nkind: Namespace\nmetadata:\n"
                                                  "  name: team-a\n  labels: ") +
                                      labels + "\n");
    EXPECT_THAT(file.namespaces, IsEmpty()) << labels;
    ASSERT_THAT(file.problems, SizeIs(1)) << labels;
    EXPECT_EQ(file.problems[0].line, 5) << labels;
  }
}

TEST(DocumentTest, SecretsAreDecodedAndStringDataWins) {
  const ParsedFile file = ParseFile(
      "apiVersion: v1\nkind: Secret\nmetadata: {name: keys}\ntype: Opaque\n"
      "data:\n  a: c2VjcmV0\n  b: b2xk\nstringData:\n  b: new\n");
  ASSERT_THAT(file.problems, IsEmpty());
  ASSERT_THAT(file.secrets, SizeIs(1));
  EXPECT_EQ(file.secrets[0].name.ToString(), "default/keys");
  EXPECT_EQ(file.secrets[0].data.at("a").Reveal(), "secret");
  EXPECT_EQ(file.secrets[0].data.at("b").Reveal(), "new");
}

TEST(DocumentTest, ProblemsOfSecretsNameTheKeyAndNeverTheValue) {
  for (const char* body : {"data: {apiKey: sk-hidden}\n", "stringData: {apiKey: 8675309}\n",
                           "stringData: [sk-hidden]\n", "stringdata: {apiKey: sk-hidden}\n",
                           "stringData:\n  apiKey: sk-hidden: x\n"}) {
    const ParsedFile file =
        ParseFile(std::string("apiVersion: v1\nkind: Secret\nmetadata: {name: keys}\n") + body);
    EXPECT_THAT(file.secrets, IsEmpty()) << body;
    ASSERT_THAT(file.problems, SizeIs(1)) << body;
    EXPECT_THAT(file.problems[0].message, testing::Not(HasSubstr("hidden"))) << body;
    EXPECT_THAT(file.problems[0].message, testing::Not(HasSubstr("8675309"))) << body;
    EXPECT_GE(file.problems[0].line, 4) << body;
  }
}

TEST(DocumentTest, ListsAreFlattenedWithTheirLines) {
  const ParsedFile file = ParseFile(
      "apiVersion: v1\nkind: List\nitems:\n"
      "- apiVersion: gateway.rota.dev/v1alpha1\n  kind: API\n  metadata: {name: a}\n  spec:\n    "
      "name: a\n"
      "- apiVersion: v1\n  kind: Secret\n  metadata: {name: s}\n"
      "- apiVersion: v1\n  kind: Pod\n");
  ASSERT_THAT(file.apis, SizeIs(1));
  EXPECT_EQ(file.apis[0].lines.at("/spec/name"), 8);
  EXPECT_EQ(file.apis[0].line, 4);
  EXPECT_THAT(file.secrets, SizeIs(1));
  EXPECT_THAT(file.problems, IsEmpty());
  ASSERT_THAT(file.foreign, SizeIs(1));
  EXPECT_EQ(file.foreign[0].line, 12);
}

TEST(DocumentTest, WhatIsNothingOfOursIsToldApart) {
  for (const char* text :
       {"apiVersion: v1\nkind: ConfigMap\ndata: {a: b}\n",
        R"({"name": "left-pad", "version": "1.0.0", "scripts": {}})", "foo: 1\n", "- 1\n", "7\n"}) {
    const ParsedFile file = ParseFile(text);
    EXPECT_THAT(file.problems, IsEmpty()) << text;
    EXPECT_THAT(file.apis, IsEmpty()) << text;
    ASSERT_THAT(file.foreign, SizeIs(1)) << text;
    EXPECT_EQ(file.foreign[0].line, 1) << text;
    EXPECT_EQ(file.foreign[0].has_kind, std::string_view(text).starts_with("apiVersion")) << text;
  }
  EXPECT_THAT(ParseFile("foo: 1\n").foreign[0].message, HasSubstr("neither an apk-conf API"));
  EXPECT_THAT(ParseFile("- 1\n").foreign[0].message, HasSubstr("not an object"));
}

TEST(DocumentTest, AnObjectThatIsMeantAsOursAndIsNotIsAProblemThatNamesIt) {
  for (const char* text :
       {"apiVersion: gateway.rota.dev/v2\nkind: API\n", "kind: API\nmetadata: {name: a}\n",
        "apiVersion: gateway.rota.dev/v1alpha1\nkind: Api\n", "apiVersion: v2\nkind: Secret\n",
        "apiVersion: gateway.rota.dev/v1alpha1\n"}) {
    EXPECT_THAT(ParseFile(text).problems, SizeIs(1)) << text;
    EXPECT_THAT(ParseFile(text).foreign, IsEmpty()) << text;
  }
  EXPECT_THAT(ParseFile("apiVersion: dp.wso2.com/v1\nkind: API\n").problems[0].message,
              HasSubstr("apiVersion 'dp.wso2.com/v1', kind 'API'"));
  EXPECT_THAT(ParseFile("apiVersion: gateway.rota.dev/v1alpha1\nkind: API\n").problems[0].message,
              HasSubstr("`metadata` is missing"));
  EXPECT_THAT(
      ParseFile("kind: API\napiVersion: gateway.rota.dev/v1alpha1\nmetadata: {name: Not_Good}\n")
          .problems[0]
          .message,
      HasSubstr("Not_Good"));
  EXPECT_THAT(ParseFile(std::string(kApi) + "operations: []\n").problems[0].message,
              HasSubstr("move it under `spec`"));
  EXPECT_THAT(ParseFile("").problems, IsEmpty());
  EXPECT_THAT(ParseFile("---\n# nothing\n").problems, IsEmpty());
}

TEST(DocumentTest, PolicyFragmentIsToldFromAnApi) {
  const ParsedFile file = ParseFile("apiPolicies:\n  request: []\n");
  EXPECT_THAT(file.fragments, SizeIs(1));
  EXPECT_THAT(file.apis, IsEmpty());
  EXPECT_THAT(ParseFile("name: a\napiPolicies:\n  request: []\n").apis, SizeIs(1));
}

}  // namespace
}  // namespace rota::resource
