"""Bad input on the wire, through the real binary: the right error, the connection closed where framing is lost."""
import json
import os
import socket
import time

import pytest

from harness import http
from harness.stack import KEY, api, secret
from harness.wait import until

PATH = "/assistant/1.0/chat/completions"
JSON = {"content-type": "application/json"}


@pytest.fixture(scope="module")
def served(module_world):
    module_world.serve_directory({"api.yaml": api(), "secret.yaml": secret(apiKey=KEY)})
    module_world.plane("--head-timeout", "1s", "--body-timeout", "1s", "--max-body-bytes", 65536,
                       "--max-head-bytes", 16384)
    return module_world


@pytest.fixture
def address(served):
    return served.planes[0].http


def head(*lines, line=f"POST {PATH} HTTP/1.1", host="Host: a.example.com"):
    return "\r\n".join([line, *([host] if host else []), *lines, "", ""]).encode()


def parse(received):
    """Status, headers and error of an answer after which the server has closed."""
    top, _, body = received.partition(b"\r\n\r\n")
    lines = top.decode().split("\r\n")
    assert lines[0].startswith("HTTP/1.1 "), received
    headers = {k.lower(): v.strip() for k, _, v in (line.partition(":") for line in lines[1:])}
    return int(lines[0].split()[1]), headers, json.loads(body)["error"]


@pytest.mark.parametrize("body, status", [
    ("not json", 400),
    ("", 400),
    ("[]", 400),
    ('"model"', 400),
    ("{", 400),
    ('{"messages":[]', 400),
    ('{"model":"a","messages":[]} trailing', 400),
    ('{"model":"a","messages":[],"model":"b"}', 400),
    ('{"model":"a","messages":[],"mod\\u0065l":"b"}', 400),
    ('{"model":7,"messages":[]}', 400),
    ('{"model":null,"messages":[]}', 400),
    ('{"model":["a"],"messages":[]}', 400),
])
def test_unusable_body_is_400_and_the_connection_stays(served, body, status):
    served.mock_server.forget()
    connection = http.Connection(served.planes[0].http)
    answer = connection.ask("POST", PATH, body.encode(), JSON)
    assert answer.status == status, answer
    assert answer.headers["x-rota-error"] and answer.headers["content-type"].startswith("application/json")
    error = answer.error
    assert error["message"] and error["type"] and "code" in error and "param" in error
    assert connection.ask("POST", PATH, http.CHAT).status == 200, "framing was not lost"
    assert served.mock_server.requests()["total"] == 1, "no provider saw the bad one"
    connection.close()


def test_missing_model_is_inserted(address):
    assert http.ask(address, "POST", PATH, b'{"messages":[{"role":"user","content":"x"}]}', JSON).status == 200


@pytest.mark.parametrize("request_bytes, status", [
    pytest.param(head("Content-Length: 2", "Transfer-Encoding: chunked") + b"0\r\n\r\n", 400, id="CL and TE"),
    pytest.param(head("Content-Length: 2", "Content-Length: 3") + b"{} ", 400, id="two lengths"),
    pytest.param(head("Content-Length: -1"), 400, id="negative length"),
    pytest.param(head("Content-Length: 1e2"), 400, id="length no number"),
    pytest.param(head("Transfer-Encoding: gzip, chunked") + b"0\r\n\r\n", (400, 501), id="TE gzip"),
    pytest.param(head("Transfer-Encoding: chunked") + b"zz\r\n{}\r\n0\r\n\r\n", 400, id="chunk size no number"),
    pytest.param(f"POST {PATH} HTTP/1.1\nHost: a\nContent-Length: 2\n\n{{}}".encode(), 400, id="bare LF"),
    pytest.param(head("X-A : b", "Content-Length: 0"), 400, id="space before colon"),
    pytest.param(head("X-A: b", "  folded", "Content-Length: 0"), 400, id="folded header"),
    pytest.param(head("X-A: b\0c", "Content-Length: 0"), 400, id="NUL in header"),
    pytest.param(head("Content-Length: 0", host=None), 400, id="no Host"),
    pytest.param(head("Host: b", "Content-Length: 0"), 400, id="two Hosts"),
    pytest.param(head("X-Big: " + "x" * 20000, "Content-Length: 0"), 431, id="big header"),
    pytest.param(head(*[f"X-{i}: y" for i in range(5000)], "Content-Length: 0"), 431, id="many headers"),
    pytest.param(head(line=f"POST /{'a' * 20000} HTTP/1.1"), (414, 431), id="long target"),
    pytest.param(b"GET / HTTP/3.7\r\nHost: a\r\n\r\n", (400, 505), id="unknown version"),
    pytest.param(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400, id="TLS on the plain port"),
])
def test_lost_framing_is_answered_and_closed(address, request_bytes, status):
    got, headers, error = parse(http.raw(address, request_bytes))
    assert got in (status if isinstance(status, tuple) else (status,)), (got, error)
    assert headers["connection"].lower() == "close" and headers["x-rota-error"] and error["message"]


def test_smuggled_second_request_is_not_served(served):
    served.mock_server.forget()
    smuggled = head("Content-Length: 2") + b"{}"
    received = http.raw(served.planes[0].http, head("Content-Length: 5", "Transfer-Encoding: chunked")
                        + b"0\r\n\r\n" + smuggled)
    assert received.count(b"HTTP/1.1 ") == 1 and served.mock_server.requests()["total"] == 0


def test_body_over_the_limit_is_413_before_it_has_come(address):
    declared = parse(http.raw(address, head("Content-Type: application/json", "Content-Length: 10000000")))
    assert declared[0] == 413, declared
    chunk = b"1000\r\n" + b" " * 4096 + b"\r\n"
    chunked = parse(http.raw(address, head("Content-Type: application/json", "Transfer-Encoding: chunked")
                             + chunk * 40))
    assert chunked[0] == 413, chunked


@pytest.mark.parametrize("sent", [b"", f"POST {PATH} HTTP/1.1\r\nHost: a\r\nX-Slow:".encode()])
def test_slow_head_is_ended(address, sent):
    started = time.monotonic()
    received = http.raw(address, sent)
    assert time.monotonic() - started < 5
    if sent:
        assert parse(received)[0] == 408


def test_slow_body_is_408(address):
    received = http.raw(address, head("Content-Type: application/json", "Content-Length: 100") + b'{"model":')
    assert parse(received)[0] == 408


def test_slow_clients_do_not_delay_others(address):
    slow = [socket.create_connection(http.split(address)) for _ in range(300)]
    try:
        for connection in slow:
            connection.sendall(b"POST / HTTP/1.1\r\n")
        started = time.monotonic()
        assert http.ask(address, "POST", PATH, http.CHAT).status == 200
        assert time.monotonic() - started < 0.5
    finally:
        for connection in slow:
            connection.close()


def test_half_closed_client_does_not_hang_the_server(served):
    """A client that has sent FIN is gone, as for nginx; either way the connection ends."""
    http.raw(served.planes[0].http, head("Content-Type: application/json", "Content-Length: 100") + b'{"mod',
             half_close=True)
    plane = served.planes[0]
    until("nothing is left open", lambda: plane.metric("rota_open_requests") == 0)


def test_pipelined_requests_are_answered_in_order(address):
    body = json.dumps(http.CHAT).encode()
    one = head("Content-Type: application/json", f"Content-Length: {len(body)}") + body
    with socket.create_connection(http.split(address), 10) as connection:
        connection.sendall(one * 3)
        received = b""
        while received.count(b"chat.completion") < 3:
            part = connection.recv(65536)
            assert part, received
            received += part
        assert received.count(b"HTTP/1.1 200 ") == 3


def test_expect_100_continue(address):
    body = json.dumps(http.CHAT).encode()
    with socket.create_connection(http.split(address), 10) as connection:
        connection.sendall(head("Content-Type: application/json", "Expect: 100-continue",
                                f"Content-Length: {len(body)}"))
        assert connection.recv(4096).startswith(b"HTTP/1.1 100 ")
        connection.sendall(body)
        assert http.read_answer(connection).status == 200


def test_compressed_body_is_415_or_understood(address):
    answer = http.ask(address, "POST", PATH, b"\x1f\x8b\x08\x00", {**JSON, "content-encoding": "gzip"})
    assert answer.status in (400, 415), answer


@pytest.mark.parametrize("path", ["/assistant/1.0/chat%2Fcompletions", "/assistant/1.0/..%2f..%2fadmin",
                                  "/assistant/1.0/%00", "/assistant/1.0/../../etc/passwd"])
def test_paths_are_settled_before_they_match(address, path):
    assert http.ask(address, "POST", path, http.CHAT).status in (400, 404)


def test_dot_segments_that_stay_inside_match(address):
    assert http.ask(address, "POST", "/assistant/1.0/x/../chat/completions", http.CHAT).status == 200


def test_absolute_form_overrides_host(served):
    plane = served.planes[0]
    before = plane.metric("rota_requests_total", environment="sandbox")
    body = json.dumps(http.CHAT).encode()
    with socket.create_connection(http.split(plane.http), 10) as connection:
        connection.sendall(head("Content-Type: application/json", f"Content-Length: {len(body)}",
                                line=f"POST http://sandbox.example.com{PATH} HTTP/1.1") + body)
        assert http.read_answer(connection).status == 200
    until("rota_requests_total", lambda: plane.metric("rota_requests_total", environment="sandbox") == before + 1)


def test_memory_stays_bounded_under_garbage(served):
    plane = served.planes[0]

    def resident_kib():
        with open(f"/proc/{plane.pid}/status", encoding="ascii") as status:
            return next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))
    before = resident_kib()
    for i in range(300):
        http.raw(plane.http, head("X-Big: " + "x" * 20000, "Content-Length: 0"))
        http.raw(plane.http, os.urandom(2000) + b"\r\n\r\n")
        if i % 3 == 0:
            http.raw(plane.http, head("Content-Type: application/json", "Content-Length: 10000000"))
    assert resident_kib() < before + 20 * 1024
