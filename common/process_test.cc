#include "common/process.h"

#include <gtest/gtest.h>

#include <thread>

namespace rota {
namespace {

TEST(ProcessTest, RoundsACpuQuotaUp) {
  EXPECT_EQ(CpusOfQuota("max 100000\n"), 0U);
  EXPECT_EQ(CpusOfQuota("150000 100000\n"), 2U);
  EXPECT_EQ(CpusOfQuota("50000 100000\n"), 1U);
  EXPECT_EQ(CpusOfQuota("400000 100000\n"), 4U);
  EXPECT_EQ(CpusOfQuota(""), 0U);
  EXPECT_EQ(CpusOfQuota("100000 0"), 0U);
}

TEST(ProcessTest, AlwaysHasACpu) { EXPECT_GE(UsableCpus(), 1U); }

TEST(ProcessTest, DeliversASignalAsAValue) {
  SignalWaiter waiter;

  pthread_kill(pthread_self(), SIGHUP);

  EXPECT_EQ(waiter.Wait(), SIGHUP);
}

}  // namespace
}  // namespace rota
