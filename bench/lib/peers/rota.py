"""Rota as it is meant to run: a controller that reads files, and a data plane that does its full job."""
import json
import os
import pathlib
import subprocess
import urllib.request

from lib.peers.common import MODELS, PATIENCE_SECONDS, Engine, answers


def api(url, name="bench", models=MODELS, provider=None):
    """An apk-conf API: a rotation over models (name or (name, url, weight)) with a credential towards `url`.
    `provider`: whose form the endpoint has, default OpenAI's."""
    targets = [model if isinstance(model, tuple) else (model, url, 1) for model in models]
    endpoints = [{"endpoint": one, **({"provider": provider} if provider else {}), "endpointSecurity": {"enabled": True, "securityType": {
        "secretName": "bench-key", "in": "Header", "apiKeyNameKey": "Authorization", "apiKeyValueKey": "apiKey"}}}
        for one in sorted({target[1] for target in targets})]
    policy = {"policyName": "ModelBasedRoundRobin", "policyVersion": "v1", "parameters": {
        "onQuotaExceedSuspendDuration": 60,
        "productionModels": [{"model": model, "endpoint": one, "weight": weight} for model, one, weight in targets]}}
    return {"name": name, "basePath": f"/{name}", "version": "1.0", "type": "REST",
            "aiProvider": {"name": "OpenAI", "apiVersion": "v1"},
            "operations": [{"target": "/chat/completions", "verb": "POST"}],
            "endpointConfigurations": {"production": endpoints}, "apiPolicies": {"request": [policy]}}


def write_file(folder, name, content):
    """JSON is YAML."""
    (folder / f"{name}.yaml").write_text(json.dumps(content))


class Rota(Engine):
    """Only the data plane is charged; the controller stands by."""

    name = "rota"
    title = "Rota"
    job = ("routes, rotates over 3 models, rewrites `model`, swaps the credential, counts, logs 1 % of the successes; "
           "watches for clients that leave")
    start_seconds = 60

    def __init__(self, setting, apis=None, flags=(), controller_nice=0):
        super().__init__(setting)
        models = [(model, mock.url, weight) for model, mock, weight in setting.targets()]
        self.path = "/bench/1.0/chat/completions"
        self.config = setting.folder / "config"
        self.config.mkdir()
        for one in apis or [api(setting.mocks[0].url, models=models)]:
            write_file(self.config, one["name"], one)
        write_file(self.config, "secret", {
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "bench-key"},
            "stringData": {"apiKey": "sk-bench"}})
        self.controller_ports = setting.folder / "controller.json"
        self.controller = setting.start("rota-controller", [
            setting.bin / "rota-controller", "--source", f"dir:{self.config}", "--listen", "127.0.0.1:0", "--admin",
            "127.0.0.1:0", "--ports-file", self.controller_ports], setting.folder, setting.stand_by_cpus,
            nice=controller_nice)
        self.controller.wait_for("its ports file", lambda: self.ports_of(self.controller_ports))
        self.controller_admin = self.ports_of(self.controller_ports)["admin"]
        self.start_data_plane(setting, flags)

    def start_data_plane(self, setting, flags):
        tls = setting.certificates
        listener = ["--https", self.address, "--tls-cert", tls.certificate, "--tls-key", tls.key] if setting.tls else [
            "--http", self.address]
        if setting.mocks[0].tls:
            listener += ["--upstream-ca", tls.ca]
        ports = setting.folder / "dataplane.json"
        self.process = setting.start("rota-dataplane", [
            setting.bin / "rota-dataplane", "--controller", self.ports_of(self.controller_ports)["listen"], *listener,
            "--admin", "127.0.0.1:0", "--ports-file", ports, "--threads", setting.workers,
            "--state-dir", setting.folder / "state", "--access-log", setting.folder / "access.log",
            "--access-log-sample", "0.01", "--allow-unauthenticated", "--head-timeout", f"{PATIENCE_SECONDS}s",
            "--keep-alive-timeout", f"{PATIENCE_SECONDS}s", *flags], setting.folder, setting.cpus)
        self.process.wait_for("its ports file", lambda: self.ports_of(ports))
        self.admin = self.ports_of(ports)["admin"]

    @staticmethod
    def ports_of(file):
        text = file.read_text() if file.exists() else ""
        return json.loads(text) if text.strip() else None

    def wait(self):
        self.process.wait_for("to be ready",
                              lambda: answers(self.admin, "/readyz", method="GET", body=None) == 200,
                              self.start_seconds)
        super().wait()

    def applied(self):
        """What the data plane has acknowledged last: (snapshot, seconds that it took to apply)."""
        with urllib.request.urlopen(f"http://{self.controller_admin}/debug/fleet", timeout=5) as answer:
            nodes = json.load(answer)["dataplanes"]
        return (nodes[0]["snapshot"], nodes[0]["apply_seconds"]) if nodes else (None, None)

    @classmethod
    def version(cls):
        done = subprocess.run(["git", "-C", pathlib.Path(__file__).parent, "rev-parse", "--short", "HEAD"],
                              capture_output=True, text=True, check=False,
                              env={**os.environ, "GIT_OPTIONAL_LOCKS": "0"})
        return done.stdout.strip() or "?"
