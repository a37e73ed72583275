"""Changes to Rota's configuration, and how long until they are served. A change renames the models of one API; the
answer to the write is the return of rename(); it is served when an answer of that API names the new model
(x-rota-model). Whoever asks uses one connection, without an HTTP library, and pauses between two questions, so that it
does not weigh."""
import contextlib
import dataclasses
import json
import os
import re
import socket
import time

from lib.peers.common import BODY, MODELS
from lib.peers.rota import api
from lib.processes import Failure

LONE_PAUSE_SECONDS = 0.0002
RATE_PAUSE_SECONDS = 0.001
GIVE_UP_SECONDS = 15


@contextlib.contextmanager
def on_cpus(cpus):
    """This process runs there meanwhile: whoever asks must not take the proxy's core."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cpus)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def path(number):
    return f"/api-{number}/1.0/chat/completions"


def apis(url, count):
    """The API that the load uses, and those that change."""
    return [api(url)] + [api(url, f"api-{number}", versioned(0)) for number in range(count - 1)]


def versioned(version):
    return [f"{model}-v{version}" for model in MODELS]


@dataclasses.dataclass
class Change:
    """Times are time.monotonic()."""

    number: int
    version: int
    written: float
    served: float | None = None

    @property
    def seconds(self):
        return self.served - self.written if self.served else float("inf")


class Changer:
    """Makes changes to `engine`, a Rota in front of `url`, and asks until they are served."""

    def __init__(self, engine, url, count):
        self.engine, self.url, self.count = engine, url, count
        self.made = 0
        self.failures = 0  # answers that were not 200
        host, port = engine.address.rsplit(":", 1)
        self.socket = socket.create_connection((host, int(port)), timeout=10)
        # Beside the directory: only the rename is to be seen by who watches it.
        self.beside = engine.config.parent / "next.yaml"

    def write(self):
        """The next API gets new models."""
        number, self.made = self.made % (self.count - 1), self.made + 1
        version = self.made
        self.beside.write_text(json.dumps(api(self.url, f"api-{number}", versioned(version))))
        os.rename(self.beside, self.engine.config / f"api-{number}.yaml")
        return Change(number, version, time.monotonic())

    def ask(self, change):
        """One question; True when the change is served."""
        status, model = self.exchange(change.number)
        self.failures += status != 200
        if model.endswith(f"-v{change.version}"):
            change.served = time.monotonic()
        return change.served is not None

    def exchange(self, number):
        """One request on the connection: (status, model that answered)."""
        self.socket.sendall(f"POST {path(number)} HTTP/1.1\r\nhost: bench\r\ncontent-type: application/json\r\n"
                            f"content-length: {len(BODY)}\r\n\r\n{BODY}".encode())
        answer = b""
        while b"\r\n\r\n" not in answer:
            answer += self.receive()
        head, body = answer.split(b"\r\n\r\n", 1)
        fields = dict(re.findall(r"^([\w-]+): *(.*?) *$", head.decode().lower().replace("\r", ""), re.M))
        left = int(fields["content-length"]) - len(body)
        while left > 0:
            left -= len(self.receive())
        return int(head[9:12]), fields.get("x-rota-model", "")

    def receive(self):
        data = self.socket.recv(1 << 16)
        if not data:
            raise Failure("the data plane has closed a connection that was asking")
        return data

    def wait(self, change):
        while not self.ask(change) and time.monotonic() < change.written + GIVE_UP_SECONDS:
            time.sleep(LONE_PAUSE_SECONDS)

    def lone(self, count, gap):
        """Changes one after the other, with quiet in between."""
        changes = []
        for number in range(count):
            changes.append(self.write())
            self.wait(changes[-1])
            # Not in step with anything that ticks in there.
            time.sleep(gap * (1 + number % 7 / 10))
        return changes

    def at_rate(self, rate, seconds):
        """Changes at fixed times, whether or not those before are served."""
        changes, waiting = [], []
        start = time.monotonic()
        total = int(rate * seconds)
        while (len(changes) < total or waiting) and time.monotonic() < start + seconds + GIVE_UP_SECONDS:
            while len(changes) < total and time.monotonic() >= start + len(changes) / rate:
                changes.append(self.write())
                waiting.append(changes[-1])
            waiting = [change for change in waiting if not self.ask(change)]
            time.sleep(RATE_PAUSE_SECONDS)
        return changes
