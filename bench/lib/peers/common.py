"""What every proxy that is measured has in common, and the upstream behind it."""
import dataclasses
import http.client
import json
import pathlib
import socket
import ssl

# A connection may say nothing for so long: all 5,000 of a measurement are opened before the first one is used.
PATIENCE_SECONDS = 300
PATH = "/v1/chat/completions"
MODELS = ("gpt-4o", "gpt-4o-mini", "o1-mini")
BODY = json.dumps({"model": "gpt-4o", "messages": [{"role": "user", "content": "ready?"}]})


@dataclasses.dataclass
class Setting:
    """Where and in front of what a proxy is started."""

    start: object  # Stage.start: what it starts is stopped with the stage
    bin: pathlib.Path
    folder: pathlib.Path
    cpus: set
    stand_by_cpus: set  # of what the proxy needs beside it, and is not charged
    workers: int
    mocks: tuple
    weights: tuple
    tls: bool  # towards the client
    certificates: object  # None: no TLS on either side

    def weighted(self):
        return list(zip(self.mocks, self.weights))

    def targets(self):
        """What those that rewrite `model` choose from, (model, mock, weight): three models of one mock, or one model of
        several."""
        if len(self.mocks) == 1:
            return [(model, self.mocks[0], 1) for model in MODELS]
        return [(MODELS[0], mock, weight) for mock, weight in self.weighted()]


def free_address():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"


def connect(address, ca=None, timeout=10):
    host, port = address.rsplit(":", 1)
    if ca:
        context = ssl.create_default_context(cafile=str(ca))
        return http.client.HTTPSConnection("localhost", int(port), timeout=timeout, context=context)
    return http.client.HTTPConnection(host, int(port), timeout=timeout)


def listens(address):
    host, port = address.rsplit(":", 1)
    with socket.socket() as probe:
        return probe.connect_ex((host, int(port))) == 0


def answers(address, path, headers=(), ca=None, method="POST", body=BODY):
    """The status of one request, 0 when there was no answer."""
    connection = connect(address, ca)
    try:
        named = dict(header.split(": ", 1) for header in headers)
        connection.request(method, path, body, {"content-type": "application/json", **named})
        answer = connection.getresponse()
        answer.read()
        return answer.status
    except (OSError, http.client.HTTPException):
        return 0
    finally:
        connection.close()


class Mock:
    """The upstream. Its streams send an event every 100 ms with the time when it was sent."""

    def __init__(self, start, programs, folder, cpus, threads=1, chunks=100, name="mock", certificates=None,
                 behavior=None, answer_bytes=512):
        ports = folder / "ports.json"
        command = [programs / "rota-mock-llm", "--listen", "127.0.0.1:0", "--ports-file", ports, "--threads", threads,
                   "--keep-requests", 0, "--answer-bytes", answer_bytes, "--chunks", chunks, "--chunk-interval", "100ms",
                   "--stamp-chunks", "--name", name]
        if certificates:
            command += ["--tls-cert", certificates.certificate, "--tls-key", certificates.key]
        if behavior:
            command += ["--behavior", f"*={behavior}"]
        self.tls = certificates is not None
        self.process = start("mock", command, folder, cpus)
        self.process.wait_for("its ports file", lambda: ports.exists() and ports.read_text().strip())
        self.address = json.loads(ports.read_text())["listen"]
        self.url = f"{'https' if self.tls else 'http'}://{self.address}/v1"


class Engine:
    """A proxy: `job` says what it does with a request. Subclasses start `self.process`."""

    name = job = ""
    title = None  # in tables; default: the name
    is_slow = False  # milliseconds of CPU per request: shorter runs
    path = PATH
    paths = 1  # {n} in `path` counts through so many
    headers = ()
    start_seconds = 20

    def __init__(self, setting):
        self.address = self.stream_address = free_address()
        self.ca = setting.certificates.ca if setting.tls else None
        self.process = None

    @property
    def pid(self):
        return self.process.pid

    def wait(self):
        """Until it listens."""
        self.process.wait_for("its listener", lambda: listens(self.address), self.start_seconds)

    def ask(self):
        """Until it has answered."""
        self.process.wait_for("a 200", lambda: answers(self.address, self.path, self.headers, self.ca) == 200,
                              self.start_seconds)

    @classmethod
    def missing(cls):
        """What to do to have it; None: it is there."""
        return None


class Direct:
    """No proxy at all."""

    name = "direct"
    path = PATH
    paths = 1
    headers = ()
    ca = pid = None

    def __init__(self, mock):
        self.address = self.stream_address = mock.address
