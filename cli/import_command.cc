#include "cli/import_command.h"

#include <filesystem>
#include <istream>
#include <ostream>
#include <sstream>
#include <system_error>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "cli/import/agentcc.h"
#include "cli/import/gateways.h"
#include "cli/import/imported.h"
#include "cli/import/print.h"
#include "cli/import/source.h"
#include "cli/input.h"
#include "cli/validate.h"
#include "common/file.h"
#include "common/secret.h"
#include "common/status_macros.h"
#include "controller/resource/tree.h"

namespace rota::cli {
namespace {

using importer::Imported;
using importer::ImportedApi;
using importer::ImportedSecret;
using importer::SecretKey;
using importer::SourceDocument;

// A manifest, and the file that it goes into.
struct Output {
  std::string file;
  std::string text;
  bool is_secret = false;
};

absl::StatusOr<std::vector<SourceDocument>> ReadDocuments(const std::vector<std::string>& files,
                                                          std::istream& in) {
  std::vector<SourceDocument> documents;
  for (const std::string& file : files) {
    const bool is_stdin = file == "-";
    absl::StatusOr<std::string> text =
        is_stdin ? ReadAll(in, kMaxFileBytes) : ReadFile(file, kMaxFileBytes);
    if (!text.ok()) {
      return text.status();
    }
    const std::string name = is_stdin ? "<stdin>" : file;
    resource::Trees trees = resource::ParseTrees(*text, {.max_bytes = kMaxFileBytes});
    WipeString(*text);  // it may hold keys
    if (!trees.problems.empty()) {
      const resource::DocumentProblem& problem = trees.problems.front();
      return absl::InvalidArgumentError(
          absl::StrCat(name, ":", problem.line, ": ", problem.message));
    }
    for (resource::Tree& tree : trees.trees) {
      documents.push_back({name, std::move(tree.root), std::move(tree.lines)});
    }
  }
  return documents;
}

// The value of every variable that the Secrets need.
absl::StatusOr<importer::SecretValues> ReadSecretValues(const std::vector<ImportedSecret>& secrets,
                                                        const Environment& environment) {
  importer::SecretValues values;
  std::string missing;
  for (const ImportedSecret& secret : secrets) {
    for (const SecretKey& key : secret.keys) {
      std::optional<std::string> value = environment(key.variable);
      if (!value || value->empty()) {
        absl::StrAppend(&missing, "\n  ", key.variable, ": the key ", key.key, " of the Secret ",
                        secret.name, " (now in ", key.origin, ")");
      } else {
        values[key.variable] = *std::move(value);
      }
    }
  }
  if (!missing.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat("these environment variables are not set:", missing));
  }
  return values;
}

std::vector<Output> Manifests(const Imported& imported, const ImportOptions& options,
                              const importer::SecretValues* values) {
  const std::string comment = absl::StrCat("Made by rotactl import ", options.gateway, ".");
  std::vector<Output> outputs;
  for (const ImportedApi& api : imported.apis) {
    outputs.push_back({api.name + ".api.yaml", importer::PrintApi(api, comment), false});
  }
  for (const ImportedSecret& secret : imported.secrets) {
    outputs.push_back({secret.name + ".secret.yaml", importer::PrintSecret(secret, values), true});
  }
  return outputs;
}

// Nothing is written when one of the files is there already.
absl::StatusOr<std::vector<std::string>> WriteInto(const std::string& directory,
                                                   const std::vector<Output>& outputs) {
  std::error_code error;
  std::filesystem::create_directories(directory, error);
  if (error) {
    return absl::InvalidArgumentError(absl::StrCat(directory, ": ", error.message()));
  }
  std::vector<std::string> paths;
  for (const Output& output : outputs) {
    paths.push_back((std::filesystem::path(directory) / output.file).string());
    if (std::filesystem::exists(paths.back(), error)) {
      return absl::InvalidArgumentError(
          absl::StrCat(paths.back(), " is there already; move it away, or name another directory"));
    }
  }
  for (size_t i = 0; i < outputs.size(); ++i) {
    RETURN_IF_ERROR(
        WriteFileAtomically(paths[i], outputs[i].text, outputs[i].is_secret ? 0600 : 0644));
  }
  return paths;
}

// Writes the manifests, and what `validate` finds in them. Returns its exit code.
absl::StatusOr<int> Deliver(std::vector<Output>& outputs, const ImportOptions& options,
                            std::ostream& out, std::ostream& err) {
  if (!options.directory.empty()) {
    ASSIGN_OR_RETURN(const std::vector<std::string> paths, WriteInto(options.directory, outputs));
    std::istringstream unused;
    return Validate({.paths = paths}, unused, err, err);
  }
  std::string text;
  for (const Output& output : outputs) {
    absl::StrAppend(&text, text.empty() ? "" : "---\n", output.text);
  }
  out << text << std::flush;
  std::istringstream manifests(text);
  WipeString(text);
  return Validate({.paths = {"-"}, .stdin_name = "output"}, manifests, err, err);
}

}  // namespace

int Import(const ImportOptions& options, const Environment& environment, std::istream& in,
           std::ostream& out, std::ostream& err) {
  const auto fail = [&err](const absl::Status& status) {
    err << "rotactl: " << std::string(status.message()) << "\n";
    return kExitUsage;
  };
  absl::StatusOr<std::vector<SourceDocument>> documents = ReadDocuments(options.files, in);
  if (!documents.ok()) {
    return fail(documents.status());
  }
  if (!options.providers.empty()) {
    absl::StatusOr<SourceDocument> providers = importer::ProvidersFromFlags(options.providers);
    if (!providers.ok()) {
      return fail(providers.status());
    }
    documents->insert(documents->begin(), *std::move(providers));  // a flag wins over a file
  }
  const importer::Gateway* const gateway = importer::FindGateway(options.gateway);
  if (gateway == nullptr) {
    return fail(absl::InvalidArgumentError("there is no importer for " + options.gateway));
  }
  const Imported imported = gateway->import(*documents);
  err << imported.report.Print();
  if (imported.apis.empty()) {
    return kExitFindings;
  }
  importer::SecretValues values;
  if (options.secrets_from_env) {
    absl::StatusOr<importer::SecretValues> read = ReadSecretValues(imported.secrets, environment);
    if (!read.ok()) {
      return fail(read.status());
    }
    values = *std::move(read);
  }
  std::vector<Output> outputs =
      Manifests(imported, options, options.secrets_from_env ? &values : nullptr);
  const absl::StatusOr<int> verdict = Deliver(outputs, options, out, err);
  for (Output& output : outputs) {
    WipeString(output.text);
  }
  for (auto& [variable, value] : values) {
    WipeString(value);
  }
  if (!verdict.ok()) {
    return fail(verdict.status());
  }
  return imported.report.has_errors() ? kExitFindings : *verdict;
}

}  // namespace rota::cli
