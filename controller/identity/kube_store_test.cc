#include "controller/identity/kube_store.h"

#include "controller/identity/scripted_transport.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace rota::identity {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr char kNotFound[] = R"({"kind":"Status","reason":"NotFound","message":"not found"})";
constexpr char kConflict[] = R"({"kind":"Status","reason":"Conflict","message":"changed"})";
constexpr char kForbidden[] =
    R"({"kind":"Status","reason":"Forbidden","message":"secrets is forbidden"})";

class KubeStoreTest : public ::testing::Test {
 protected:
  json Sent() { return json::parse(transport_.requests.back().body); }
  static Change Serving(const std::string& certificate, const std::string& key) {
    Change change;
    change.object = Change::Object::kServing;
    change.secret[kServingCertificate] = SecretString(certificate);
    change.secret[kServingKey] = SecretString(key);
    return change;
  }

  ScriptedTransport transport_;
  KubeStore store_{transport_, "rota-system", "rota"};
};

TEST_F(KubeStoreTest, ObjectsThatDoNotExistAreNoErrorAndAreReadByName) {
  for (int i = 0; i < 3; ++i) {
    transport_.Answer(404, kNotFound);
  }
  const auto seen = store_.Read(true, {});
  ASSERT_TRUE(seen.ok()) << seen.status();
  EXPECT_FALSE(seen->stored.authority.has_value());
  EXPECT_FALSE(seen->stored.bundle.has_value());
  EXPECT_FALSE(seen->stored.serving.has_value());
  ASSERT_EQ(transport_.requests.size(), 3u);
  EXPECT_EQ(transport_.requests[0].target,
            "/api/v1/namespaces/rota-system/secrets/rota-controller-tls");
  EXPECT_EQ(transport_.requests[1].target,
            "/api/v1/namespaces/rota-system/configmaps/rota-ca-bundle");
  EXPECT_EQ(transport_.requests[2].target, "/api/v1/namespaces/rota-system/secrets/rota-ca");
}

TEST_F(KubeStoreTest, WhoDoesNotLeadDoesNotReadTheCa) {
  transport_.Answer(404, kNotFound);
  transport_.Answer(404, kNotFound);
  EXPECT_TRUE(store_.Read(false, {}).ok());
  EXPECT_EQ(transport_.requests.size(), 2u);
}

TEST_F(KubeStoreTest, WhatIsStoredIsReadAndGarbageCountsAsAbsent) {
  transport_.Answer(200, R"({"metadata":{"resourceVersion":"7"},
      "data":{"tls.crt":"Y2VydA==","tls.key":"!!!","other":"eA=="}})");
  transport_.Answer(200, R"({"metadata":{"resourceVersion":"8",
      "annotations":{"gateway.rota.dev/newest-ca-since":"abc 2026"}},"data":{"ca.crt":"PEM"}})");
  transport_.Answer(200, R"({"metadata":{"resourceVersion":"9"},"data":"nonsense"})");
  const auto seen = store_.Read(true, {});
  ASSERT_TRUE(seen.ok()) << seen.status();
  ASSERT_EQ(seen->stored.serving->size(), 1u);
  EXPECT_EQ(seen->stored.serving->at(kServingCertificate).Reveal(), "cert");
  EXPECT_EQ(seen->serving_version, "7");
  EXPECT_EQ(seen->stored.bundle->certificates, "PEM");
  EXPECT_EQ(seen->stored.bundle->newest_since, "abc 2026");
  EXPECT_EQ(seen->bundle_version, "8");
  EXPECT_TRUE(seen->stored.authority->empty());
  EXPECT_EQ(seen->authority_version, "9");
}

TEST_F(KubeStoreTest, AnObjectThatWasNotThereIsCreated) {
  transport_.Answer(201, "{}");
  ASSERT_TRUE(store_.Write(Serving("cert", "key"), {}, {}).ok());
  EXPECT_EQ(transport_.requests[0].method, "POST");
  EXPECT_EQ(transport_.requests[0].target, "/api/v1/namespaces/rota-system/secrets");
  const json sent = Sent();
  EXPECT_EQ(sent["kind"], "Secret");
  EXPECT_EQ(sent["type"], "kubernetes.io/tls");
  EXPECT_EQ(sent["metadata"]["name"], "rota-controller-tls");
  EXPECT_FALSE(sent["metadata"].contains("resourceVersion"));
  EXPECT_EQ(sent["data"]["tls.crt"], "Y2VydA==");
  EXPECT_EQ(sent["data"]["tls.key"], "a2V5");
}

TEST_F(KubeStoreTest, AnObjectThatWasThereIsPatchedAtTheVersionThatWasSeen) {
  Seen seen;
  seen.authority_version = "41";
  seen.stored.authority.emplace();
  (*seen.stored.authority)[kNewestKey] = SecretString("before");
  (*seen.stored.authority)[kOldKey] = SecretString("long before");
  Change change;
  change.secret[kNewestKey] = SecretString("key");
  transport_.Answer(200, "{}");
  ASSERT_TRUE(store_.Write(change, seen, {}).ok());
  EXPECT_EQ(transport_.requests[0].method, "PATCH");
  EXPECT_EQ(transport_.requests[0].content_type, "application/merge-patch+json");
  EXPECT_EQ(transport_.requests[0].target, "/api/v1/namespaces/rota-system/secrets/rota-ca");
  const json sent = Sent();
  EXPECT_EQ(sent["metadata"], json({{"resourceVersion", "41"}})) << "labels stay what they are";
  EXPECT_EQ(sent["data"]["ca.key"], "a2V5");
  EXPECT_TRUE(sent["data"]["old-ca.key"].is_null()) << "what is to be forgotten is deleted";
  EXPECT_FALSE(sent.contains("type"));
}

TEST_F(KubeStoreTest, TheBundleSaysSinceWhen) {
  Seen seen;
  seen.bundle_version = "5";
  seen.stored.bundle.emplace();
  Change change;
  change.object = Change::Object::kBundle;
  change.bundle = {"PEM", "abc 2026"};
  transport_.Answer(200, "{}");
  ASSERT_TRUE(store_.Write(change, seen, {}).ok());
  const json sent = Sent();
  EXPECT_EQ(sent["data"]["ca.crt"], "PEM");
  EXPECT_EQ(sent["metadata"]["annotations"]["gateway.rota.dev/newest-ca-since"], "abc 2026");
  EXPECT_EQ(sent["metadata"]["resourceVersion"], "5");
}

TEST_F(KubeStoreTest, WhoComesLateIsToldSoWhateverHasHappenedToTheObject) {
  Seen seen;
  seen.serving_version = "7";
  transport_.Answer(409, kConflict);
  EXPECT_EQ(store_.Write(Serving("c", "k"), seen, {}).code(), absl::StatusCode::kAborted);
  transport_.Answer(404, kNotFound);
  EXPECT_EQ(store_.Write(Serving("c", "k"), seen, {}).code(), absl::StatusCode::kAborted);
  transport_.Answer(409, R"({"kind":"Status","reason":"AlreadyExists","message":"exists"})");
  EXPECT_EQ(store_.Write(Serving("c", "k"), {}, {}).code(), absl::StatusCode::kAborted);
}

TEST_F(KubeStoreTest, AFailureNamesWhatWasTriedAndNoSecret) {
  transport_.Answer(403, kForbidden);
  const absl::Status read = store_.Read(true, {}).status();
  EXPECT_EQ(read.code(), absl::StatusCode::kPermissionDenied);
  EXPECT_THAT(std::string(read.message()),
              HasSubstr("get secrets rota-system/rota-controller-tls"));
  transport_.Answer(403, kForbidden);
  const absl::Status write = store_.Write(Serving("c", "s3cr3t-key"), {}, {});
  EXPECT_THAT(std::string(write.message()),
              HasSubstr("create secrets rota-system/rota-controller-tls"));
  EXPECT_THAT(std::string(write.message()), Not(HasSubstr("s3cr3t")));
  EXPECT_EQ(store_.Read(true, {}).status().code(), absl::StatusCode::kUnavailable);
}

}  // namespace
}  // namespace rota::identity
