"""Served from a genuine Kubernetes API server, with kubectl."""
import json
import pathlib

import pytest

from conftest import LONG, shared_file
from harness import http, kube, seed
from harness.checks import check_key_rotation
from harness.kube_stack import ask, path_of, ready_api, resource, serve
from harness.stack import KEY, metric, targets
from harness.process import BIN, Program, run
from harness.wait import until

ROOT = pathlib.Path(__file__).resolve().parents[2]


@pytest.fixture
def served(world, kubectl):
    """Controller and data plane on that namespace; nothing is applied yet."""
    return serve(world, kubectl)


def test_seed_file_wrapped_as_a_resource(served, kubectl):
    text = shared_file("inputs/apk/chat-service.apk-conf.yaml").read_text()
    kubectl("create", "secret", "generic", seed.SECRET, f"--from-literal=apiKey={KEY}")
    kubectl.apply(seed.manifest(text, kubectl.namespace))
    plane = served.planes[0].wait_serves(seed.PATH)
    until("answered", lambda: http.ask(plane.http, "POST", seed.PATH, http.CHAT).status == 200)
    # The first answer above is one pick; two more complete the turn, so that 999 begin a new one.
    for _ in range(2):
        assert http.ask(plane.http, "POST", seed.PATH, http.CHAT).status == 200
    seed.check_exact_share(plane.http)
    for kind in ("Accepted", "ResolvedRefs", "Programmed"):
        condition = kubectl.wait_condition("chat-service", kind, "True")
        assert condition["reason"] and condition["message"] and condition["lastTransitionTime"]
    status = kubectl.get("rapi", "chat-service")["status"]
    assert status["gateways"], status
    header, row = kubectl("get", "rapi").splitlines()
    assert header.split()[0] == "NAME" and "/chat-service-prod-sand" in row and "True" in row, header + "\n" + row
    assert kubectl("get", "rota", "-o", "name").strip() == "api.gateway.rota.dev/chat-service"
    assert KEY not in json.dumps(status) + served.controller.text()


def test_rotated_secret_is_used_within_a_second_without_a_failed_request(world, kubectl):
    serve(world, kubectl, key=None)
    ready_api(world, kubectl, key="sk-old")
    check_key_rotation(world, path_of("assistant"), lambda: kubectl.set_secret("openai-key", apiKey="sk-new"))


def test_deleted_secret_takes_its_targets_off_within_a_second(served, kubectl):
    ready_api(served, kubectl)
    kubectl.wait_condition("assistant", "ResolvedRefs", "True")
    kubectl("delete", "secret", "openai-key")
    until("its targets are off the rota", lambda: ask(served).status in (429, 503), seconds=1)
    served.mock_server.forget()
    ask(served)
    assert served.mock_server.requests()["total"] == 0
    kubectl.wait_condition("assistant", "ResolvedRefs", "False", ["openai-key"])
    kubectl("create", "secret", "generic", "openai-key", "--from-literal=wrongKey=x")
    kubectl.wait_condition("assistant", "ResolvedRefs", "False", ["openai-key", "apiKey"])
    kubectl.set_secret("openai-key", apiKey=KEY)
    until("served again", lambda: ask(served).status == 200, seconds=3)
    kubectl.wait_condition("assistant", "ResolvedRefs", "True")


def test_invalid_update_keeps_the_last_good_version(served, kubectl):
    """A rule that no schema can see: an endpoint name that no endpoint has."""
    ready_api(served, kubectl, models=("gpt-4o",), sandbox=())
    bad = resource(models=("gpt-4o-mini",), sandbox=())
    bad["spec"]["apiPolicies"]["request"][0]["parameters"]["productionModels"][0]["endpoint"] = "no-such-endpoint"
    kubectl.apply(bad)
    condition = kubectl.wait_condition("assistant", "Accepted", "False", ["no-such-endpoint"])
    assert "productionModels" in condition["message"], "the field is named"
    assert ask(served).json()["model"] == "gpt-4o"
    kubectl.apply(resource(models=("gpt-4o-mini",), sandbox=()))
    kubectl.wait_condition("assistant", "Accepted", "True")
    until("the corrected one is served", lambda: ask(served).json().get("model") == "gpt-4o-mini")


def test_the_older_of_two_apis_keeps_the_path(served, kubectl):
    kubectl("create", "secret", "generic", "openai-key", f"--from-literal=apiKey={KEY}")
    kubectl.apply(resource("zz-elder", base_path="/shared", models=("gpt-4o",), sandbox=()))
    kubectl.wait_condition("zz-elder", "Programmed", "True")
    # creationTimestamp counts in seconds: a newer one is one that is a second newer.
    born = kubectl.get("rapi", "zz-elder")["metadata"]["creationTimestamp"]
    until("a second later", lambda: kubectl("create", "configmap", "clock", "--dry-run=server", "-o",
                                            "jsonpath={.metadata.creationTimestamp}") > born)
    kubectl.apply(resource("aa-newer", base_path="/shared", models=("gpt-4o-mini",), sandbox=()))
    kubectl.wait_condition("aa-newer", "Accepted", "False", ["zz-elder"])
    answer = http.ask(served.planes[0].http, "POST", "/shared/1.0/chat/completions", http.CHAT)
    assert answer.json()["model"] == "gpt-4o"
    kubectl.wait_condition("zz-elder", "Accepted", "True")
    kubectl("delete", "rapi", "zz-elder")
    kubectl.wait_condition("aa-newer", "Accepted", "True")


def test_deleted_api_is_404(served, kubectl):
    ready_api(served, kubectl)
    kubectl("delete", "rapi", "assistant")
    until("404", lambda: ask(served).status == 404, seconds=3)


def many_apis(served, kubectl, count=60):
    """Their names; all of them are served."""
    names = [f"many-{number}" for number in range(count)]
    kubectl("create", "secret", "generic", "openai-key", f"--from-literal=apiKey={KEY}")
    kubectl.apply({"apiVersion": "v1", "kind": "List", "items": [resource(name) for name in names]})
    until("all are served", lambda: served.planes[0].metric("rota_apis") == count, 30)
    return names


def held(served):
    return metric(http.get(served.controller.admin, "/metrics").body, "rota_controller_held_removals")


def test_when_most_apis_vanish_at_once_they_are_served_until_the_server_has_been_asked_again(served, kubectl):
    names = many_apis(served, kubectl)
    kubectl("delete", "rapi", "--all", "--wait=false")
    until("the removal is held", lambda: held(served) > 0, 5)
    assert not kubectl.get("rapi")["items"]
    # Each of them is the server's own word: some have gone before it was clear how many there are.
    left = held(served)
    assert left >= len(names) - 51
    assert served.planes[0].metric("rota_apis") == left
    assert "gone at once" in http.get(served.controller.admin, "/debug/status").body
    until("they are gone", lambda: served.planes[0].metric("rota_apis") == 0, 20)
    assert held(served) == 0
    assert "gone at once" not in http.get(served.controller.admin, "/debug/status").body


def test_what_is_created_again_while_it_is_held_is_never_missing(served, kubectl):
    names = many_apis(served, kubectl)
    manifest = {"apiVersion": "v1", "kind": "List", "items": [resource(name) for name in names]}
    kubectl("delete", "rapi", "--all", "--wait=false")
    until("the removal is held", lambda: held(served) > 0, 5)
    kept = [name for name in names if served.planes[0].serves(path_of(name))]
    assert kept
    kubectl.apply(manifest)
    until("nothing is held", lambda: held(served) == 0, 10)
    until("all are served", lambda: served.planes[0].metric("rota_apis") == len(names), 10)


# As much of the Gateway API's definition as is looked at.
REFERENCE_GRANTS = {
    "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
    "metadata": {"name": "referencegrants.gateway.networking.k8s.io",
                 "annotations": {"api-approved.kubernetes.io": "https://github.com/kubernetes-sigs/gateway-api"}},
    "spec": {"group": "gateway.networking.k8s.io", "scope": "Namespaced",
             "names": {"kind": "ReferenceGrant", "plural": "referencegrants", "singular": "referencegrant"},
             "versions": [{"name": "v1beta1", "served": True, "storage": True, "schema": {"openAPIV3Schema": {
                 "type": "object", "properties": {"spec": {"type": "object",
                                                           "x-kubernetes-preserve-unknown-fields": True}}}}}]}}


def grant(owner, user, kind, name):
    """Lets APIs of the namespace `user` use that object of the namespace of `owner`."""
    until("the definition is served", lambda: owner.run("get", "referencegrants").returncode == 0)
    owner.apply({"apiVersion": "gateway.networking.k8s.io/v1beta1", "kind": "ReferenceGrant",
                 "metadata": {"name": "rota"},
                 "spec": {"from": [{"group": "gateway.rota.dev", "kind": "API", "namespace": user}],
                          "to": [{"group": "", "kind": kind, "name": name}]}})


def test_a_secret_of_another_namespace_is_used_only_while_it_is_granted(world, kubectl, tmp_path):
    kubectl.apply(REFERENCE_GRANTS)
    vault = kube.Kubectl(kubectl.server, tmp_path, f"{kubectl.namespace}-vault")
    kubectl("create", "namespace", vault.namespace)
    vault("create", "secret", "generic", "openai-key", f"--from-literal=apiKey={KEY}")
    served = serve(world, kubectl)
    manifest = resource(models=("gpt-4o",), sandbox=())
    endpoint = manifest["spec"]["endpointConfigurations"]["production"][0]
    endpoint["endpointSecurity"]["securityType"]["secretNamespace"] = vault.namespace
    kubectl.apply(manifest)
    kubectl.wait_condition("assistant", "ResolvedRefs", "False", ["RefNotPermitted", vault.namespace])
    served.planes[0].wait_serves(path_of("assistant"))
    assert ask(served).status in (429, 503)

    grant(vault, kubectl.namespace, "Secret", "openai-key")
    until("it is used", lambda: ask(served).status == 200, 5)
    kubectl.wait_condition("assistant", "ResolvedRefs", "True")
    vault("delete", "referencegrant", "rota")
    until("its targets are off the rota", lambda: ask(served).status in (429, 503), seconds=1)
    kubectl.wait_condition("assistant", "ResolvedRefs", "False", ["RefNotPermitted"])
    assert KEY not in served.controller.text()


def test_a_service_of_another_namespace_is_served_only_while_it_is_granted(world, kubectl, tmp_path):
    kubectl.apply(REFERENCE_GRANTS)
    models = kube.Kubectl(kubectl.server, tmp_path, f"{kubectl.namespace}-models")
    models("create", "namespace", models.namespace)
    service = world.add(Program("llm", [BIN / "rota-mock-llm", "--listen", "127.0.0.1:0"], world.folder))
    host = f"llm.{models.namespace}.svc"
    served = serve(world, kubectl, "--resolve", f"{host}:8000:{next(iter(service.ports.values()))}")
    kubectl("create", "secret", "generic", "openai-key", f"--from-literal=apiKey={KEY}")
    manifest = resource(models=("gpt-4o",), sandbox=())
    spec = manifest["spec"]
    spec["endpointConfigurations"]["production"].append(
        {"endpoint": {"name": "llm", "namespace": models.namespace, "port": 8000}})
    spec["apiPolicies"]["request"][0]["parameters"]["productionModels"] += targets(["llama"], f"http://{host}:8000")
    kubectl.apply(manifest)

    def answering():
        """The models that four requests in a row come to, which is twice the rota."""
        answers = [ask(served) for _ in range(4)]
        assert all(answer.status == 200 for answer in answers), answers
        return {answer.json()["model"] for answer in answers}

    refusal = ["RefNotPermitted", "spec.endpointConfigurations.production[1].endpoint",
               f"Service {models.namespace}/llm needs a ReferenceGrant of namespace {models.namespace}",
               f"namespace: {kubectl.namespace}}}", "name: llm}"]
    kubectl.wait_condition("assistant", "ResolvedRefs", "False", refusal)
    kubectl.wait_condition("assistant", "Accepted", "True")
    served.planes[0].wait_serves(path_of("assistant"))
    assert answering() == {"gpt-4o"}

    grant(models, kubectl.namespace, "Service", "llm")
    until("it is served", lambda: answering() == {"gpt-4o", "llama"}, 5)
    kubectl.wait_condition("assistant", "ResolvedRefs", "True")
    kubectl.wait_condition("assistant", "Programmed", "True")
    models("delete", "referencegrant", "rota")
    until("it is off the rota", lambda: answering() == {"gpt-4o"}, seconds=1)
    kubectl.wait_condition("assistant", "ResolvedRefs", "False", refusal)
    kubectl.wait_condition("assistant", "Programmed", "True")


def test_secured_operation_is_refused_without_allow_unauthenticated(world, kubectl):
    serve(world, kubectl, unauthenticated=False)
    kubectl("create", "secret", "generic", "openai-key", f"--from-literal=apiKey={KEY}")
    kubectl.apply(resource())
    until("refused", lambda: (answer := ask(world)).status == 403
          and answer.headers["x-rota-error"] == "AUTH_NOT_ENFORCED")
    until("the status shows it", lambda: "AUTH_NOT_ENFORCED" in json.dumps(kubectl.get("rapi", "assistant")["status"])
          or "AuthNotEnforced" in json.dumps(kubectl.get("rapi", "assistant")["status"]))
    assert "--allow-unauthenticated" in json.dumps(kubectl.get("rapi", "assistant")["status"]), "and the fix"
    assert world.mock_server.requests()["total"] == 0


def test_a_missing_secret_does_not_hide_that_operations_are_refused(world, kubectl):
    serve(world, kubectl, unauthenticated=False)
    kubectl.apply(resource())
    kubectl.wait_condition("assistant", "ResolvedRefs", "False")
    kubectl.wait_condition("assistant", "Programmed", "False", ("--allow-unauthenticated", "openai-key"))


def test_open_operation_is_served_without_the_flag(world, kubectl):
    serve(world, kubectl, unauthenticated=False)
    ready_api(world, kubectl, operations=[{"target": "/chat/completions", "verb": "POST", "secured": False}])


def test_kubectl_refuses_unknown_and_wrong_fields(kubectl):
    typo = resource()
    typo["spec"]["bassePath"] = "/x"
    done = kubectl.run("apply", "--validate=strict", "-f", "-", stdin=typo)
    assert done.returncode != 0 and "bassePath" in done.stderr
    wrong = resource()
    wrong["spec"]["apiPolicies"]["request"][0]["parameters"]["productionModels"][0]["weight"] = 10001
    done = kubectl.run("apply", "-f", "-", stdin=wrong)
    assert done.returncode != 0 and "weight" in done.stderr


@pytest.mark.parametrize("folder, server_accepts, rotactl_accepts", [
    ("valid", True, True), ("invalid", False, False), ("controller-only", True, False)])
def test_server_and_rotactl_give_the_verdict_of_the_folder(kubectl, folder, server_accepts, rotactl_accepts):
    files = sorted((ROOT / "crds/testdata" / folder).glob("*.yaml"))
    assert files
    wrong = []
    for file in files:
        accepted = kubectl.run("apply", "--dry-run=server", "--validate=strict", "-f", file).returncode == 0
        validated = run("rotactl", "validate", file).returncode == 0
        if (accepted, validated) != (server_accepts, rotactl_accepts):
            wrong.append(f"{file.name}: server {accepted}, rotactl {validated}")
    assert not wrong, wrong


def test_events_of_a_busy_namespace_lose_nothing(served, kubectl):
    """Many changes of one object and many objects: the last one of each is what is served."""
    ready_api(served, kubectl)
    number = 60 if LONG else 12
    kubectl.apply({"apiVersion": "v1", "kind": "List", "items": [
        resource(f"api-{i}", models=(f"m-{i}",), sandbox=()) for i in range(number)]})
    for version in range(5):
        kubectl.apply(resource(models=(f"version-{version}",), sandbox=()))
    until("the last version", lambda: ask(served).json()["model"] == "version-4")
    for i in range(number):
        until(f"api-{i}", lambda i=i: ask(served, f"api-{i}").json().get("model") == f"m-{i}")
    assert json.loads(http.get(served.controller.admin, "/debug/status").body)


def test_restart_of_the_api_server_does_not_disturb_serving(served, kubectl):
    ready_api(served, kubectl, models=("gpt-4o",), sandbox=())
    with http.Load(served.planes[0].http, path_of("assistant"), clients=2) as load:
        until("the load runs", lambda: load.answered > 20)
        kubectl.server.restart_api()
        until("kubectl works again", lambda: kubectl.run("get", "rapi").returncode == 0, 20)
        assert not load.failures, load.failures
    kubectl.apply(resource(models=("after-restart",), sandbox=()))
    until("changes arrive", lambda: ask(served).json()["model"] == "after-restart", seconds=40)
    kubectl.set_secret("openai-key", apiKey="sk-other")
    until("Secrets too", lambda: ask(served).status == 401, seconds=40)
