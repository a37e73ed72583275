#pragma once

// Files of crds/testdata for tests. Not for programs.

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "controller/resource/diagnostic.h"
#include "tests/support/paths.h"

namespace rota::resource {

inline std::string ReadWhole(const std::filesystem::path& path) {
  std::ifstream stream(path);
  EXPECT_TRUE(stream.good()) << path;
  std::ostringstream text;
  text << stream.rdbuf();
  return text.str();
}

// The YAML files of crds/testdata/<folder>, sorted.
inline std::vector<std::filesystem::path> TestdataFiles(const std::string& folder) {
  std::vector<std::filesystem::path> files;
  for (const auto& entry :
       std::filesystem::directory_iterator(test::SourceDir() + "/crds/testdata/" + folder)) {
    if (entry.path().extension() == ".yaml") {
      files.push_back(entry.path());
    }
  }
  std::sort(files.begin(), files.end());
  return files;
}

// What the comment `# expect: ...` of a file wants; "" when there is none.
inline std::string ExpectationOf(const std::string& text) {
  const std::string marker = "# expect: ";
  const size_t start = text.find(marker);
  if (start == std::string::npos) {
    return "";
  }
  const size_t begin = start + marker.size();
  return text.substr(begin, text.find('\n', begin) - begin);
}

// One line per finding: "12: error UnknownField spec.x: message".
inline std::string ToText(const Diagnostics& diagnostics) {
  std::string text;
  for (const Diagnostic& d : diagnostics) {
    text += std::to_string(d.line) + ": " +
            (d.severity == Severity::kError ? "error " : "warning ") + d.reason + " " + d.field +
            ": " + d.message + "\n";
  }
  return text;
}

}  // namespace rota::resource
