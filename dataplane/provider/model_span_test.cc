#include "dataplane/provider/model_span.h"

#include <random>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "nlohmann/json.hpp"

namespace rota::provider {
namespace {

std::string Replaced(const std::string& body, const std::string& model = "\"new\"") {
  const ModelSpan span = FindModel(body);
  EXPECT_EQ(span.error, BodyError::kNone) << body << ": " << ErrorText(span);
  const SplicedBody spliced = SpliceModel(body, span, model);
  std::string result;
  for (const std::string_view piece : {spliced.head, spliced.before_model, spliced.model_json,
                                       spliced.after_model, spliced.tail}) {
    result += piece;
  }
  EXPECT_EQ(result.size(), spliced.size());
  return result;
}

TEST(ModelSpanTest, ReplacesTheValueAndNothingElse) {
  EXPECT_EQ(Replaced(R"({"model":"old","n":1.50})"), R"({"model":"new","n":1.50})");
  EXPECT_EQ(Replaced(" {\r\n\t\"n\" : 1e+5 , \"model\" : \"old\" }\n"),
            " {\r\n\t\"n\" : 1e+5 , \"model\" : \"new\" }\n");
}

TEST(ModelSpanTest, FindsAKeyThatIsWrittenWithEscapes) {
  EXPECT_EQ(Replaced(R"({"mod\u0065l":"o\"ld"})"), R"({"mod\u0065l":"new"})");
}

TEST(ModelSpanTest, IgnoresModelsThatAreNotAtTheTopLevel) {
  EXPECT_EQ(Replaced(R"({"a":{"model":1},"b":[{"model":2}],"c":"\"model\":3","model":"x"})"),
            R"({"a":{"model":1},"b":[{"model":2}],"c":"\"model\":3","model":"new"})");
  EXPECT_EQ(Replaced(R"({"model2":"a","Model":"b","mode":"c","model":"x"})"),
            R"({"model2":"a","Model":"b","mode":"c","model":"new"})");
}

TEST(ModelSpanTest, InsertsAMissingModelAsTheFirstMember) {
  EXPECT_EQ(Replaced(R"({"messages":[]})"), R"({"model":"new","messages":[]})");
  EXPECT_EQ(Replaced("{}"), R"({"model":"new"})");
  EXPECT_EQ(Replaced(" { } "), R"( {"model":"new" } )");
}

TEST(ModelSpanTest, ReportsWhetherTheAnswerIsToBeStreamed) {
  EXPECT_TRUE(FindModel(R"({"model":"m","stream":true})").stream);
  EXPECT_TRUE(FindModel(R"({"str\u0065am": true })").stream);
  EXPECT_FALSE(FindModel(R"({"model":"m","stream":false})").stream);
  EXPECT_FALSE(FindModel(R"({"model":"m","a":{"stream":true}})").stream);
  EXPECT_FALSE(FindModel(R"({"model":"m","stream":"true"})").stream);
}

TEST(ModelSpanTest, RefusesWhatHasTwoReadings) {
  EXPECT_EQ(FindModel(R"({"model":"a","model":"b"})").error, BodyError::kModelTwice);
  EXPECT_EQ(FindModel(R"({"model":"a","mod\u0065l":"b"})").error, BodyError::kModelTwice);
  for (const char* value : {"1", "null", "true", "{}", "[]", R"({"a":1})", R"(["a"])"}) {
    EXPECT_EQ(FindModel(std::string(R"({"model":)") + value + "}").error,
              BodyError::kModelNotString)
        << value;
  }
}

TEST(ModelSpanTest, RefusesWhatIsNoJsonObject) {
  EXPECT_EQ(FindModel("").error, BodyError::kEmpty);
  EXPECT_EQ(FindModel(" \n").error, BodyError::kEmpty);
  for (const char* body : {"[]", "1", "\"model\"", "null", R"([{"model":"a"}])"}) {
    EXPECT_EQ(FindModel(body).error, BodyError::kNotObject) << body;
  }
  for (const char* body : {"{",
                           "}",
                           R"({"a":})",
                           R"({"a"})",
                           R"({"a":1,})",
                           R"({,"a":1})",
                           R"({"a":1 "b":2})",
                           R"({"a":1}x)",
                           R"({"a":1}{})",
                           R"({"a":01})",
                           R"({"a":1.})",
                           R"({"a":.5})",
                           R"({"a":+1})",
                           R"({"a":1e})",
                           R"({"a":-})",
                           R"({"a":tru})",
                           R"({"a":nul)",
                           R"({"a":True})",
                           R"({a:1})",
                           R"({'a':1})",
                           R"({"a":"b)",
                           R"({"a":"\x"})",
                           R"({"a":"\u12g4"})",
                           "{\"a\":\"\n\"}",
                           R"({"a":[1,]})",
                           R"({"a":[1 2]})",
                           R"({"a":[})",
                           R"({"a":{]})",
                           R"({"a":1])",
                           "[}",
                           "{]",
                           R"({"model":"a")",
                           R"({"model":"a","model":"b")",
                           "hello",
                           "\xEF\xBB\xBF{}",
                           "{\"a\":\0}"}) {
    EXPECT_EQ(FindModel(body).error, BodyError::kNotJson) << body;
  }
}

TEST(ModelSpanTest, SaysWhereTheGrammarBreaks) {
  const ModelSpan span = FindModel(R"({"a":1,})");

  EXPECT_EQ(span.offset, 7u);
  EXPECT_EQ(ErrorText(span), "the body is not JSON: it breaks the grammar at byte 7");
}

TEST(ModelSpanTest, BoundsTheNesting) {
  const auto nested = [](size_t depth) {
    return "{\"a\":" + std::string(depth - 1, '[') + std::string(depth - 1, ']') + "}";
  };

  EXPECT_EQ(FindModel(nested(kMaxBodyDepth)).error, BodyError::kNone);
  EXPECT_EQ(FindModel(nested(kMaxBodyDepth + 1)).error, BodyError::kTooDeep);
  EXPECT_EQ(FindModel(std::string(1 << 20, '[')).error, BodyError::kTooDeep);
}

// RFC 8259, section 8.2: the grammar allows it; what it means is the provider's business.
TEST(ModelSpanTest, LetsTheEscapeOfHalfACharacterPass) {
  EXPECT_EQ(Replaced(R"({"prompt":"\uDDDD","model":"a"})"), R"({"prompt":"\uDDDD","model":"new"})");
}

TEST(ModelSpanTest, LetsInvalidUtf8InStringsPass) {
  EXPECT_EQ(Replaced("{\"model\":\"a\",\"b\":\"\xFF\xC0\"}"),
            "{\"model\":\"new\",\"b\":\"\xFF\xC0\"}");
}

// Random documents, and the same ones with a few bytes changed, beside a parser that builds a DOM.
nlohmann::ordered_json RandomValue(std::mt19937_64& random, int depth) {
  static const std::vector<std::string> kStrings = {
      "",
      "model",
      "stream",
      "a\"b",
      "back\\slash",
      "line\nbreak",
      "\t",
      "\u00e9",
      "\u2028",
      "longer than sixteen bytes, with a \" inside and more behind it"};
  switch (random() % (depth > 3 ? 6 : 8)) {
    case 0:
      return kStrings[random() % kStrings.size()];
    case 1:
      return static_cast<int64_t>(random() % 2000) - 1000;
    case 2:
      return static_cast<double>(random() % 100000) / 1024.0;
    case 3:
      return nullptr;
    case 4:
      return random() % 2 == 0;
    case 5:
      return kStrings[random() % kStrings.size()];
    case 6: {
      auto list = nlohmann::ordered_json::array();
      for (size_t i = random() % 4; i > 0; --i) {
        list.push_back(RandomValue(random, depth + 1));
      }
      return list;
    }
    default: {
      auto object = nlohmann::ordered_json::object();
      for (size_t i = random() % 5; i > 0; --i) {
        object[kStrings[random() % kStrings.size()]] = RandomValue(random, depth + 1);
      }
      return object;
    }
  }
}

void ExpectAgreement(const std::string& body) {
  const ModelSpan span = FindModel(body);
  const auto document = nlohmann::json::parse(body, nullptr, /*allow_exceptions=*/false);
  if (document.is_discarded()) {
    EXPECT_TRUE(span.error == BodyError::kNotJson || span.error == BodyError::kEmpty) << body;
    return;
  }
  if (!document.is_object()) {
    EXPECT_EQ(span.error, BodyError::kNotObject) << body;
    return;
  }
  if (span.error == BodyError::kModelTwice) {
    return;  // a DOM keeps one of the two
  }
  if (document.contains("model") && !document["model"].is_string()) {
    EXPECT_EQ(span.error, BodyError::kModelNotString) << body;
    return;
  }
  ASSERT_EQ(span.error, BodyError::kNone) << body;
  EXPECT_EQ(span.has_model, document.contains("model")) << body;
  nlohmann::json expected = document;
  expected["model"] = "new";
  EXPECT_EQ(nlohmann::json::parse(Replaced(body), nullptr, false), expected) << body;
}

bool IsUtf8(const std::string& text) {
  try {
    return !nlohmann::json(text).dump().empty();
  } catch (const nlohmann::json::exception&) {
    return false;
  }
}

TEST(ModelSpanTest, AgreesWithAParserOnRandomAndDamagedDocuments) {
  std::mt19937_64 random(1);
  // No "e": the oracle refuses numbers that do not fit a double, which the grammar allows.
  const std::string alphabet = "{}[]\",:\\ u0129.-truafalsn\n\x01aZ";
  for (int round = 0; round < 40000; ++round) {
    auto document = RandomValue(random, 0);
    if (random() % 2 == 0) {
      auto object = nlohmann::ordered_json::object();
      object["messages"] = document;
      object["model"] = "gpt-4o";
      document = object;
    }
    std::string body = document.dump(random() % 3 == 0 ? 1 : -1, ' ', random() % 2 == 0);
    ExpectAgreement(body);
    for (size_t i = random() % 4; i > 0 && !body.empty(); --i) {
      const size_t place = random() % body.size();
      const char other = alphabet[random() % alphabet.size()];
      switch (random() % 4) {
        case 0:
          body[place] = other;
          break;
        case 1:
          body.insert(place, 1, other);
          break;
        case 2:
          body.erase(place, 1);
          break;
        default:
          body.resize(place);
      }
      // The oracle refuses what is not UTF-8; the span scan lets it pass on purpose.
      if (IsUtf8(body)) {
        ExpectAgreement(body);
      }
    }
  }
}

}  // namespace
}  // namespace rota::provider
