"""What an API's policy can ask for, each as the contract has it: tiers, what happens while nothing is left, tries,
time-outs, operations of their own; and which host is which environment, as the controller says."""
import collections
import re
import threading
import time

import pytest

from harness import http
from harness.stack import KEY, URL, api, model_policy, quota, secret, security, targets
from harness.wait import until

PATH = "/assistant/1.0/chat/completions"
BODY = {**http.CHAT, "prompt": "Hello", "input": "Hello"}  # for every operation that is asked here


def serve(world, spec, *arguments, **named):
    """One data plane that serves the API. One thread: what connections are kept does not depend on who asks."""
    world.serve_directory({"api.yaml": spec, "secret.yaml": secret(apiKey=KEY)})
    return world.plane(*arguments, threads=1, **named)


def ask(plane, path=PATH, **named):
    return http.ask(plane.http, "POST", path, BODY, **named)


def models(plane, requests, path=PATH):
    answers = [ask(plane, path) for _ in range(requests)]
    assert [a.status for a in answers] == [200] * requests, answers
    return [a.json()["model"] for a in answers]


def suspend(world, plane, *names, seconds=30):
    """Takes the models off the rota by a quota answer each; the mock answers properly again afterwards."""
    world.mock_server.behave({name: {**quota(seconds), "first": 1} for name in names})
    until(f"{names} are off the rota", lambda: ask(plane).status and set(names) <= set(plane.suspended()))
    world.mock_server.forget()


# --- tier


@pytest.fixture
def tiered(world):
    production = targets([("first-a", 3), ("first-b", 1)]) + targets(["second"], tier=2) + targets(["third"], tier=3)
    return world, serve(world, api(models=(), suspend=1, parameters={"productionModels": production}))


def test_lower_tiers_are_never_asked_while_one_of_the_first_is_eligible(tiered):
    world, plane = tiered
    assert collections.Counter(models(plane, 40)) == {"first-a": 30, "first-b": 10}
    suspend(world, plane, "first-a")
    assert set(models(plane, 8)) == {"first-b"}, "the one that is left of a tier carries all of it"
    assert set(world.mock_server.requests()["models"]) == {"first-b"}


def test_the_next_tier_serves_while_the_first_is_suspended_and_gives_way_on_return(tiered):
    world, plane = tiered
    suspend(world, plane, "first-b")
    suspend(world, plane, "first-a", seconds=4)
    assert set(models(plane, 4)) == {"second"}
    until("first-a is back", lambda: "first-a" not in plane.suspended(), seconds=10)
    assert set(models(plane, 8)) == {"first-a"}


def test_failover_goes_through_the_tiers_in_order(tiered):
    world, plane = tiered
    world.mock_server.behave({name: {"status": 500} for name in ("first-a", "first-b", "second")})
    assert models(plane, 1) == ["third"]
    asked = [re.search(r'"model":\s*"([^"]+)"', request["body"]).group(1)
             for request in world.mock_server.requests()["requests"]]
    assert set(asked[:2]) == {"first-a", "first-b"} and asked[2:] == ["second", "third"]


# --- onAllSuspended


def test_pass_through_sends_the_request_unchanged_to_the_first_endpoint(world):
    spec = api(models=(), suspend=1, parameters={"onAllSuspended": "PassThrough", "productionModels":
                                                 targets(["gpt-4o"], "second") + targets(["o1-mini"], "second")})
    spec["endpointConfigurations"]["production"] = [
        {"name": "first", "endpoint": "https://api.openai.com/first", "endpointSecurity": security()},
        {"name": "second", "endpoint": "https://api.openai.com/second", "endpointSecurity": security()}]
    plane = serve(world, spec)
    assert set(models(plane, 2)) == {"gpt-4o", "o1-mini"}
    suspend(world, plane, "gpt-4o", "o1-mini")
    body = '{ "model" : "mine",\n"messages":[{"role":"user","content":"x"}], "temperature": 1.0e0 }'
    answer = http.ask(plane.http, "POST", PATH + "?a=b", body.encode(), {"content-type": "application/json"})
    assert answer.status == 200 and answer.json()["model"] == "mine", answer
    got = world.mock_server.last()
    assert got["target"] == "/first/chat/completions?a=b" and got["body"] == body
    assert got["headers"]["authorization"] == f"Bearer {KEY}"
    world.mock_server.behave({"mine": quota(7)})
    answer = http.ask(plane.http, "POST", PATH, body.encode(), {"content-type": "application/json"})
    assert answer.status == 429 and answer.headers["retry-after"] == "7" and "x-rota-error" not in answer.headers


def test_wait_releases_a_probe_and_then_the_others(world):
    """Eight clients wait. The first one that is let go finds the quota still used up; the others go on waiting for the
    second return, are all served, and the provider has seen none of them before it."""
    plane = serve(world, api(models=("gpt-4o",), suspend=1, parameters={"onAllSuspended": "Wait",
                                                                        "waitTimeout": "20s"}))
    world.mock_server.behave({"gpt-4o": {**quota(1), "first": 2}})
    assert ask(plane).status == 429, "its own try was used up: nothing to wait for"
    answers = []
    clients = [threading.Thread(target=lambda: answers.append(ask(plane))) for _ in range(8)]
    for client in clients:
        client.start()
    for client in clients:
        client.join(30)
    assert sorted(answer.status for answer in answers) == [200] * 7 + [429], answers
    assert world.mock_server.requests()["total"] == 1 + 1 + 7
    refused = next(answer for answer in answers if answer.status == 429)
    assert "x-rota-error" not in refused.headers, "what the probe was answered is passed on"


def test_wait_refuses_at_once_what_would_take_longer_than_the_timeout(world):
    plane = serve(world, api(models=("gpt-4o",), suspend=1, parameters={"onAllSuspended": "Wait",
                                                                        "waitTimeout": "2s"}))
    world.mock_server.behave({"gpt-4o": quota(30)})
    ask(plane)
    started = time.monotonic()
    answer = ask(plane)
    assert time.monotonic() - started < 1.5
    assert answer.status == 429 and answer.headers["x-rota-error"] == "rate_limit_exceeded", answer
    assert 20 < int(answer.headers["retry-after"]) <= 30


def test_client_that_leaves_while_it_waits_takes_nobody_s_place(world):
    plane = serve(world, api(models=("gpt-4o",), suspend=1, parameters={"onAllSuspended": "Wait",
                                                                        "waitTimeout": "20s"}))
    world.mock_server.behave({"gpt-4o": {**quota(2), "first": 1}})
    ask(plane)
    leaving = http.Connection(plane.http)
    leaving.send("POST", PATH, http.CHAT)
    until("it waits", lambda: plane.metric("rota_open_requests") == 1)
    leaving.close()
    until("its leaving is noticed", lambda: plane.metric("rota_open_requests") == 0, seconds=1.5)
    assert ask(plane).status == 200
    assert world.mock_server.requests()["total"] == 2


# --- retry, time-outs


def test_one_attempt_passes_the_answer_on_and_still_learns_from_it(world):
    plane = serve(world, api(models=("gpt-4o", "o1-mini"), suspend=1, parameters={"retry": {"attempts": 1}}))
    world.mock_server.behave({"*": {"status": 500, "first": 1}})
    answer = ask(plane)
    assert answer.status == 500 and "x-rota-error" not in answer.headers, answer
    assert world.mock_server.requests()["total"] == 1 and not plane.suspended()
    world.mock_server.behave({"*": quota(30)})
    answer = ask(plane)
    assert answer.status == 429 and answer.headers["retry-after"] == "30" and "x-rota-error" not in answer.headers
    assert world.mock_server.requests()["total"] == 2 and len(plane.suspended()) == 1
    assert plane.metric("rota_failovers_total") == 0
    world.mock_server.forget()
    assert len(set(models(plane, 4))) == 1, "the suspended one is left out"


@pytest.mark.parametrize("where", ["endpoint", "flag"])
def test_no_first_byte_in_time_is_504_and_not_replayed(world, where):
    spec = api(models=("gpt-4o", "o1-mini"), suspend=1, parameters={
        "healthChecks": {"passive": {"threshold": 2, "interval": 30}}})
    if where == "endpoint":
        spec["endpointConfigurations"]["production"][0]["resiliency"] = {"timeout": {"upstreamResponseTimeout": 1}}
    plane = serve(world, spec, *(["--first-byte-timeout", "1s"] if where == "flag" else []))
    world.mock_server.behave({"gpt-4o": {"hang": True}})

    def hung():
        asked = world.mock_server.requests()["total"]
        started = time.monotonic()
        answer = ask(plane)
        seconds = time.monotonic() - started
        assert world.mock_server.requests()["total"] == asked + 1, "nothing is replayed"
        if answer.status == 200:
            return False
        assert answer.status == 504 and answer.headers["x-rota-error"] == "102504", answer
        assert answer.error["code"] == "102504" and 0.9 < seconds < 5, (answer, seconds)
        return True
    assert sorted([hung(), hung()]) == [False, True], "only the one that hangs"
    assert not plane.suspended()
    until("the second failure in a row suspends", lambda: hung() and plane.suspended())
    assert plane.suspended()["gpt-4o"]["reason"] == "failures"
    assert set(models(plane, 4)) == {"o1-mini"}


# --- operations


def test_operation_with_a_policy_of_its_own_has_its_own_rotation_and_suspensions(world):
    own = {"request": [model_policy(targets([("gpt-4o", 2), ("o1-mini", 1)]), onQuotaExceedSuspendDuration=1)]}
    spec = api(models=("gpt-4o", "gpt-4o-mini"), suspend=1, operations=[
        {"target": "/chat/completions", "verb": "POST", "operationPolicies": own},
        {"target": "/completions", "verb": "POST"}, {"target": "/embeddings", "verb": "POST"}])
    plane = serve(world, spec)
    seen = collections.defaultdict(list)
    for _ in range(6):  # Asked in turn: none of the rotations moves another one.
        for operation in ("/chat/completions", "/completions"):
            seen[operation] += models(plane, 1, "/assistant/1.0" + operation)
    for start in (0, 3):
        assert collections.Counter(seen["/chat/completions"][start:start + 3]) == {"gpt-4o": 2, "o1-mini": 1}
    for start in (0, 2, 4):
        assert set(seen["/completions"][start:start + 2]) == {"gpt-4o", "gpt-4o-mini"}
    # The API's own rotation is one for all operations that have none.
    assert len(set(models(plane, 1, "/assistant/1.0/completions") + models(plane, 1, "/assistant/1.0/embeddings"))) == 2
    suspend(world, plane, "gpt-4o")
    assert set(models(plane, 3)) == {"o1-mini"}
    assert set(models(plane, 2, "/assistant/1.0/completions")) == {"gpt-4o", "gpt-4o-mini"}
    assert len([target for rotation in plane.rotations() for target in rotation["targets"]
                if target.get("suspension")]) == 1


# --- --sandbox-host, --production-host of the controller


def is_sandbox(plane, host):
    """By the model that answers: the environments have one each."""
    answer = ask(plane, host=host)
    assert answer.status == 200, answer
    return {"of-production": False, "of-sandbox": True}[answer.json()["model"]]


def test_host_patterns_of_the_controller_travel_in_the_snapshot(world):
    world.serve_directory({"api.yaml": api(models=("of-production",), sandbox=("of-sandbox",)),
                           "secret.yaml": secret(apiKey=KEY)},
                          "--sandbox-host", "staging.example.com", "--sandbox-host", "*.test.example.com",
                          "--production-host", "live.test.example.com")
    plane = world.plane()
    for host, expected in {"staging.example.com": True, "STAGING.example.com.:8080": True, "a.test.example.com": True,
                           "a.b.test.example.com": True, "test.example.com": False, "live.test.example.com": False,
                           "other.example.com": False,
                           # With a list of sandbox hosts the label alone says nothing.
                           "sandbox.example.com": False}.items():
        assert is_sandbox(plane, host) == expected, host
    world.controller.pin_addresses()
    world.controller.stop()
    assert is_sandbox(plane, "staging.example.com"), "held without a controller too"
    command = world.controller.command
    command[command.index("staging.example.com")] = "other.example.com"
    world.controller.start()
    until("another pattern is in force without a restart of the data plane",
          lambda: is_sandbox(plane, "other.example.com") and not is_sandbox(plane, "staging.example.com"), seconds=20)
