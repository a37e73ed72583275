#include "controller/identity/plan.h"

#include <algorithm>
#include <iterator>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace rota::identity {
namespace {

using std::chrono::hours;
using std::chrono::minutes;
using std::chrono::seconds;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr char kName[] = "rota-controller.rota-system.svc";

// What is stored, a clock, and somebody who does what the plan says.
class PlanTest : public ::testing::Test {
 protected:
  PlanTest() { policy_.dns_names = {kName}; }

  Decision Ask() { return Decide(stored_, policy_, clock_.WallNow()); }
  // One step; what it was.
  Action Step() {
    const Decision decision = Ask();
    if (decision.action != Action::kNothing) {
      const auto change = CarryOut(decision, stored_, policy_, clock_.WallNow());
      EXPECT_TRUE(change.ok()) << change.status();
      Store(*change);
    }
    return decision.action;
  }
  void Store(const Change& change) {
    switch (change.object) {
      case Change::Object::kAuthority:
        stored_.authority = change.secret;
        break;
      case Change::Object::kBundle:
        stored_.bundle = change.bundle;
        break;
      case Change::Object::kServing:
        stored_.serving = change.secret;
        break;
    }
  }
  // Until there is nothing to do; the steps.
  std::vector<Action> Settle() {
    std::vector<Action> steps;
    while (steps.size() < 20) {
      const Action action = Step();
      if (action == Action::kNothing) {
        return steps;
      }
      steps.push_back(action);
    }
    ADD_FAILURE() << "it does not settle";
    return steps;
  }

  std::string Text(const std::optional<SecretData>& data, const char* key) const {
    if (!data.has_value() || !data->contains(key)) {
      return "";
    }
    return std::string(data->at(key).Reveal());
  }
  std::string newest() const { return Text(stored_.authority, kNewestCertificate); }
  std::string old() const { return Text(stored_.authority, kOldCertificate); }
  std::string serving() const { return Text(stored_.serving, kServingCertificate); }
  // A data plane that has read the bundle now would take the certificate that is shown now.
  bool IsTrusted(const std::string& bundle) const {
    const auto facts = ReadCertificate(serving());
    if (!facts.ok() || !facts->validity.contains(clock_.WallNow())) {
      return false;
    }
    for (size_t at = bundle.find("-----BEGIN"); at != std::string::npos;
         at = bundle.find("-----BEGIN", at + 1)) {
      const auto authority = ReadCertificate(bundle.substr(at));
      if (authority.ok() && authority->validity.contains(clock_.WallNow()) &&
          IsSignedBy(serving(), bundle.substr(at))) {
        return true;
      }
    }
    return false;
  }
  bool IsTrusted() const {
    return stored_.bundle.has_value() && IsTrusted(stored_.bundle->certificates);
  }
  void Expire(const std::string& certificate) {
    const auto facts = ReadCertificate(certificate);
    ASSERT_TRUE(facts.ok());
    clock_.Advance(facts->validity.not_after - clock_.WallNow());
  }
  void AdvanceToRenewal(const std::string& certificate) {
    const auto facts = ReadCertificate(certificate);
    ASSERT_TRUE(facts.ok());
    clock_.Advance(facts->validity.renew_at() - clock_.WallNow());
  }

  FakeClock clock_;
  Policy policy_;
  Stored stored_;
};

TEST_F(PlanTest, FromNothingEverythingIsMadeInOrder) {
  EXPECT_THAT(Settle(),
              ElementsAre(Action::kMakeAuthority, Action::kPublishBundle, Action::kIssueServing));
  EXPECT_TRUE(IsTrusted());
  EXPECT_EQ(old(), "");
  EXPECT_TRUE(UsableServing(stored_).has_value());
  // The next thing of interest: from then on the newest CA counts as known everywhere.
  EXPECT_EQ(Ask().look_again, clock_.WallNow() + policy_.overlap);
}

TEST_F(PlanTest, EmptyObjectsThatSomebodyMadeBeforehandAreFilled) {
  stored_.authority.emplace();
  stored_.serving.emplace();
  stored_.bundle.emplace();
  EXPECT_EQ(Settle().size(), 3u);
  EXPECT_TRUE(IsTrusted());
}

TEST_F(PlanTest, TheCertificateIsRenewedAtTwoThirdsOfItsLife) {
  Settle();
  const std::string before = serving();
  clock_.Advance(policy_.overlap);
  EXPECT_THAT(Settle(), ElementsAre());
  const Decision decision = Ask();
  EXPECT_EQ(decision.look_again, ReadCertificate(before)->validity.renew_at());
  clock_.Advance(decision.look_again - clock_.WallNow() - seconds(1));
  EXPECT_THAT(Settle(), ElementsAre());
  clock_.Advance(seconds(1));
  EXPECT_THAT(Settle(), ElementsAre(Action::kIssueServing));
  EXPECT_NE(serving(), before);
  EXPECT_TRUE(IsTrusted());
}

TEST_F(PlanTest, ANewAuthorityIsPublishedBeforeItSignsAndTheOldOneOutlivesWhatItSigned) {
  Settle();
  clock_.Advance(policy_.overlap);
  const std::string first = newest();
  // Up to the renewal of the CA, certificates are renewed.
  AdvanceToRenewal(first);
  EXPECT_THAT(Settle(),
              ElementsAre(Action::kMakeAuthority, Action::kPublishBundle, Action::kIssueServing));
  const std::string second = newest();
  EXPECT_EQ(old(), first);
  EXPECT_TRUE(IsSignedBy(serving(), first)) << "the new one may not sign yet";
  EXPECT_THAT(stored_.bundle->certificates, HasSubstr(first));
  EXPECT_THAT(stored_.bundle->certificates, HasSubstr(second));

  const std::string bundle_of_then = stored_.bundle->certificates;
  clock_.Advance(policy_.overlap - seconds(1));
  EXPECT_THAT(Settle(), ElementsAre());
  clock_.Advance(seconds(1));
  EXPECT_THAT(Settle(), ElementsAre(Action::kIssueServing, Action::kForgetOldKey));
  EXPECT_TRUE(IsSignedBy(serving(), second));
  EXPECT_TRUE(IsTrusted(bundle_of_then));
  EXPECT_EQ(Text(stored_.authority, kOldKey), "");
  EXPECT_EQ(old(), first);

  clock_.Advance(policy_.serving_life - seconds(1));
  Settle();  // a renewal
  EXPECT_EQ(old(), first);
  clock_.Advance(seconds(1));
  EXPECT_THAT(Settle(), ElementsAre(Action::kForgetOld, Action::kPublishBundle));
  EXPECT_EQ(stored_.bundle->certificates, second);
  EXPECT_TRUE(IsTrusted());
}

// Whoever has read the bundle at some time within the overlap trusts what is shown now; looked at
// over three lives of CAs, in steps that hit no moment exactly.
TEST_F(PlanTest, OverALifeOfRotationsNobodyWithARecentBundleIsEverLockedOut) {
  policy_.authority_life = hours(400);
  policy_.serving_life = hours(24);
  policy_.overlap = hours(5);
  Settle();
  std::vector<std::pair<WallTime, std::string>> bundles = {
      {clock_.WallNow(), stored_.bundle->certificates}};
  std::vector<std::string> authorities = {newest()};
  const Duration step = minutes(97);
  const WallTime end = clock_.WallNow() + hours(900);
  while (clock_.WallNow() < end) {
    clock_.Advance(step);
    // Not everything is done at once: a leader may be away for a while.
    Step();
    if (stored_.bundle->certificates != bundles.back().second) {
      bundles.emplace_back(clock_.WallNow(), stored_.bundle->certificates);
    }
    if (newest() != authorities.back()) {
      authorities.push_back(newest());
    }
    ASSERT_TRUE(IsTrusted());
    // A data plane whose copy of the bundle is as old as is allowed for.
    const auto next = std::find_if(bundles.begin(), bundles.end(), [&](const auto& entry) {
      return entry.first > clock_.WallNow() - policy_.overlap + step;
    });
    if (next != bundles.begin()) {
      ASSERT_TRUE(IsTrusted(std::prev(next)->second));
    }
  }
  EXPECT_GE(authorities.size(), 4u);
}

TEST_F(PlanTest, LookAgainIsTheMomentAtWhichThereIsSomethingToDo) {
  policy_.authority_life = hours(400);
  policy_.serving_life = hours(24);
  policy_.overlap = hours(5);
  for (int i = 0; i < 40; ++i) {
    Settle();
    const WallTime next = Ask().look_again;
    ASSERT_GT(next, clock_.WallNow());
    clock_.Advance(next - clock_.WallNow() - seconds(1));
    ASSERT_EQ(Ask().action, Action::kNothing);
    clock_.Advance(seconds(1));
    // Either something is due, or it was the end of the first CA's overlap.
    if (Ask().action == Action::kNothing) {
      ASSERT_GT(Ask().look_again, clock_.WallNow());
    }
  }
}

// --- What may be broken.

class BrokenTest : public PlanTest {
 protected:
  BrokenTest() {
    Settle();
    clock_.Advance(policy_.overlap);
    Settle();
    other_ = *MakeAuthority("other", {clock_.WallNow(), clock_.WallNow() + hours(1000)});
  }
  void SetAuthority(const char* key, std::string_view value) {
    (*stored_.authority)[key] = SecretString(value);
  }
  KeyPair other_;
};

TEST_F(BrokenTest, AnAuthorityWithoutItsKeyIsReplacedAndTrustedUntilItsCertificateIsGone) {
  const std::string first = newest();
  const std::string shown = serving();
  for (const std::string& key :
       {std::string(), std::string("garbage"), std::string(other_.key.Reveal()),
        std::string(other_.key.Reveal().substr(0, 100))}) {
    const Stored before = stored_;
    SetAuthority(kNewestKey, key);
    EXPECT_THAT(Settle(), ElementsAre(Action::kMakeAuthority, Action::kPublishBundle));
    EXPECT_EQ(old(), first);
    EXPECT_EQ(Text(stored_.authority, kOldKey), "");
    EXPECT_EQ(serving(), shown) << "it will do until the new CA is known everywhere";
    EXPECT_TRUE(IsTrusted());
    clock_.Advance(policy_.overlap);
    EXPECT_THAT(Settle(), ElementsAre(Action::kIssueServing));
    EXPECT_TRUE(IsSignedBy(serving(), newest()));
    stored_ = before;
  }
}

TEST_F(BrokenTest, AnAuthorityThatIsGarbageIsReplacedAtOnce) {
  for (const std::string& certificate :
       {std::string("garbage"), newest().substr(0, 300),
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n" + newest(),
        serving() /* no CA */}) {
    const Stored before = stored_;
    SetAuthority(kNewestCertificate, certificate);
    const std::vector<Action> steps = Settle();
    ASSERT_FALSE(steps.empty());
    EXPECT_EQ(steps.front(), Action::kMakeAuthority);
    EXPECT_TRUE(IsTrusted());
    stored_ = before;
  }
}

TEST_F(BrokenTest, AnAuthorityThatIsLostIsReplaced) {
  stored_.authority.reset();
  EXPECT_THAT(Settle(),
              ElementsAre(Action::kMakeAuthority, Action::kPublishBundle, Action::kIssueServing));
  EXPECT_TRUE(IsTrusted());
}

TEST_F(BrokenTest, AnAuthorityThatHasEndedIsReplaced) {
  Expire(newest());
  Settle();
  EXPECT_TRUE(IsTrusted());
  EXPECT_TRUE(ReadCertificate(newest())->validity.contains(clock_.WallNow()));
}

TEST_F(BrokenTest, AnAuthorityOfALeaderWhoseClockIsFarAheadIsReplaced) {
  const WallTime ahead = clock_.WallNow() + hours(30);
  const KeyPair made = *MakeAuthority("ahead", {ahead, ahead + hours(1000)});
  SetAuthority(kNewestCertificate, made.certificate);
  SetAuthority(kNewestKey, made.key.Reveal());
  Settle();
  EXPECT_TRUE(IsTrusted());
  EXPECT_NE(newest(), made.certificate);
}

TEST_F(BrokenTest, ACertificateThatCannotBeShownIsReplaced) {
  const std::string shown = serving();
  const KeyPair stranger =
      *IssueServing(other_, {kName}, {clock_.WallNow() - hours(1), clock_.WallNow() + hours(10)});
  const KeyPair authority = {newest(), stored_.authority->at(kNewestKey)};
  const WallTime now = clock_.WallNow();
  const KeyPair ended = *IssueServing(authority, {kName}, {now - hours(2), now});
  const KeyPair early = *IssueServing(authority, {kName}, {now + hours(1), now + hours(2)});
  const std::vector<std::pair<std::string, std::string>> broken = {
      {"", ""},
      {shown, ""},
      {"", std::string(other_.key.Reveal())},
      {shown, "garbage"},
      {"garbage", std::string(other_.key.Reveal())},
      {shown, std::string(other_.key.Reveal())},
      {shown.substr(0, 200), std::string(stored_.serving->at(kServingKey).Reveal())},
      {stranger.certificate, std::string(stranger.key.Reveal())},
      {ended.certificate, std::string(ended.key.Reveal())},
      {early.certificate, std::string(early.key.Reveal())}};
  for (const auto& [certificate, key] : broken) {
    (*stored_.serving)[kServingCertificate] = SecretString(certificate);
    (*stored_.serving)[kServingKey] = SecretString(key);
    EXPECT_THAT(Settle(), ElementsAre(Action::kIssueServing)) << certificate;
    EXPECT_TRUE(IsTrusted());
  }
  stored_.serving.reset();
  EXPECT_THAT(Settle(), ElementsAre(Action::kIssueServing));
}

TEST_F(BrokenTest, ABundleThatSomebodyHasEditedIsPutRight) {
  const std::string right = stored_.bundle->certificates;
  for (const std::string& text :
       {std::string(), std::string("garbage"), right + other_.certificate, other_.certificate,
        right.substr(0, 100), "# a comment\n" + right}) {
    stored_.bundle->certificates = text;
    EXPECT_THAT(Settle(), ElementsAre(Action::kPublishBundle)) << text;
    EXPECT_EQ(stored_.bundle->certificates, right);
  }
  stored_.bundle.reset();
  EXPECT_THAT(Settle(), ElementsAre(Action::kPublishBundle));
  EXPECT_EQ(stored_.bundle->certificates, right);
}

TEST_F(BrokenTest, WhereTheBundleDoesNotSaySinceWhenTheOverlapBeginsAnew) {
  AdvanceToRenewal(newest());
  Settle();
  clock_.Advance(policy_.overlap - minutes(1));
  for (const std::string& since :
       {std::string(), std::string("yesterday"), "0123 " + stored_.bundle->newest_since.substr(65),
        stored_.bundle->newest_since.substr(0, 70)}) {
    stored_.bundle->newest_since = since;
    EXPECT_THAT(Settle(), ElementsAre(Action::kPublishBundle)) << since;
    EXPECT_TRUE(IsSignedBy(serving(), old()));
  }
  clock_.Advance(policy_.overlap - seconds(1));
  EXPECT_THAT(Settle(), ElementsAre());
  clock_.Advance(seconds(1));
  Settle();
  EXPECT_TRUE(IsSignedBy(serving(), newest()));
}

TEST_F(BrokenTest, ATimeToComeIsBelievedWithinTheSkewOfClocksOnly) {
  AdvanceToRenewal(newest());
  Settle();
  clock_.Advance(-minutes(4));  // this leader's clock is behind that of the one before
  EXPECT_THAT(Settle(), ElementsAre());
  clock_.Advance(-minutes(2));
  EXPECT_THAT(Settle(), ElementsAre(Action::kPublishBundle));
}

TEST_F(BrokenTest, AnOldAuthorityThatIsGarbageIsForgotten) {
  SetAuthority(kOldCertificate, "garbage");
  SetAuthority(kOldKey, other_.key.Reveal());
  EXPECT_THAT(Settle(), ElementsAre(Action::kForgetOld));
  EXPECT_EQ(Text(stored_.authority, kOldKey), "");
  SetAuthority(kOldKey, other_.key.Reveal());
  EXPECT_THAT(Settle(), ElementsAre(Action::kForgetOld));
  EXPECT_TRUE(IsTrusted());
}

TEST_F(BrokenTest, WhenTheNewestIsLostWithinTheOverlapTheOldOneSignsOn) {
  AdvanceToRenewal(newest());
  Settle();
  const std::string first = old();
  SetAuthority(kNewestCertificate, "garbage");
  EXPECT_THAT(Settle(), ElementsAre(Action::kMakeAuthority, Action::kPublishBundle));
  EXPECT_EQ(old(), first);
  EXPECT_TRUE(IsSignedBy(serving(), first));
  AdvanceToRenewal(serving());  // far beyond the overlap
  Settle();
  EXPECT_TRUE(IsSignedBy(serving(), newest()));
  EXPECT_TRUE(IsTrusted());
}

// --- Names.

TEST_F(BrokenTest, AMissingNameIsAddedAndAnotherReplicasNameIsKept) {
  policy_.dns_names = {"new.svc"};
  EXPECT_THAT(Settle(), ElementsAre(Action::kIssueServing));
  EXPECT_THAT(ReadCertificate(serving())->dns_names, ElementsAre("new.svc", kName));
  policy_.dns_names = {kName};  // the other version of the controller looks
  EXPECT_THAT(Settle(), ElementsAre());
  policy_.dns_names = {"new.svc"};
  AdvanceToRenewal(serving());
  Settle();
  EXPECT_THAT(ReadCertificate(serving())->dns_names, ElementsAre("new.svc"));
}

TEST_F(BrokenTest, NamesDoNotPileUp) {
  for (int i = 0; i < 40; ++i) {
    policy_.dns_names = {"n" + std::to_string(i) + ".svc"};
    Settle();
    ASSERT_LE(ReadCertificate(serving())->dns_names.size(), kMaxDnsNames);
  }
  EXPECT_TRUE(IsTrusted());
}

TEST_F(BrokenTest, WhatIsShownIsThePairThatFitsExpiredOrNot) {
  EXPECT_EQ(UsableServing(stored_)->certificate, serving());
  Expire(serving());
  EXPECT_TRUE(UsableServing(stored_).has_value()) << "better than nothing: clients' clocks differ";
  (*stored_.serving)[kServingKey] = other_.key;
  EXPECT_FALSE(UsableServing(stored_).has_value());
  stored_.serving.reset();
  EXPECT_FALSE(UsableServing(stored_).has_value());
}

}  // namespace
}  // namespace rota::identity
