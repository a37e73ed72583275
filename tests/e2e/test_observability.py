"""Metrics, debug pages, logs and answers: complete, well formed, bounded by configuration, without a secret."""
import json
import os
import pathlib
import re
import subprocess

import jsonschema
import pytest

from conftest import shared_file
from harness import http
from harness.stack import KEY, api, quota, secret
from harness.wait import until

ROOT = pathlib.Path(__file__).resolve().parents[2]
PATH = "/assistant/1.0/chat/completions"
CALLER_KEY = "sk-of-the-caller-4711"
NAMES = """rota_requests_total rota_failovers_total rota_suspensions_total rota_suspended_seconds rota_overhead_seconds
    rota_upstream_seconds rota_time_to_first_token_seconds rota_tokens_total rota_snapshot_info
    rota_snapshot_age_seconds rota_snapshot_apply_seconds rota_build_info""".split()


@pytest.fixture(scope="module")
def busy(module_world):
    """A data plane that has seen all kinds of traffic."""
    world = module_world
    world.serve_directory({"api.yaml": api(suspend=60), "secret.yaml": secret(apiKey=KEY)})
    plane = world.plane()
    caller = {"authorization": f"Bearer {CALLER_KEY}"}
    for model in ("gpt-4o", "x" * 200, "\u00e9"):
        assert http.ask(plane.http, "POST", PATH, {**http.CHAT, "model": model}, caller).status == 200
    connection = http.Connection(plane.http)
    stream = connection.stream("POST", PATH, {**http.CHAT, "stream": True, "stream_options": {"include_usage": True}},
                               caller)
    assert "[DONE]" in stream.read().decode()
    world.mock_server.behave({"gpt-4o": quota(600)})
    until("off the rota", lambda: http.ask(plane.http, "POST", PATH, http.CHAT, caller) and plane.suspended())
    http.ask(plane.http, "POST", PATH, b"{", {"content-type": "application/json"})
    http.ask(plane.http, "POST", f"/unknown-{os.urandom(4).hex()}?api_key={CALLER_KEY}", http.CHAT)
    http.ask(plane.http, "POST", PATH + f"?api_key={CALLER_KEY}", http.CHAT, caller, host="random.host.example")
    return world


def metrics(program):
    answer = http.get(program.ports["metrics"], "/metrics")
    assert answer.status == 200 and answer.headers["content-type"].startswith("text/plain")
    return answer.body


def test_promtool_accepts_the_metrics_of_both(busy):
    promtool = os.environ.get("ROTA_PROMTOOL")
    assert promtool, "ROTA_PROMTOOL is not set: run these tests by scripts/lib/e2e"
    for program in (busy.planes[0], busy.controller):
        done = subprocess.run([promtool, "check", "metrics"], input=metrics(program), capture_output=True, text=True,
                              timeout=30, check=False)
        assert done.returncode == 0 and not done.stderr.strip(), done.stdout + done.stderr


def test_required_metrics_are_there_with_their_labels(busy):
    text = metrics(busy.planes[0])
    types = set(re.findall(r"^# TYPE (\S+)", text, re.M))
    assert not set(NAMES) - types, set(NAMES) - types
    labels = {"api": "default/", "environment": "production", "model": "gpt-4o", "target": "", "code": "200"}
    sample = next(line for line in text.splitlines() if line.startswith("rota_requests_total{")
                  and 'code="200"' in line and 'environment="production"' in line)
    assert all(f'{name}="{value}' in sample for name, value in labels.items() if name != "model"), sample
    assert 'model="' in sample
    plane = busy.planes[0]
    until("rota_requests_total", lambda: plane.metric("rota_requests_total", code="200") >= 4)
    until("rota_tokens_total", lambda: plane.metric("rota_tokens_total", kind="prompt") > 0 and plane.metric("rota_tokens_total", kind="completion") > 0)
    until("rota_overhead_seconds_count", lambda: plane.metric("rota_overhead_seconds_count") >= 4)
    until("rota_time_to_first_token_seconds_count", lambda: plane.metric("rota_time_to_first_token_seconds_count") >= 1)
    until("rota_suspended_seconds", lambda: plane.metric("rota_suspended_seconds", model="gpt-4o") > 500)


def test_everything_exposed_is_documented(busy):
    text = (ROOT / "docs/reference/metrics.md").read_text()
    documented = set(re.findall(r"^\| `(\w+)", text, re.M))
    for program in (busy.planes[0], busy.controller):
        exposed = set(re.findall(r"^# TYPE (\S+)", metrics(program), re.M))
        assert not exposed - documented, program.name


def test_label_values_come_from_configuration_only(busy):
    plane = busy.planes[0]
    text = metrics(plane)
    for stranger in ("x" * 100, "unknown-", "random.host", "\u00e9"):
        assert stranger not in text, stranger
    before = len(text.splitlines())
    for i in range(50):
        http.ask(plane.http, "POST", f"/made/up/{i}", http.CHAT, {"x-a": str(i)}, host=f"h{i}.example")
        http.ask(plane.http, f"VERB{i}", PATH, {**http.CHAT, "model": f"m{i}"}, host=f"h{i}.example")
    after = metrics(plane)
    assert "h49.example" not in after and "VERB49" not in after and "m49" not in after
    assert len(after.splitlines()) < before + 60, "series must not grow with requests"


def test_health_and_readiness(busy):
    for program in (busy.planes[0], busy.controller):
        for port in ("admin", "metrics"):
            for page in ("/healthz", "/readyz", "/metrics"):
                assert http.get(program.ports[port], page).status == 200, (program.name, port, page)
        assert http.get(program.ports["metrics"], "/debug/config").status == 404, "debug pages are on --admin only"
    assert "allow-unauthenticated" in http.get(busy.planes[0].admin, "/readyz").body, "repeated where operators look"
    assert "allow-unauthenticated" in busy.planes[0].text()


def test_not_ready_before_there_is_a_configuration(world):
    world.mock()
    plane = world.plane(wait=False, controller="127.0.0.1:1")
    answer = http.get(plane.admin, "/readyz")
    assert answer.status == 503 and answer.body.strip(), answer
    assert http.get(plane.admin, "/healthz").status == 200


def test_debug_pages(busy):
    plane = busy.planes[0]
    config = json.loads(http.get(plane.admin, "/debug/config").body)
    assert "/assistant" in json.dumps(config)
    rotation = next(r for r in plane.rotations() if r["environment"] == "production")
    assert {target["model"] for target in rotation["targets"]} == {"gpt-4o", "gpt-4o-mini"}
    assert json.loads(http.get(busy.controller.admin, "/debug/fleet").body)
    assert json.loads(http.get(busy.controller.admin, "/debug/status").body)


def access_log(world):
    file = world.folder / "dataplane.access.log"
    return [json.loads(line) for line in file.read_text().splitlines()]


def test_access_log_has_a_line_per_request_and_no_body(busy):
    marker = "prompt-" + os.urandom(6).hex()
    body = {"model": "m", "messages": [{"role": "user", "content": marker}]}
    assert http.ask(busy.planes[0].http, "POST", PATH, body, {"x-request-id": "e2e-42"}).status == 200
    entry = until("the line is written", lambda: next(
        (line for line in access_log(busy) if "e2e-42" in json.dumps(line)), None))
    assert entry["status"] == 200 and entry["path"] == PATH and entry["method"] == "POST" and entry["model"], entry
    assert marker not in json.dumps(access_log(busy))


def test_no_secret_anywhere(busy):
    """Everything that somebody may read: logs, debug pages, metrics, files on disk."""
    plane, controller = busy.planes[0], busy.controller
    pages = {f"{p.name}{page}": http.get(p.admin, page).body for p, pages in (
        (plane, ("/debug/config", "/debug/rotations", f"/debug/explain?path={PATH}", "/readyz", "/healthz", "/metrics")),
        (controller, ("/debug/status", "/debug/fleet", "/readyz", "/healthz", "/metrics"))) for page in pages}
    files = {str(path): path.read_bytes().decode(errors="replace") for path in busy.folder.rglob("*")
             if path.is_file() and busy.directory.path not in path.parents}
    assert any(name.endswith("last-known-good") for name in files)
    assert any(name.endswith("access.log") for name in files)
    for where, text in {**pages, **files}.items():
        assert KEY not in text, where
        assert CALLER_KEY not in text, where


def test_sighup_reopens_the_access_log(busy):
    import signal  # pylint: disable=import-outside-toplevel
    log = busy.folder / "dataplane.access.log"
    log.rename(busy.folder / "dataplane.access.log.1")
    busy.planes[0].signal(signal.SIGHUP)
    until("a new file is there", lambda: http.ask(busy.planes[0].http, "POST", PATH, http.CHAT).status == 200
          and log.exists() and log.read_text())


@pytest.fixture(scope="module")
def schemas():
    return json.loads(shared_file("recordings/openai-chat.schema.json").read_text())


def validator(document, name):
    assert name in document["components"]["schemas"]
    return jsonschema.Draft202012Validator({**document, "$ref": f"#/components/schemas/{name}"})


def test_answers_and_errors_are_openai_s(busy, schemas):
    plane = busy.planes[0]
    validator(schemas, "CreateChatCompletionResponse").validate(
        http.ask(plane.http, "POST", PATH, http.CHAT).json())
    validator(schemas, "ListModelsResponse").validate(http.get(plane.http, "/assistant/1.0/models").json())
    errors = [http.ask(plane.http, "POST", PATH, b"{", {"content-type": "application/json"}),
              http.ask(plane.http, "POST", "/nowhere", http.CHAT),
              http.ask(plane.http, "PUT", PATH, http.CHAT)]
    for answer in errors:
        assert answer.status >= 400
        validator(schemas, "ErrorResponse").validate(answer.json())


def test_stream_events_are_openai_s(busy, schemas):
    connection = http.Connection(busy.planes[0].http)
    text = connection.stream("POST", PATH, {**http.CHAT, "stream": True}).read().decode()
    events = [line[6:] for line in text.splitlines() if line.startswith("data: ")]
    assert events[-1] == "[DONE]" and len(events) > 3
    check = validator(schemas, "CreateChatCompletionStreamResponse")
    for event in events[:-1]:
        check.validate(json.loads(event))
