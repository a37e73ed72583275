"""RotaGateways on a genuine Kubernetes API server: several in one controller, whose APIs each takes, what it gives them."""
import contextlib
import ssl

import pytest

from harness import http
from harness.kube_stack import path_of, resource, serve
from harness.stack import KEY, quota
from harness.wait import until


@pytest.fixture
def served(world, kubectl):
    """Controller and data plane on that namespace; nothing is applied yet."""
    return serve(world, kubectl)


def gateway(name, **spec):
    return {"apiVersion": "gateway.rota.dev/v1alpha1", "kind": "RotaGateway", "metadata": {"name": name}, "spec": spec}


def answers(plane, name):
    return http.ask(plane.http, "POST", path_of(name), http.CHAT).status == 200


def test_two_gateways_serve_their_own_apis_and_one_of_both(served, kubectl):
    """The controller's own gateway, and one of a resource, each with a data plane."""
    kubectl("create", "secret", "generic", "openai-key", f"--from-literal=apiKey={KEY}")
    edge = f"{kubectl.namespace}/edge"
    kubectl.apply(gateway("edge", sandboxHosts=["*.dev.example.com"]))
    kubectl.apply(resource("here", sandbox=()))
    kubectl.apply(resource("there", sandbox=(), gateways=["edge"]))
    kubectl.apply(resource("both", sandbox=(), gateways=["edge", "default/default"]))
    here = served.planes[0]
    there = served.plane("--gateway", edge, name="edge")
    for plane, names in ((here, ("here", "both")), (there, ("there", "both"))):
        for name in names:
            until(f"{name} answers", lambda plane=plane, name=name: answers(plane, name))
    assert here.serves(path_of("there")) is False
    assert there.serves(path_of("here")) is False

    for name, count in (("here", 1), ("there", 1), ("both", 2)):
        kubectl.wait_condition(name, "Programmed", "True")
        assert len(kubectl.get("rapi", name)["status"]["gateways"]) == count
    status = until("the gateway counts its data plane", lambda: (
        found := kubectl.get("rotagw", "edge").get("status", {})).get("dataPlanes", {}).get("connected") == 1 and found)
    assert status["attachedAPIs"] == 2 and status["dataPlanes"]["nodes"][0]["name"] == "edge", status
    assert {entry["type"]: entry["status"] for entry in status["conditions"]} == {
        "Accepted": "True", "ResolvedRefs": "True", "Programmed": "True"}
    header, row = kubectl("get", "rotagw").splitlines()
    assert header.split()[:4] == ["NAME", "DEFAULT", "APIS", "DATAPLANES"] and row.startswith("edge"), header + row

    # A suspension stays within its gateway.
    served.mock_server.behave({"*": quota(30)})
    assert http.ask(there.http, "POST", path_of("both"), http.CHAT).status == 429
    until("the gateway's own data plane knows", there.suspended)
    served.mock_server.forget()
    assert answers(here, "both") and not here.suspended()

    # A gateway that goes away: its data plane keeps what it has, its APIs say so.
    kubectl("delete", "rotagw", "edge")
    kubectl.wait_condition("both", "Accepted", "False", [f"RotaGateway {edge}"])
    until("the data plane is told", lambda: "no longer served" in there.text() or "no gateway" in there.text())
    assert there.serves(path_of("there")) and answers(here, "both")


def test_an_api_of_a_gateway_that_does_not_take_it(served, kubectl):
    kubectl.apply(gateway("strict", allowedNamespaces={"from": "Same"}))
    kubectl.apply(resource(gateways=["strict", "nowhere"], sandbox=()))
    kubectl.wait_condition("assistant", "Accepted", "False", [f"{kubectl.namespace}/nowhere"])
    gateways = {entry["name"]: entry["conditions"][0] for entry in kubectl.get("rapi", "assistant")["status"]["gateways"]}
    assert gateways["strict"]["status"] == "True" and gateways["nowhere"]["reason"] == "GatewayNotFound"


def test_a_gateway_that_selects_namespaces_by_their_labels(served, kubectl):
    """A label that comes or goes is acted on at once."""
    kubectl("create", "secret", "generic", "openai-key", f"--from-literal=apiKey={KEY}")
    kubectl.apply(gateway("picky", allowedNamespaces={
        "from": "Selector", "selector": {"matchLabels": {"rota-e2e/edge": "yes"}}}))
    kubectl.apply(resource(gateways=["picky"], sandbox=()))
    kubectl.wait_condition("assistant", "Accepted", "False", ["NamespaceNotAllowed", "'rota-e2e/edge=yes'", "label the namespace"])
    plane = served.plane("--gateway", f"{kubectl.namespace}/picky", name="picky")
    assert not plane.serves(path_of("assistant"))

    kubectl("label", "namespace", kubectl.namespace, "rota-e2e/edge=yes")
    until("its API answers", lambda: answers(plane, "assistant"))
    kubectl.wait_condition("assistant", "Programmed", "True")
    until("the gateway counts it", lambda: kubectl.get("rotagw", "picky")["status"]["attachedAPIs"] == 1)

    kubectl("label", "namespace", kubectl.namespace, "rota-e2e/edge-")
    until("it is not served any more", lambda: not plane.serves(path_of("assistant")))
    kubectl.wait_condition("assistant", "Accepted", "False", ["NamespaceNotAllowed"])


def test_apis_inherit_the_defaults_of_each_of_their_gateways(served, kubectl):
    kubectl("create", "secret", "generic", "openai-key", f"--from-literal=apiKey={KEY}")
    kubectl.apply(gateway("edge", defaults={"onQuotaExceedSuspendDuration": "5m", "limits": {"requestBodyBytes": 1000}}))
    api = resource(gateways=["edge", "default/default"], sandbox=())
    del api["spec"]["apiPolicies"]["request"][0]["parameters"]["onQuotaExceedSuspendDuration"]
    kubectl.apply(api)
    here = served.planes[0]
    there = served.plane("--gateway", f"{kubectl.namespace}/edge", name="edge")
    for plane in (here, there):
        until("it answers", lambda plane=plane: answers(plane, "assistant"))
    large = {**http.CHAT, "user": "x" * 1000}
    assert [http.ask(plane.http, "POST", path_of("assistant"), large).status for plane in (here, there)] == [200, 413]

    served.mock_server.behave({"*": quota()})
    for plane in (here, there):
        assert http.ask(plane.http, "POST", path_of("assistant"), http.CHAT).status == 429
    assert there.suspended() and not here.suspended()


def presented(plane, authority, name):
    """The certificate that a client gets who asks for that name; None: no handshake."""
    with contextlib.suppress(OSError), contextlib.closing(
            http.Connection(plane.ports["https"], http.trust(authority.ca), name, 5)) as connection:
        return connection.certificate()
    return None


def content_of(certificate):
    return ssl.PEM_cert_to_DER_cert(certificate.read_text())


def condition(kubectl, name, kind):
    return {entry["type"]: entry for entry in kubectl.get("rotagw", name)["status"]["conditions"]}[kind]


def told(kubectl, name):
    """What the Events about that gateway say: {(type, reason): note}."""
    return {(event["type"], event["reason"]): event["note"] for event in kubectl.get("events.events.k8s.io")["items"]
            if (event["regarding"]["kind"], event["regarding"]["name"]) == ("RotaGateway", name)}


def test_certificates_of_listeners_by_name_and_changed_while_connections_stay(served, kubectl):
    authority = served.authority
    names = ("ai.example.com", "x.dev.example.com")
    issued = {name: authority.issue(f"tls-{number}", [name]) for number, name in enumerate(names)}

    def put(number, certificate, key):
        """As a tool does it that looks less closely than kubectl."""
        kubectl.apply({"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls",
                       "metadata": {"name": f"tls-{number}"},
                       "stringData": {"tls.crt": certificate.read_text(), "tls.key": key.read_text()}})

    for number, name in enumerate(names):
        put(number, *issued[name])
    kubectl.apply(gateway("edge", listeners=[
        {"name": "main", "hostname": "ai.example.com", "certificateRef": {"name": "tls-0"}},
        {"name": "dev", "hostname": "*.dev.example.com", "certificateRef": {"name": "tls-1"}}]))
    plane = served.plane("--gateway", f"{kubectl.namespace}/edge", "--https", "127.0.0.1:0", name="edge")
    for name in names:
        assert presented(plane, authority, name) == content_of(issued[name][0]), name

    kept = http.Connection(plane.ports["https"], http.trust(authority.ca), names[0])
    assert kept.ask("GET", "/no-such-api", host=names[0]).status == 404
    newer = authority.issue("tls-newer", [names[0]])
    put(0, *newer)
    until("the new certificate is served", lambda: presented(plane, authority, names[0]) == content_of(newer[0]), 5)
    assert kept.ask("GET", "/no-such-api", host=names[0]).status == 404, "the connection was cut"
    assert presented(plane, authority, names[1]) == content_of(issued[names[1]][0])

    # A key of another certificate: what is served stays, and the status says what is wrong.
    put(0, issued[names[0]][0], newer[1])
    until("the status says so", lambda: condition(kubectl, "edge", "ResolvedRefs")["status"] == "False")
    said = condition(kubectl, "edge", "ResolvedRefs")
    assert said["reason"] == "InvalidCertificateRef" and "tls-0" in said["message"], said
    assert presented(plane, authority, names[0]) == content_of(newer[0])
    until("the data plane's word is in Programmed",
          lambda: condition(kubectl, "edge", "Programmed")["reason"] == "Invalid"
          and "main: the key" in condition(kubectl, "edge", "Programmed")["message"])
    until("an Event says so", lambda: "tls-0" in told(kubectl, "edge").get(("Warning", "InvalidCertificateRef"), ""))
    assert ("Normal", "Accepted") in told(kubectl, "edge")
    kubectl("delete", "secret", "tls-0")
    until("the status says so", lambda: "does not exist" in condition(kubectl, "edge", "ResolvedRefs")["message"])
    assert presented(plane, authority, names[0]) == content_of(newer[0])
    until("nothing else is wrong", lambda: condition(kubectl, "edge", "Programmed")["status"] == "True")
    kept.close()

    # Keys are nowhere to be read.
    secret = newer[1].read_text().splitlines()[1]
    pages = [http.get(program.admin, page).body for program, page in (
        (plane, "/debug/config"), (plane, "/metrics"), (served.controller, "/debug/status"), (served.controller, "/debug/fleet"))]
    for text in (*pages, plane.text(), served.controller.text(), kubectl("get", "rotagw", "edge", "-o", "yaml")):
        assert secret not in text


def test_a_data_plane_without_any_certificate_is_not_ready(served, kubectl):
    kubectl.apply(gateway("edge", listeners=[{"name": "main", "certificateRef": {"name": "not-yet"}}]))
    plane = served.plane("--gateway", f"{kubectl.namespace}/edge", "--https", "127.0.0.1:0", name="edge", wait=False)
    until("it says what is missing", lambda: "--https has no certificate" in http.get(plane.admin, "/readyz").body)
    certificate, key = served.authority.issue("late", ["ai.example.com"])
    kubectl("create", "secret", "tls", "not-yet", "--cert", certificate, "--key", key)
    plane.wait_ready()
    assert presented(plane, served.authority, "ai.example.com") == content_of(certificate)
