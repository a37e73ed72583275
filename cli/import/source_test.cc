#include "cli/import/source.h"

#include "controller/resource/tree.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace rota::importer {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

SourceDocument Parse(const std::string& text) {
  resource::Trees trees = resource::ParseTrees(text, {});
  EXPECT_TRUE(trees.problems.empty());
  return {"file.yaml", std::move(trees.trees.at(0).root), std::move(trees.trees.at(0).lines)};
}

TEST(FieldsTest, KeysThatNobodyAskedForAreReportedWithTheirLine) {
  const SourceDocument document = Parse("name: a\nretries: 3\nnothing:\n");
  Report report;
  Fields fields(document.root, {&document}, report);
  EXPECT_EQ(fields.Text("name"), "a");
  fields.Finish();
  EXPECT_FALSE(report.has_errors());
  EXPECT_THAT(report.Print(), HasSubstr("file.yaml:2: retries: this importer does not know"));
  EXPECT_THAT(report.Print(), Not(HasSubstr("nothing:")));
}

TEST(FieldsTest, ValuesOfAnotherKindAreErrorsThatDoNotShowThem) {
  const SourceDocument document = Parse(
      "text: [secret]\nwhole: secret\nbig: 99999999999999999999\nbool: secret\nmap: secret\n");
  Report report;
  Fields fields(document.root, {&document}, report);
  EXPECT_FALSE(fields.Text("text"));
  EXPECT_FALSE(fields.Whole("whole", 0, 9));
  EXPECT_FALSE(fields.Whole("big", 0, 9));
  EXPECT_FALSE(fields.Bool("bool"));
  EXPECT_TRUE(fields.Map("map")->Keys().empty());
  EXPECT_EQ(report.remarks().size(), 5U);
  EXPECT_TRUE(report.has_errors());
  EXPECT_THAT(report.Print(), Not(HasSubstr("secret")));
}

TEST(FieldsTest, OneItemMayStandForAList) {
  const SourceDocument document = Parse("one: /a\nmany: [/a, /b]\n");
  Report report;
  Fields fields(document.root, {&document}, report);
  EXPECT_THAT(fields.Texts("one"), ElementsAre("/a"));
  EXPECT_THAT(fields.Texts("many"), ElementsAre("/a", "/b"));
  EXPECT_EQ(fields.List("many").at(1).place.ToString(), "file.yaml:2: many[1]");
  EXPECT_THAT(fields.Texts("none"), IsEmpty());
}

TEST(ReportTest, ErrorsComeFirstAndTheSameRemarkOnce) {
  const SourceDocument document = Parse("a: 1\n");
  Report report;
  const Place place = Place{&document}.Key("a");
  report.Mapped(place, "is there");
  report.Error(place, "is wrong");
  report.Error(place, "is wrong");
  EXPECT_EQ(report.Print(),
            "not imported:\n  file.yaml:1: a: is wrong\nmapped:\n  file.yaml:1: a: is there\n");
}

TEST(ReportTest, IsBoundedAndCountsTheRest) {
  Report report;
  for (size_t i = 0; i < Report::kMaxRemarks + 7; ++i) {
    report.NoEqual({nullptr, std::to_string(i)}, "x");
  }
  EXPECT_EQ(report.remarks().size(), Report::kMaxRemarks);
  EXPECT_THAT(report.Print(), HasSubstr("7 more remarks"));
}

TEST(PlaceTest, WhatComesFromTheFileCannotSteerATerminal) {
  EXPECT_EQ(Place{}.Key("a\x1b[31m").path, "a?[31m");
  EXPECT_EQ(Quoted("a\nb"), "'a?b'");
}

}  // namespace
}  // namespace rota::importer
