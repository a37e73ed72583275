"""Upstreams and clients that fail, round after round: each gets its answer, others notice nothing, nothing is left."""
import os
import socket
import threading
import time

import pytest

from conftest import LONG
from harness import faults, http
from harness.stack import api
from harness.wait import until

# A round is the whole matrix but for what waits for a deadline.
ROUNDS = 10_000 if LONG else 100
TLS_ROUNDS = ROUNDS // 10
STALL_ROUNDS = 200 if LONG else 8
# Long enough for the upstream of this test on a busy machine, short enough to be waited for.
STALL_LIMIT = "2s"
WORKERS = 8
BODY_LIMIT = 65536
# What the allocator may have kept, and the histogram and log buffers that a longer run touches.
RSS_MARGIN_KIB = 4096


@pytest.fixture
def upstream():
    upstream = faults.Upstream()
    yield upstream
    upstream.close()


@pytest.fixture
def plane(world, upstream):
    operations = [{"target": "/x/*", "verb": verb} for verb in ("GET", "POST")]
    with socket.create_server(("127.0.0.1", 0)) as closed:
        nobody = closed.getsockname()[1]
    urls = {"faults": f"http://127.0.0.1:{upstream.port}/v1", "refused": f"http://127.0.0.1:{nobody}/v1",
            "no-tls": f"https://127.0.0.1:{upstream.port}/v1"}
    world.serve_directory({f"{name}.yaml": api(name, url=url, secret_name=None, operations=operations)
                           for name, url in urls.items()})
    certificate, key = world.authority.issue("gateway", ["gateway.example.com"])
    # The access log is on: it is part of what must not grow.
    return world.plane("--max-body-bytes", BODY_LIMIT, "--first-byte-timeout", STALL_LIMIT, "--between-chunks-timeout",
                       STALL_LIMIT, "--body-timeout", "5s", "--https", "127.0.0.1:0", "--tls-cert", certificate,
                       "--tls-key", key)


def tls_address(world, plane):
    context = http.trust(world.authority.ca)
    context.check_hostname = False  # nor is a name asked for: Host is "a" here
    return faults.TlsAddress(plane.ports["https"], context)


def resident_kib(plane):
    with open(f"/proc/{plane.pid}/status", encoding="ascii") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))


def descriptors(plane):
    return len(os.listdir(f"/proc/{plane.pid}/fd"))


def steady_descriptors(plane):
    """Their number once it does not change any more: the connection of a scrape closes a moment later."""
    seen = []

    def is_steady():
        seen.append(descriptors(plane))
        return len(seen) >= 10 and len(set(seen[-10:])) == 1
    until("the number of file descriptors is steady", is_steady)
    return seen[-1]


def wait_settled(plane, upstream):
    """Nothing is open on either side."""
    upstream.hang_up()
    for gauge in ("rota_open_requests", "rota_open_connections", "rota_upstream_connections", "rota_held_body_bytes"):
        until(f"{gauge} is 0", lambda gauge=gauge: plane.metric(gauge) == 0)


class Steady:
    """A client that is served well all the time, on one connection."""

    def __init__(self, address):
        self._address = address
        self._stop = threading.Event()
        self.served = 0
        self.slowest = 0.0
        self.failure = None
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self):
        try:
            with faults.connect(self._address) as connection:
                while not self._stop.is_set():
                    started = time.monotonic()
                    connection.sendall(faults.request("good"))
                    answer = faults.read(connection)
                    assert answer == (200, b"good", True), answer
                    self.slowest = max(self.slowest, time.monotonic() - started)
                    self.served += 1
                    self._stop.wait(0.002)
        except Exception as error:  # pylint: disable=broad-except
            self.failure = repr(error)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join(20)


def run_rounds(matrix, rounds):
    """Every entry of the matrix `rounds` times, by some workers; what failed."""
    failures = []

    def work(own):
        for _ in range(own):
            for name, act in matrix.items():
                try:
                    act()
                except Exception as error:  # pylint: disable=broad-except
                    failures.append((name, repr(error)))
                    if len(failures) > 20:
                        return
    share = [rounds // WORKERS + (i < rounds % WORKERS) for i in range(WORKERS)]
    threads = [threading.Thread(target=work, args=(own,), daemon=True) for own in share]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return failures


def quick_faults(address):
    quick = {name: (lambda name=name: faults.ask_faulty(address, name)) for name in faults.UPSTREAM
             if name not in faults.STALLS}
    return quick | {name: (lambda act=act: act(address)) for name, act in faults.clients(BODY_LIMIT).items()}


def test_nothing_is_left_behind_by_any_fault(world, plane, upstream):
    address = plane.http
    stalls = {name: (lambda name=name: faults.ask_faulty(address, name)) for name in faults.STALLS}
    quick, quick_tls = quick_faults(address), quick_faults(tls_address(world, plane))

    # The first rounds fill pools, buffers and the allocator's caches; what comes after them must not add.
    assert not run_rounds(quick, 30) + run_rounds(quick_tls, 30)
    assert not run_rounds(stalls, WORKERS)
    wait_settled(plane, upstream)
    before, resident_before = steady_descriptors(plane), resident_kib(plane)
    with Steady(address) as steady:
        failures = run_rounds(quick, ROUNDS) + run_rounds(quick_tls, TLS_ROUNDS) + run_rounds(stalls, STALL_ROUNDS)
    assert not failures, failures
    assert steady.failure is None and steady.served > 50, (steady.failure, steady.served)
    assert steady.slowest < 3, "another client waited for somebody's fault"
    wait_settled(plane, upstream)
    until(f"no more file descriptors than before ({before})", lambda: descriptors(plane) <= before)
    resident_after = resident_kib(plane)
    print(f"RSS in KiB: {resident_before} before, {resident_after} after; the slowest of {steady.served} requests of "
          f"another client: {steady.slowest * 1000:.0f} ms")
    assert resident_after <= resident_before + RSS_MARGIN_KIB, (resident_before, resident_after)
