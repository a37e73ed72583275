"""The show behind scripts/quickstart: starts everything, checks each claim before it prints it."""
import collections
import json
import os
import pathlib
import shutil
import signal
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[2]
BIN = pathlib.Path(os.environ.get("ROTA_BIN", ROOT / "build/release/bin"))
PATH = "/assistant/1.0/chat/completions"
BODY = {"model": "whatever-the-client-says", "messages": [{"role": "user", "content": "Hello"}]}


class Failure(Exception):
    pass


class Show:
    def __init__(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="rota-quickstart-"))
        self.processes = []

    # -- processes -----------------------------------------------------------------------------------------
    def start(self, name, *arguments):
        """Starts a program and returns the addresses that it has bound."""
        ports = self.folder / f"{name}.ports"
        log = open(self.folder / f"{name}.log", "w")
        program = str(BIN / arguments[0])
        process = subprocess.Popen([program, *map(str, arguments[1:]), "--ports-file", str(ports)],
                                   stdout=log, stderr=log, start_new_session=True)
        self.processes.append((name, process))
        deadline = time.monotonic() + 20
        while not ports.exists():
            if process.poll() is not None or time.monotonic() > deadline:
                raise Failure(f"{name} did not start; its log: {log.name}\n" + tail(log.name))
            time.sleep(0.02)
        return json.loads(ports.read_text())

    def stop(self):
        for _, process in reversed(self.processes):
            if process.poll() is None:
                process.terminate()
        for name, process in self.processes:
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                print(f"{name} did not stop within 10 s of SIGTERM and was killed", file=sys.stderr)

    # -- the world -------------------------------------------------------------------------------------------
    def certificates(self, *names):
        """A CA of our own and a certificate for the names that the endpoints have."""
        run = lambda *a: subprocess.run(a, cwd=self.folder, check=True, capture_output=True)
        run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
            "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=Quick start CA")
        (self.folder / "san").write_text("subjectAltName=" + ",".join(f"DNS:{name}" for name in names) + "\n")
        run("openssl", "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", "mock.key",
            "-out", "mock.csr", "-subj", "/CN=api.openai.com")
        run("openssl", "x509", "-req", "-in", "mock.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial",
            "-days", "2", "-extfile", "san", "-out", "mock.pem")

    def configuration(self, key):
        """What a platform engineer writes: the sample as it stands, and a Secret."""
        folder = self.folder / "config"
        folder.mkdir()
        shutil.copy(ROOT / "deploy/samples/chat.apk-conf.yaml", folder)
        secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "openai-key"},
                  "stringData": {"apiKey": key}}
        (folder / "secret.yaml").write_text(json.dumps(secret))
        return folder

    def boot(self):
        self.certificates("api.openai.com")
        key = "sk-quickstart-" + os.urandom(8).hex()
        self.mock = self.start("mock", "rota-mock-llm", "--listen", "127.0.0.1:0", "--tls-cert",
                               self.folder / "mock.pem", "--tls-key", self.folder / "mock.key",
                               "--require-key", key)["listen"]
        self.controller = self.start(
            "controller", "rota-controller", "--source", f"dir:{self.configuration(key)}", "--listen", "127.0.0.1:0",
            "--admin", "127.0.0.1:0", "--metrics", "127.0.0.1:0")
        self.planes = []
        for name in ("dataplane-a", "dataplane-b"):
            self.planes.append(self.start(
                name, "rota-dataplane", "--controller", self.controller["listen"], "--http", "127.0.0.1:0",
                "--admin", "127.0.0.1:0", "--metrics", "127.0.0.1:0", "--node", name, "--threads", 1,
                "--state-dir", self.folder / name, "--allow-unauthenticated",
                "--resolve", f"api.openai.com:443:{self.mock}", "--upstream-ca", self.folder / "ca.pem"))
        for plane in self.planes:
            wait_until("data plane ready", lambda p=plane: fetch(f"http://{p['admin']}/readyz")[0] == 200)

    def behave(self, behaviors):
        """Tells the mock provider how to treat its models."""
        context = ssl.create_default_context(cafile=str(self.folder / "ca.pem"))
        context.check_hostname = False
        request = urllib.request.Request(f"https://{self.mock}/control/behaviors", json.dumps(behaviors).encode(),
                                         {"content-type": "application/json"})
        urllib.request.urlopen(request, timeout=5, context=context).read()

    def ask(self, plane, host="assistant.localhost"):
        """One chat completion; returns status and the model that answered."""
        status, body = fetch(f"http://{plane['http']}{PATH}", json.dumps(BODY),
                             {"host": host, "content-type": "application/json"})
        return status, json.loads(body).get("model") if status == 200 else body

    def suspended(self, plane):
        """Models that are off the rota there: {model: seconds left}."""
        apis = json.loads(fetch(f"http://{plane['admin']}/debug/rotations")[1])["apis"]
        return {target["model"]: target["suspension"]["remaining_seconds"]
                for api in apis for rotation in api["rotations"] if rotation["environment"] == "production"
                for target in rotation["targets"] if target["suspension"]}

    # -- the claims ----------------------------------------------------------------------------------------------
    def rotation(self, environment, host, requests, wanted):
        seen = collections.Counter()
        for _ in range(requests):
            status, model = self.ask(self.planes[0], host)
            if status != 200:
                raise Failure(f"a request was answered {status}: {model}")
            seen[model] += 1
        claim(dict(seen) == wanted, f"{environment}: {requests} requests, {counts(seen)}",
              f"wanted {counts(wanted)}")

    def suspension(self):
        self.behave({"gpt-4o": {"status": 429, "headers": {"retry-after": "4"},
                                "body": {"error": {"message": "Rate limit reached", "type": "requests",
                                                   "code": "rate_limit_exceeded"}}}})
        seen = collections.Counter(self.ask(self.planes[0]) for _ in range(8))
        answered = {model: n for (status, model), n in seen.items() if status == 200}
        claim(sum(answered.values()) == 8 and "gpt-4o" not in answered,
              f"gpt-4o answers 429: 8 requests, none failed, {counts(answered)}", f"saw {dict(seen)}")
        wait_until("the other data plane knows", lambda: "gpt-4o" in self.suspended(self.planes[1]))
        for name, plane in zip("ab", self.planes):
            left = self.suspended(plane)
            claim("gpt-4o" in left, f"data plane {name}: gpt-4o is off the rota, {left.get('gpt-4o', 0):.1f} s left",
                  f"suspended there: {left}")
        self.behave({"gpt-4o": None})
        wait_until("gpt-4o is back", lambda: not self.suspended(self.planes[0]) and not self.suspended(self.planes[1]))
        claim(True, "its window is over: gpt-4o is back on the rota on both", "")
        self.rotation("production", "assistant.localhost", 8, {"gpt-4o": 4, "gpt-4o-mini": 2, "o1-mini": 2})

    def run(self):
        self.boot()
        print("\nRota is up: one controller, two data planes, a mock of api.openai.com behind TLS.\n")
        self.rotation("production", "assistant.localhost", 8, {"gpt-4o": 4, "gpt-4o-mini": 2, "o1-mini": 2})
        self.rotation("sandbox   ", "sandbox.localhost", 8, {"gpt-4o-mini": 4, "o1-mini": 4})
        self.suspension()
        status, text = fetch(f"http://{self.planes[0]['metrics']}/metrics")
        claim(status == 200 and "rota_suspensions_total" in text, "/metrics tells the same", text[:200])

    def summary(self, stays):
        if not stays:
            print("\nEverything shown was true. Run scripts/quickstart without --once to try it yourself.")
            return
        a = self.planes[0]
        print(f"""
Try it:
  curl -s http://{a['http']}{PATH} -H 'content-type: application/json' \\
    -d '{{"messages":[{{"role":"user","content":"Hello"}}]}}'

  data planes   http://{self.planes[0]['http']}   http://{self.planes[1]['http']}
  rotations     http://{a['admin']}/debug/rotations
  metrics       http://{a['metrics']}/metrics
  configuration {self.folder}/config   (edit chat.apk-conf.yaml: it is served at once)
  logs          {self.folder}/*.log
""", flush=True)


def fetch(url, data=None, headers=None):
    request = urllib.request.Request(url, data.encode() if data else None, headers or {})
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def wait_until(what, condition, seconds=15):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return
        time.sleep(0.02)
    raise Failure(f"not within {seconds} s: {what}")


def claim(true, text, otherwise):
    if not true:
        raise Failure(f"not true: {text}\n  {otherwise}")
    print(f"  ok  {text}")


def counts(models):
    return ", ".join(f"{model} {n}" for model, n in sorted(models.items()))


def tail(path, lines=15):
    return "".join(open(path).readlines()[-lines:])


def make_show(arguments):
    if "--example" not in arguments:
        return Show()
    from quickstart_example import ExampleShow
    return ExampleShow(arguments[arguments.index("--example") + 1])


def main():
    show = make_show(sys.argv[1:])
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    once = "--once" in sys.argv
    try:
        show.run()
        show.summary(stays=not once)
        if not once:
            print("Running until Ctrl-C ...", flush=True)
            while all(process.poll() is None for _, process in show.processes):
                time.sleep(0.5)
            raise Failure("a process has ended: see the logs in " + str(show.folder))
        show.stop()
        shutil.rmtree(show.folder)
        return 0
    except Failure as failure:
        print(f"\nquickstart: {failure}\nLogs: {show.folder}/*.log", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 0
    finally:
        show.stop()


if __name__ == "__main__":
    sys.exit(main())
