"""A road between two programs that can be cut, or swallow everything, and be mended."""
import os
import select
import socket
import threading

from harness.http import split

OPEN, CUT, HOLE = "open", "cut", "hole"


class Relay:
    """Forwards TCP to `target` ("HOST:PORT", may be set later).

    cut: connections are reset and new ones refused. hole: nothing moves, in neither direction, and nobody is told; what
    was sent arrives when the road is open again.
    """

    def __init__(self, name, target=None):
        self.name = name
        self.target = target
        self.state = OPEN
        self._peers = {}
        self._closed = False
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self._wake_read, self._wake_write = os.pipe()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    @property
    def address(self):
        host, port = self._listener.getsockname()
        return f"{host}:{port}"

    def set(self, state):
        self.state = state
        os.write(self._wake_write, b"x")

    def close(self):
        self._closed = True
        os.write(self._wake_write, b"x")
        self._thread.join(10)
        os.close(self._wake_read)
        os.close(self._wake_write)

    def _run(self):
        while not self._closed:
            watched = [self._wake_read]
            if self.state != HOLE:
                watched += [self._listener, *self._peers]
            for ready in select.select(watched, [], [])[0]:
                if ready == self._wake_read:
                    os.read(self._wake_read, 4096)
                elif ready is self._listener:
                    self._accept()
                elif ready in self._peers:
                    self._forward(ready)
            if self.state == CUT:
                self._drop_all()
        self._drop_all()
        self._listener.close()

    def _accept(self):
        client, _ = self._listener.accept()
        if self.state != OPEN or self.target is None:
            client.close()
            return
        try:
            server = socket.create_connection(split(self.target), 2)
        except OSError:
            client.close()
            return
        for one, other in ((client, server), (server, client)):
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._peers[one] = other

    def _forward(self, source):
        try:
            data = source.recv(65536)
            if data:
                self._peers[source].sendall(data)
                return
        except OSError:
            pass
        self._drop(source)

    def _drop(self, one):
        other = self._peers.pop(one)
        self._peers.pop(other, None)
        one.close()
        other.close()

    def _drop_all(self):
        while self._peers:
            self._drop(next(iter(self._peers)))
