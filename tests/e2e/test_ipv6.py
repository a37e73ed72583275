"""IPv6 in brackets: every listener, what is announced and written, the controller's address, the provider's."""
import json
import re

import pytest

from harness import http
from harness.process import run
from harness.stack import KEY, api, secret
from harness.wait import until

PATH = "/assistant/1.0/chat/completions"
LOOPBACK = "[::1]"


@pytest.fixture(scope="module")
def served(module_world):
    """Everything listens on ::1; the provider is reached by --resolve, and by its address in the URL."""
    world = module_world
    world.mock(host=LOOPBACK)
    by_address = api("by-address", url=f"https://{world.mock_server.address}/v1", models=("gpt-4o",))
    world.serve_directory({"api.yaml": api(), "by-address.yaml": by_address, "secret.yaml": secret(apiKey=KEY)},
                          host=LOOPBACK)
    certificate, key = world.authority.issue("gateway", ["llm.example.com"])
    world.plane("--https", f"{LOOPBACK}:0", "--tls-cert", certificate, "--tls-key", key, host=LOOPBACK)
    return world


def test_ports_file_and_announcement_have_brackets(served):
    expected = {served.planes[0]: {"http", "https", "admin", "metrics"},
                served.controller: {"listen", "admin", "metrics"}, served.mock_server: {"listen"}}
    for program, names in expected.items():
        assert set(program.ports) == names
        for address in program.ports.values():
            assert re.fullmatch(r"\[::1\]:[1-9]\d*", address), address
        announced = [line for line in program.text().splitlines() if line.startswith("{")]
        for address in program.ports.values():
            assert any(address in json.dumps(json.loads(line)) for line in announced), (address, announced)


def test_every_listener_answers(served):
    plane = served.planes[0]
    assert http.ask(plane.http, "POST", PATH, http.CHAT).status == 200
    answer = http.ask(plane.ports["https"], "POST", PATH, http.CHAT, host="llm.example.com",
                      tls=http.trust(served.authority.ca), server_name="llm.example.com")
    assert answer.status == 200
    for program in (plane, served.controller):
        assert http.get(program.admin, "/readyz").status == 200
        assert "rota_build_info" in http.get(program.ports["metrics"], "/metrics").body


def test_a_host_that_is_an_ipv6_address_is_production(served):
    plane = served.planes[0]
    before = plane.metric("rota_requests_total", environment="production")
    assert http.ask(plane.http, "POST", PATH, http.CHAT, host=plane.http).status == 200
    until("counted", lambda: plane.metric("rota_requests_total", environment="production") == before + 1)


def test_a_provider_at_an_ipv6_address_is_verified_by_it(served):
    served.mock_server.forget()
    assert http.ask(served.planes[0].http, "POST", "/by-address/1.0/chat/completions", http.CHAT).status == 200
    assert served.mock_server.last()["headers"]["host"] == served.mock_server.address


def test_a_taken_ipv6_address_is_named(served):
    taken = served.planes[0].http
    done = run("rota-dataplane", "--controller", served.controller.listen, "--http", taken, "--admin", f"{LOOPBACK}:0")
    assert done.returncode == 1 and taken in done.stderr + done.stdout, done
