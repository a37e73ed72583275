#include "dataplane/table/api_decoder.h"

#include <algorithm>
#include <charconv>
#include <set>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "common/hash.h"
#include "dataplane/provider/azure.h"
#include "dataplane/provider/registry.h"
#include "dataplane/provider/sigv4.h"
#include "dataplane/table/endpoint_url.h"
#include "dataplane/table/operation_form.h"
#include "dataplane/table/path.h"

namespace rota::table {
namespace {

namespace v1 = rota::sync::v1;

// Limits on what a controller may send; far above what an API has.
constexpr int kMaxEndpoints = 4096;
constexpr int kMaxRotations = 8192;
constexpr int kMaxOperations = 4096;
constexpr uint32_t kMaxTargetWeight = 10'000 * rotation::kMaxTargets;  // merged entries add up
constexpr uint32_t kMaxAttempts = 5;
constexpr size_t kMaxPathLength = 4096;
constexpr size_t kMaxMountSegments = 64;
constexpr int64_t kMaxSeconds = int64_t{10} * 366 * 24 * 3600;
constexpr Duration kDefaultMaxSuspension = std::chrono::seconds(3600);
constexpr Duration kDefaultWait = std::chrono::seconds(30);
constexpr Duration kDefaultFailureSuspension = std::chrono::seconds(60);

bool IsTokenCharacter(char c) {
  return absl::ascii_isalnum(static_cast<unsigned char>(c)) ||
         std::string_view("!#$%&'*+-.^_`|~").find(c) != std::string_view::npos;
}

bool IsToken(std::string_view text) {
  return !text.empty() && text.size() <= 256 &&
         std::all_of(text.begin(), text.end(), IsTokenCharacter);
}

std::string JsonString(std::string_view text) {
  constexpr char kHex[] = "0123456789abcdef";
  std::string json = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      json += {'\\', c};
    } else if (static_cast<unsigned char>(c) < 0x20) {
      json += "\\u00";
      json += {kHex[static_cast<unsigned char>(c) >> 4], kHex[c & 15]};
    } else {
      json += c;
    }
  }
  json += '"';
  return json;
}

// Makes the credential refer to the values of the identity that it asks for. Its name; "" when
// there is none of that kind.
std::string ReferToIdentity(v1::Credential& credential) {
  std::string name;
  const auto refer = [&name](const char* key, v1::SecretKey& value) {
    value.set_secret(name);
    value.set_key(key);
  };
  if (credential.identity() == v1::Credential::AWS &&
      credential.place() == v1::Credential::AWS_SIGNATURE) {
    name = kAwsIdentity;
    refer(kAccessKeyId, *credential.mutable_user_name());
    refer(kSecretAccessKey, *credential.mutable_value());
    refer(kSessionToken, *credential.mutable_session_token());
  } else if (credential.identity() == v1::Credential::AZURE &&
             credential.place() == v1::Credential::HEADER) {
    name = kAzureIdentity;
    refer(kAccessToken, *credential.mutable_value());
  }
  return name;
}

// Decodes one resource; the first problem ends it.
class Decoder {
 public:
  Decoder(const std::shared_ptr<const v1::Resource>& resource, const DecodeContext& context)
      : context_(context), name_(resource->id().name()) {
    origin_->resource = resource;
  }

  bool Decode(const v1::Api& message) {
    api_->id = name_;
    return DecodePaths(message) && DecodeEndpoints(message) && DecodeRotations(message) &&
           DecodeOperations(message);
  }

  std::shared_ptr<const Api> Finish() {
    for (size_t i = 0; i < specs_.size(); ++i) {
      api_->rotations[i]->rotation = context_.registry.Resolve(specs_[i]);
    }
    api_->origin = std::move(origin_);
    return std::move(api_);
  }
  DecodeProblem TakeProblem() { return std::move(problem_); }

 private:
  bool Fail(std::string field, std::string message) {
    problem_ = {v1::Rejection::INVALID, std::move(field), std::move(message)};
    return false;
  }
  bool FailUnsupported(std::string field, std::string message) {
    problem_ = {v1::Rejection::UNSUPPORTED, std::move(field), std::move(message)};
    return false;
  }

  bool DecodePaths(const v1::Api& message) {
    api_->base_path = message.base_path();
    api_->version = message.version();
    if (api_->base_path.size() > kMaxPathLength ||
        (!api_->base_path.empty() &&
         (api_->base_path.front() != '/' || api_->base_path.back() == '/'))) {
      return Fail("base_path", "must begin with \"/\" and not end with one, at most 4096 bytes");
    }
    if (api_->version.empty() || api_->version.size() > 256 ||
        api_->version.find('/') != std::string::npos) {
      return Fail("version", "must be one path segment");
    }
    SettledPath path;
    const std::string versioned = absl::StrCat(api_->base_path, "/", api_->version);
    if (!path.Settle(versioned) || path.decoded().ends_with("/") ||
        std::count(versioned.begin(), versioned.end(), '/') >
            static_cast<std::ptrdiff_t>(kMaxMountSegments)) {
      return Fail("base_path", "has dot segments, forbidden bytes or more than 64 segments");
    }
    api_->mounts.emplace_back(path.decoded());
    const size_t base_end = path.decoded().rfind('/');
    const std::string base(path.decoded().substr(0, base_end));
    if (message.default_version()) {
      api_->mounts.push_back(base);
    }
    DecodeMajorMount(base);
    return true;
  }

  // "v1.2" is also "/v1".
  void DecodeMajorMount(const std::string& base) {
    std::string_view version = api_->version;
    if (!version.starts_with("v")) {
      return;
    }
    version.remove_prefix(1);
    const size_t dot = version.find('.');
    const auto is_number = [](std::string_view text) {
      return !text.empty() && text.size() <= 9 && std::all_of(text.begin(), text.end(), [](char c) {
        return absl::ascii_isdigit(static_cast<unsigned char>(c));
      });
    };
    if (dot == std::string_view::npos || !is_number(version.substr(0, dot)) ||
        !is_number(version.substr(dot + 1))) {
      return;
    }
    const std::string_view minor = version.substr(dot + 1);
    std::from_chars(minor.data(), minor.data() + minor.size(), api_->minor_version);
    api_->major_mount = absl::StrCat(base, "/v", std::string(version.substr(0, dot)));
  }

  bool ReadDuration(const std::string& field, bool is_set,
                    const google::protobuf::Duration& message, Duration absent, Duration& value) {
    value = absent;
    if (!is_set) {
      return true;
    }
    if (message.seconds() < 0 || message.seconds() > kMaxSeconds || message.nanos() < 0 ||
        message.nanos() > 999'999'999) {
      return Fail(field, "must be a duration from 0 to 10 years");
    }
    value = std::chrono::seconds(message.seconds()) + std::chrono::nanoseconds(message.nanos());
    return true;
  }

  bool ReadTimeout(const std::string& field, bool is_set, const google::protobuf::Duration& message,
                   std::optional<Duration>& value) {
    Duration read{};
    if (!ReadDuration(field, is_set, message, Duration{}, read)) {
      return false;
    }
    if (is_set && read > Duration::zero()) {
      value = read;
    }
    return true;
  }

  void Use(const v1::SecretKey& key) {
    origin_->used_secrets[key.secret()] = context_.secrets.HashOf(key.secret());
  }

  void AddMissing(const std::string& field, const Endpoint& endpoint, const absl::Status& status) {
    origin_->missing.push_back(
        {v1::Rejection::SECRET_MISSING, field,
         absl::StrCat(std::string(status.message()), "; until then endpoint \"", endpoint.name,
                      "\" is not used")});
  }

  bool DecodeEndpoints(const v1::Api& message) {
    if (message.endpoints_size() > kMaxEndpoints) {
      return Fail("endpoints", absl::StrCat("has more than ", kMaxEndpoints, " entries"));
    }
    api_->endpoints.reserve(static_cast<size_t>(message.endpoints_size()));
    for (int i = 0; i < message.endpoints_size(); ++i) {
      auto endpoint = std::make_unique<Endpoint>();
      if (!DecodeEndpoint(message.endpoints(i), absl::StrCat("endpoints[", i, "]"), *endpoint)) {
        return false;
      }
      api_->endpoints.push_back(context_.endpoints.Share(std::move(endpoint)));
    }
    return true;
  }

  bool DecodeEndpoint(const v1::Endpoint& message, const std::string& field, Endpoint& endpoint) {
    absl::StatusOr<EndpointUrl> url = ParseEndpointUrl(message.url());
    if (!url.ok()) {
      return Fail(field + ".url", std::string(url.status().message()));
    }
    endpoint.url = message.url();
    endpoint.name = message.name().empty() ? message.url() : message.name();
    endpoint.provider = message.provider().empty() ? "openai" : message.provider();
    endpoint.tls = url->tls;
    endpoint.host = std::move(url->host);
    endpoint.port = url->port;
    endpoint.authority = std::move(url->authority);
    endpoint.base_path = std::move(url->base_path);
    DecodeOptions(message, endpoint);
    if (!ReadTimeout(field + ".connect_timeout", message.has_connect_timeout(),
                     message.connect_timeout(), endpoint.connect_timeout) ||
        !ReadTimeout(field + ".first_byte_timeout", message.has_first_byte_timeout(),
                     message.first_byte_timeout(), endpoint.first_byte_timeout) ||
        !DecodeCredential(message, field, endpoint)) {
      return false;
    }
    endpoint.pool_key =
        absl::StrCat(endpoint.tls ? "https://" : "http://", endpoint.host, "|", endpoint.port);
    if (message.has_ca_certificate()) {
      Use(message.ca_certificate());
      absl::StatusOr<std::string> pem = context_.secrets.Text(message.ca_certificate());
      if (pem.ok()) {
        endpoint.ca_pem = *std::move(pem);
        absl::StrAppend(&endpoint.pool_key, "|", Hash64(endpoint.ca_pem));
      } else {
        // Another trust store than the one that was asked for is no substitute.
        endpoint.credential_missing = true;
        AddMissing(field + ".ca_certificate", endpoint, pem.status());
      }
    }
    return true;
  }

  static void DecodeOptions(const v1::Endpoint& message, Endpoint& endpoint) {
    const v1::ProviderOptions& options = message.provider_options();
    endpoint.options.region = options.region();
    endpoint.options.api_version = options.api_version();
    endpoint.options.deployment = options.deployment();
    endpoint.options.format = options.format();
    if (options.max_tokens() > 0) {
      endpoint.options.max_tokens = options.max_tokens();
    }
    endpoint.translator =
        provider::TranslatorFor(endpoint.provider, endpoint.base_path, endpoint.options);
    endpoint.known = FindProvider(endpoint.provider);
    endpoint.takes_stream_options =
        endpoint.translator == nullptr && endpoint.known != nullptr &&
        endpoint.known->takes_stream_options &&
        (endpoint.provider != "azure" ||
         provider::AzureTakesStreamOptions(endpoint.options.api_version));
  }

  bool DecodeCredential(const v1::Endpoint& message, const std::string& field, Endpoint& endpoint) {
    if (!message.has_credential()) {
      return true;
    }
    v1::Credential credential = message.credential();
    if (credential.identity() != v1::Credential::FROM_SECRETS) {
      endpoint.identity = ReferToIdentity(credential);
      if (endpoint.identity.empty()) {
        return FailUnsupported(
            field + ".credential.identity",
            "is an identity that this build does not know, or not for such a place");
      }
      if (context_.want_identity) {
        context_.want_identity(endpoint.identity);
      }
    }
    switch (credential.place()) {
      case v1::Credential::HEADER:
      case v1::Credential::QUERY:
        if (!IsToken(credential.name())) {
          return Fail(field + ".credential.name", "is not the name of a header or parameter");
        }
        break;
      case v1::Credential::BASIC:
        Use(credential.user_name());
        break;
      case v1::Credential::AWS_SIGNATURE:
        Use(credential.user_name());
        if (credential.has_session_token()) {
          Use(credential.session_token());
        }
        if (credential.has_region()) {
          Use(credential.region());
        }
        break;
      default:
        return FailUnsupported(field + ".credential.place",
                               "is a kind of credential that this build does not know");
    }
    Use(credential.value());
    absl::StatusOr<Credential> rendered = context_.secrets.Render(credential);
    absl::Status status = rendered.status();
    if (rendered.ok()) {
      endpoint.credential = *std::move(rendered);
      status = SettleRegion(endpoint);
    }
    if (!status.ok()) {
      endpoint.credential_missing = true;
      // What may come at any time is no fault of the configuration: log and metrics tell it.
      if (!absl::IsUnavailable(status)) {
        AddMissing(field + ".credential", endpoint, status);
      }
    }
    return true;
  }

  // Where a signature is good: as the Secret says, else the endpoint's options, else its host.
  static absl::Status SettleRegion(Endpoint& endpoint) {
    std::string& region = endpoint.credential.aws.region;
    if (endpoint.credential.place != Credential::Place::kAwsSignature || !region.empty()) {
      return absl::OkStatus();
    }
    region = endpoint.options.region.empty() ? std::string(provider::AwsRegionOf(endpoint.host))
                                             : endpoint.options.region;
    return region.empty() ? absl::InvalidArgumentError(absl::StrCat(
                                "the region of '", endpoint.host,
                                "' is not known; set regionRef or providerOptions.region"))
                          : absl::OkStatus();
  }

  SeriesId Intern(std::string_view environment, std::string model, std::string target) const {
    if (!context_.intern_series) {
      return 0;
    }
    return context_.intern_series(
        {name_, std::string(environment), std::move(model), std::move(target)});
  }

  bool DecodeRotations(const v1::Api& message) {
    if (message.rotations_size() > kMaxRotations) {
      return Fail("rotations", absl::StrCat("has more than ", kMaxRotations, " entries"));
    }
    std::set<std::string> ids;
    for (int i = 0; i < message.rotations_size(); ++i) {
      const std::string field = absl::StrCat("rotations[", i, "]");
      const v1::Rotation& rotation = message.rotations(i);
      if (rotation.id().empty() || !ids.insert(rotation.id()).second) {
        return Fail(field + ".id", "must be there and differ from the others");
      }
      auto bound = std::make_unique<BoundRotation>();
      rotation::RotationSpec spec;
      if (!DecodePolicy(rotation, field, *bound, spec) ||
          !DecodeTargets(rotation, field, *bound, spec)) {
        return false;
      }
      api_->rotations.push_back(std::move(bound));
      specs_.push_back(std::move(spec));
    }
    return true;
  }

  bool DecodePolicy(const v1::Rotation& message, const std::string& field, BoundRotation& bound,
                    rotation::RotationSpec& spec) {
    spec.id = message.id();
    spec.failure_threshold = message.failure_threshold();
    switch (message.on_all_suspended()) {
      case v1::REJECT:
        bound.on_all_suspended = OnAllSuspended::kReject;
        break;
      case v1::WAIT:
        bound.on_all_suspended = OnAllSuspended::kWait;
        break;
      case v1::PASS_THROUGH:
        bound.on_all_suspended = OnAllSuspended::kPassThrough;
        break;
      default:
        return FailUnsupported(field + ".on_all_suspended",
                               "is a choice that this build does not know");
    }
    bound.attempts = message.attempts() == 0 ? static_cast<uint32_t>(message.targets_size())
                                             : message.attempts();
    bound.attempts = std::clamp<uint32_t>(bound.attempts, 1, kMaxAttempts);
    bound.retry_non_idempotent = message.retry_non_idempotent();
    const bool is_read =
        ReadDuration(field + ".quota_suspension", message.has_quota_suspension(),
                     message.quota_suspension(), Duration{}, bound.quota_suspension) &&
        ReadDuration(field + ".max_suspension", message.has_max_suspension(),
                     message.max_suspension(), kDefaultMaxSuspension, bound.max_suspension) &&
        ReadDuration(field + ".wait_timeout", message.has_wait_timeout(), message.wait_timeout(),
                     kDefaultWait, bound.wait_timeout) &&
        ReadDuration(field + ".failure_suspension", message.has_failure_suspension(),
                     message.failure_suspension(), kDefaultFailureSuspension,
                     bound.failure_suspension);
    spec.failure_suspension = bound.failure_suspension;
    return is_read;
  }

  bool DecodeTargets(const v1::Rotation& message, const std::string& field, BoundRotation& bound,
                     rotation::RotationSpec& spec) {
    if (message.targets_size() < 1 ||
        message.targets_size() > static_cast<int>(rotation::kMaxTargets)) {
      return Fail(field + ".targets",
                  absl::StrCat("must have 1 to ", rotation::kMaxTargets, " entries"));
    }
    const std::string_view environment = EnvironmentName(
        message.environment() == v1::SANDBOX ? Environment::kSandbox : Environment::kProduction);
    std::set<std::string> ids;
    bool has_weight = false;
    bound.targets.reserve(static_cast<size_t>(message.targets_size()));
    for (int i = 0; i < message.targets_size(); ++i) {
      const v1::Target& target = message.targets(i);
      const std::string place = absl::StrCat(field, ".targets[", i, "]");
      if (target.id().empty() || !ids.insert(target.id()).second) {
        return Fail(place + ".id", "must be there and differ from the others");
      }
      if (target.endpoint() >= api_->endpoints.size()) {
        return Fail(place + ".endpoint", "is not an index into endpoints");
      }
      if (target.weight() > kMaxTargetWeight) {
        return Fail(place + ".weight", absl::StrCat("must be 0 to ", kMaxTargetWeight));
      }
      has_weight = has_weight || target.weight() > 0;
      const Endpoint& endpoint = *api_->endpoints[target.endpoint()];
      spec.targets.push_back({target.id(), target.weight(), std::max<uint32_t>(target.tier(), 1),
                              !endpoint.credential_missing});
      Target& decoded = bound.targets.emplace_back();
      decoded.model = target.model();
      decoded.model_json = JsonString(target.model());
      decoded.endpoint = &endpoint;
      decoded.series = Intern(environment, target.model(), endpoint.name);
      absl::StatusOr<std::vector<provider::DefaultMember>> defaults =
          provider::ReadDefaults(target.defaults());
      if (!defaults.ok()) {
        return Fail(place + ".defaults", std::string(defaults.status().message()));
      }
      decoded.defaults = *std::move(defaults);
      for (const std::string& model : target.allowed_models()) {
        decoded.allowed_models.push_back({model, JsonString(model)});
      }
    }
    return has_weight || Fail(field + ".targets", "has no entry with a weight above 0");
  }

  bool DecodeOperations(const v1::Api& message) {
    if (message.operations_size() > kMaxOperations) {
      return Fail("operations", absl::StrCat("has more than ", kMaxOperations, " entries"));
    }
    api_->operations.reserve(static_cast<size_t>(message.operations_size()));
    auto index = std::make_unique<OperationIndex>();
    for (int i = 0; i < message.operations_size(); ++i) {
      const v1::Operation& operation = message.operations(i);
      const std::string field = absl::StrCat("operations[", i, "]");
      if (!IsToken(operation.verb())) {
        return Fail(field + ".verb", "is not an HTTP method");
      }
      const absl::Status added = index->Add(operation.target(), operation.verb(), i);
      if (!added.ok()) {
        return Fail(field + ".target",
                    absl::StrCat("\"", operation.target(), "\" ", std::string(added.message())));
      }
      Operation& decoded = api_->operations.emplace_back();
      decoded.verb = operation.verb();
      decoded.target = operation.target();
      decoded.secured = operation.secured();
      decoded.kind = operation.kind();
      decoded.max_body_bytes = message.max_body_bytes();
      decoded.own_path = OwnPathOf(operation);
      origin_->secured_operations += operation.secured() ? 1 : 0;
      if ((operation.has_production() &&
           !DecodeRoute(operation, operation.production(), field + ".production",
                        Environment::kProduction, decoded.production)) ||
          (operation.has_sandbox() &&
           !DecodeRoute(operation, operation.sandbox(), field + ".sandbox", Environment::kSandbox,
                        decoded.sandbox))) {
        return false;
      }
    }
    index->Freeze();
    const size_t hash = index->Hash();
    api_->index = context_.indexes.Share(std::move(index), hash);
    return true;
  }

  bool DecodeRoute(const v1::Operation& operation, const v1::Route& message,
                   const std::string& field, Environment environment, std::optional<Route>& route) {
    if (message.rotation() > api_->rotations.size()) {
      return Fail(field + ".rotation", "is not an index into rotations");
    }
    if (message.endpoint() >= api_->endpoints.size()) {
      return Fail(field + ".endpoint", "is not an index into endpoints");
    }
    const Endpoint* endpoint = api_->endpoints[message.endpoint()].get();
    const BoundRotation* rotation =
        message.rotation() == 0 ? nullptr : api_->rotations[message.rotation() - 1].get();
    const std::string_view name = EnvironmentName(environment);
    route = Route{api_.get(),
                  rotation,
                  endpoint,
                  Intern(name, "", endpoint->name),
                  Intern(name, "", ""),
                  rotation == nullptr ? rotation::TargetSet()
                                      : ExcludedTargets(operation, rotation->targets)};
    return true;
  }

  const DecodeContext& context_;
  const std::string name_;
  std::shared_ptr<Api> api_ = std::make_shared<Api>();
  std::vector<rotation::RotationSpec> specs_;
  std::shared_ptr<ApiOrigin> origin_ = std::make_shared<ApiOrigin>();
  DecodeProblem problem_;
};

}  // namespace

std::variant<std::shared_ptr<const Api>, DecodeProblem> DecodeApi(
    const std::shared_ptr<const v1::Resource>& resource, const DecodeContext& context) {
  v1::Api message;
  if (!message.ParseFromString(resource->body())) {
    return DecodeProblem{v1::Rejection::MALFORMED, "", "the bytes are not a rota.sync.v1.Api"};
  }
  Decoder decoder(resource, context);
  if (!decoder.Decode(message)) {
    return decoder.TakeProblem();
  }
  return decoder.Finish();
}

}  // namespace rota::table
