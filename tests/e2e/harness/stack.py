"""Rota as a user runs it: a mock provider behind TLS, a controller, data planes."""
import json
import os
import pathlib
import re

from harness import http
from harness.certificates import Authority
from harness.process import BIN, Program
from harness.wait import until

KEY = "sk-e2e-" + os.urandom(12).hex()
LOOPBACK = "127.0.0.1"  # where everything listens, unless a test says another


class Mock(Program):
    """rota-mock-llm as https://api.openai.com (by --resolve)."""

    def __init__(self, folder, authority, key=KEY, name="mock", arguments=(), host=LOOPBACK):
        certificate, private = authority.issue("api.openai.com", ["api.openai.com"], ["127.0.0.1", "::1"])
        self._trust = http.trust(authority.ca)
        command = [BIN / "rota-mock-llm", "--listen", f"{host}:0", "--tls-cert", certificate, "--tls-key", private,
                   "--keep-requests", 200, *arguments]
        super().__init__(name, command + (["--require-key", key] if key else []), folder)
        self.address = next(iter(self.ports.values()))

    def _control(self, method, path, body=None):
        answer = http.ask(self.address, method, path, body, tls=self._trust)
        assert answer.status < 300, answer
        return json.loads(answer.body) if answer.body else None

    def behave(self, behaviors):
        """{model: behaviour}; None ends one, "*" is every model without one of its own."""
        self._control("POST", "/control/behaviors", behaviors)

    def forget(self):
        self._control("DELETE", "/control/behaviors")
        self._control("DELETE", "/control/requests")

    def requests(self):
        """{"total":N,"models":{..},"requests":[..]}, chat and other calls of the provider's API only."""
        return self._control("GET", "/control/requests")

    def last(self):
        """The newest request: method, target, body, and its headers as a dict with lower-case names."""
        request = self.requests()["requests"][-1]
        request["headers"] = {name.lower(): value for name, value in request["headers"]}
        return request


def quota(retry_after=None, code="rate_limit_exceeded"):
    behavior = {"status": 429, "code": code}
    if retry_after is not None:
        behavior["headers"] = {"retry-after": str(retry_after)}
    return behavior


class Directory:
    """What --source dir: reads; every write is an atomic rename."""

    def __init__(self, folder):
        self.path = pathlib.Path(folder)
        self.path.mkdir(parents=True)

    def write(self, name, content):
        text = content if isinstance(content, str) else json.dumps(content, indent=1)
        temporary = self.path / f".{name}.tmp"
        temporary.write_text(text)
        temporary.rename(self.path / name)

    def remove(self, name):
        (self.path / name).unlink()


class Controller(Program):
    def __init__(self, folder, source, *arguments, name="controller", host=LOOPBACK, **named):
        command = [BIN / "rota-controller", "--source", source, "--listen", f"{host}:0",
                   "--admin", f"{host}:0", "--metrics", f"{host}:0", *arguments]
        super().__init__(name, command, folder, **named)

    @property
    def listen(self):
        return self.ports["listen"]

    @property
    def admin(self):
        return self.ports["admin"]

    def pin_addresses(self):
        """From now on a restart takes the same addresses."""
        for flag, port in (("--listen", "listen"), ("--admin", "admin"), ("--metrics", "metrics")):
            self.command[self.command.index(flag) + 1] = self.ports[port]


class DataPlane(Program):
    def __init__(self, folder, controller, mock, authority, *arguments, name="dataplane", threads=2,
                 unauthenticated=True, host=LOOPBACK, **named):
        self.state = pathlib.Path(folder) / f"{name}.state"
        command = [BIN / "rota-dataplane", "--controller", controller, "--http", f"{host}:0",
                   "--admin", f"{host}:0", "--metrics", f"{host}:0", "--node", name, "--threads", threads,
                   "--state-dir", self.state, "--access-log", pathlib.Path(folder) / f"{name}.access.log"]
        if mock is not None:
            command += ["--resolve", f"api.openai.com:443:{mock.address}", "--upstream-ca", authority.ca]
        if unauthenticated:
            command.append("--allow-unauthenticated")
        super().__init__(name, command + list(arguments), folder, **named)

    @property
    def http(self):
        return self.ports["http"]

    @property
    def admin(self):
        return self.ports["admin"]

    def ready(self):
        return http.get(self.admin, "/readyz").status == 200

    def wait_ready(self, seconds=15):
        until(f"{self.name} is ready", self.ready, seconds)
        return self

    def serves(self, path, host=None):
        """True when the path is routed: an unauthenticated or bad request is an answer too."""
        return http.ask(self.http, "POST", path, "{", {"content-type": "application/json"}, host).status != 404

    def wait_serves(self, path, host=None, seconds=15):
        until(f"{self.name} serves {path}", lambda: self.serves(path, host), seconds)
        return self

    def rotations(self):
        answer = http.get(self.admin, "/debug/rotations")
        if answer.status != 200:
            return []
        return [rotation for api in answer.json()["apis"] for rotation in api["rotations"]]

    def suspended(self, environment="production"):
        """{model: suspension} of the targets that are off the rota."""
        return {target["model"]: target["suspension"] for rotation in self.rotations()
                if rotation["environment"] == environment for target in rotation["targets"] if target.get("suspension")}

    def metrics_text(self):
        answer = http.get(self.ports["metrics"], "/metrics")
        assert answer.status == 200, answer
        return answer.body

    def metric(self, name, **labels):
        """Sum of the samples of that name that have these labels."""
        return metric(self.metrics_text(), name, **labels)


def metric(text, name, **labels):
    total = 0.0
    for line in text.splitlines():
        match = re.match(r"([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)", line)
        if match and match.group(1) == name:
            found = dict(re.findall(r'(\w+)="((?:[^"\\]|\\.)*)"', match.group(2) or ""))
            if all(found.get(key) == value for key, value in labels.items()):
                total += float(match.group(3))
    return total


def secret(name="openai-key", namespace=None, **values):
    metadata = {"name": name, **({"namespace": namespace} if namespace else {})}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": values}


def security(secret_name="openai-key"):
    return {"enabled": True, "securityType": {"secretName": secret_name, "in": "Header",
                                              "apiKeyNameKey": "Authorization", "apiKeyValueKey": "apiKey"}}


URL = "https://api.openai.com/v1"


def targets(entries, url=URL, **fields):
    """Entries of a model list: names, or (name, weight); `fields` for all of them."""
    pairs = [(entry, 1) if isinstance(entry, str) else entry for entry in entries]
    return [{"model": model, "endpoint": url, "weight": weight, **fields} for model, weight in pairs]


def model_policy(production, sandbox=(), **parameters):
    """The policy ModelBasedRoundRobin over lists made by targets()."""
    return {"policyName": "ModelBasedRoundRobin", "policyVersion": "v1",
            "parameters": {"productionModels": production, **({"sandboxModels": sandbox} if sandbox else {}),
                           **parameters}}


def api(name="assistant", models=("gpt-4o", "gpt-4o-mini"), sandbox=("gpt-4o-mini",), base_path=None, suspend=60,
        url=URL, secret_name="openai-key", parameters=None, operations=None, **fields):
    """An apk-conf API with a rotation. `models`: names, or (name, weight)."""
    endpoint = {"endpoint": url, **({"endpointSecurity": security(secret_name)} if secret_name else {})}
    return {
        "name": name, "basePath": base_path or f"/{name}", "version": "1.0", "type": "REST",
        "aiProvider": {"name": "OpenAI", "apiVersion": "v1"},
        "endpointConfigurations": {"production": [endpoint], **({"sandbox": [endpoint]} if sandbox else {})},
        "operations": operations or [{"target": "/chat/completions", "verb": "POST"},
                                     {"target": "/models", "verb": "GET"}],
        "apiPolicies": {"request": [model_policy(
            targets(models, url), targets(sandbox, url),
            **{"onQuotaExceedSuspendDuration": suspend, **(parameters or {})})]},
        **fields}


class World:
    """Everything that one test (or one module) runs against; close() ends all of it."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.authority = Authority(self.folder / "ca")
        self.programs = []
        self.mock_server = None
        self.directory = None
        self.controller = None
        self.planes = []

    def add(self, program):
        self.programs.append(program)
        return program

    def mock(self, **named):
        self.mock_server = self.add(Mock(self.folder, self.authority, **named))
        return self.mock_server

    def serve_directory(self, files, *arguments, key=KEY, **named):
        """Mock and controller; `files` = {name: content}."""
        if self.mock_server is None:
            self.mock(key=key)
        self.directory = Directory(self.folder / "config")
        for name, content in files.items():
            self.directory.write(name, content)
        self.controller = self.add(Controller(self.folder, f"dir:{self.directory.path}", *arguments, **named))
        return self.controller

    def plane(self, *arguments, wait=True, controller=None, **named):
        plane = self.add(DataPlane(self.folder, controller or self.controller.listen, self.mock_server,
                                   self.authority, *arguments, **named))
        self.planes.append(plane)
        return plane.wait_ready() if wait else plane

    def close(self):
        errors = []
        for program in reversed(self.programs):
            try:
                was_running = program.running
                code = program.stop()
                if code != 0 and was_running:
                    errors.append(f"{program.name} ended with {code}:\n{program.tail(5)}")
            except AssertionError as error:
                errors.append(str(error))
        assert not errors, errors
