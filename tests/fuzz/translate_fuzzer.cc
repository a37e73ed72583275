// Requests in OpenAI's form for providers that have another one: whatever a client sends is either
// refused with a reason or becomes JSON that goes to a path without anything that a head must not
// hold.

#include <string>

#include "dataplane/provider/registry.h"
#include "tests/fuzz/pieces.h"

namespace {

using rota::fuzz::Require;
using rota::provider::TranslatedRequest;

void Check(const absl::StatusOr<TranslatedRequest>& request) {
  if (!request.ok()) {
    Require(!request.status().message().empty());
    return;
  }
  Require(rota::provider::ParseJson(request->body).ok());
  Require(request->path.starts_with('/'));
  for (const char c : request->path) {
    Require(c > 0x20 && c < 0x7F);
  }
  for (const auto& header : request->headers) {
    Require(header.value.find_first_of("\r\n") == std::string::npos);
  }
  for (const std::string& field : request->dropped) {
    Require(!field.empty());
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto request = rota::provider::ParseJson({reinterpret_cast<const char*>(data), size});
  if (!request.ok() || !request->is_object()) {
    return 0;
  }
  const rota::provider::ProviderOptions options;
  for (const rota::provider::Translator* translator : rota::provider::Translators()) {
    const rota::provider::TargetContext target{"org/model:1", "", &options};
    Check(TranslateChat(*translator, *request, target));
    if (!translator->embedding_fields().empty()) {
      Check(TranslateEmbeddings(*translator, *request, target));
    }
  }
  return 0;
}
