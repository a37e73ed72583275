// docs/providers.md says what the rows of the providers and the tables of the dialects say.
// UPDATE_GOLDENS=1 writes those parts anew.

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <optional>
#include <sstream>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "common/provider_catalog.h"
#include "dataplane/provider/registry.h"
#include "tests/support/paths.h"

namespace rota::provider {
namespace {

constexpr std::string_view kRows = "<!-- rows: generated -->\n";
constexpr std::string_view kEndOfRows = "<!-- end of rows -->\n";
constexpr std::string_view kTable = "<!-- table: generated -->\n";

using Rules = std::vector<FieldRule>;
using RulesOf = Rules (*)(const Translator&);

Rules RulesIn(absl::Span<const FieldRule> rows) { return {rows.begin(), rows.end()}; }

// Its own rows come first, as ReviewFields looks.
Rules ChatRules(const Translator& translator) {
  Rules rules = RulesIn(translator.fields());
  const Rules common = RulesIn(CommonChatFields());
  rules.insert(rules.end(), common.begin(), common.end());
  return rules;
}

Rules EmbeddingRules(const Translator& translator) {
  return RulesIn(translator.embedding_fields());
}

std::optional<FieldRule> RuleFor(const Rules& rules, std::string_view field) {
  const auto rule = std::find_if(rules.begin(), rules.end(),
                                 [field](const FieldRule& row) { return row.field == field; });
  return rule == rules.end() ? std::nullopt : std::optional<FieldRule>(*rule);
}

std::string Cell(const std::optional<FieldRule>& rule) {
  if (!rule.has_value()) {
    return "dropped";
  }
  switch (rule->use) {
    case FieldUse::kTranslated:
      return rule->note.empty() ? "sent" : "sent: " + std::string(rule->note);
    case FieldUse::kDropped:
      return rule->note.empty() ? "dropped" : "dropped: " + std::string(rule->note);
    case FieldUse::kRefused:
      return "400: " + std::string(rule->note);
  }
  return "";
}

std::string TableOf(const std::string& title, RulesOf rules_of) {
  std::vector<const Translator*> columns;
  std::vector<std::string_view> fields;
  for (const Translator* translator : Translators()) {
    const Rules rules = rules_of(*translator);
    if (!rules.empty()) {
      columns.push_back(translator);
    }
    for (const FieldRule& rule : rules) {
      if (std::find(fields.begin(), fields.end(), rule.field) == fields.end()) {
        fields.push_back(rule.field);
      }
    }
  }
  if (columns.empty()) {
    return "";
  }
  std::string table = "\n### " + title + "\n\n| field |";
  std::string line = "|---|";
  for (const Translator* column : columns) {
    table.append(" `").append(column->name()).append("` |");
    line.append("---|");
  }
  table.append("\n").append(line).append("\n");
  for (const std::string_view field : fields) {
    table.append("| `").append(field).append("` |");
    for (const Translator* column : columns) {
      table.append(" ").append(Cell(RuleFor(rules_of(*column), field))).append(" |");
    }
    table.append("\n");
  }
  return table;
}

std::string Quoted(std::string_view text) {
  return text.empty() ? "" : "`" + std::string(text) + "`";
}

// What has to be different in a request that is passed on.
std::string DifferencesOf(const rota::Provider& provider) {
  std::string text;
  for (const FieldQuirk& quirk : provider.quirks) {
    text.append(text.empty() ? "" : ", ").append(Quoted(quirk.field));
    text.append(quirk.name.empty() ? " is left out" : " goes as " + Quoted(quirk.name));
  }
  for (const std::string_view more :
       {std::string_view(provider.takes_stream_options ? "" : "not asked for usage"),
        provider.note}) {
    text.append(text.empty() || more.empty() ? "" : "; ").append(more);
  }
  return text;
}

std::string RowsOfProviders() {
  std::string table =
      "| `provider` | whose API | requests are | URL, when the endpoint has none | header of the "
      "key "
      "| what is special |\n|---|---|---|---|---|---|\n";
  for (const rota::Provider& provider : Providers()) {
    table.append("| ").append(Quoted(provider.name)).append(" | ").append(provider.title);
    table.append(FindTranslator(provider.name) == nullptr ? " | passed on | " : " | translated | ");
    table.append(Quoted(provider.url)).append(" | ").append(Quoted(provider.key_header));
    table.append(" | ").append(DifferencesOf(provider)).append(" |\n");
  }
  return table;
}

// The part of `document` between two marks; "" as the second is the end.
struct Part {
  size_t begin = std::string::npos;
  size_t size = 0;
};
Part FindPart(const std::string& document, std::string_view mark, std::string_view end_mark) {
  const size_t at = document.find(mark);
  const size_t begin = at == std::string::npos ? at : at + mark.size();
  const size_t end = end_mark.empty() ? document.size() : document.find(end_mark);
  return {begin, end - begin};
}

TEST(ProvidersDocTest, SaysWhatTheTablesSay) {
  const std::string path = test::SourceDir() + "/docs/providers.md";
  std::stringstream text;
  text << std::ifstream(path).rdbuf();
  std::string document = text.str();
  const std::string tables =
      TableOf("Chat completions", ChatRules) + TableOf("Embeddings", EmbeddingRules);
  for (const auto& [mark, end_mark, wanted] : {std::tuple(kRows, kEndOfRows, RowsOfProviders()),
                                               std::tuple(kTable, std::string_view(), tables)}) {
    const Part part = FindPart(document, mark, end_mark);
    ASSERT_NE(part.begin, std::string::npos) << path << " lacks " << mark;

    if (std::getenv("UPDATE_GOLDENS") != nullptr) {
      document.replace(part.begin, part.size, wanted);
      std::ofstream(path) << document;
    } else {
      EXPECT_EQ(document.substr(part.begin, part.size), wanted)
          << "run with UPDATE_GOLDENS=1 and review";
    }
  }
}

}  // namespace
}  // namespace rota::provider
