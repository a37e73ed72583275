"""The Helm chart as text: rendered, compared, and held against the programs and the documents."""
import json
import os
import re
import subprocess

import pytest
import yaml

from harness import chart
from harness.chart import CASES, CHART, ROOT, TESTDATA, container, helm, objects, of_kind, pod_templates, rendered
from harness.process import run

UPDATE = os.environ.get("UPDATE_GOLDENS") == "1"
ALERTS = CHART / "files/alerts.yaml"
DASHBOARD = CHART / "files/dashboard.json"


@pytest.mark.parametrize("case", [None, *CASES])
def test_lint_finds_nothing(case):
    done = helm("lint", "--strict", CHART, *(["--values", CASES[case]] if case else []))
    assert done.returncode == 0 and "1 chart(s) linted, 0 chart(s) failed" in done.stdout, done.stdout + done.stderr
    assert "[WARNING]" not in done.stdout, done.stdout


def without_files(text):
    """The dashboard and the alerts have tests of their own: a golden file only says where they stand."""
    for file in (ALERTS, DASHBOARD):
        content = re.sub(r"\s+", " ", file.read_text()).strip()
        pattern = r"\s+".join(map(re.escape, content.split(" ")))
        text = re.sub(pattern, f"({file.name})", text)
    return text


@pytest.mark.parametrize("case", CASES)
def test_rendered_as_written_down(case):
    """UPDATE_GOLDENS=1 writes what is rendered; git shows what has changed."""
    golden = TESTDATA / f"{case}.golden.yaml"
    text = without_files(rendered(CASES[case]))
    if UPDATE:
        golden.write_text(text)
    assert text == golden.read_text()


def test_what_is_made_from_others_is_up_to_date():
    """install.yaml, the chart's copy of crds/, the table of values."""
    helm("version")  # skips without one
    done = subprocess.run([ROOT / "scripts/render-manifests", "--check"], capture_output=True, text=True, timeout=60,
                          check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr


def test_the_version_is_the_projects():
    project = re.search(r"project\(rota VERSION (\S+)", (ROOT / "CMakeLists.txt").read_text()).group(1)
    description = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert (description["version"], description["appVersion"]) == (project, project)


@pytest.mark.parametrize("setting, says", [
    ("tls.mode=plain", "tls"),
    ("dataplane.replicas=none", "replicas"),
    ("dataplane.http.port=99999", "port"),
    ("dataplane.repicas=3", "repicas"),
    ("controler.replicas=3", "controler"),
    ("controller.logLevel=verbose", "logLevel"),
    ("controller.namespaces={Team_A}", "namespaces"),
    ("secrets.access=cluster", "access"),
    ("secrets.access=named", "secrets.names"),
    ("secrets.access=named,secrets.names.team={Key}", "names"),
    ("secrets.names.team={key}", "secrets.namespaces"),
    ("secrets.access=named,secrets.names.team={key},secrets.namespaces={team}", "secrets.names"),
    ("image.digest=latest", "digest"),
    ("dataplane.service.type=External", "type"),
    ("dataplane.accessLogSample=2", "accessLogSample"),
    ("dataplane.resolve={api.openai.com}", "resolve"),
    ("dataplane.extraArgs={first-byte-timeout}", "extraArgs"),
    ("dataplane.podAnnotations.a=1", "podAnnotations"),
    ("dataplane.http.enabled=false", "dataplane.https"),
    ("controller.enabled=false", "dataplane.controllers"),
    ("controller.enabled=false,dataplane.enabled=false", "Enable one"),
    ("dataplane.controllers={a:1}", "controller.enabled: false"),
    ("dataplane.autoscaling.minReplicas=11", "minReplicas"),
    ("dataplane.resources.requests=null", "requests.cpu"),
    ("monitoring.serviceMonitor.interval=often", "interval"),
    ("monitoring.podMonitor.enabled=true,monitoring.serviceMonitor.enabled=true", "Enable one"),
])
def test_wrong_values_are_refused_by_name(setting, says):
    done = helm("template", "rota", CHART, "--set", setting)
    assert done.returncode != 0 and says in done.stderr, done.stderr or "accepted"


def test_every_value_is_in_the_schema():
    """What values.yaml has, the schema names; what it does not name, it refuses."""
    schema = json.loads((CHART / "values.schema.json").read_text())

    def resolve(node):
        while "$ref" in node:
            node = schema["definitions"][node["$ref"].rpartition("/")[2]]
        return node

    def compare(node, values, path):
        node = resolve(node)
        if "properties" in node:
            assert node["additionalProperties"] is False, path
            assert set(node["properties"]) - {"global"} == set(values), path
            for key, value in values.items():
                compare(node["properties"][key], value, f"{path}.{key}")

    compare(schema, yaml.safe_load((CHART / "values.yaml").read_text()), "values")


@pytest.mark.parametrize("case", CASES)
def test_programs_know_their_arguments(case):
    for template in pod_templates(objects(rendered(CASES[case]))).values():
        part = template["spec"]["containers"][0]
        known = run(part["command"][0].rpartition("/")[2], "--help").stdout
        for argument in part["args"]:
            assert re.search(rf"{argument.partition('=')[0]}\b", known), argument


@pytest.mark.parametrize("case", CASES)
def test_what_selects_pods_finds_them(case):
    """Services, budgets, policies, autoscalers and monitors name pods and ports that the Deployments make."""
    documents = objects(rendered(CASES[case]))
    templates = pod_templates(documents)
    selecting = {"Service": lambda spec: spec["selector"],
                 "PodDisruptionBudget": lambda spec: spec["selector"]["matchLabels"],
                 "NetworkPolicy": lambda spec: spec["podSelector"]["matchLabels"],
                 "PodMonitor": lambda spec: spec["selector"]["matchLabels"],
                 "Deployment": lambda spec: spec["selector"]["matchLabels"]}
    for document in documents:
        if document["kind"] == "HorizontalPodAutoscaler":
            assert document["spec"]["scaleTargetRef"]["name"] in templates
        if document["kind"] not in selecting:
            continue
        selector = selecting[document["kind"]](document["spec"])
        found = [t for t in templates.values() if selector.items() <= t["metadata"]["labels"].items()]
        assert len(found) == 1, (document["kind"], document["metadata"]["name"])
        ports = {port["name"]: port["containerPort"] for port in found[0]["spec"]["containers"][0]["ports"]}
        named = [port["targetPort"] for port in document["spec"].get("ports", [])]
        named += [endpoint["port"] for endpoint in document["spec"].get("podMetricsEndpoints", [])]
        assert set(named) <= set(ports), document
        if document["kind"] == "NetworkPolicy":
            admitted = {port["port"] for rule in document["spec"]["ingress"] for port in rule["ports"]}
            assert admitted >= set(ports.values()), "every port that the pods listen on"


@pytest.mark.parametrize("case", CASES)
def test_only_the_controller_has_a_token(case):
    documents = objects(rendered(CASES[case]))
    for template in pod_templates(documents).values():
        is_controller = template["metadata"]["labels"]["app.kubernetes.io/component"] == "controller"
        assert template["spec"]["automountServiceAccountToken"] is is_controller
    for kind in ("ServiceAccount", "Pod"):
        for document in of_kind(documents, kind):
            assert (document.get("spec") or document)["automountServiceAccountToken"] is False


@pytest.mark.parametrize("case", CASES)
def test_a_pod_has_the_time_that_it_needs_to_end(case):
    documents = objects(rendered(CASES[case]))
    for template in pod_templates(documents).values():
        part = template["spec"]["containers"][0]
        drain = [argument for argument in part["args"] if argument.startswith("--drain-timeout=")]
        if drain:
            pause = part["lifecycle"]["preStop"]["sleep"]["seconds"]
            seconds = int(drain[0].partition("=")[2].removesuffix("s"))
            assert template["spec"]["terminationGracePeriodSeconds"] > pause + seconds


def rows_of(document, title):
    """The cells of the table under that title."""
    section = (ROOT / "docs" / document).read_text().partition(title)[2].partition("\n## ")[0]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in section.splitlines()
            if line.startswith(("| `", "| (core)"))]


def quoted(cell):
    return re.findall(r"`([^`]+)`", cell)


def granted(*names):
    """{(group, resource, name of an object, verb)} of the controller's roles of these names."""
    roles = [role for role in of_kind(objects(rendered()), "ClusterRole", "Role")
             if role["metadata"]["name"].partition("rota-controller-")[2] in names]
    return {(group, resource, name, verb) for role in roles for rule in role["rules"] for group in rule["apiGroups"]
            for resource in rule["resources"] for name in rule.get("resourceNames", [""]) for verb in rule["verbs"]}


def test_the_roles_are_those_of_the_documents():
    rows = rows_of("operations/kubernetes.md", "## What it needs to be allowed to do")
    documented = {("".join(quoted(group)), resource, verb) for group, resources, verbs, *_ in rows
                  for resource in quoted(resources) for verb in verbs.split(", ")}
    assert documented and documented == {(group, resource, verb) for group, resource, _, verb in
                                         granted("apis", "secrets", "lease")}
    rows = rows_of("concepts/identity.md", "### What the controller needs to be allowed to do")
    documented = {("".join(quoted(group)), resource, name, verb) for group, resources, names, verbs, _ in rows
                  for resource in quoted(resources) for name in quoted(names) or [""]
                  for verb in re.findall(r"\b(?:create|get|patch)\b", verbs)}
    assert documented and documented == granted("identity", "tokens")


def test_listed_namespaces_need_no_rights_of_the_cluster_on_apis_and_secrets():
    documents = objects(rendered(None, "--set", "controller.namespaces={a,b},rbac.aggregate=false"))
    assert [role["metadata"]["name"] for role in of_kind(documents, "ClusterRole")] == [
        f"{chart.NAMESPACE}-rota-controller-tokens"], "a TokenReview belongs to no namespace"
    assert {role["metadata"]["namespace"] for role in of_kind(documents, "Role")} == {"a", "b", chart.NAMESPACE}
    assert {"--namespace=a", "--namespace=b"} <= set(container(documents, "controller")["args"])


def test_named_secrets_are_all_that_the_controller_may_read():
    documents = objects(rendered(CASES["named-secrets"]))
    assert {(role["metadata"]["namespace"], *rule["resourceNames"]) for role in of_kind(documents, "Role")
            if role["metadata"]["name"].endswith("-secrets") for rule in role["rules"]} == {
                ("team-a", "openai-key", "azure-key"), ("team-b", "openai-key")}
    assert not [role for role in of_kind(documents, "ClusterRole") for rule in role["rules"]
                if "secrets" in rule["resources"]]
    assert "--secret-access=named" in container(documents, "controller")["args"]


def metrics_of_the_document():
    text = (ROOT / "docs/reference/metrics.md").read_text()
    names = set()
    for name, kind in re.findall(r"^\| `(\w+)` \| (\w+) \|", text, re.M):
        names |= {f"{name}_bucket", f"{name}_sum", f"{name}_count"} if kind == "histogram" else {name}
    return names


def expressions_of_the_dashboard():
    board = json.loads(DASHBOARD.read_text())
    found = [target["expr"] for panel in board["panels"] for target in panel.get("targets", [])]
    return found + [variable["query"] for variable in board["templating"]["list"]]


def test_alerts_and_dashboard_use_metrics_that_exist():
    known = metrics_of_the_document()
    rules = [rule for group in yaml.safe_load(ALERTS.read_text())["groups"] for rule in group["rules"]]
    expressions = [rule["expr"] for rule in rules] + expressions_of_the_dashboard()
    used = {name for text in expressions for name in re.findall(r"\b(?:rota|process)_\w+", text)}
    assert len(used) > 25 and used <= known, used - known


def test_every_alert_has_a_page_and_every_page_an_alert():
    names = re.findall(r"alert: (\w+)", ALERTS.read_text())
    titles = re.findall(r"^## (\w+)$", (ROOT / "docs/operations/alerts.md").read_text(), re.M)
    assert names == titles


def promtool(*arguments, stdin=None):
    program = os.environ.get("ROTA_PROMTOOL")
    assert program, "ROTA_PROMTOOL is not set: run these tests by scripts/lib/e2e"
    done = subprocess.run([program, *map(str, arguments)], input=stdin, capture_output=True, text=True, timeout=60,
                          check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_alerts_fire_when_they_should_and_only_then():
    promtool("check", "rules", ALERTS)
    cases = TESTDATA / "alerts.test.yaml"
    tested = set(re.findall(r"alertname: (\w+)", cases.read_text()))
    assert tested == set(re.findall(r"alert: (\w+)", ALERTS.read_text()))
    promtool("test", "rules", cases)


def test_the_expressions_of_the_dashboard_parse(tmp_path):
    """As recording rules, with Grafana's variables filled in."""
    rules = []
    for number, expression in enumerate(e for e in expressions_of_the_dashboard() if "(" in e and "label_values" not in e):
        for variable, text in (("$__rate_interval", "5m"), ("$namespace", ".*"), ("$api", ".*")):
            expression = expression.replace(variable, text)
        assert "$" not in expression
        rules.append({"record": f"panel_{number}", "expr": expression})
    assert len(rules) > 20
    file = tmp_path / "rules.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))
    promtool("check", "rules", file)


def test_a_service_monitor_finds_the_one_service_that_shows_metrics():
    documents = objects(rendered(CASES["named-secrets"]))
    monitors = of_kind(documents, "ServiceMonitor")
    assert [monitor["metadata"]["name"] for monitor in monitors] == ["rota-controller", "rota-dataplane"]
    for monitor in monitors:
        assert monitor["apiVersion"] == "monitoring.coreos.com/v1"
        assert monitor["metadata"]["labels"]["release"] == "prometheus"
        selector = monitor["spec"]["selector"]["matchLabels"]
        service, = (s for s in of_kind(documents, "Service") if selector.items() <= s["metadata"]["labels"].items())
        assert service["spec"]["clusterIP"] == "None" and service["spec"]["publishNotReadyAddresses"] is True
        assert [port["name"] for port in service["spec"]["ports"]] == ["metrics"]
        assert monitor["spec"]["endpoints"] == [{"port": "metrics", "path": "/metrics", "interval": "15s"}]
    others = [port["name"] for service in of_kind(objects(rendered()), "Service") for port in service["spec"]["ports"]]
    assert others and "metrics" not in others


def test_kinds_of_the_prometheus_operator_have_its_shape():
    documents = objects(rendered(CASES["everything"]))
    monitors, rules = of_kind(documents, "PodMonitor"), of_kind(documents, "PrometheusRule")
    assert len(monitors) == 2 and len(rules) == 1
    for document in monitors + rules:
        assert document["apiVersion"] == "monitoring.coreos.com/v1"
        assert document["metadata"]["labels"]["release"] == "prometheus"
    assert [m["spec"]["podMetricsEndpoints"][0]["interval"] for m in monitors] == ["15s", "15s"]
    assert rules[0]["spec"] == yaml.safe_load(ALERTS.read_text())
    board = of_kind(documents, "ConfigMap")[0]
    assert json.loads(board["data"]["rota.json"])["uid"] == "rota"


def test_the_sample_of_cert_manager_makes_the_secrets_that_the_chart_mounts():
    """Its kinds are cert-manager's, which no test server knows."""
    certificates = of_kind(objects((ROOT / "deploy/samples/cert-manager/certificates.yaml").read_text()), "Certificate")
    made = {certificate["spec"]["secretName"]: certificate["spec"] for certificate in certificates}
    documents = objects(rendered(None, "--set", "tls.mode=files"))
    for component in ("controller", "dataplane"):
        volumes = pod_templates(documents)[f"rota-{component}"]["spec"]["volumes"]
        assert {volume["secret"]["secretName"] for volume in volumes if "secret" in volume} <= set(made)
    hosts = {host for argument in (*container(documents, "dataplane")["args"], *container(documents, "controller")["args"])
             for host in re.findall(r"^--(?:controller|peers)=(.*):\d+$", argument)}
    assert hosts == set(made["rota-sync-controller"]["dnsNames"])
