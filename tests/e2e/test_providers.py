"""Providers that speak OpenAI's form: what their rows say, what a stream has cost, Azure's deployments, and the list of
models of a rotation over all kinds of them."""
import json

import openai
import pytest

from conftest import shared_file
from harness import http, scripted_provider
from harness.scripted_provider import Reply
from harness.stack import model_policy, secret
from harness.wait import until

KEY = "key-of-the-provider-test"
HELLO = {"model": "any", "messages": [{"role": "user", "content": "Hello"}]}
USAGE = {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}
SECURITY = {"enabled": True, "securityType": {"secretName": "keys", "apiKeyValueKey": "key"}}


def whole(request):
    return Reply({"id": "1", "object": "chat.completion", "created": 1, "model": request.body["model"], "usage": USAGE,
                  "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "Hi"}}]})


def chunk(choices, **fields):
    return json.dumps({"id": "1", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": choices,
                       **fields})


def strict(request):
    """Streams as OpenAI does: usage only when it is asked for."""
    asked = request.body.get("stream_options", {}).get("include_usage", False)
    usage = {"usage": None} if asked else {}
    events = [chunk([], prompt_filter_results=[{"prompt_index": 0}]),
              chunk([{"index": 0, "delta": {"role": "assistant", "content": "Hi"}, "finish_reason": None}], **usage),
              chunk([{"index": 0, "delta": {}, "finish_reason": "stop"}], **usage)]
    events += [chunk([], usage=USAGE)] if asked else []
    return streamed([*events, "[DONE]"])


def streamed(events, size=11):
    return Reply(content_type="text/event-stream",
                 pieces=scripted_provider.in_pieces(scripted_provider.sse(events), size))


def answer(request):
    return strict(request) if request.body.get("stream") else whole(request)


class Stage:
    """One provider, asked through one API of each kind of endpoint."""

    def __init__(self, world):
        self.provider = scripted_provider.Provider(answer)
        url = self.provider.url
        files = {"keys.yaml": secret("keys", key=KEY)}
        for name, endpoint in {
                "openai": {"endpoint": f"{url}/v1"},
                "groq": {"endpoint": f"{url}/openai/v1", "provider": "Groq"},
                "mistral": {"endpoint": f"{url}/v1", "provider": "mistral"},
                "custom": {"endpoint": f"{url}/v1", "provider": "custom"},
                "azure": {"endpoint": url, "provider": "azure",
                          "providerOptions": {"deployment": "chat-eu", "apiVersion": "2025-01-01-preview"}}}.items():
            files[f"{name}.yaml"] = self.api(name, [{"name": name, **endpoint}], [{"model": "m", "endpoint": name}])
        kinds = ("openai", "anthropic", "gemini", "azure", "xai")
        files["all.yaml"] = self.api(
            "all", [{"name": kind, "endpoint": url, "provider": kind} for kind in kinds],
            [*({"model": f"model-of-{kind}", "endpoint": kind} for kind in kinds),
             {"model": "model-of-xai", "endpoint": "openai"}, {"model": "listed", "endpoint": "openai", "weight": 0}])
        world.serve_directory(files)
        self.plane = world.plane()

    @staticmethod
    def api(name, endpoints, models):
        for endpoint in endpoints:
            endpoint["endpointSecurity"] = SECURITY
        operations = [{"target": f"/{path}", "verb": "POST"} for path in ("chat/completions", "embeddings")]
        return {"name": name, "basePath": f"/{name}", "version": "1.0",
                "endpointConfigurations": {"production": endpoints},
                "operations": [*operations, {"target": "/models", "verb": "GET"}],
                "apiPolicies": {"request": [model_policy(models, [], onQuotaExceedSuspendDuration=1)]}}

    def ask(self, name, path="chat/completions", headers=None, **body):
        return http.ask(self.plane.http, "POST", f"/{name}/1.0/{path}", {**HELLO, **body}, headers or {})

    def client(self, name):
        return openai.OpenAI(base_url=f"http://{self.plane.http}/{name}/1.0", api_key="sk-of-the-caller",
                             max_retries=0, timeout=10)

    def last(self):
        return self.provider.requests[-1]


@pytest.fixture(scope="module")
def shared_stage(module_world):
    stage = Stage(module_world)
    yield stage
    stage.provider.close()


@pytest.fixture
def stage(shared_stage):
    yield shared_stage
    shared_stage.provider.answer = answer
    shared_stage.provider.requests.clear()


def events(reply):
    return [line.removeprefix("data: ") for line in reply.body.split("\n\n") if line]


def counted(stage):
    return stage.plane.metric("rota_tokens_total", kind="completion")


def test_the_models_of_a_rotation_whatever_its_providers_speak(stage):
    models = {model.id: model.owned_by for model in stage.client("all").models.list()}
    assert models == {"model-of-openai": "openai", "model-of-anthropic": "anthropic", "model-of-gemini": "gemini",
                      "model-of-azure": "azure", "model-of-xai": "xai", "listed": "openai"}
    assert not stage.provider.requests


def test_usage_is_asked_for_and_not_shown(stage):
    before = counted(stage)
    reply = stage.ask("openai", stream=True, headers={"accept-encoding": "gzip"})
    assert stage.last().body["stream_options"] == {"include_usage": True}
    assert stage.last().headers["accept-encoding"] == "identity"
    assert stage.last().headers["authorization"] == f"Bearer {KEY}"
    data = events(reply)
    assert data[-1] == "[DONE]" and len(data) == 4, reply
    assert not any(json.loads(event).get("usage") for event in data[:-1])
    assert json.loads(data[0])["prompt_filter_results"]
    until("the tokens are counted", lambda: counted(stage) == before + USAGE["completion_tokens"])


def test_usage_is_shown_to_who_asks_for_it(stage):
    chunks = list(stage.client("openai").chat.completions.create(
        **HELLO, stream=True, stream_options={"include_usage": True}))
    assert chunks[-1].usage.total_tokens == USAGE["total_tokens"] and not chunks[-1].choices
    chunks = list(stage.client("openai").chat.completions.create(
        **HELLO, stream=True, stream_options={"include_usage": False}))
    assert chunks[-1].choices[0].finish_reason == "stop"
    assert stage.last().body["stream_options"] == {"include_usage": True}


@pytest.mark.parametrize("name, recorded", [("groq", "groq/groq-text"), ("openai", "openai/openai-text"),
                                            ("openai", "deepseek/deepseek-tool-call")])
def test_recorded_streams_are_passed_on_but_for_the_usage_chunk(stage, name, recorded):
    lines = shared_file(f"recordings/{recorded}.chunks.txt").read_text().strip().split("\n")
    stage.provider.answer = lambda _: streamed([*lines, "[DONE]"], 501)
    before = counted(stage)
    shown = events(stage.ask(name, stream=True))
    wanted = [line for line in lines if json.loads(line)["choices"] or not json.loads(line).get("usage")]
    assert shown == [*wanted, "[DONE]"]
    until("the tokens are counted", lambda: counted(stage) > before)


def test_a_provider_that_refuses_fields_does_not_get_them(stage):
    assert stage.ask("mistral", stream=True, seed=7, max_completion_tokens=9,
                     stream_options={"include_usage": True}).status == 200
    body = dict(stage.last().body)
    assert (body.pop("random_seed"), body.pop("max_tokens")) == (7, 9)
    assert body == {**HELLO, "model": "m", "stream": True}
    assert stage.ask("custom", stream=True).status == 200
    assert stage.last().body == {**HELLO, "model": "m", "stream": True}


def test_azure_is_asked_at_its_deployment(stage):
    reply = stage.ask("azure")
    assert reply.json()["choices"][0]["message"]["content"] == "Hi"
    request = stage.last()
    assert request.path == "/openai/deployments/chat-eu/chat/completions?api-version=2025-01-01-preview"
    assert request.headers["api-key"] == KEY and "authorization" not in request.headers
    assert request.body == {**HELLO, "model": "m"}
    stage.provider.answer = lambda request: Reply({"object": "list", "data": [], "model": "m", "usage": USAGE})
    assert stage.ask("azure", "embeddings", input="Hi").status == 200
    assert stage.last().path == "/openai/deployments/chat-eu/embeddings?api-version=2025-01-01-preview"


def test_azures_stream_keeps_its_first_chunk_and_a_clients_version_is_its_own(stage):
    text = "".join(chunk.choices[0].delta.content or "" for chunk in stage.client("azure").chat.completions.create(
        **HELLO, stream=True) if chunk.choices)
    assert text == "Hi"
    assert stage.last().body["stream_options"] == {"include_usage": True}
    reply = stage.ask("azure", "chat/completions?api-version=2024-02-01", stream=True)
    assert json.loads(events(reply)[0])["prompt_filter_results"]
    assert stage.last().path == "/openai/deployments/chat-eu/chat/completions?api-version=2024-02-01"
    assert "stream_options" not in stage.last().body
