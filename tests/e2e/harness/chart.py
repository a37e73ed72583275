"""The Helm chart: rendered by the helm in ROTA_HELM, and what its manifests say about processes."""
import os
import pathlib
import re
import subprocess

import pytest
import yaml

from harness.process import clean_environment

ROOT = pathlib.Path(__file__).resolve().parents[3]
CHART = ROOT / "deploy/helm/rota"
TESTDATA = ROOT / "deploy/helm/testdata"
NAMESPACE = "rota-system"
# Values files that are tested: those that say what they are about, and the sample.
CASES = {**{file.name.removesuffix(".values.yaml"): file for file in sorted(TESTDATA.glob("*.values.yaml"))},
         "production": ROOT / "deploy/samples/helm/production.yaml"}
# Kinds whose definitions are the Prometheus operator's: no test server knows them.
FOREIGN_GROUP = "monitoring.coreos.com"


def helm(*arguments, folder=None, timeout=60):
    """The finished process. `folder` keeps what helm remembers; rendering remembers nothing."""
    program = os.environ.get("ROTA_HELM")
    if not program:
        pytest.skip("ROTA_HELM is not set: export ROTA_HELM=$(scripts/helm)")
    home = {f"HELM_{kind}_HOME": str(pathlib.Path(folder or "/nonexistent") / kind.lower())
            for kind in ("CACHE", "CONFIG", "DATA")}
    return subprocess.run([program, *map(str, arguments)], capture_output=True, text=True, timeout=timeout,
                          check=False, env=clean_environment(home))


def rendered(values_file=None, *arguments, namespace=NAMESPACE):
    """The text that `helm template` prints."""
    files = ["--values", values_file] if values_file else []
    done = helm("template", "rota", CHART, "--namespace", namespace, *files, *arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


def objects(text):
    return [document for document in yaml.safe_load_all(text) if document]


def of_kind(documents, *kinds):
    return [document for document in documents if document["kind"] in kinds]


def pod_templates(documents):
    """{name: pod template} of the Deployments."""
    return {document["metadata"]["name"]: document["spec"]["template"] for document in of_kind(documents, "Deployment")}


def container(documents, component):
    """The one container of the Deployment of that component."""
    for template in pod_templates(documents).values():
        if template["metadata"]["labels"]["app.kubernetes.io/component"] == component:
            return template["spec"]["containers"][0]
    raise AssertionError(f"no Deployment of {component}")


def command_of(documents, component, replacements):
    """The command line that the manifest gives, with `replacements` ({pattern: text}) for what only a cluster has."""
    part = container(documents, component)
    command = part["command"] + part["args"]
    for pattern, text in replacements.items():
        command = [re.sub(pattern, text, argument) for argument in command]
    return command
