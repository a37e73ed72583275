"""Certificates that the controller issues to itself, and tokens that data planes show, with a genuine API server."""
import base64
import json
import subprocess
import threading
import time

import pytest

from harness import http, kube
from harness.account import Account, MountedBundle
from harness.certificates import openssl
from harness.kube_stack import resource
from harness.stack import KEY, Controller, metric
from harness.wait import until

PATH = "/assistant/1.0/chat/completions"
OBJECTS = ("rota-ca", "rota-controller-tls")
SHORT_LIFE = ("--tls-ca-life", "60s", "--tls-certificate-life", "9s", "--tls-ca-overlap", "4s")


class Installation:
    """Controllers with --tls-mode auto and data planes with tokens, in one namespace."""

    def __init__(self, world, kubectl):
        self.world = world
        self.kubectl = kubectl
        self.gateway = f"{kubectl.namespace}/main"
        self.account = Account(kubectl, "rota-dataplane")
        self.bundle = MountedBundle(kubectl, world.folder)
        self.controllers = []
        world.mock(key=KEY)

    def controller(self, *arguments, name="controller", kubeconfig=None):
        place = [] if "--tls-namespace" in arguments else ["--tls-namespace", self.kubectl.namespace]
        controller = self.world.add(Controller(
            self.world.folder, "kube", "--kubeconfig", kubeconfig or self.kubectl.server.kubeconfig,
            "--namespace", self.kubectl.namespace, "--lease-namespace", self.kubectl.namespace, "--gateway",
            self.gateway, "--tls-mode", "auto", "--tls-dns-names", "localhost", *place, *arguments, name=name))
        self.controllers.append(controller)
        until("the certificate is there", lambda: http.get(controller.admin, "/readyz").status == 200)
        assert self.bundle.update()
        return controller

    def token_file(self, name, token):
        path = self.world.folder / f"{name}.token"
        path.write_text(token)
        return path

    def plane(self, token=None, name="plane", wait=True, controllers=None):
        addresses = [f"localhost:{c.listen.rpartition(':')[2]}" for c in controllers or self.controllers]
        return self.world.plane("--gateway", self.gateway, "--sync-tls-ca", self.bundle.path, "--token-file",
                                self.token_file(name, token or self.account.token()), name=name, wait=wait,
                                controller=",".join(addresses))

    def serve(self):
        self.kubectl("create", "secret", "generic", "openai-key", f"--from-literal=apiKey={KEY}")
        self.kubectl.apply(resource(models=("gpt-4o",), sandbox=()))

    def stored(self, secret, key):
        return base64.b64decode(self.kubectl.get("secret", secret)["data"][key]).decode()


@pytest.fixture
def installation(world, kubectl):
    return Installation(world, kubectl)


def ask(plane):
    return http.ask(plane.http, "POST", PATH, http.CHAT)


def accepted(controller):
    return metric(http.get(controller.ports["metrics"], "/metrics").body, "rota_controller_streams_total",
                  result="accepted")


def test_a_data_plane_is_served_with_what_the_controller_has_issued_to_itself(installation, tmp_path):
    controller = installation.controller()
    installation.serve()
    plane = installation.plane().wait_serves(PATH)
    until("an answer", lambda: ask(plane).status == 200)
    # What is stored is what a TLS client wants, and the CA's key fits.
    shown = tmp_path / "shown.pem"
    shown.write_text(installation.stored("rota-controller-tls", "tls.crt"))
    openssl("verify", "-CAfile", installation.bundle.path, "-purpose", "sslserver", "-verify_hostname", "localhost",
            "-x509_strict", shown)
    kind = installation.kubectl.get("secret", "rota-controller-tls")["type"]
    assert kind == "kubernetes.io/tls"
    # Nothing secret is told: not the keys, not the token.
    log = controller.text() + plane.text()
    for secret, key in (("rota-ca", "ca.key"), ("rota-controller-tls", "tls.key")):
        assert installation.stored(secret, key).splitlines()[1] not in log
    assert "PRIVATE" not in log
    token = (installation.world.folder / "plane.token").read_text()
    assert token[-40:] not in log + json.dumps(installation.kubectl.get("events"))
    assert metric(http.get(controller.ports["metrics"], "/metrics").body,
                  "rota_controller_certificate_expiry_timestamp_seconds") > 0


def test_who_has_no_right_gets_nothing_and_both_sides_say_why(installation):
    controller = installation.controller()
    installation.serve()
    stranger = Account(installation.kubectl, "stranger")
    deleted = Account(installation.kubectl, "deleted")
    token_of_deleted = deleted.token()
    installation.kubectl("delete", "serviceaccount", "deleted")
    cases = {
        "audience": (installation.account.token(audience=None), "audience"),
        "expired": (installation.account.expired_token(), "expired"),
        "stranger": (stranger.token(), stranger.qualified),
        "deleted": (token_of_deleted, "no good"),
        "made-up": ("aaaa.bbbb.cccc", "no good"),
        "other-pod": (installation.account.token_of_pod("proxy-7"), "proxy-7"),
    }
    for name, (token, reason) in cases.items():
        plane = installation.plane(token, name=name, wait=False)
        until(f"{name}: the data plane says why", lambda: reason in plane.text(), seconds=20)  # pylint: disable=cell-var-from-loop
        until(f"{name}: so does the controller", lambda: reason in controller.text())  # pylint: disable=cell-var-from-loop
        assert http.get(plane.admin, "/readyz").status == 503
        plane.stop()
    right = installation.plane(installation.account.token_of_pod("proxy-8"), name="proxy-8")
    until("an answer", lambda: ask(right).status == 200)
    fleet = http.get(controller.admin, "/debug/fleet").body
    assert "proxy-8" in fleet and not any(f'"{name}"' in fleet for name in cases)


def test_another_account_may_be_allowed_instead(installation):
    account = Account(installation.kubectl, "edge")
    installation.controller("--allow-service-account", f"{installation.gateway}={account.qualified}")
    installation.serve()
    plane = installation.plane(account.token(), name="edge")
    until("an answer", lambda: ask(plane).status == 200)
    refused = installation.plane(name="default", wait=False)
    until("the usual one is refused", lambda: "--allow-service-account" in refused.text())


def test_two_controllers_share_one_certificate_and_know_each_other(installation):
    account = Account(installation.kubectl, "rota-controller")
    own = ("--token-file", installation.token_file("controller", account.token()))
    first = installation.controller(name="first")
    # The second one dials the first one.
    second = installation.controller(*own, "--peers", f"localhost:{first.listen.rpartition(':')[2]}", name="second")
    # The first one does not know its own account, having no token: it must not believe the second one.
    until("the first one refuses", lambda: "not the controllers' own" in first.text())
    first.command += [str(part) for part in own]
    first.pin_addresses()
    first.restart()
    until("they exchange", lambda: metric(http.get(second.ports["metrics"], "/metrics").body,
                                          "rota_controller_peers") == 1)
    installation.serve()
    for name, controller in (("a", first), ("b", second)):
        plane = installation.plane(name=name, controllers=[controller])
        until("an answer", lambda: ask(plane).status == 200)  # pylint: disable=cell-var-from-loop


def test_the_controller_with_the_lease_issues_and_the_next_one_goes_on_when_it_dies(installation):
    first = installation.controller(*SHORT_LIFE, name="first")
    second = installation.controller(*SHORT_LIFE, name="second")

    def renewed():
        before = installation.stored("rota-controller-tls", "tls.crt")
        until("another certificate", lambda: installation.stored("rota-controller-tls", "tls.crt") != before, 40)

    renewed()
    renewed()
    assert "is issued" in first.text()
    assert "is issued" not in second.text()
    until("the second one shows what is stored", lambda: issuer_is_in(installation.bundle.read(), second))

    first.kill()
    until("the second one issues", lambda: "is issued" in second.text(), 40)
    until("and shows it", lambda: issuer_is_in(installation.bundle.read(), second))


def test_an_api_server_that_restarts_costs_no_stream_and_newcomers_come_in_afterwards(installation):
    controller = installation.controller()
    installation.serve()
    plane = installation.plane().wait_serves(PATH)
    token = installation.account.token()
    server = installation.kubectl.server
    server.api.stop(40)
    try:
        late = installation.plane(token, name="late", wait=False)
        until("the newcomer is told to wait", lambda: "cannot say now" in late.text(), seconds=20)
        assert accepted(controller) == 1
    finally:
        server.api.start()
        server.wait_ready()
    late.wait_ready(30)
    until("an answer", lambda: ask(late).status == 200)
    assert accepted(controller) == 2, "the first data plane's stream is still its first"
    assert ask(plane).status == 200


def test_objects_that_are_deleted_or_broken_are_put_right(installation):
    controller = installation.controller()
    before = installation.bundle.read()
    installation.kubectl("delete", "secret", *OBJECTS)
    installation.kubectl("patch", "configmap", "rota-ca-bundle", "-p", json.dumps({"data": {"ca.crt": "garbage"}}))
    until("everything is there again", lambda: installation.bundle.read().startswith("-----BEGIN")
          and installation.bundle.read() != before and installation.stored("rota-controller-tls", "tls.key"), 40)
    until("and shown", lambda: issuer_is_in(installation.bundle.read(), controller))
    # What somebody else has put on the objects stays.
    installation.kubectl("label", "secret", "rota-ca", "team=edge")
    installation.kubectl("patch", "secret", "rota-ca", "-p", json.dumps({"data": {"ca.key": "Z2FyYmFnZQ=="}}))
    until("a new key", lambda: "PRIVATE KEY" in installation.stored("rota-ca", "ca.key"), 40)
    assert installation.kubectl.get("secret", "rota-ca")["metadata"]["labels"]["team"] == "edge"


def issuer_is_in(bundle, controller):
    """Whether the certificate that is shown now is trusted by that bundle."""
    done = subprocess.run(["openssl", "s_client", "-connect", f"localhost:{controller.listen.rpartition(':')[2]}",
                           "-verify_return_error", "-verify_hostname", "localhost", "-CAfile", "/dev/stdin",
                           "-servername", "localhost"], input=bundle, capture_output=True, text=True, timeout=20,
                          check=False)
    return "Verification: OK" in done.stdout


# docs/concepts/identity.md has this as a table.
BY_NAME = [{"apiGroups": [""], "resources": ["secrets"], "resourceNames": list(OBJECTS), "verbs": ["get", "patch"]},
           {"apiGroups": [""], "resources": ["configmaps"], "resourceNames": ["rota-ca-bundle"],
            "verbs": ["get", "patch"]}]
CREATE = {"apiGroups": [""], "resources": ["secrets", "configmaps"], "verbs": ["create"]}
REVIEW = {"apiGroups": ["authentication.k8s.io"], "resources": ["tokenreviews"], "verbs": ["create"]}
EVERYTHING = {"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}


def grant(kubectl, account, rules, kind="Role"):
    name = f"{account.kubectl.namespace}-{kind.lower()}"
    group = {"apiVersion": "rbac.authorization.k8s.io/v1"}
    kubectl.apply({**group, "kind": kind, "metadata": {"name": name}, "rules": rules})
    kubectl.apply({**group, "kind": f"{kind}Binding", "metadata": {"name": name},
                   "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": name},
                   "subjects": [{"kind": "ServiceAccount", "name": account.name,
                                 "namespace": account.kubectl.namespace}]})


@pytest.mark.parametrize("made_beforehand", [False, True])
def test_the_documented_rights_are_enough(installation, tmp_path, made_beforehand):
    """Everything in the namespace of the APIs; in that of the certificates what the table says."""
    kubectl = installation.kubectl
    system = kube.Kubectl(kubectl.server, tmp_path, f"{kubectl.namespace}-system")
    kubectl("create", "namespace", system.namespace)
    account = Account(system, "rota-controller")
    grant(kubectl, account, [EVERYTHING])
    grant(kubectl, account, [REVIEW], "ClusterRole")
    grant(system, account, BY_NAME if made_beforehand else BY_NAME + [CREATE])
    if made_beforehand:
        for name in OBJECTS:
            system("create", "secret", "generic", name)
        system("create", "configmap", "rota-ca-bundle")
    config = json.loads(kubectl.server.kubeconfig.read_text())
    config["users"] = [{"name": "admin", "user": {"token": account.token(audience=None)}}]
    limited = tmp_path / "kubeconfig"
    limited.write_text(json.dumps(config))
    installation.bundle.kubectl = system
    controller = installation.controller("--tls-namespace", system.namespace, kubeconfig=limited)
    installation.serve()
    plane = installation.plane()
    until("an answer", lambda: ask(plane).status == 200)
    assert "forbidden" not in controller.text()


def test_rotation_of_certificates_and_cas_under_load_drops_no_stream(installation):
    """A life of a week and a year in a minute: requests, a stream of configuration, newcomers."""
    controller = installation.controller(*SHORT_LIFE)
    installation.serve()
    plane = installation.plane().wait_serves(PATH)
    until("an answer", lambda: ask(plane).status == 200)
    first_ca, certificates, cas = installation.stored("rota-ca", "ca.crt"), set(), set()
    done = threading.Event()

    def watch():
        while not done.wait(0.5):
            certificates.add(installation.stored("rota-controller-tls", "tls.crt"))
            cas.add(installation.stored("rota-ca", "ca.crt"))

    def is_over():
        return (len(cas) >= 2 and len(certificates) >= 8
                and "old-ca.crt" not in installation.kubectl.get("secret", "rota-ca")["data"]
                and first_ca not in installation.bundle.read())

    watcher = threading.Thread(target=watch, daemon=True)
    with installation.bundle, http.Load(plane.http, PATH, clients=2) as load:
        watcher.start()
        newcomers = 0
        give_up = time.monotonic() + 180
        try:
            while not is_over():
                newcomer = installation.plane(name=f"new-{newcomers}")  # waits until it is ready
                newcomers += 1
                assert http.ask(newcomer.http, "POST", PATH, http.CHAT).status == 200
                newcomer.stop()
                assert time.monotonic() < give_up, f"{len(certificates)} certificates, {len(cas)} CAs"
                done.wait(0.3)
        finally:
            done.set()
            watcher.join()
    assert not load.failures, load.failures
    assert newcomers >= 3 and load.answered > 100
    # The first stream is the one that still runs, and configuration still comes by it.
    assert accepted(controller) == 1 + newcomers
    installation.kubectl.apply(resource("later", models=("gpt-4o",), sandbox=()))
    plane.wait_serves("/later/1.0/chat/completions")
    print(f"{len(certificates)} certificates, {len(cas)} CAs, {newcomers} newcomers, {load.answered} requests")
