// docs/providers.md says what the tables of the dialects say. UPDATE_GOLDENS=1 writes its last part
// anew.

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <optional>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "dataplane/provider/registry.h"
#include "tests/support/paths.h"

namespace rota::provider {
namespace {

constexpr std::string_view kMarker = "<!-- table: generated -->\n";

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

TEST(ProvidersDocTest, SaysWhatTheTablesSay) {
  const std::string path = test::SourceDir() + "/docs/providers.md";
  std::stringstream text;
  text << std::ifstream(path).rdbuf();
  std::string document = text.str();
  const size_t marker = document.find(kMarker);
  ASSERT_NE(marker, std::string::npos) << path << " lacks " << kMarker;
  const std::string wanted =
      TableOf("Chat completions", ChatRules) + TableOf("Embeddings", EmbeddingRules);

  if (std::getenv("UPDATE_GOLDENS") != nullptr) {
    document = document.substr(0, marker + kMarker.size()) + wanted;
    std::ofstream(path) << document;
  }

  EXPECT_EQ(document.substr(marker + kMarker.size()), wanted)
      << "run with UPDATE_GOLDENS=1 and review";
}

}  // namespace
}  // namespace rota::provider
