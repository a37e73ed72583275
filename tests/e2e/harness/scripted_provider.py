"""A provider that answers as each test tells it."""
import collections
import http.server
import json
import threading

Request = collections.namedtuple("Request", "path headers body raw")


class Reply:
    """One answer. `pieces`: a stream, sent piece by piece, chunked."""

    def __init__(self, body=b"", status=200, content_type="application/json", headers=None, pieces=None):
        self.body = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.status, self.content_type, self.headers, self.pieces = status, content_type, headers or {}, pieces


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_POST(self):  # pylint: disable=invalid-name
        body = self.rfile.read(int(self.headers["content-length"]))
        headers = {name.lower(): value for name, value in self.headers.items()}
        reply = self.server.provider.reply(Request(self.path, headers, json.loads(body), body))
        self.send_response(reply.status)
        self.send_header("content-type", reply.content_type)
        for name, value in reply.headers.items():
            self.send_header(name, value)
        if reply.pieces is None:
            self.send_header("content-length", str(len(reply.body)))
            self.end_headers()
            self.wfile.write(reply.body)
            return
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        try:
            for piece in reply.pieces:
                self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
            self.wfile.write(b"0\r\n\r\n")
        except OSError:
            self.server.provider.broken += 1

    def log_message(self, format, *args):  # pylint: disable=redefined-builtin
        pass


class Provider:
    """`answer(request)` makes each Reply; it may be changed at any time. Keeps what it was asked."""

    def __init__(self, answer):
        self.answer = answer
        self.requests = []
        self.broken = 0  # streams that the other side has given up
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
        self._server.daemon_threads = True
        self._server.provider = self
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def reply(self, request):
        self.requests.append(request)
        return self.answer(request)

    def close(self):
        self._server.shutdown()
        self._server.server_close()


def in_pieces(data, size):
    return [data[i:i + size] for i in range(0, len(data), size)]


def sse(events, named=False):
    """Server-sent events; `named`: with `event:` lines from each event's type, as Anthropic sends them."""
    text = ""
    for event in events:
        if named:
            text += f"event: {json.loads(event)['type']}\n"
        text += f"data: {event}\n\n"
    return text.encode()
