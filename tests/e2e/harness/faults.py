"""An upstream and a client that fail in every phase, over raw sockets, as often as wanted."""
import gzip
import socket
import ssl
import struct
import threading
import typing

from harness import http

PREFIX = "/faults/1.0/x/"
USAGE = b'{"usage":{"prompt_tokens":3,"completion_tokens":4}}'


def reset(connection):
    """The next close() sends RST."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def _ok(fields=b"", body=b""):
    return b"HTTP/1.1 200 OK\r\n" + fields + b"\r\n" + body


def _length(body, fields=b""):
    return _ok(b"content-length: %d\r\n" % len(body) + fields, body)


_CHUNKED = _ok(b"transfer-encoding: chunked\r\n")
_EVENTS = _ok(b"content-type: text/event-stream\r\ntransfer-encoding: chunked\r\n")
_JSON = b"content-type: application/json\r\n"


class Fault:
    """What an upstream does, and what its client must see: `status`, or None for an answer that is cut."""

    def __init__(self, sends, status, then="keep", body=None):
        self.sends, self.status, self.then, self.body = sends, status, then, body


# `then`: keep the connection, close it, reset it, or stall until the gateway hangs up; "byte by byte" keeps it, "early"
# answers before it has read the body.
UPSTREAM = {
    "good": Fault(_length(b"good"), 200, body=b"good"),
    "closes-at-once": Fault(b"", 503, "close"),
    "resets-at-once": Fault(b"", 503, "reset"),
    "closes-in-its-head": Fault(b"HTTP/1.1 200 OK\r\ncont", 502, "close"),
    "resets-in-its-head": Fault(b"HTTP/1.1 200 OK\r\ncont", 502, "reset"),
    "closes-after-its-head": Fault(_ok(b"content-length: 10\r\n"), None, "close"),
    "resets-in-its-body": Fault(_ok(b"content-length: 10\r\n", b"12345"), None, "reset"),
    "closes-between-chunks": Fault(_CHUNKED + b"2\r\n12\r\n", None, "close"),
    "malformed-chunk": Fault(_CHUNKED + b"2\r\n12\r\nzz\r\n", None),
    "too-long": Fault(_length(b"12") + b"3456", 200, body=b"12"),
    "second-answer": Fault(_length(b"12") + _length(b"evil"), 200, body=b"12"),
    "two-lengths": Fault(_ok(b"content-length: 2\r\ncontent-length: 3\r\n", b"123"), 502),
    "length-and-chunked": Fault(_ok(b"content-length: 2\r\ntransfer-encoding: chunked\r\n", b"0\r\n\r\n"), 502),
    "bare-lf": Fault(b"HTTP/1.1 200 OK\ncontent-length: 2\r\n\r\n12", 502),
    "unasked-101": Fault(b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n", 502),
    "large-head": Fault(_ok(b"x-a: " + b"x" * 100_000 + b"\r\n"), 502),
    "huge-head": Fault(_ok(b"x-a: " + b"x" * (10 << 20) + b"\r\n"), 502),
    "many-fields": Fault(_ok(b"x:\r\n" * 1000), 502),
    "byte-by-byte": Fault(_length(b"12"), 200, "byte by byte", body=b"12"),
    "early": Fault(b"HTTP/1.1 413 Content Too Large\r\ncontent-length: 2\r\nconnection: close\r\n\r\nno", 413, "early",
                   body=b"no"),
    "interim": Fault(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\n\r\n" + _length(b"12"), 200, body=b"12"),
    "trailers": Fault(_CHUNKED + b"2\r\n12\r\n0\r\nx-t: 1\r\n\r\n", 200, body=b"12"),
    "http-1.0": Fault(b"HTTP/1.0 200 OK\r\n\r\n12", 200, "close", body=b"12"),
    "until-close": Fault(_ok(b"", b"12"), 200, "close", body=b"12"),
    "no-content": Fault(b"HTTP/1.1 204 No Content\r\ncontent-length: 2\r\n\r\n12", 204, body=b""),
    "gzip": Fault(_length(gzip.compress(USAGE), _JSON + b"content-encoding: gzip\r\n"), 200, body=gzip.compress(USAGE)),
    "gzip-cut": Fault(_length(gzip.compress(USAGE)[:20], _JSON + b"content-encoding: gzip\r\n"), 200),
    "brotli": Fault(_length(b"\x8b\x00\x80", _JSON + b"content-encoding: br\r\n"), 200),
    "stream-cut": Fault(_EVENTS + b"9\r\ndata: a\n\n\r\n", 200, "close"),
    "large": Fault(_length(b"x" * 300_000), 200),
    "stalls-in-its-head": Fault(b"HTTP/1.1 200 OK\r\ncont", 504, "stall"),
    "stalls-in-its-body": Fault(_ok(b"content-length: 10\r\n", b"12345"), None, "stall"),
    "stalls-in-a-stream": Fault(_EVENTS + b"9\r\ndata: a\n\n\r\n", 200, "stall"),
}
STALLS = [name for name, fault in UPSTREAM.items() if fault.then == "stall"]


class Upstream:
    """Does what the last segment of the path names."""

    def __init__(self):
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.port = self._listener.getsockname()[1]
        self._open = set()
        self._lock = threading.Lock()
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._lock:
                self._open.add(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        try:
            data = b""
            while self._one(connection, data):
                data = b""
        except OSError:
            pass  # The gateway has hung up, or hang_up() has.
        with self._lock:
            self._open.discard(connection)
        connection.close()

    @staticmethod
    def _one(connection, data):
        while b"\r\n\r\n" not in data:
            part = connection.recv(65536)
            if not part:
                return False
            data += part
            if data.startswith(b"\x16"):
                return False  # TLS is not spoken here
        head, _, body = data.partition(b"\r\n\r\n")
        fault = UPSTREAM[head.split(b" ", 2)[1].rpartition(b"/")[2].decode()]
        if fault.then == "early":
            connection.sendall(fault.sends)
            connection.shutdown(socket.SHUT_WR)
            while connection.recv(65536):
                pass
            return False
        length = next((int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")), 0)
        while len(body) < length:
            part = connection.recv(65536)
            if not part:
                return False
            body += part
        if fault.then == "byte by byte":
            send_byte_by_byte(connection, fault.sends)
            return True
        connection.sendall(fault.sends)
        if fault.then == "stall":
            connection.recv(1)
        elif fault.then == "reset":
            reset(connection)
        return fault.then == "keep"

    def hang_up(self):
        """Closes what is open: the gateway keeps no idle connection after that."""
        with self._lock:
            for connection in self._open:
                try:
                    connection.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass

    def close(self):
        self._listener.close()
        self.hang_up()


def send_byte_by_byte(connection, data):
    for i in range(len(data)):
        connection.sendall(data[i:i + 1])


def request(name, method="GET", fields=b"", body=b""):
    return f"{method} {PREFIX}{name} HTTP/1.1\r\nHost: a\r\n".encode() + fields + b"\r\n" + body


def read(connection):
    """(status, body, whether it came to its end) of one answer, by its own framing."""
    data = b""
    while b"\r\n\r\n" not in data:
        part = _receive(connection)
        if not part:
            return None, data, False
        data += part
    head, _, body = data.partition(b"\r\n\r\n")
    lines = head.lower().split(b"\r\n")
    status = int(lines[0].split()[1])
    if status in (204, 304):
        return status, body, True
    lengths = [int(line[15:]) for line in lines if line.startswith(b"content-length:")]
    while True:
        if lengths and len(body) >= lengths[0]:
            return status, body, len(body) == lengths[0]
        if not lengths and body.endswith(b"0\r\n\r\n"):
            return status, _unchunk(body), True
        part = _receive(connection)
        if not part:
            return status, body, False
        body += part


def _receive(connection):
    try:
        return connection.recv(65536)
    except (ConnectionResetError, ssl.SSLEOFError):
        return b""


def _unchunk(data):
    body = b""
    while True:
        line, _, data = data.partition(b"\r\n")
        size = int(line, 16)
        if size == 0:
            return body
        body += data[:size]
        data = data[size + 2:]


class TlsAddress(typing.NamedTuple):
    """An address that is spoken to in TLS."""
    address: str
    context: ssl.SSLContext


def connect(address):
    """`address`: "host:port" or a TlsAddress."""
    tls = isinstance(address, TlsAddress)
    connection = socket.create_connection(http.split(address.address if tls else address), 20)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return address.context.wrap_socket(connection) if tls else connection


def ask_faulty(address, name):
    """One request for which the upstream does `name`; an AssertionError when the answer is not what it must be."""
    fault = UPSTREAM[name]
    with connect(address) as connection:
        connection.sendall(request(name))
        status, body, whole = read(connection)
        assert whole == (fault.status is not None), (name, status, body[:200], whole)
        assert status == (fault.status or 200), (name, status, body[:200])
        assert fault.body is None or body == fault.body, (name, body[:200])
        if name.startswith("stall") and whole and status == 200 or name == "stream-cut":
            assert body.startswith(b"data: a\n\ndata: {\"error\":"), (name, body)


def _send_and_leave(sends, way, reads=False):
    def leave(address):
        with connect(address) as connection:
            connection.sendall(sends)
            if reads:
                connection.recv(65536)
            if way == "reset":
                reset(connection)
            elif way == "half":
                connection.shutdown(socket.SHUT_WR)
                while _receive(connection):
                    pass
    return leave


def _answered(sends, *statuses, closes=False):
    """All of `statuses`, in order; then the connection is closed by the server, or by us."""
    def ask(address):
        with connect(address) as connection:
            connection.sendall(sends)
            data = b""
            while data.count(b"HTTP/1.1 ") < len(statuses) or closes:
                part = _receive(connection)
                if not part:
                    break
                data += part
            seen = [int(part[:3]) for part in data.split(b"HTTP/1.1 ")[1:]]
            assert seen == list(statuses), (sends[:200], data[:400])
    return ask


def _sends_byte_by_byte(address):
    with connect(address) as connection:
        send_byte_by_byte(connection, request("good", "POST", b"Content-Length: 2\r\n", b"{}"))
        answer = read(connection)
        assert answer == (200, b"good", True), answer


def _expects_continue(address):
    with connect(address) as connection:
        connection.sendall(request("good", "POST", b"Expect: 100-continue\r\nContent-Length: 2\r\n"))
        interim = connection.recv(4096)
        assert interim.startswith(b"HTTP/1.1 100 "), interim
        connection.sendall(b"{}")
        answer = read(connection)
        assert answer == (200, b"good", True), answer


# What a client does; run with the address of the data plane. `body_limit` bytes are the most that it takes.
def clients(body_limit):
    length = b"Content-Length: %d\r\n"
    half = request("good", "POST", length % 1000, b"12345")
    chunk = request("good", "POST", b"Transfer-Encoding: chunked\r\n", b"5\r\n123")
    result = {"leaves-at-once": _send_and_leave(b"", "close")}
    for way in ("close", "reset", "half"):
        result[f"leaves-in-its-head-{way}"] = _send_and_leave(request("good")[:-10], way)
        result[f"leaves-in-its-body-{way}"] = _send_and_leave(half, way)
        result[f"leaves-in-a-chunk-{way}"] = _send_and_leave(chunk, way)
        result[f"leaves-while-waiting-{way}"] = _send_and_leave(request("stalls-in-its-head"), way)
        result[f"leaves-in-a-stream-{way}"] = _send_and_leave(request("stalls-in-a-stream"), way, reads=True)
        result[f"leaves-in-a-large-answer-{way}"] = _send_and_leave(request("large"), way)
        result[f"leaves-when-told-to-continue-{way}"] = _send_and_leave(
            request("good", "POST", b"Expect: 100-continue\r\n" + length % 2), way, reads=True)
        result[f"leaves-behind-much-that-is-pipelined-{way}"] = _send_and_leave(
            request("stalls-in-its-head") + request("good", fields=b"X-A: " + b"x" * 20_000)[:-4], way)
    result.update({
        "pipelines": _answered(request("good") * 10, *[200] * 10),
        "pipelines-past-an-error": _answered(request("good") + request("good").replace(b"Host", b"Host ") +
                                             request("good"), 200, 400, closes=True),
        "length-and-chunked": _answered(request("good", "POST", length % 2 + b"Transfer-Encoding: chunked\r\n",
                                                b"0\r\n\r\n") + request("good"), 400, closes=True),
        "malformed-chunk": _answered(request("good", "POST", b"Transfer-Encoding: chunked\r\n", b"zz\r\n"), 400,
                                     closes=True),
        "many-fields": _answered(request("good", fields=b"X:\r\n" * 1000), 431, closes=True),
        "large-head": _answered(request("good", fields=b"X-A: " + b"x" * 100_000 + b"\r\n"), 431, closes=True),
        "large-body": _answered(request("good", "POST", length % (body_limit + 1), b"x" * 1000), 413, closes=True),
        "large-chunk": _answered(request("good", "POST", b"Transfer-Encoding: chunked\r\n",
                                         b"%x\r\n" % (body_limit + 1) + b"x" * (body_limit + 1) + b"\r\n0\r\n\r\n"),
                                 413, closes=True),
        "no-such-path": _answered(b"GET /nothing HTTP/1.1\r\nHost: a\r\n\r\n", 404),
        "not-http": _answered(b"\x16\x03\x01\x02\x00\x01\r\n\r\n", 400, closes=True),
        "expects-100": _expects_continue,
        "byte-by-byte": _sends_byte_by_byte,
        "is-refused-early": _answered(request("early", "POST", length % 60_000, b'{"a":"%s"}' % (b"x" * 59_992)), 413),
        "upstream-refuses": _answered(b"GET /refused/1.0/x/a HTTP/1.1\r\nHost: a\r\n\r\n", 503),
        "upstream-speaks-no-tls": _answered(b"GET /no-tls/1.0/x/a HTTP/1.1\r\nHost: a\r\n\r\n", 503),
    })
    return result
