"""The show behind scripts/quickstart --example: a file of another gateway is imported, served and tried out."""
import json
import os
import ssl
import subprocess
import urllib.request

from quickstart import BIN, ROOT, Failure, Show, claim, fetch, wait_until

FILES = {"kong": "kong.yaml", "trustgate": "upstream.json", "agentcc": "policy.yaml", "apk": "assistant.apk-conf.yaml"}
KEYS = {"kong": ["DECK_OPENAI_API_KEY"], "trustgate": ["OPENAI_API_KEY", "ANTHROPIC_API_KEY"],
        "agentcc": ["OPENAI_EAST_API_KEY", "OPENAI_WEST_API_KEY"], "apk": ["OPENAI_KEY_APIKEY"]}
# Where the examples' endpoints are; the mock stands in for each.
TLS_HOSTS = ["api.openai.com", "api.anthropic.com", "bedrock-runtime.us-west-2.amazonaws.com"]
PLAIN_HOST = "ollama.example.com:11434"
MESSAGES = [{"role": "user", "content": "Hello"}]


class ExampleShow(Show):
    def __init__(self, gateway):
        super().__init__()
        self.gateway = gateway
        self.keys = {name: f"key-{name.lower()}-{os.urandom(4).hex()}" for name in KEYS[gateway]}

    # -- the world -------------------------------------------------------------------------------------------
    def import_file(self):
        source = ROOT / "examples" / self.gateway / FILES[self.gateway]
        config = self.folder / "config"
        done = subprocess.run(
            [str(BIN / "rotactl"), "import", self.gateway, str(source), "-o", str(config), "--secrets-from-env"],
            env={**os.environ, **self.keys}, capture_output=True, text=True)
        if done.returncode != 0:
            raise Failure(f"rotactl import {self.gateway} ended with {done.returncode}:\n{done.stderr}")
        print(f"rotactl import {self.gateway} {source.relative_to(ROOT)} -o config --secrets-from-env\n")
        print("\n".join("  " + line for line in done.stderr.splitlines()), end="\n\n")
        return config

    def boot(self):
        self.certificates(*TLS_HOSTS)
        self.mock = self.start("mock", "rota-mock-llm", "--listen", "127.0.0.1:0", "--tls-cert",
                               self.folder / "mock.pem", "--tls-key", self.folder / "mock.key")["listen"]
        self.plain_mock = self.start("plain-mock", "rota-mock-llm", "--listen", "127.0.0.1:0")["listen"]
        self.controller = self.start(
            "controller", "rota-controller", "--source", f"dir:{self.import_file()}", "--listen", "127.0.0.1:0",
            "--admin", "127.0.0.1:0", "--metrics", "127.0.0.1:0")
        resolve = [item for host in TLS_HOSTS for item in ("--resolve", f"{host}:443:{self.mock}")]
        self.planes = [self.start(
            "dataplane", "rota-dataplane", "--controller", self.controller["listen"], "--http", "127.0.0.1:0",
            "--admin", "127.0.0.1:0", "--metrics", "127.0.0.1:0", "--node", "dataplane", "--threads", 1,
            "--state-dir", self.folder / "dataplane", "--allow-unauthenticated", *resolve,
            "--resolve", f"{PLAIN_HOST}:{self.plain_mock}", "--upstream-ca", self.folder / "ca.pem")]
        wait_until("data plane ready", lambda: fetch(f"http://{self.planes[0]['admin']}/readyz")[0] == 200)

    def post(self, path, host="example.localhost", **members):
        """One chat completion; returns the model that answered."""
        status, body = fetch(f"http://{self.planes[0]['http']}{path}", json.dumps({"messages": MESSAGES, **members}),
                             {"host": host, "content-type": "application/json"})
        if status != 200:
            raise Failure(f"POST {path} was answered {status}: {body}")
        return json.loads(body)["model"]

    def last_request(self, model):
        """What the mock got for that model: (body, headers)."""
        context = ssl.create_default_context(cafile=str(self.folder / "ca.pem"))
        context.check_hostname = False
        found = []
        for url, options in ((f"https://{self.mock}", {"context": context}), (f"http://{self.plain_mock}", {})):
            with urllib.request.urlopen(f"{url}/control/requests", timeout=5, **options) as answer:
                found += [r for r in json.loads(answer.read())["requests"] if r["model"] == model]
        if not found:
            raise Failure(f"no request for {model} has reached the mock")
        headers = {name.lower(): value for name, value in found[-1]["headers"]}
        return json.loads(found[-1]["body"]), headers

    # -- the claims ------------------------------------------------------------------------------------------
    def alternates(self, path, models, **members):
        seen = [self.post(path, **members) for _ in range(6)]
        claim(set(seen) == set(models) and all(a != b for a, b in zip(seen, seen[1:])),
              f"POST {path}: {', '.join(seen[:4])}, ...", f"saw {seen}, wanted {' and '.join(models)} in turn")

    def show_kong(self):
        self.alternates("/route1", ["gpt-4.1", "llama3.2:1b"])
        claim(self.last_request("gpt-4.1")[0].get("temperature") == 1.0,
              "gpt-4.1 got temperature 1.0, which no client had sent", str(self.last_request("gpt-4.1")[0]))
        for _ in range(2):
            self.post("/route1", temperature=0.2)
        claim(self.last_request("gpt-4.1")[0].get("temperature") == 0.2, "a client's own temperature stays",
              str(self.last_request("gpt-4.1")[0]))
        self.alternates("/route1/chat/completions", ["gpt-4.1", "llama3.2:1b"])
        self.alternates("/bedrock-route", ["amazon.nova-micro-v1:0", "meta.llama3-3-70b-instruct-v1:0"])
        return "/route1"

    def show_trustgate(self):
        path = "/providers/chat/completions"
        self.alternates(path, ["gpt-4o-mini", "claude-sonnet-4-5"])
        self.alternates(path, ["gpt-4o", "claude-sonnet-4-5"], model="gpt-4o")
        self.alternates(path, ["gpt-4o-mini", "claude-sonnet-4-5"], model="a-model-that-nobody-lists")
        return path

    def show_agentcc(self):
        path = "/support/chat/completions"
        accounts = []
        for _ in range(6):
            self.post(path)
            accounts.append(self.last_request("gpt-4o-mini")[1]["authorization"].removeprefix("Bearer "))
        claim(set(accounts) == set(self.keys.values()) and all(a != b for a, b in zip(accounts, accounts[1:])),
              f"POST {path}: the two accounts take turns", f"saw {accounts}")
        return path

    def show_apk(self):
        path = "/assistant/1.0/chat/completions"
        self.alternates(path, ["gpt-4o", "gpt-4o-mini"])
        claim(self.post(path, host="sandbox.localhost") == "gpt-4o-mini", "sandbox: gpt-4o-mini", "")
        return path

    def run(self):
        self.boot()
        print("Rota is up: one controller, one data plane, a mock of the providers.\n")
        self.path = getattr(self, f"show_{self.gateway}")()

    def summary(self, stays):
        if not stays:
            print("\nEverything shown was true. Leave --once out to try it yourself.")
            return
        a = self.planes[0]
        print(f"""
Try it:
  curl -s http://{a['http']}{self.path} -H 'content-type: application/json' \\
    -d '{{"messages":[{{"role":"user","content":"Hello"}}]}}'

  data plane    http://{a['http']}
  rotations     http://{a['admin']}/debug/rotations
  configuration {self.folder}/config   (edit it: it is served at once)
  logs          {self.folder}/*.log
""", flush=True)
