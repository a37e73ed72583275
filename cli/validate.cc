#include "cli/validate.h"

#include <algorithm>
#include <filesystem>
#include <istream>
#include <map>
#include <memory>
#include <optional>
#include <ostream>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "cli/input.h"
#include "common/file.h"
#include "controller/compile/assemble.h"
#include "controller/compile/compile_api.h"
#include "controller/resource/decode.h"
#include "controller/resource/decode_gateway.h"
#include "controller/resource/document.h"
#include "controller/source/directory_scan.h"
#include "nlohmann/json.hpp"

namespace rota::cli {
namespace {

using resource::ObjectName;

constexpr size_t kMaxFiles = 20'000;
constexpr size_t kMaxPlaces = 10;  // that the summary names of what was passed over

enum class Level { kNote, kWarning, kError };

const char* ToString(Level level) {
  return level == Level::kError ? "error" : level == Level::kWarning ? "warning" : "note";
}

struct Finding {
  std::string file;
  int line = 0;
  Level level = Level::kError;
  std::string reason;
  std::string object;  // "default/chat"; "" when the file could not be read
  std::string field;
  std::string message;
};

// An API of the files, and what became of it.
struct CheckedApi {
  std::string file;
  resource::ApiManifest manifest;
  std::shared_ptr<const compile::CompiledApi> compiled = nullptr;  // null: it has errors
  std::vector<std::string> gateways = {""};  // that it belongs to; "": the default one
};

struct CheckedSecret {
  std::string file;
  resource::SecretManifest manifest;
};

struct CheckedGateway {
  std::string file;
  resource::GatewayManifest manifest;
};

class Validator {
 public:
  // `is_named`: the user named this file, and not only its directory.
  void AddFile(const std::string& file, const std::string& text, bool is_named) {
    ++files_;
    resource::ParsedFile parsed = resource::ParseFile(text, {.max_bytes = kMaxFileBytes});
    for (const resource::DocumentProblem& problem : parsed.problems) {
      Add({file, problem.line, Level::kError, "Unreadable", "", "", problem.message});
    }
    TakeForeign(file, is_named, parsed);
    for (const resource::PolicyFragment& fragment : parsed.fragments) {
      CheckFragment(file, fragment);
    }
    namespaces_ += parsed.namespaces.size();
    for (resource::SecretManifest& secret : parsed.secrets) {
      const ObjectName name = secret.name;
      const int line = secret.line;
      const auto [first, is_new] =
          secrets_.try_emplace(name, CheckedSecret{file, std::move(secret)});
      if (!is_new) {
        AddDuplicate("Secret", name, file, line, first->second.file, first->second.manifest.line);
      }
    }
    for (resource::GatewayManifest& gateway : parsed.gateways) {
      const ObjectName name = gateway.name;
      const int line = gateway.line;
      const auto [first, is_new] =
          gateways_.try_emplace(name, CheckedGateway{file, std::move(gateway)});
      if (is_new) {
        CheckGateway(first->second);
      } else {
        AddDuplicate("RotaGateway", name, file, line, first->second.file,
                     first->second.manifest.line);
      }
    }
    for (resource::ApiManifest& api : parsed.apis) {
      const ObjectName name = api.name;
      const int line = api.line;
      const auto [first, is_new] =
          apis_.try_emplace(name, CheckedApi{.file = file, .manifest = std::move(api)});
      if (is_new) {
        CheckApi(first->second);
      } else {
        AddDuplicate("API", name, file, line, first->second.file, first->second.manifest.line);
      }
    }
  }

  // What needs all files: two APIs on one path, Secrets.
  void CheckTogether() {
    std::set<std::string> gateways;
    for (const auto& [name, api] : apis_) {
      gateways.insert(api.gateways.begin(), api.gateways.end());
    }
    for (const std::string& gateway : gateways) {
      CheckAtGateway(gateway);
    }
  }

  bool found_nothing() const {
    return apis_.empty() && gateways_.empty() && secrets_.empty() && fragments_ == 0 &&
           namespaces_ == 0 && findings_.empty();
  }
  size_t Count(Level level) const {
    return static_cast<size_t>(std::count_if(findings_.begin(), findings_.end(),
                                             [&](const Finding& f) { return f.level == level; }));
  }

  void PrintLines(std::ostream& out) {
    Sort();
    for (const Finding& finding : findings_) {
      out << finding.file;
      if (finding.line > 0) {
        out << ":" << finding.line;
      }
      out << ": " << ToString(finding.level) << ": ";
      if (!finding.field.empty()) {
        out << finding.field << ": ";
      }
      out << finding.message << "\n";
    }
    out << Counted(files_, "file") << ", " << Counted(apis_.size(), "API") << ", "
        << (gateways_.empty() ? "" : Counted(gateways_.size(), "RotaGateway") + ", ")
        << Counted(secrets_.size(), "Secret") << ", " << Counted(fragments_, "policy fragment")
        << ": " << Counted(Count(Level::kError), "error") << ", "
        << Counted(Count(Level::kWarning), "warning") << "\n";
    if (!passed_over_.empty()) {
      out << Counted(passed_over_.size(), "document")
          << " passed over (no API, RotaGateway, Secret or apk-conf file): " << PassedOverPlaces()
          << "\n";
    }
  }

  void PrintJson(std::ostream& out) {
    Sort();
    nlohmann::json findings = nlohmann::json::array();
    for (const Finding& finding : findings_) {
      findings.push_back({{"file", finding.file},
                          {"line", finding.line},
                          {"severity", ToString(finding.level)},
                          {"reason", finding.reason},
                          {"object", finding.object},
                          {"field", finding.field},
                          {"message", finding.message}});
    }
    nlohmann::json passed_over = nlohmann::json::array();
    for (const Finding& finding : passed_over_) {
      passed_over.push_back(
          {{"file", finding.file}, {"line", finding.line}, {"message", finding.message}});
    }
    const nlohmann::json report = {{"findings", std::move(findings)},
                                   {"passedOver", std::move(passed_over)},
                                   {"summary",
                                    {{"files", files_},
                                     {"apis", apis_.size()},
                                     {"gateways", gateways_.size()},
                                     {"secrets", secrets_.size()},
                                     {"fragments", fragments_},
                                     {"passedOver", passed_over_.size()},
                                     {"errors", Count(Level::kError)},
                                     {"warnings", Count(Level::kWarning)}}}};
    // File names may hold any bytes.
    out << report.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) << "\n";
  }

 private:
  void CheckAtGateway(const std::string& gateway) {
    compile::Assembler assembler(gateway, compile::GatewayBody({}));
    for (const auto& [name, api] : apis_) {
      const bool is_here =
          std::find(api.gateways.begin(), api.gateways.end(), gateway) != api.gateways.end();
      if (is_here && api.compiled != nullptr) {
        assembler.SetApi({"", name}, {api.compiled, nullptr});
      }
    }
    for (const auto& [name, secret] : secrets_) {
      compile::SecretVersion version;
      version.body = compile::SecretBody(name.ToString(), "1", secret.manifest.data);
      for (const auto& [key, value] : secret.manifest.data) {
        version.keys.insert(key);
      }
      assembler.SetSecret(name, version);
    }
    const compile::Assembly assembly = assembler.Build();
    for (const auto& [name, outcome] : assembly.apis) {
      const CheckedApi& api = apis_.at(name);
      AddAll(api, outcome.accepted);
      if (gateway != api.gateways.front()) {
        continue;  // its Secrets are the same everywhere
      }
      for (const resource::Diagnostic& diagnostic : outcome.unresolved) {
        // The Secret, or its grant, may well be in the cluster already.
        const bool is_elsewhere =
            diagnostic.reason == "SecretNotFound" || diagnostic.reason == "RefNotPermitted";
        AddOne(api, diagnostic, is_elsewhere ? Level::kNote : Level::kError);
      }
    }
  }

  void Add(Finding finding) { findings_.push_back(std::move(finding)); }

  template <typename Checked>
  void AddOne(const Checked& api, const resource::Diagnostic& diagnostic, Level level) {
    const int line = diagnostic.line > 0
                         ? diagnostic.line
                         : resource::LineOfField(api.manifest.lines, diagnostic.field);
    Add({api.file, line, level, diagnostic.reason, api.manifest.name.ToString(), diagnostic.field,
         diagnostic.message});
  }

  template <typename Checked>
  void AddAll(const Checked& api, const resource::Diagnostics& diagnostics) {
    for (const resource::Diagnostic& diagnostic : diagnostics) {
      AddOne(api, diagnostic,
             diagnostic.severity == resource::Severity::kError ? Level::kError : Level::kWarning);
    }
  }

  // A file that was named and holds nothing of ours is a mistake; among others it is none.
  void TakeForeign(const std::string& file, bool is_named, const resource::ParsedFile& parsed) {
    const bool is_mistake = is_named && parsed.apis.empty() && parsed.gateways.empty() &&
                            parsed.secrets.empty() && parsed.fragments.empty() &&
                            parsed.namespaces.empty() && parsed.problems.empty();
    for (const resource::ForeignDocument& document : parsed.foreign) {
      (is_mistake ? findings_ : passed_over_)
          .push_back({file, document.line, Level::kError, "Foreign", "", "", document.message});
    }
  }

  std::string PassedOverPlaces() const {
    std::string places;
    for (size_t i = 0; i < std::min(passed_over_.size(), kMaxPlaces); ++i) {
      absl::StrAppend(&places, i == 0 ? "" : ", ", passed_over_[i].file, ":", passed_over_[i].line);
    }
    if (passed_over_.size() > kMaxPlaces) {
      absl::StrAppend(&places, " and ", passed_over_.size() - kMaxPlaces, " more");
    }
    return places;
  }

  void AddDuplicate(const char* kind, const ObjectName& name, const std::string& file, int line,
                    const std::string& first_file, int first_line) {
    Add({file, line, Level::kError, "Duplicate", name.ToString(), "",
         absl::StrCat("the ", kind, " ", name.ToString(), " is already in ", first_file, ":",
                      first_line, "; remove or rename one of them")});
  }

  void CheckApi(CheckedApi& api) {
    resource::DecodeOptions options;
    options.path_prefix = api.manifest.bare_apk_conf ? "" : "spec.";
    options.lines = &api.manifest.lines;
    options.ns = api.manifest.name.ns;
    const resource::DecodedApi decoded = resource::DecodeApi(api.manifest.spec, options);
    AddAll(api, decoded.diagnostics);
    if (!decoded.api) {
      return;
    }
    if (!decoded.api->gateways.empty()) {
      api.gateways = decoded.api->gateways;
    }
    compile::CompiledApi compiled = compile::CompileApi(
        api.manifest.name, api.manifest.name.ToString(), *decoded.api, options.path_prefix);
    AddAll(api, compiled.diagnostics);
    if (compiled.body != nullptr) {
      api.compiled = std::make_shared<const compile::CompiledApi>(std::move(compiled));
    }
  }

  void CheckGateway(const CheckedGateway& gateway) {
    resource::DecodeOptions options;
    options.lines = &gateway.manifest.lines;
    options.ns = gateway.manifest.name.ns;
    AddAll(gateway, resource::DecodeGateway(gateway.manifest.spec, options).diagnostics);
  }

  void CheckFragment(const std::string& file, const resource::PolicyFragment& fragment) {
    ++fragments_;
    Add({file, fragment.line, Level::kNote, "PolicyFragment", "", "",
         "policies without an API: checked as such; names of endpoints cannot be checked, and a "
         "gateway "
         "serves only whole APIs"});
    resource::DecodeOptions options;
    options.path_prefix = "";
    options.lines = &fragment.lines;
    for (const resource::Diagnostic& d : resource::CheckPolicyFragment(fragment.content, options)) {
      Add({file, d.line, d.severity == resource::Severity::kError ? Level::kError : Level::kWarning,
           d.reason, "", d.field, d.message});
    }
  }

  void Sort() {
    std::stable_sort(findings_.begin(), findings_.end(), [](const Finding& a, const Finding& b) {
      return std::tie(a.file, a.line) < std::tie(b.file, b.line);
    });
  }

  static std::string Counted(size_t count, const char* what) {
    return absl::StrCat(count, " ", what, count == 1 ? "" : "s");
  }

  size_t files_ = 0;
  size_t fragments_ = 0;
  size_t namespaces_ = 0;  // their labels say nothing about a file
  std::map<ObjectName, CheckedApi> apis_;
  std::map<ObjectName, CheckedGateway> gateways_;
  std::map<ObjectName, CheckedSecret> secrets_;
  std::vector<Finding> findings_;
  std::vector<Finding> passed_over_;
};

// The files of the directory that the controller would read, or nothing and a message.
std::optional<std::vector<std::string>> FilesOf(const std::string& path, std::ostream& err) {
  std::error_code error;
  std::vector<std::string> files;
  for (std::filesystem::directory_iterator at(path, error), end; !error && at != end;
       at.increment(error)) {
    std::error_code ignored;
    if (source::IsConfigurationFile(at->path().filename().string()) &&
        at->is_regular_file(ignored)) {
      files.push_back(at->path().string());
    }
    if (files.size() > kMaxFiles) {
      err << "rotactl: " << path << ": more than " << kMaxFiles << " files; name them in parts\n";
      return std::nullopt;
    }
  }
  if (error) {
    err << "rotactl: " << path << ": " << error.message() << "\n";
    return std::nullopt;
  }
  std::sort(files.begin(), files.end());
  if (files.empty()) {
    err << "rotactl: " << path << ": no .yaml, .yml or .json file there\n";
    return std::nullopt;
  }
  return files;
}

}  // namespace

int Validate(const ValidateOptions& options, std::istream& in, std::ostream& out,
             std::ostream& err) {
  Validator validator;
  for (const std::string& path : options.paths) {
    const bool is_stdin = path == "-";
    std::error_code ignored;
    const bool is_named = is_stdin || !std::filesystem::is_directory(path, ignored);
    const std::optional<std::vector<std::string>> files =
        is_named ? std::vector<std::string>{path} : FilesOf(path, err);
    if (!files) {
      return kExitUsage;
    }
    for (const std::string& file : *files) {
      absl::StatusOr<std::string> text =
          is_stdin ? ReadAll(in, kMaxFileBytes) : ReadFile(file, kMaxFileBytes);
      if (!text.ok()) {
        err << "rotactl: " << std::string(text.status().message()) << "\n";
        return kExitUsage;
      }
      validator.AddFile(is_stdin ? options.stdin_name : file, *text, is_named);
      WipeString(*text);  // it may hold Secrets
    }
  }
  validator.CheckTogether();
  if (validator.found_nothing()) {
    err << "rotactl: nothing to check: the files hold no objects\n";
    return kExitUsage;
  }
  if (options.json) {
    validator.PrintJson(out);
  } else {
    validator.PrintLines(out);
  }
  return validator.Count(Level::kError) > 0 ? kExitFindings : kExitOk;
}

}  // namespace rota::cli
