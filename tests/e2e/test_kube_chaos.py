"""Two controllers and three data planes on a real API server while something fails every few seconds, under load."""
import contextlib
import os
import random
import re
import signal
import time

import pytest

from conftest import LONG
from harness import http, kube
from harness.kube_stack import resource
from harness.stack import Controller, DataPlane
from harness.steady_load import Requests, Router, Streams
from harness.wait import until

SECONDS, EVERY = (180, 5.0) if LONG else (24, 5.0)
RATE = 500 if LONG else 200
STREAMS = 100 if LONG else 40
PATH = "/assistant/1.0/chat/completions"
KEY_LIMIT = 2.0  # seconds in which a changed key is in use everywhere


@pytest.fixture(scope="module")
def server():
    """One of our own: it is killed."""
    with kube.running_server() as server:
        yield server


class Cluster:
    """What runs in the cluster: two controllers that know each other, three data planes that know both."""

    def __init__(self, world, server, namespace="default", planes=3):
        self.world, self.server = world, server
        self.kubectl = kube.Kubectl(server, world.folder, namespace)
        world.mock(key=None)
        world.mock_server.behave({"*": {"chunk_interval": "100ms", "chunks": 20}})
        self.key = 0
        self.rotate_key()
        self.kubectl.apply(resource(sandbox=()))
        addresses = [f"127.0.0.1:{kube.free_port()}" for _ in range(2)]
        self.controllers = [self._controller(i, addresses) for i in range(2)]
        self.controller_addresses = ",".join(addresses)
        self.planes = [self.add_plane(f"plane-{i}") for i in range(planes)]
        for plane in self.planes:
            plane.wait_serves(PATH, seconds=30)
        self.kubectl.wait_condition("assistant", "Programmed", "True", seconds=30)

    def _controller(self, i, addresses):
        controller = Controller(self.world.folder, "kube", "--kubeconfig", self.server.kubeconfig, "--namespace",
                                self.kubectl.namespace, "--peers", addresses[1 - i], name=f"controller-{i}")
        controller.stop()
        controller.command[controller.command.index("--listen") + 1] = addresses[i]
        controller.start()
        return self.world.add(controller)

    def add_plane(self, name):
        plane = DataPlane(self.world.folder, self.controller_addresses, self.world.mock_server, self.world.authority,
                          name=name, threads=1)
        return self.world.add(plane).wait_ready(30)

    def rotate_key(self):
        """Returns when the API server has taken it."""
        self.kubectl.set_secret("openai-key", apiKey=f"sk-{self.key + 1}")
        self.key += 1

    def keys_of_new_requests(self, since):
        """(number of the last request, numbers of the keys that came with the requests after `since`)."""
        requests = self.world.mock_server.requests()["requests"]
        keys = {int(number) for request in requests if request["number"] > since
                for number in re.findall(r"Bearer sk-(\d+)", str(request["headers"]))}
        return max((request["number"] for request in requests), default=since), keys


class Harm:
    """One bad thing at a time, and its end."""

    def __init__(self, cluster, router, dice):
        self._cluster, self._router, self._dice = cluster, router, dice
        self.log = []

    def one(self):
        """Context manager: the harm lasts as long as its block. Its value tells whether changes of configuration may be
        late because of it."""
        server = self._cluster.server
        kind, program = self._dice.choice(
            [("plane", plane) for plane in self._cluster.planes] +
            [("controller", controller) for controller in self._cluster.controllers] +
            [("kube", server.api), ("kube", server.etcd)])
        stops = self._dice.random() < 0.5
        self.log.append(f"{'SIGSTOP' if stops else 'SIGKILL'} {program.name}")
        return self._stopped(kind, program) if stops else self._killed(kind, program)

    @contextlib.contextmanager
    def _stopped(self, kind, program):
        program.signal(signal.SIGSTOP)
        try:
            yield kind != "plane"
        finally:
            program.signal(signal.SIGCONT)

    @contextlib.contextmanager
    def _killed(self, kind, program):
        if kind == "plane":
            self._router.kill(program)
        else:
            program.kill()
        try:
            yield kind != "plane"
        finally:
            program.start()
            if kind == "plane":
                program.wait_ready(30).wait_serves(PATH, seconds=30)
                self._router.join(program)
            elif kind == "kube":
                self._cluster.server.wait_ready()


class KeyWatch:
    """No key is used KEY_LIMIT seconds after its change, counted from when the configuration could travel."""

    def __init__(self, cluster):
        self._cluster = cluster
        self._last, _ = cluster.keys_of_new_requests(0)
        self._looked = time.monotonic()
        self._clean_since = self._looked
        self.checked = 0

    def disturb(self):
        self._clean_since = time.monotonic()

    def look(self):
        now = time.monotonic()
        newest = self._cluster.key
        self._last, keys = self._cluster.keys_of_new_requests(self._last)
        if self._looked > self._clean_since + KEY_LIMIT and keys:
            assert keys == {newest}, f"keys {keys} in use {self._looked - self._clean_since:.1f} s after sk-{newest} came"
            self.checked += 1
        self._looked = now


def ruin(cluster, router, seconds, dice):
    harm = Harm(cluster, router, dice)
    keys = KeyWatch(cluster)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        next_one = time.monotonic() + EVERY
        with harm.one() as delays:
            mended = time.monotonic() + dice.uniform(0.3, 1.5)
            while time.monotonic() < mended:
                if delays:
                    keys.disturb()
                keys.look()
                time.sleep(0.1)
        if delays:
            keys.disturb()
        if dice.random() < 0.5:
            cluster.rotate_key()
            keys.disturb()
        while time.monotonic() < next_one:
            keys.look()
            time.sleep(0.1)
    assert keys.checked > 0
    return harm.log


def test_only_what_was_in_flight_on_a_killed_data_plane_fails(world, server):
    seed = int(os.environ.get("ROTA_CHAOS_SEED") or time.time_ns() % 1_000_000)
    print(f"ROTA_CHAOS_SEED={seed}, {SECONDS} s")
    cluster = Cluster(world, server)
    router = Router(cluster.planes)
    with Requests(router, PATH, RATE) as requests, Streams(router, PATH, STREAMS) as streams:
        until("the load runs", lambda: requests.tally.good > RATE / 2 and streams.tally.good > STREAMS / 2)
        log = ruin(cluster, router, SECONDS, random.Random(seed))
    print(", ".join(log))
    print(f"requests: {requests.tally}; streams: {streams.tally}")
    assert not requests.tally.failures, requests.tally.failures[:10]
    assert not streams.tally.failures, streams.tally.failures[:10]
    cluster.kubectl.apply(resource(models=("after-chaos",), sandbox=()))
    for plane in cluster.planes:
        until(f"changes arrive at {plane.name}", lambda p=plane: http.ask(p.http, "POST", PATH, http.CHAT).json().get(
            "model") == "after-chaos", 30)


def test_a_server_that_was_away_again_and_again_is_followed_soon_after_each_return(world, server):
    cluster = Cluster(world, server, planes=1)
    last, took = 0, []
    for _ in range(4):
        server.api.kill()
        time.sleep(2.5)
        server.api.start()
        server.wait_ready()
        cluster.rotate_key()
        changed, keys = time.monotonic(), set()
        while keys != {cluster.key} and time.monotonic() < changed + 30:
            assert http.ask(cluster.planes[0].http, "POST", PATH, http.CHAT).status == 200
            last, keys = cluster.keys_of_new_requests(last)
            time.sleep(0.05)
        took.append(time.monotonic() - changed)
    print("seconds from the change of a key to its use:", [f"{seconds:.2f}" for seconds in took])
    assert max(took) < KEY_LIMIT, took


def test_a_rolling_update_of_the_data_planes_fails_no_request_and_cuts_no_stream(world, server):
    """Start new, take the old one out of the Service, SIGTERM: as a Deployment does."""
    cluster = Cluster(world, server, planes=2)
    router = Router(cluster.planes)
    with Requests(router, PATH, RATE) as requests, Streams(router, PATH, STREAMS) as streams:
        until("the load runs", lambda: requests.tally.good > RATE / 2 and streams.tally.good > STREAMS / 2)
        for old in list(cluster.planes):
            new = cluster.add_plane(f"{old.name}-new")
            new.wait_serves(PATH)
            router.join(new)
            router.leave(old)
            assert old.stop(60) == 0, old.tail()
        seen = requests.tally.good
        until("the load goes on", lambda: requests.tally.good > seen + RATE / 2)
    print(f"requests: {requests.tally}; streams: {streams.tally}")
    assert not requests.tally.failures, requests.tally.failures[:10]
    assert not streams.tally.failures, streams.tally.failures[:10]
    assert requests.tally.excused == streams.tally.excused == 0
