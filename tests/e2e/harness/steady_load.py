"""A steady load of requests and streams on data planes that come and go: what a Service does with readiness, without
its delay. Everything that fails is kept, except what was in flight on a data plane when it was killed."""
import collections
import json
import random
import selectors
import socket
import threading
import time

from harness import http


class Router:
    """Which data planes may be asked. Thread-safe."""

    def __init__(self, planes):
        self._lock = threading.Lock()
        self._ready = list(planes)
        self._kills = collections.defaultdict(list)

    def pick(self):
        with self._lock:
            return random.choice(self._ready) if self._ready else None

    def leave(self, plane):
        """Nobody asks it any more; what is under way goes on."""
        with self._lock:
            if plane in self._ready:
                self._ready.remove(plane)

    def join(self, plane):
        with self._lock:
            if plane not in self._ready:
                self._ready.append(plane)

    def kill(self, plane):
        self.leave(plane)
        with self._lock:
            self._kills[plane].append(time.monotonic())
        plane.kill()

    def excused(self, plane, start):
        """It was killed after `start`."""
        with self._lock:
            return any(killed >= start for killed in self._kills[plane])


class Tally:
    """What became of requests or streams. Thread-safe."""

    def __init__(self, router):
        self._router = router
        self._lock = threading.Lock()
        self.good = 0
        self.excused = 0
        self.failures = []

    def success(self):
        with self._lock:
            self.good += 1

    def failure(self, plane, start, what):
        with self._lock:
            if self._router.excused(plane, start):
                self.excused += 1
            else:
                self.failures.append(f"{plane.name} at {start:.2f}, after {time.monotonic() - start:.2f} s: {what}")

    def __str__(self):
        return f"{self.good} good, {self.excused} in flight on a killed data plane, {len(self.failures)} failed"


class Requests:
    """`rate` requests a second from many clients with kept connections, until the block ends."""

    CLIENTS = 50

    def __init__(self, router, path, rate):
        self._router, self._path = router, path
        self._pause = self.CLIENTS / rate
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._client, daemon=True) for _ in range(self.CLIENTS)]
        self.tally = Tally(router)

    def _client(self):
        kept = {}  # plane -> (its process, connection)
        due = time.monotonic() + random.random() * self._pause
        while not self._stop.wait(max(0.0, due - time.monotonic())):
            due = max(due + self._pause, time.monotonic() - 1)
            start = time.monotonic()
            plane = self._router.pick()
            if plane is not None:
                self._ask(plane, start, kept)

    def _ask(self, plane, start, kept):
        pid, connection = kept.pop(plane, (None, None))
        if pid != plane.pid:
            connection = None
        try:
            connection = connection or http.Connection(plane.http, timeout=30)
            answer = connection.ask("POST", self._path, http.CHAT)
        except Exception as error:  # pylint: disable=broad-except
            self.tally.failure(plane, start, repr(error))
            return
        if answer.status == 200:
            self.tally.success()
            kept[plane] = (plane.pid, connection)
        else:
            self.tally.failure(plane, start, f"{answer.status} {answer.body[:200]}")

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        for thread in self._threads:
            thread.join(40)
            assert not thread.is_alive(), "a request of the load did not end"


class Streams:
    """That many SSE streams open at any time, each from its first event to [DONE], until the block ends."""

    def __init__(self, router, path, number):
        self._router = router
        body = json.dumps({**http.CHAT, "stream": True})
        self._request = (f"POST {path} HTTP/1.1\r\nhost: chaos\r\ncontent-type: application/json\r\n"
                         f"connection: close\r\ncontent-length: {len(body)}\r\n\r\n{body}").encode()
        self._number = number
        self._stopping = False
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._open = {}  # socket -> [plane, start, what has come]
        self.tally = Tally(router)

    def _start(self, selector):
        start = time.monotonic()
        plane = self._router.pick()
        if plane is None:
            return
        try:
            stream = socket.create_connection(http.split(plane.http), 30)
            stream.sendall(self._request)
        except OSError as error:
            self.tally.failure(plane, start, repr(error))
            return
        stream.setblocking(False)
        self._open[stream] = [plane, start, b""]
        selector.register(stream, selectors.EVENT_READ)

    def _read(self, stream):
        """False when the stream has ended."""
        plane, start, came = self._open[stream]
        try:
            data = stream.recv(65536)
        except BlockingIOError:
            return True
        except OSError as error:
            self.tally.failure(plane, start, repr(error))
            return False
        if data:
            self._open[stream][2] = came + data
            return True
        if came.startswith(b"HTTP/1.1 200") and b"data: [DONE]" in came and came.endswith(b"0\r\n\r\n"):
            self.tally.success()
        else:
            self.tally.failure(plane, start, f"cut: {came[-300:]!r}")
        return False

    def _run(self):
        with selectors.DefaultSelector() as selector:
            while self._open or not self._stopping:
                # Opened one after the other, so that they do not all end at once.
                if not self._stopping and len(self._open) < self._number:
                    self._start(selector)
                for key, _ in selector.select(0.01):
                    if not self._read(key.fileobj):
                        selector.unregister(key.fileobj)
                        del self._open[key.fileobj]
                        key.fileobj.close()

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stopping = True
        self._thread.join(60)
        assert not self._thread.is_alive(), f"{len(self._open)} streams did not end"
