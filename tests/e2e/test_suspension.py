"""Quota: failover, suspension on every data plane, return, and life without a controller."""
import os
import re
import signal
import time

import pytest

from harness import http
from harness.stack import KEY, api, quota, secret
from harness.wait import until

PATH = "/assistant/1.0/chat/completions"
MODELS = ("gpt-4o", "gpt-4o-mini", "o1-mini")


@pytest.fixture
def fleet(world):
    """Two data planes; a suspension lasts as long as the provider says, at least one second."""
    world.serve_directory({"api.yaml": api(models=MODELS, suspend=1), "secret.yaml": secret(apiKey=KEY)})
    world.plane(name="plane-a")
    world.plane(name="plane-b")
    return world


def ask(plane, path=PATH, **named):
    return http.ask(plane.http, "POST", path, http.CHAT, **named)


def models(plane, requests):
    answers = [ask(plane) for _ in range(requests)]
    assert [a.status for a in answers] == [200] * requests, answers
    return [a.json()["model"] for a in answers]


def ask_until_suspended(plane, model):
    until(f"{model} is off the rota of {plane.name}", lambda: ask(plane).status and model in plane.suspended())


def test_429_fails_over_and_reaches_the_other_data_plane(fleet):
    a, b = fleet.planes
    fleet.mock_server.behave({"gpt-4o": quota(30)})
    assert "gpt-4o" not in models(a, 9)
    until("the other data plane knows", lambda: "gpt-4o" in b.suspended(), seconds=2)
    for plane in (a, b):
        suspension = plane.suspended()["gpt-4o"]
        assert 20 < suspension["remaining_seconds"] <= 30 and suspension["reason"] == "quota", suspension
        assert plane.metric("rota_suspended_seconds", model="gpt-4o") > 20
    fleet.mock_server.forget()
    assert models(b, 6).count("gpt-4o-mini") == 3, "the share of the one is split in proportion"
    assert "gpt-4o" not in fleet.mock_server.requests()["models"], "b never asked the exhausted model"
    assert a.metric("rota_suspensions_total", model="gpt-4o", reason="quota") == 1
    assert a.metric("rota_failovers_total", reason="quota") == 1


def test_environments_do_not_share_suspensions(fleet):
    a, _ = fleet.planes
    fleet.mock_server.behave({"gpt-4o-mini": quota(30, code="insufficient_quota")})
    ask_until_suspended(a, "gpt-4o-mini")
    assert not a.suspended("sandbox")


def test_window_ends_and_the_model_returns_to_its_share_without_a_burst(fleet):
    a, b = fleet.planes
    fleet.mock_server.behave({"gpt-4o": quota(2)})
    ask_until_suspended(a, "gpt-4o")
    fleet.mock_server.behave({"gpt-4o": None})
    until("the window is over on both", lambda: not a.suspended() and not b.suspended(), seconds=6)
    after = models(a, 9)
    assert {model: after.count(model) for model in MODELS} == dict.fromkeys(MODELS, 3)
    assert all(len(set(after[i:i + 3])) == 3 for i in (0, 3, 6)), after


def test_nothing_left_in_a_success_suspends_for_the_bucket_s_own_reset(fleet):
    a, _ = fleet.planes
    fleet.mock_server.behave({"o1-mini": {"headers": {"x-ratelimit-remaining-requests": "0",
                                                      "x-ratelimit-reset-requests": "20s",
                                                      "x-ratelimit-remaining-tokens": "5000",
                                                      "x-ratelimit-reset-tokens": "6m0s"}}})
    assert "o1-mini" in models(a, 3), "the answer itself is passed on"
    assert 10 < a.suspended()["o1-mini"]["remaining_seconds"] <= 20


def test_all_suspended_is_429_with_whole_seconds_until_the_first_return(fleet):
    a, _ = fleet.planes
    fleet.mock_server.behave({"*": quota(20)})
    until("every model is off the rota", lambda: ask(a).status and len(a.suspended()) == 3)
    answer = ask(a)
    assert answer.status == 429 and re.fullmatch(r"\d+", answer.headers["retry-after"]), answer
    assert 10 <= int(answer.headers["retry-after"]) <= 20
    assert answer.headers["x-rota-error"] and answer.error["message"] and answer.error["type"]
    fleet.mock_server.forget()
    assert ask(a).status == 429 and fleet.mock_server.requests()["total"] == 0, "no provider was asked"


def test_request_that_is_too_large_suspends_nobody(fleet):
    a, _ = fleet.planes
    body = {"error": {"message": "Request too large for gpt-4o on tokens per min (TPM): Limit 30000, Requested 50000.",
                      "type": "tokens", "param": None, "code": "rate_limit_exceeded"}}
    fleet.mock_server.behave({"*": {"status": 429, "body": body}})
    answer = ask(a)
    assert answer.status == 429 and answer.json() == body, "passed on as it came"
    assert not a.suspended() and fleet.mock_server.requests()["total"] == 1


def test_wrong_credential_is_loud_and_a_corrected_one_lifts_it(world):
    world.serve_directory({"api.yaml": api(models=("gpt-4o",)), "secret.yaml": secret(apiKey="sk-wrong")})
    plane = world.plane()
    assert ask(plane).status == 401
    until("reason auth", lambda: plane.suspended()["gpt-4o"]["reason"] == "auth")
    world.directory.write("secret.yaml", secret(apiKey=KEY))
    until("the new credential is in use", lambda: ask(plane).status == 200, seconds=3)
    assert not plane.suspended()


def test_deleted_secret_takes_its_targets_off_the_rota(fleet):
    a, b = fleet.planes
    fleet.directory.remove("secret.yaml")
    for plane in (a, b):
        until("no target is eligible", lambda p=plane: ask(p).status in (429, 503), seconds=2)
    fleet.mock_server.forget()
    ask(a)
    assert fleet.mock_server.requests()["total"] == 0
    fleet.directory.write("secret.yaml", secret(apiKey=KEY))
    until("served again", lambda: ask(a).status == 200, seconds=3)


def test_server_errors_fail_over_without_suspension(fleet):
    a, _ = fleet.planes
    fleet.mock_server.behave({"gpt-4o": {"status": 500, "first": 1}, "o1-mini": {"status": 529, "first": 1}})
    models(a, 9)
    assert not a.suspended()
    assert a.metric("rota_failovers_total") == 2


def test_kept_connection_that_the_provider_closed_is_replaced_without_a_failover(world):
    world.serve_directory({"api.yaml": api(models=MODELS), "secret.yaml": secret(apiKey=KEY)})
    plane = world.plane(threads=1)  # Each thread keeps connections of its own.
    models(plane, 3)
    world.mock_server.behave({"*": {"close": True, "first": 1}})
    models(plane, 3)
    assert plane.metric("rota_failovers_total") == 0 and not plane.suspended()


def test_cut_stream_ends_with_an_error_event_and_no_done(fleet):
    a, _ = fleet.planes
    fleet.mock_server.behave({"*": {"cut_after_chunks": 2}})
    connection = http.Connection(a.http)
    answer = connection.stream("POST", PATH, {**http.CHAT, "stream": True})
    assert answer.status == 200
    text = b""
    try:
        while line := answer.readline():
            text += line
    except (ConnectionError, http.http.client.IncompleteRead) as error:
        text += getattr(error, "partial", b"")
    events = [line for line in text.decode().splitlines() if line.startswith("data:")]
    assert '"error"' in events[-1] and "[DONE]" not in text.decode(), events


def test_wait_holds_requests_until_the_first_return(world):
    world.serve_directory({"api.yaml": api(models=("gpt-4o",), suspend=1, parameters={
        "onAllSuspended": "Wait", "waitTimeout": "10s"}), "secret.yaml": secret(apiKey=KEY)})
    plane = world.plane()
    world.mock_server.behave({"gpt-4o": {**quota(2), "first": 1}})
    ask(plane)
    until("off the rota", lambda: "gpt-4o" in plane.suspended() or not world.mock_server.requests()["total"] == 1)
    answer = ask(plane)
    assert answer.status == 200 and answer.json()["model"] == "gpt-4o"


def test_data_planes_go_on_when_the_controller_is_killed(fleet):
    a, b = fleet.planes
    fleet.controller.pin_addresses()
    with http.Load([a.http, b.http], PATH, clients=4) as load:
        until("the load runs", lambda: load.answered > 20)
        fleet.controller.kill()
        seen = load.answered
        until("and goes on", lambda: load.answered > seen + 200)
        for plane in (a, b):
            assert http.get(plane.admin, "/readyz").status == 200
    assert not load.failures, load.failures
    fleet.mock_server.behave({"gpt-4o": quota(30)})
    ask_until_suspended(a, "gpt-4o")
    fleet.controller.start()
    until("after its return the other data plane is told", lambda: "gpt-4o" in b.suspended(), seconds=20)


def test_restart_without_a_controller_starts_from_the_last_known_good_file(fleet):
    a, _ = fleet.planes
    fleet.controller.kill()
    a.stop()
    logged = len(a.text())
    a.start()
    until("it says where its configuration is from", lambda: re.search(r"last.known.good", a.text()[logged:]), 15)
    ready = until("readiness tells", lambda: (answer := http.get(a.admin, "/readyz")).body and "openai-key" in answer.body
                  and answer)
    assert ready.body
    assert KEY not in "".join(f.read_text(errors="replace") for f in a.state.rglob("*") if f.is_file())
    until("the API is known, its credential is not", lambda: ask(a).status in (429, 503))


def test_state_key_file_keeps_the_credential(world):
    key_file = world.folder / "state.key"
    key_file.write_bytes(os.urandom(32))
    key_file.chmod(0o600)
    world.serve_directory({"api.yaml": api(), "secret.yaml": secret(apiKey=KEY)})
    plane = world.plane("--state-key-file", key_file)
    assert ask(plane).status == 200
    until("the state is written", lambda: any(f.is_file() for f in plane.state.rglob("*")))
    world.controller.kill()
    plane.stop()
    stored = b"".join(f.read_bytes() for f in plane.state.rglob("*") if f.is_file())
    assert KEY.encode() not in stored
    plane.start()
    plane.wait_ready()
    until("served with the kept credential", lambda: ask(plane).status == 200)
    plane.stop()
    key_file.write_bytes(os.urandom(32))
    logged = len(plane.text())
    plane.start()
    until("a wrong key is said to be one", lambda: "--state-key-file" in plane.text()[logged:]
          or "state key" in plane.text()[logged:])


def test_client_that_leaves_cancels_the_upstream(fleet):
    a, _ = fleet.planes
    fleet.mock_server.behave({"*": {"hang": True}})
    connection = http.Connection(a.http)
    connection.send("POST", PATH, http.CHAT)
    until("the provider has the request", lambda: fleet.mock_server.requests()["total"] == 1)
    started = time.monotonic()
    connection.close()
    until("the provider's connection is closed", lambda: sum(
        m["client_gone"] for m in fleet.mock_server.requests()["models"].values()) == 1, seconds=1.5)
    assert time.monotonic() - started < 1.5


def test_sigterm_lets_open_streams_finish_and_turns_readiness_off(fleet):
    a, _ = fleet.planes
    fleet.mock_server.behave({"*": {"chunks": 20, "chunk_interval": "100ms"}})
    streams = []
    for _ in range(5):
        connection = http.Connection(a.http)
        streams.append((connection, connection.stream("POST", PATH, {**http.CHAT, "stream": True})))
    firsts = [answer.readline() for _, answer in streams]
    assert all(line.startswith(b"data:") for line in firsts)
    a.signal(signal.SIGTERM)

    def not_ready():
        try:
            return http.get(a.admin, "/readyz").status != 200
        except OSError:
            return not a.running
    until("not ready any more", not_ready, seconds=2)
    assert a.running, "it waits for the streams"
    for _, answer in streams:
        text = answer.read().decode()
        assert text.rstrip().endswith("data: [DONE]"), text[-200:]
    assert a.process.wait(10) == 0
