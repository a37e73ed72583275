#include "common/pem.h"

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "common/file.h"

namespace rota {

absl::Status CheckPem(const std::string& option, const std::string& file, std::string_view mark) {
  const absl::StatusOr<std::string> content = ReadFile(file, 1 << 20);
  if (!content.ok()) {
    return absl::Status(content.status().code(),
                        absl::StrCat(option, ": ", std::string(content.status().message())));
  }
  if (content->find(mark) == std::string::npos) {
    return absl::InvalidArgumentError(
        absl::StrCat(option, ": '", file, "' has no PEM block '", std::string(mark), "'"));
  }
  return absl::OkStatus();
}

}  // namespace rota
