"""The chart and a genuine Kubernetes API server: accepted, restricted, enough rights and none too many. No kubelet runs:
the programs are started as the manifests say."""
import base64
import copy
import os
import pathlib
import re
import subprocess

import pytest

from harness import chart, http, kube
from harness.chart import CASES, CHART, FOREIGN_GROUP, ROOT, helm, objects, of_kind, pod_templates, rendered
from harness.kube_stack import resource
from harness.process import BIN, Program, clean_environment
from harness.stack import KEY
from harness.wait import until

INSTALL = ROOT / "docs/operations/install.md"


@pytest.fixture
def cluster(server, tmp_path):
    """kubectl for objects that say where they belong."""
    return kube.Kubectl(server, tmp_path, None)


def listed(documents):
    return {"apiVersion": "v1", "kind": "List", "items": documents}


def ensure_namespaces(cluster, documents):
    """Creates every namespace that the documents name."""
    names = {document["metadata"].get("namespace") for document in documents} - {None}
    cluster.apply(listed([{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
                          for name in sorted(names)]), "--server-side")


def known(documents):
    """Without the kinds that only an operator's definitions would explain."""
    return [document for document in documents if not document["apiVersion"].startswith(FOREIGN_GROUP)]


def check_accepted(cluster, documents):
    done = cluster.run("apply", "--dry-run=server", "--validate=strict", "-f", "-", stdin=listed(documents))
    assert done.returncode == 0 and "Warning" not in done.stderr, done.stderr


@pytest.mark.parametrize("case", [None, *CASES])
def test_the_server_accepts_what_is_rendered(cluster, kubectl, case):
    documents = known(objects(rendered(case and CASES[case], namespace=kubectl.namespace)))
    ensure_namespaces(cluster, documents)
    check_accepted(cluster, documents)


def test_the_server_accepts_the_plain_manifests(cluster):
    documents = objects((ROOT / "deploy/manifests/install.yaml").read_text())
    cluster.apply(listed(of_kind(documents, "Namespace")))
    # The definitions are in use here.
    check_accepted(cluster, [document for document in documents if document["kind"] != "CustomResourceDefinition"])


def test_the_server_accepts_the_sample(cluster):
    check_accepted(cluster, objects((ROOT / "deploy/samples/chat.api.yaml").read_text()))


@pytest.mark.parametrize("case", [None, *CASES])
def test_pods_satisfy_the_restricted_standard(kubectl, case):
    kubectl("label", "namespace", kubectl.namespace, "pod-security.kubernetes.io/enforce=restricted")
    documents = objects(rendered(case and CASES[case], namespace=kubectl.namespace))
    pods = of_kind(documents, "Pod")
    for name, template in pod_templates(documents).items():
        pods.append({"apiVersion": "v1", "kind": "Pod",
                     "metadata": {**template["metadata"], "name": name, "namespace": kubectl.namespace},
                     "spec": {key: value for key, value in template["spec"].items() if key != "priorityClassName"}})
    kubectl("apply", "--dry-run=server", "-f", "-", stdin=listed(pods))
    lax = copy.deepcopy(pods[-1])
    lax["spec"]["containers"][0]["securityContext"].pop("capabilities")
    done = kubectl.run("apply", "--dry-run=server", "-f", "-", stdin=lax)
    assert done.returncode != 0 and "PodSecurity" in done.stderr, "the standard is enforced here"


def test_helm_installs_upgrades_and_uninstalls(server, kubectl, tmp_path):
    def run(*arguments):
        done = helm(*arguments, "--kubeconfig", server.kubeconfig, "--namespace", kubectl.namespace, folder=tmp_path)
        assert done.returncode == 0, done.stderr
        return done.stdout

    notes = run("install", "rota", CHART, "--set", "tls.mode=files")
    assert "rota-sync-controller" in notes and f"rota-controller-peers.{kubectl.namespace}.svc" in notes
    assert f"kubectl -n {kubectl.namespace} rollout status deployment/rota-dataplane" in notes
    assert "AUTH_NOT_ENFORCED" in notes and "Secrets of every namespace" in notes
    before = kubectl.get("deployment", "rota-dataplane")
    notes = run("upgrade", "rota", CHART, "--reuse-values", "--set",
                "dataplane.logLevel=debug,dataplane.allowUnauthenticated=true,controller.namespaces={default},tls.mode=insecure")
    assert "spends your quota" in notes and "plain text" in notes and "Secrets of every namespace" not in notes
    after = kubectl.get("deployment", "rota-dataplane")
    assert before["metadata"]["uid"] == after["metadata"]["uid"]
    assert "--log-level=debug" in after["spec"]["template"]["spec"]["containers"][0]["args"]
    assert kubectl.get("role", "rota-controller-secrets", "--namespace", "default")
    assert "issue their own" in run("upgrade", "rota", CHART, "--reset-values")
    run("uninstall", "rota")
    left = kubectl("get", "deployment,service,serviceaccount,role,rolebinding,networkpolicy,poddisruptionbudget,hpa",
                   "--selector", "app.kubernetes.io/name=rota", "--output", "name")
    assert not left
    assert not kubectl("get", "clusterrole", "--output", "name", "--selector",
                       "app.kubernetes.io/name=rota,app.kubernetes.io/managed-by=Helm").count(kubectl.namespace)
    assert kubectl("get", "crd", "apis.gateway.rota.dev", "--output", "name"), "everybody's APIs stay"


def make_certificates(kubectl, folder, names):
    """Runs the commands of the document, with `names` ({name in the document: ours})."""
    commands = INSTALL.read_text().partition("<!-- certificates:begin -->")[2].partition("<!-- certificates:end -->")[0]
    script = re.search(r"```bash\n(.*?)```", commands, re.S).group(1)
    for theirs, ours in names.items():
        assert theirs in script
        script = script.replace(theirs, ours)
    program = folder / "kubectl"
    program.write_text(f'#!/bin/sh\nexec {kubectl.server.bin}/kubectl --kubeconfig {kubectl.server.kubeconfig} "$@"\n')
    program.chmod(0o755)
    done = subprocess.run(["bash", "-euc", script], cwd=folder, capture_output=True, text=True, timeout=60, check=False,
                          env=clean_environment({"PATH": f"{folder}:{os.environ['PATH']}"}))
    assert done.returncode == 0, done.stderr


def token_of(kubectl, account, *more):
    return kubectl("create", "token", account, *more).strip()


def mounted(kubectl, template, folder):
    """The template's volumes as files, as the kubelet would mount them: {path in the container: path here}."""
    places = {}
    mounts = {mount["name"]: mount["mountPath"] for mount in template["spec"]["containers"][0]["volumeMounts"]}
    for volume in template["spec"]["volumes"]:
        place = folder / volume["name"]
        place.mkdir(parents=True)
        places[mounts[volume["name"]]] = str(place)
        if "secret" in volume:
            for key, value in kubectl.get("secret", volume["secret"]["secretName"])["data"].items():
                (place / key).write_bytes(base64.b64decode(value))
        if "configMap" in volume:
            name = volume["configMap"]["name"]
            until(f"ConfigMap {name} is there", lambda n=name: kubectl.run("get", "configmap", n).returncode == 0)
            for key, value in kubectl.get("configmap", name)["data"].items():
                (place / key).write_text(value)
        for source in volume.get("projected", {}).get("sources", []):
            wanted = source["serviceAccountToken"]
            (place / wanted["path"]).write_text(token_of(kubectl, template["spec"]["serviceAccountName"], "--audience",
                                                         wanted["audience"]))
    return places


def rights(documents, namespace):
    """What grants the controller its rights, without what would reach into other namespaces."""
    kinds = ("ServiceAccount", "Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding")
    return [document for document in of_kind(documents, *kinds)
            if document["metadata"].get("namespace", namespace) == namespace]


@pytest.mark.parametrize("mode", ["auto", "files"])
def test_the_programs_run_as_the_manifests_say(server, cluster, kubectl, world, tmp_path, mode):
    """By the controller's own account, and its own rights: nothing is refused. `files`: with the document's certificates."""
    values = f"controller.namespaces={{{kubectl.namespace}}},dataplane.allowUnauthenticated=true,rbac.aggregate=false,tls.mode={mode}"
    documents = objects(rendered(None, "--set", values, namespace=kubectl.namespace))
    cluster.apply(listed(rights(documents, kubectl.namespace)))
    if mode == "files":
        names = {f"{name}.rota-system.svc": "localhost" for name in ("rota-controller", "rota-controller-peers")}
        make_certificates(kubectl, tmp_path, {**names, "-n rota-system": f"-n {kubectl.namespace}"})
    templates = pod_templates(documents)
    port = kube.free_port()

    def start(component, *more):
        places = mounted(kubectl, templates[f"rota-{component}"], tmp_path / component)
        command = chart.command_of(documents, component, {
            "^/usr/bin/": f"{BIN}/", "^--tls-dns-names=.*": "--tls-dns-names=localhost",
            r"rota-controller(-peers)?\.[\w-]+\.svc:9900": f"localhost:{port}",
            "^--listen=:9900$": f"--listen=127.0.0.1:{port}", r"^--(metrics|http)=:\d+$": r"--\1=127.0.0.1:0",
            **{f"={place}(/|$)": rf"={ours}\1" for place, ours in places.items()}})
        return world.add(Program(component, [*command, "--admin=127.0.0.1:0", *more], tmp_path))

    # What a pod knows by itself.
    kubeconfig = server.kubeconfig_of(token_of(kubectl, templates["rota-controller"]["spec"]["serviceAccountName"]), tmp_path)
    in_pod = ["--kubeconfig", kubeconfig]
    if mode == "auto":
        in_pod += ["--tls-namespace", kubectl.namespace]
    mock = world.mock()
    kubectl("create", "secret", "generic", "openai-key", f"--from-literal=apiKey={KEY}")
    kubectl.apply(resource())
    controller = start("controller", *in_pod)
    plane = start("dataplane", "--resolve", f"api.openai.com:443:{mock.address}", "--upstream-ca", world.authority.ca)

    def ask():
        return http.ask(plane.ports["http"], "POST", "/assistant/1.0/chat/completions", http.CHAT).status
    until("served", lambda: ask() == 200)
    for page in ("/readyz", "/healthz", "/metrics"):
        for program in (controller, plane):
            assert http.get(program.ports["metrics"], page).status == 200
    kubectl.wait_condition("assistant", "Programmed", "True")
    kubectl.set_secret("openai-key", apiKey="sk-other")
    until("the changed key is used", lambda: ask() == 401)
    kubectl("delete", "secret", "openai-key")
    kubectl.wait_condition("assistant", "ResolvedRefs", "False", ["openai-key"])
    kubectl("delete", "rapi", "assistant")
    until("gone", lambda: ask() == 404)
    assert not {refusal for refusal in server.refusals() if refusal[0] == kubectl.namespace}


def verbs_of(documents):
    """Every verb on every resource that the Roles of any mode grant: [(resource, verb)]."""
    return [(resource, verb) for role in of_kind(documents, "Role", "ClusterRole")
            if role["metadata"]["name"].endswith(("-apis", "-secrets", "-namespaces")) for rule in role["rules"]
            for resource in rule["resources"] for verb in rule["verbs"]]


def without(role, resource, verb):
    role = copy.deepcopy(role)
    for rule in role["rules"]:
        if resource in rule["resources"]:
            rule["verbs"] = [kept for kept in rule["verbs"] if kept != verb]
    role["rules"] = [rule for rule in role["rules"] if rule["verbs"]]
    return role


def test_no_right_is_superfluous(server, cluster, kubectl, world, tmp_path):
    """One controller per right, each without it: each is refused something."""
    values = "tls.mode=insecure,rbac.namespaceLabels=true,rbac.aggregate=false"
    wanted = verbs_of(objects(rendered(None, "--set", f"controller.namespaces={{x}},{values}")))
    assert len(wanted) >= 9
    namespaces = {right: f"{kubectl.namespace}-{number}" for number, right in enumerate(wanted)}
    manifests = []
    for (resource_name, verb), namespace in namespaces.items():
        documents = objects(rendered(None, "--set", f"controller.namespaces={{{namespace}}},{values}", namespace=namespace))
        manifests += [without(d, resource_name, verb) if d["kind"] in ("Role", "ClusterRole") else d for d in documents
                      if d["kind"] in ("ServiceAccount", "Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding")]
        secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "openai-key"}, "stringData": {"apiKey": KEY}}
        gateway = {"apiVersion": "gateway.rota.dev/v1alpha1", "kind": "RotaGateway", "metadata": {"name": "edge"},
                   "spec": {"allowedNamespaces": {"from": "Selector", "selector": {"matchLabels": {"a": "b"}}}}}
        for document in (resource(), gateway, secret):
            document["metadata"]["namespace"] = namespace
            manifests.append(document)
    ensure_namespaces(cluster, manifests)
    cluster.apply(listed(manifests))
    for namespace in namespaces.values():
        folder = tmp_path / namespace
        folder.mkdir()
        account = kube.Kubectl(server, tmp_path, namespace)
        world.add(Program(f"controller-{namespace}", [
            BIN / "rota-controller", "--source", "kube", "--namespace", namespace, "--listen", "127.0.0.1:0", "--admin",
            "127.0.0.1:0", "--lease-namespace", namespace, "--streaming-list", "off", "--kubeconfig", server.kubeconfig_of(token_of(account, "rota-controller"), folder)], folder))
    lacking = {(namespace, verb, what) for (what, verb), namespace in namespaces.items()}
    # What happens again is counted by a patch of its Event.
    again = {entry for entry in lacking if entry[1:] == ("patch", "events")}
    until("each is refused what it lacks", lambda: lacking - again <= server.refusals()
          or show(lacking - again - server.refusals()), 30)
    changed = resource(suspend=61)
    namespace = changed["metadata"]["namespace"] = namespaces["events", "patch"]
    until("it has an Event", lambda: "assistant." in cluster("get", "events", "--namespace", namespace, "-o", "name"))
    cluster.apply(changed)
    until("each is refused what it lacks", lambda: lacking <= server.refusals() or show(lacking - server.refusals()), 30)


def show(missing):
    raise AssertionError(f"nobody asked for {sorted(missing)}")
