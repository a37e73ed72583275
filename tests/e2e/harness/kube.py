"""A genuine kube-apiserver with etcd, and kubectl, from ROTA_KUBE_BINARIES."""
import base64
import contextlib
import json
import os
import pathlib
import shutil
import socket
import ssl
import subprocess
import tempfile
import urllib.request

import pytest

from harness.certificates import Authority, openssl
from harness.process import Program, clean_environment
from harness.wait import Hopeless, until

ROOT = pathlib.Path(__file__).resolve().parents[3]
TOKEN = "e2e-admin-token"
# A user "rota" without any right but those that a test gives it; what it does is in the audit log.
ROTA_TOKEN = "e2e-rota-token"


def binaries():
    folder = os.environ.get("ROTA_KUBE_BINARIES") or os.environ.get("KUBEBUILDER_ASSETS")
    return pathlib.Path(folder) if folder else None


def free_port():
    """kube-apiserver refuses port 0."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server:
    """etcd and kube-apiserver; 123 MB of data, removed by close()."""

    def __init__(self):
        self.bin = binaries()
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="rota-e2e-kube-"))
        self.authority = Authority(self.folder / "pki")
        self._write_credentials()
        self.etcd = self.api = None
        try:
            self._start_etcd()
            self.port = free_port()
            self._start_api()
            self.kubeconfig = self.folder / "kubeconfig"
            self.kubeconfig.write_text(json.dumps(self._kubeconfig()))
            self.rota_kubeconfig = self.folder / "kubeconfig-rota"
            self.rota_kubeconfig.write_text(json.dumps(self._kubeconfig(ROTA_TOKEN)))
        except BaseException:
            self.close()
            raise

    def _write_credentials(self):
        self.certificate = self.authority.issue("kube-apiserver", ["localhost", "kubernetes.default.svc"])
        self.account_key = self.folder / "accounts.key"
        openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", self.account_key)
        self.tokens = self.folder / "tokens.csv"
        self.tokens.write_text(f'{TOKEN},admin,1,"system:masters"\n{ROTA_TOKEN},rota,2\n')
        self.audit_log = self.folder / "audit.log"
        self.audit_policy = self.folder / "audit-policy.json"
        self.audit_policy.write_text(json.dumps({
            "apiVersion": "audit.k8s.io/v1", "kind": "Policy", "omitStages": ["RequestReceived", "ResponseStarted"],
            "rules": [{"level": "Metadata", "userGroups": ["system:serviceaccounts"]},
                      {"level": "Metadata", "users": ["rota"]}, {"level": "None"}]}))

    def refusals(self):
        """What was forbidden to ServiceAccounts: {(namespace of the account, verb, resource)}."""
        found = set()
        for line in self.audit_log.read_text().splitlines() if self.audit_log.exists() else []:
            event = json.loads(line)
            if event.get("responseStatus", {}).get("code") == 403 and ":" in event["user"]["username"]:
                what = event["objectRef"]
                resource = "/".join(part for part in (what["resource"], what.get("subresource")) if part)
                found.add((event["user"]["username"].split(":")[2], event["verb"], resource))
        return found

    def kubeconfig_of(self, token, folder):
        """A kubeconfig file for the holder of that token."""
        file = pathlib.Path(folder) / "kubeconfig"
        file.write_text(json.dumps(self._kubeconfig(token)))
        return file

    def _kubeconfig(self, token=TOKEN):
        return {"apiVersion": "v1", "kind": "Config", "current-context": "e2e",
                "clusters": [{"name": "e2e", "cluster": {
                    "server": f"https://127.0.0.1:{self.port}",
                    "certificate-authority-data": base64.b64encode(self.authority.ca.read_bytes()).decode()}}],
                "users": [{"name": "admin", "user": {"token": token}}],
                "contexts": [{"name": "e2e", "context": {"cluster": "e2e", "user": "admin"}}]}

    def _start_etcd(self):
        client, peer = free_port(), free_port()
        self.etcd_url = f"http://127.0.0.1:{client}"
        peer_url = f"http://127.0.0.1:{peer}"
        self.etcd = Program("etcd", [
            self.bin / "etcd", "--data-dir", self.folder / "etcd", "--unsafe-no-fsync", "--heartbeat-interval=10",
            "--election-timeout=100", "--log-level=warn", f"--listen-client-urls={self.etcd_url}",
            f"--advertise-client-urls={self.etcd_url}", f"--listen-peer-urls={peer_url}",
            f"--initial-advertise-peer-urls={peer_url}", f"--initial-cluster=default={peer_url}",
        ], self.folder, ports_file=False)

    def _start_api(self):
        certificate, key = self.certificate
        self.api = Program("kube-apiserver", [
            self.bin / "kube-apiserver", f"--etcd-servers={self.etcd_url}", "--bind-address=127.0.0.1",
            "--advertise-address=127.0.0.1", f"--secure-port={self.port}", "--endpoint-reconciler-type=none",
            "--service-cluster-ip-range=10.0.0.0/24", f"--tls-cert-file={certificate}",
            f"--tls-private-key-file={key}", f"--client-ca-file={self.authority.ca}",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-key-file={self.account_key}",
            f"--service-account-signing-key-file={self.account_key}", f"--token-auth-file={self.tokens}",
            "--authorization-mode=RBAC", "--disable-admission-plugins=ServiceAccount", "--allow-privileged=true",
            f"--audit-policy-file={self.audit_policy}", f"--audit-log-path={self.audit_log}",
            "--profiling=false", "--shutdown-watch-termination-grace-period=1s",
        ], self.folder, ports_file=False)
        self.wait_ready()

    def audited(self, namespace):
        """(verb, resource, code) of every request that the user "rota" has made in that namespace."""
        entries = [json.loads(line) for line in self.audit_log.read_text().splitlines()]
        return [(entry["verb"], "/".join(filter(None, (entry["objectRef"]["resource"], entry["objectRef"].get(
            "subresource")))), entry["responseStatus"]["code"]) for entry in entries
            if entry.get("objectRef", {}).get("namespace") == namespace and "responseStatus" in entry]

    def _ready(self):
        for program in (self.etcd, self.api):
            if not program.running:
                raise Hopeless(f"{program.name} has ended:\n{program.tail()}")
        context = ssl.create_default_context(cafile=str(self.authority.ca))
        request = urllib.request.Request(f"https://127.0.0.1:{self.port}/readyz",
                                         headers={"authorization": f"Bearer {TOKEN}"})
        with urllib.request.urlopen(request, timeout=5, context=context) as answer:
            return answer.status == 200

    def wait_ready(self):
        until("kube-apiserver is ready", self._ready, 60)

    def restart_api(self):
        self.api.stop(40)
        self.api.start()
        self.wait_ready()

    def install_definitions(self):
        """Our custom resources, ready to be used."""
        kubectl = Kubectl(self, self.folder)
        for file in sorted((ROOT / "crds").glob("*.yaml")):
            kubectl("apply", "-f", file)
            # `kubectl wait` fails at once on a definition that has no conditions yet.
            until(f"{file.name} is established", lambda f=file: kubectl.run(
                "wait", "--for=condition=Established", "--timeout=30s", "-f", f).returncode == 0, 30)

    def close(self):
        """The API server first: it waits for etcd otherwise."""
        for program in (self.api, self.etcd):
            if program is not None and program.running:
                try:
                    program.stop(20)
                except AssertionError:
                    program.kill()
        shutil.rmtree(self.folder, ignore_errors=True)


@contextlib.contextmanager
def running_server():
    """A server that knows our custom resources. Skips the test where there are no binaries."""
    if binaries() is None:
        pytest.skip("ROTA_KUBE_BINARIES is not set: export ROTA_KUBE_BINARIES=$(scripts/kube-binaries)")
    server = Server()
    try:
        server.install_definitions()
        yield server
    finally:
        server.close()


class Kubectl:
    """kubectl in one namespace (None: in those that the objects name), with a discovery cache of its own."""

    def __init__(self, server, folder, namespace="default"):
        self.server = server
        self.namespace = namespace
        self._base = [str(server.bin / "kubectl"), "--kubeconfig", str(server.kubeconfig),
                      "--cache-dir", str(pathlib.Path(folder) / "kubectl-cache"),
                      *(["--namespace", namespace] if namespace else [])]

    def run(self, *arguments, stdin=None):
        """The finished process, whatever its exit code."""
        if isinstance(stdin, (dict, list)):
            stdin = json.dumps(stdin)
        return subprocess.run([*self._base, *map(str, arguments)], input=stdin, capture_output=True, text=True,
                              timeout=60, check=False, env=clean_environment())

    def __call__(self, *arguments, stdin=None):
        done = self.run(*arguments, stdin=stdin)
        assert done.returncode == 0, f"kubectl {' '.join(map(str, arguments))}: {done.stderr}{done.stdout}"
        return done.stdout

    def apply(self, manifest, *arguments):
        return self("apply", "-f", "-", *arguments, stdin=manifest)

    def get(self, *arguments):
        return json.loads(self("get", *arguments, "-o", "json"))

    def set_secret(self, name, **values):
        """Creates or replaces, as `kubectl create secret ... --dry-run=client -o yaml | kubectl apply -f -` does."""
        literals = [f"--from-literal={key}={value}" for key, value in values.items()]
        self.apply(self("create", "secret", "generic", name, *literals, "--dry-run=client", "-o", "yaml"))

    def conditions(self, name):
        """{type: condition} of an API's status."""
        status = self.get("rapi", name).get("status") or {}
        return {condition["type"]: condition for condition in status.get("conditions", [])}

    def wait_condition(self, name, kind, status, containing=(), seconds=15):
        """The condition, once it has that status for the current generation and its text has all of `containing`."""
        def check():
            resource = self.get("rapi", name)
            for condition in (resource.get("status") or {}).get("conditions", []):
                text = condition["reason"] + ": " + condition["message"]
                if (condition["type"] == kind and condition["status"] == status
                        and condition["observedGeneration"] == resource["metadata"]["generation"]
                        and all(part in text for part in containing)):
                    return condition
            return None
        try:
            return until(f"{kind}={status} {containing} of API {name}", check, seconds)
        except AssertionError as error:
            raise AssertionError(f"{error}; its conditions: {self.conditions(name)}") from None
