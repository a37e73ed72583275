"""ServiceAccounts, their tokens, and what the kubelet does with them: files that follow the API server."""
import base64
import json
import subprocess
import threading
import time

AUDIENCE = "rota-sync"


def _encoded(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _raw_signature(der):
    """r and s of an ECDSA signature, 32 bytes each, as JWS wants them (RFC 7518, 3.4)."""
    numbers, at = [], 2
    for _ in range(2):
        size = der[at + 1]
        numbers.append(der[at + 2:at + 2 + size].lstrip(b"\0").rjust(32, b"\0"))
        at += 2 + size
    return b"".join(numbers)


class Account:
    """One ServiceAccount in the namespace of `kubectl`."""

    def __init__(self, kubectl, name):
        self.kubectl = kubectl
        self.name = name
        kubectl("create", "serviceaccount", name)

    @property
    def qualified(self):
        return f"{self.kubectl.namespace}/{self.name}"

    def token(self, *arguments, audience=AUDIENCE):
        audiences = ["--audience", audience] if audience else []
        return self.kubectl("create", "token", self.name, *audiences, *arguments).strip()

    def token_of_pod(self, pod):
        """A token that is bound to that pod, which exists from now on (nothing runs in it)."""
        self.kubectl.apply({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": pod}, "spec": {
            "serviceAccountName": self.name, "containers": [{"name": "none", "image": "none.invalid/none"}]}})
        return self.token("--bound-object-kind", "Pod", "--bound-object-name", pod)

    def expired_token(self):
        """As the API server signs them, an hour past its end: it issues none itself that is shorter than 10 minutes."""
        uid = self.kubectl.get("serviceaccount", self.name)["metadata"]["uid"]
        now = int(time.time())
        claims = {"iss": "https://kubernetes.default.svc", "aud": [AUDIENCE], "iat": now - 7200, "nbf": now - 7200,
                  "exp": now - 3600, "sub": f"system:serviceaccount:{self.kubectl.namespace}:{self.name}",
                  "kubernetes.io": {"namespace": self.kubectl.namespace,
                                    "serviceaccount": {"name": self.name, "uid": uid}}}
        header = json.loads(base64.urlsafe_b64decode(self.token().split(".")[0] + "=="))
        signed = ".".join(_encoded(json.dumps(part).encode()) for part in (header, claims))
        signature = subprocess.run(["openssl", "dgst", "-sha256", "-sign", self.kubectl.server.account_key],
                                   input=signed.encode(), capture_output=True, timeout=30, check=True).stdout
        return f"{signed}.{_encoded(_raw_signature(signature))}"


class MountedBundle:
    """ca.crt of the ConfigMap as a file, kept up to date as the kubelet does, only sooner."""

    def __init__(self, kubectl, folder, name="rota-ca-bundle", seconds=0.5):
        self.kubectl = kubectl
        self.path = folder / f"{name}.crt"
        self._name = name
        self._seconds = seconds
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._follow, daemon=True)

    def read(self):
        return self.kubectl.get("configmap", self._name)["data"]["ca.crt"]

    def update(self):
        """True when there is a bundle."""
        done = self.kubectl.run("get", "configmap", self._name, "-o", "json")
        if done.returncode == 0:
            temporary = self.path.with_suffix(".new")
            temporary.write_text(json.loads(done.stdout)["data"]["ca.crt"])
            temporary.rename(self.path)
        return done.returncode == 0

    def _follow(self):
        while not self._stop.wait(self._seconds):
            self.update()

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join()
