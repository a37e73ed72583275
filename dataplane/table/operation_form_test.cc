#include "dataplane/table/operation_form.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace rota::table {
namespace {

namespace v1 = rota::sync::v1;

v1::Operation OperationOf(v1::OperationKind kind, const std::string& target) {
  v1::Operation operation;
  operation.set_verb("POST");
  operation.set_kind(kind);
  operation.set_target(target);
  return operation;
}

class OperationFormTest : public testing::Test {
 protected:
  OperationFormTest() {
    endpoints_.reserve(4);
    for (const char* provider : {"openai", "anthropic", "bedrock", "gemini"}) {
      Endpoint& endpoint = endpoints_.emplace_back();
      endpoint.provider = provider;
      endpoint.translator = provider::TranslatorFor(provider, "", endpoint.options);
      targets_.emplace_back().endpoint = &endpoint;
    }
  }
  // One character per target: '-' excluded.
  std::string Takers(const v1::Operation& operation) const {
    const rotation::TargetSet excluded = ExcludedTargets(operation, targets_);
    std::string takers;
    for (size_t i = 0; i < targets_.size(); ++i) {
      takers.push_back(excluded.test(i) ? '-' : targets_[i].endpoint->provider.front());
    }
    return takers;
  }

  std::vector<Endpoint> endpoints_;
  std::vector<Target> targets_;
};

TEST_F(OperationFormTest, APathThatSaysSomethingElseIsReplaced) {
  EXPECT_EQ(OwnPathOf(OperationOf(v1::CHAT, "/chat/completions")), "");
  EXPECT_EQ(OwnPathOf(OperationOf(v1::CHAT, "/v1/chat/completions/")), "");
  EXPECT_EQ(OwnPathOf(OperationOf(v1::CHAT, "/route1")), "/chat/completions");
  EXPECT_EQ(OwnPathOf(OperationOf(v1::EMBEDDINGS, "/embed")), "/embeddings");
  EXPECT_EQ(OwnPathOf(OperationOf(v1::PASSTHROUGH, "/route1")), "");
  EXPECT_EQ(OwnPathOf(OperationOf(v1::MESSAGES, "/x")), "");
}

TEST_F(OperationFormTest, ChatGoesToAllProviders) {
  EXPECT_EQ(Takers(OperationOf(v1::CHAT, "/chat/completions")), "oabg");
  EXPECT_EQ(Takers(OperationOf(v1::PASSTHROUGH, "/anything")), "oabg");
}

TEST_F(OperationFormTest, ANativeOperationGoesToItsProvider) {
  EXPECT_EQ(Takers(OperationOf(v1::MESSAGES, "/v1/messages")), "-a--");
  EXPECT_EQ(Takers(OperationOf(v1::CONVERSE, "/model/{id}/converse")), "--b-");
  EXPECT_EQ(Takers(OperationOf(v1::CONVERSE, "/models/x:streamGenerateContent")), "---g");
}

TEST_F(OperationFormTest, AnthropicHasNoEmbeddings) {
  EXPECT_EQ(Takers(OperationOf(v1::EMBEDDINGS, "/embeddings")).substr(0, 2), "o-");
}

TEST_F(OperationFormTest, WithoutAnyThatCanAllAreTried) {
  targets_.resize(1);
  EXPECT_EQ(Takers(OperationOf(v1::MESSAGES, "/v1/messages")), "o");
}

}  // namespace
}  // namespace rota::table
