"""HTTP as a client writes it: with any Host, over kept or raw connections, and as load."""
import collections
import http.client
import json
import socket
import ssl
import threading

CHAT = {"model": "whatever-the-client-says", "messages": [{"role": "user", "content": "Hello"}]}


class Answer(collections.namedtuple("Answer", "status headers body")):
    def json(self):
        return json.loads(self.body)

    @property
    def error(self):
        return self.json()["error"]


def split(address):
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)


class Connection:
    """A kept connection. `tls` is an ssl.SSLContext."""

    def __init__(self, address, tls=None, server_name=None, timeout=20):
        host, port = split(address)
        self._http = http.client.HTTPConnection(host, port, timeout=timeout)
        if tls is not None:
            plain = socket.create_connection((host, port), timeout)
            self._http.sock = tls.wrap_socket(plain, server_hostname=server_name or host)

    def send(self, method, path, body=None, headers=None, host=None):
        headers = dict(headers or {})
        if host:
            headers["Host"] = host
        if isinstance(body, (dict, list)):
            body = json.dumps(body)
            headers.setdefault("content-type", "application/json")
        self._http.request(method, path, body, headers)

    def receive(self):
        answer = self._http.getresponse()
        body = answer.read()
        return Answer(answer.status, {k.lower(): v for k, v in answer.getheaders()}, body.decode(errors="replace"))

    def stream(self, method, path, body=None, headers=None, host=None):
        """The open answer, to be read line by line."""
        self.send(method, path, body, headers, host)
        return self._http.getresponse()

    def ask(self, *arguments, **named):
        self.send(*arguments, **named)
        return self.receive()

    def certificate(self):
        """What the server has shown, as DER."""
        return self._http.sock.getpeercert(binary_form=True)

    def close(self):
        self._http.close()


def ask(address, method, path, body=None, headers=None, host=None, tls=None, server_name=None, timeout=20):
    connection = Connection(address, tls, server_name, timeout)
    try:
        return connection.ask(method, path, body, headers, host)
    finally:
        connection.close()


def get(address, path, **named):
    return ask(address, "GET", path, **named)


def trust(ca_file, certificate=None):
    context = ssl.create_default_context(cafile=str(ca_file))
    if certificate:
        context.load_cert_chain(*map(str, certificate))
    return context


def raw(address, data, timeout=10, half_close=False):
    """Sends bytes as they are and returns all that comes until the server closes (or `timeout` of silence)."""
    with socket.create_connection(split(address), timeout) as connection:
        try:
            connection.sendall(data)
            if half_close:
                connection.shutdown(socket.SHUT_WR)
        except (BrokenPipeError, ConnectionResetError):
            pass  # An early refusal: what the server said is still to be read.
        received = b""
        try:
            while part := connection.recv(65536):
                received += part
        except ConnectionResetError:
            pass
        except socket.timeout:
            raise AssertionError(f"the server kept the connection open; received so far: {received[:400]!r}") from None
        return received


def read_answer(connection):
    """One answer with a Content-Length from a raw socket."""
    data = b""
    while b"\r\n\r\n" not in data:
        part = connection.recv(65536)
        assert part, f"closed in mid-head: {data!r}"
        data += part
    head, _, body = data.partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    headers = {k.lower(): v.strip() for k, _, v in (line.partition(":") for line in lines[1:])}
    while len(body) < int(headers.get("content-length", 0)):
        part = connection.recv(65536)
        assert part, f"closed in mid-body: {data!r}"
        body += part
    return Answer(int(lines[0].split()[1]), headers, body.decode())


class Load:
    """Clients that ask without a pause until the block ends. Everything that is no 200 is kept in `failures`."""

    def __init__(self, addresses, path, clients=8, host=None, requests=None):
        self._targets = [addresses] if isinstance(addresses, str) else list(addresses)
        self._path, self._host = path, host
        self._clients = clients
        self._left = requests
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self.models = collections.Counter()
        self.failures = []
        self._threads = []

    def _take(self):
        if self._stop.is_set() or len(self.failures) >= 20:
            return False
        if self._left is None:
            return True
        with self._lock:
            self._left -= 1
            return self._left >= 0

    def _client(self, address):
        connection = Connection(address)
        try:
            while self._take():
                answer = connection.ask("POST", self._path, CHAT, host=self._host)
                with self._lock:
                    if answer.status == 200:
                        self.models[answer.json()["model"]] += 1
                    else:
                        self.failures.append((answer.status, answer.body[:300]))
        except Exception as error:  # pylint: disable=broad-except
            with self._lock:
                self.failures.append((0, repr(error)))
        finally:
            connection.close()

    @property
    def answered(self):
        return sum(self.models.values())

    def __enter__(self):
        for i in range(self._clients):
            address = self._targets[i % len(self._targets)]
            thread = threading.Thread(target=self._client, args=(address,), daemon=True)
            thread.start()
            self._threads.append(thread)
        return self

    def __exit__(self, *_):
        self._stop.set()
        self.join()

    def join(self, seconds=60):
        for thread in self._threads:
            thread.join(seconds)
            assert not thread.is_alive(), "a client of the load did not end"
        return self


def count(address, path, requests, clients, host=None):
    """Sends that many requests from that many clients; how often each model answered."""
    load = Load(address, path, clients, host, requests)
    load.__enter__().join()
    assert not load.failures, load.failures
    assert load.answered == requests
    return dict(load.models)
