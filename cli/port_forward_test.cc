#include "cli/port_forward.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace rota::cli {
namespace {

TEST(PortForwardTest, RunningPodsAreThoseThatRunAndStay) {
  const Json list = Json::parse(R"({"items": [
    {"metadata": {"namespace": "rota", "name": "a"}, "status": {"phase": "Running"},
     "spec": {"containers": [{"ports": [{"name": "http", "containerPort": 8080},
                                        {"name": "admin", "containerPort": 7001}]}]}},
    {"metadata": {"namespace": "rota", "name": "b"}, "status": {"phase": "Running"}, "spec": {}},
    {"metadata": {"namespace": "rota", "name": "c"}, "status": {"phase": "Pending"}, "spec": {}},
    {"metadata": {"namespace": "rota", "name": "d", "deletionTimestamp": "2026-01-01T00:00:00Z"},
     "status": {"phase": "Running"}, "spec": {}}]})");
  const std::vector<Pod> pods = RunningPods(list, Component::kDataPlane);
  ASSERT_EQ(pods.size(), 2u);
  EXPECT_EQ(pods[0].name, "a");
  EXPECT_EQ(pods[0].ns, "rota");
  EXPECT_EQ(pods[0].admin_port, 7001);
  EXPECT_EQ(pods[1].admin_port, 9901);
  EXPECT_EQ(RunningPods(list, Component::kController)[1].admin_port, 9902);
  EXPECT_TRUE(RunningPods(Json(), Component::kController).empty());
}

TEST(PortForwardTest, ThePortIsReadFromKubectlsLine) {
  EXPECT_EQ(ForwardedPort("Forwarding from 127.0.0.1:43211 -> 9901"), 43211);
  EXPECT_EQ(ForwardedPort("Forwarding from [::1]:43211 -> 9901"), 43211);
  for (const char* line : {"", "error: pods \"a\" not found", "Forwarding from 127.0.0.1",
                           "Forwarding from x:y -> 9901", "Forwarding from x:70000 -> 1"}) {
    EXPECT_EQ(ForwardedPort(line), 0) << line;
  }
}

TEST(PortForwardTest, SelectorsAreTheChartsLabels) {
  EXPECT_EQ(SelectorOf(Component::kDataPlane),
            "app.kubernetes.io/name=rota,app.kubernetes.io/component=dataplane");
  EXPECT_EQ(SelectorOf(Component::kController),
            "app.kubernetes.io/name=rota,app.kubernetes.io/component=controller");
}

}  // namespace
}  // namespace rota::cli
