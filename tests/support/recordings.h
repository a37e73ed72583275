#pragma once

// Recorded answers of real providers, for tests: they are data beside the checkout, or where
// ROTA_SHARED_DIR says, and never part of it.

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>

#include "tests/support/paths.h"

namespace rota::test {

// "" when they are not there: the test is skipped, and says so.
inline std::string RecordingsFolder() {
  const char* shared = std::getenv("ROTA_SHARED_DIR");
  const std::filesystem::path folder =
      std::filesystem::path(shared != nullptr ? shared : SourceDir() + "/../shared") / "recordings";
  return std::filesystem::exists(folder) ? folder.string() : "";
}

inline std::string ReadRecording(const std::string& file) {
  std::ifstream stream(RecordingsFolder() + "/" + file);
  std::stringstream text;
  text << stream.rdbuf();
  EXPECT_FALSE(text.str().empty()) << file;
  return text.str();
}

// A recorded stream, each of whose lines `frame` puts into the provider's framing.
inline std::string ReadRecordedStream(const std::string& file,
                                      std::string (*frame)(const std::string&)) {
  std::istringstream lines(ReadRecording(file));
  std::string stream;
  for (std::string line; std::getline(lines, line);) {
    stream += frame(line);
  }
  return stream;
}

}  // namespace rota::test
