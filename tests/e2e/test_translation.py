"""One API in OpenAI's form in front of providers that have another one: both ways, plain and streamed, and failover."""
import json
import threading

import jsonschema
import openai
import pytest

from conftest import shared_file
from harness import http, scripted_provider as providers
from harness.scripted_provider import Reply
from harness.stack import model_policy, secret
from harness.wait import until

KEY = "sk-ant-e2e-0123456789"
CHAT = "/chat/1.0/chat/completions"
HELLO = {"model": "any", "messages": [{"role": "user", "content": "Hello"}]}
OVERLOADED = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}


def recording(name):
    return shared_file(f"recordings/{name}").read_text()


def events(name):
    return recording(name).strip().split("\n")


def anthropic_stream(name, size=7):
    data = providers.sse(events(f"anthropic/{name}"), named=True)
    return Reply(content_type="text/event-stream", pieces=providers.in_pieces(data, size))


def anthropic_text(_=None):
    return Reply(recording("anthropic/anthropic-text.json").encode())


def openai_answer(request):
    return Reply({"id": "chatcmpl-o", "object": "chat.completion", "created": 1, "model": request.body["model"],
                  "choices": [{"index": 0, "finish_reason": "stop", "logprobs": None,
                               "message": {"role": "assistant", "content": "from openai", "refusal": None}}],
                  "usage": {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}})


class Stage:
    """A data plane in front of an Anthropic and an OpenAI provider."""

    def __init__(self, world):
        self.anthropic = providers.Provider(anthropic_text)
        self.openai = providers.Provider(openai_answer)
        self._world = world
        self.plane = None

    def serve(self, *models, operations=None, options=None, **parameters):
        """`models`: entries of a rotation over the endpoints `claude` and `gpt`."""
        key = {"enabled": True, "securityType": {"secretName": "claude", "in": "Header", "apiKeyNameKey": "x-api-key",
                                                 "apiKeyValueKey": "key"}}
        endpoints = [{"name": "claude", "endpoint": self.anthropic.url, "provider": "anthropic", "endpointSecurity": key,
                      **({"providerOptions": options} if options else {})},
                     {"name": "gpt", "endpoint": self.openai.url + "/v1", "provider": "openai"}]
        chat = {"name": "chat", "basePath": "/chat", "version": "1.0",
                "endpointConfigurations": {"production": endpoints},
                "operations": operations or [{"target": "/chat/completions", "verb": "POST"}],
                "apiPolicies": {"request": [model_policy(list(models), [], onQuotaExceedSuspendDuration=60,
                                                         **parameters)]}}
        self._world.serve_directory({"api.yaml": chat, "secret.yaml": secret("claude", key=KEY)})
        self.plane = self._world.plane()
        return self

    def ask(self, body, path=CHAT, **headers):
        return http.ask(self.plane.http, "POST", path, body, headers)

    def client(self):
        return openai.OpenAI(base_url=f"http://{self.plane.http}/chat/1.0", api_key="sk-caller", max_retries=0)

    def close(self):
        self.anthropic.close()
        self.openai.close()


@pytest.fixture
def stage(world):
    stage = Stage(world)
    yield stage
    stage.close()


CLAUDE = {"model": "claude-sonnet-4-5", "endpoint": "claude"}
GPT = {"model": "gpt-4o", "endpoint": "gpt"}


def check(name, value):
    """Against OpenAI's published schema."""
    document = json.loads(shared_file("recordings/openai-chat.schema.json").read_text())
    schema = {"$ref": f"#/components/schemas/{name}", "components": document["components"]}
    jsonschema.Draft202012Validator(schema).validate(value)


def stream_of(answer):
    """The chunks of a stream, each one checked; the last event is [DONE]."""
    data = [line.removeprefix("data: ") for line in answer.body.split("\n\n") if line]
    assert data[-1] == "[DONE]", answer.body
    chunks = [json.loads(event) for event in data[:-1]]
    for chunk in chunks:
        check("CreateChatCompletionStreamResponse", chunk)
    return chunks


def content_of(chunks):
    return "".join(choice["delta"].get("content") or "" for chunk in chunks for choice in chunk["choices"])


def counts_tokens(stage, wanted):
    """Behind the last byte of the answer."""
    until("the tokens are counted", lambda: stage.plane.metric("rota_tokens_total", kind="completion") == wanted)


def test_a_chat_request_becomes_the_providers_and_its_answer_openais(stage):
    stage.serve(CLAUDE)
    answer = stage.ask({**HELLO, "seed": 7, "max_tokens": 50, "messages": [
        {"role": "system", "content": "Be kind."}, *HELLO["messages"]]},
        **{"authorization": "Bearer sk-caller", "accept-encoding": "gzip, br"})
    assert answer.status == 200, answer
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-rota-dropped"] == "seed"
    assert answer.headers["x-rota-model"] == "claude-sonnet-4-5"
    check("CreateChatCompletionResponse", answer.json())
    assert answer.json()["choices"][0]["message"]["content"].startswith("Hello! I'm doing well")
    assert answer.json()["usage"] == {"prompt_tokens": 12, "completion_tokens": 29, "total_tokens": 41,
                                      "prompt_tokens_details": {"cached_tokens": 0}}
    request = stage.anthropic.requests[0]
    assert request.path == "/v1/messages"
    assert request.headers["x-api-key"] == KEY
    assert "authorization" not in request.headers
    assert request.headers["anthropic-version"] == "2023-06-01"
    assert request.headers["accept-encoding"] == "identity"
    assert request.body == {"model": "claude-sonnet-4-5", "max_tokens": 50, "system": "Be kind.", "messages": [
        {"role": "user", "content": [{"type": "text", "text": "Hello"}]}]}
    counts_tokens(stage, 29)


def test_a_stream_is_translated_event_by_event(stage):
    stage.serve(CLAUDE)
    stage.anthropic.answer = lambda _: anthropic_stream("anthropic-text.chunks.txt")
    answer = stage.ask({**HELLO, "stream": True, "stream_options": {"include_usage": True}})
    assert answer.headers["content-type"] == "text/event-stream"
    chunks = stream_of(answer)
    assert content_of(chunks).startswith("Hello! I'm doing well, thank you for asking.")
    assert chunks[-1]["choices"] == []
    assert chunks[-1]["usage"]["completion_tokens"] == 30
    assert chunks[-2]["choices"][0]["finish_reason"] == "stop"
    counts_tokens(stage, 30)
    # Usage that nobody asked for is counted all the same.
    chunks = stream_of(stage.ask({**HELLO, "stream": True}))
    assert all("usage" not in chunk for chunk in chunks)
    counts_tokens(stage, 60)


def test_the_openai_sdk_gets_tool_calls_and_structured_output(stage):
    stage.serve(CLAUDE)
    tool = {"type": "function", "function": {"name": "json", "parameters": {"type": "object", "properties": {}}}}
    with stage.client() as client:
        stage.anthropic.answer = lambda _: Reply(recording("anthropic/anthropic-json-tool.1.json").encode())
        answer = client.chat.completions.create(**HELLO, tools=[tool], tool_choice="required")
        call = answer.choices[0].message.tool_calls[0]
        assert answer.choices[0].finish_reason == "tool_calls"
        assert json.loads(call.function.arguments)["elements"][0]["location"] == "San Francisco"
        assert stage.anthropic.requests[-1].body["tool_choice"] == {"type": "any"}
        stage.anthropic.answer = lambda _: anthropic_stream("anthropic-json-tool.1.chunks.txt", 1000)
        arguments = ""
        for chunk in client.chat.completions.create(**HELLO, tools=[tool], stream=True):
            for part in chunk.choices[0].delta.tool_calls or []:
                arguments += part.function.arguments
        assert json.loads(arguments)["elements"][0]["temperature"] == 58
        schema = {"type": "json_schema", "json_schema": {"name": "w", "schema": {"type": "object"}}}
        stage.anthropic.answer = lambda request: Reply({
            "id": "msg_1", "model": "claude", "stop_reason": "tool_use", "usage": {}, "content": [
                {"type": "tool_use", "id": "t", "name": request.body["tools"][0]["name"], "input": {"a": 1}}]})
        answer = client.chat.completions.create(**HELLO, response_format=schema)
        assert json.loads(answer.choices[0].message.content) == {"a": 1}
        assert answer.choices[0].finish_reason == "stop"


def test_a_field_that_changes_the_answer_is_refused_by_name(stage):
    stage.serve(CLAUDE)
    with stage.client() as client, pytest.raises(openai.BadRequestError) as raised:
        client.chat.completions.create(**HELLO, n=2)
    assert raised.value.param == "n"
    assert raised.value.code == "unsupported_parameter"
    assert not stage.anthropic.requests


def test_a_field_that_one_provider_refuses_goes_to_another(stage):
    stage.serve(CLAUDE, GPT)
    for _ in range(4):
        assert stage.ask({**HELLO, "n": 2}).status == 200
    assert len(stage.openai.requests) == 4
    assert not stage.anthropic.requests


def test_errors_have_openais_shape_and_no_secrets(stage):
    stage.serve(CLAUDE)
    stage.anthropic.answer = lambda _: Reply({"type": "error", "error": {
        "type": "invalid_request_error", "message": f"prompt is too long for org-12345 with key {KEY}"}}, 400)
    answer = stage.ask(HELLO)
    assert answer.status == 400
    check("ErrorResponse", answer.json())
    assert answer.error["code"] == "context_length_exceeded"
    assert answer.error["message"] == "prompt is too long for [removed] with key [removed]"
    stage.anthropic.answer = lambda _: Reply(OVERLOADED, 529, headers={"retry-after": "7"})
    answer = stage.ask(HELLO)
    assert (answer.status, answer.headers["retry-after"]) == (503, "7")
    assert answer.error["code"] == "overloaded"


def test_a_rotation_fails_over_between_providers(stage):
    """A 429 or an overloaded stream of one becomes a success of the other, in either direction."""
    stage.serve(CLAUDE, GPT)
    quota = {"error": {"message": "quota", "type": "insufficient_quota", "code": "insufficient_quota"}}
    stage.openai.answer = lambda _: Reply(quota, 429, headers={"retry-after": "1"})
    answers = [stage.ask(HELLO) for _ in range(3)]
    assert [answer.status for answer in answers] == [200, 200, 200]
    assert {answer.json()["choices"][0]["message"]["content"][:5] for answer in answers} == {"Hello"}
    assert len(stage.openai.requests) == 1
    assert set(stage.plane.suspended()) == {"gpt-4o"}


def test_a_stream_that_begins_with_an_error_fails_over(stage):
    stage.serve(CLAUDE, GPT)
    overloaded = providers.sse([json.dumps(OVERLOADED)], named=True)
    stage.anthropic.answer = lambda _: Reply(content_type="text/event-stream", pieces=[overloaded])
    for _ in range(2):
        answer = stage.ask({**HELLO, "stream": True})
        assert answer.json()["choices"][0]["message"]["content"] == "from openai"
    assert set(stage.plane.suspended()) == {"claude-sonnet-4-5"}


def test_the_last_error_of_a_stream_has_a_status_of_its_own(stage):
    stage.serve(CLAUDE)
    overloaded = providers.sse([json.dumps(OVERLOADED)], named=True)
    stage.anthropic.answer = lambda _: Reply(content_type="text/event-stream", pieces=[overloaded])
    answer = stage.ask({**HELLO, "stream": True})
    assert (answer.status, answer.error["code"]) == (503, "overloaded")


@pytest.mark.parametrize("size", [1, 64, 10_000])
def test_a_stream_without_its_end_ends_with_an_error_event(stage, size):
    stage.serve(CLAUDE)
    data = providers.sse(events("anthropic/anthropic-text.chunks.txt")[:-2], named=True)
    stage.anthropic.answer = lambda _: Reply(content_type="text/event-stream", pieces=providers.in_pieces(data, size))
    answer = stage.ask({**HELLO, "stream": True})
    last = answer.body.split("\n\n")[-2]
    assert json.loads(last.removeprefix("data: "))["error"]["code"] == "upstream_cut"
    assert "[DONE]" not in answer.body


def test_an_error_inside_a_stream_ends_it_and_suspends(stage):
    stage.serve(CLAUDE)
    seen = threading.Event()

    def pieces():
        yield providers.sse(events("anthropic/anthropic-text.chunks.txt")[:4], named=True)
        assert seen.wait(10)
        yield providers.sse([json.dumps(OVERLOADED)], named=True)
    stage.anthropic.answer = lambda _: Reply(content_type="text/event-stream", pieces=pieces())
    connection = http.Connection(stage.plane.http)
    answer = connection.stream("POST", CHAT, {**HELLO, "stream": True})
    assert answer.status == 200
    while b"Hello" not in answer.readline():
        pass
    seen.set()
    last = answer.read().decode().strip().split("\n\n")[-1]
    connection.close()
    assert json.loads(last.removeprefix("data: "))["error"]["code"] == "overloaded"
    until("the target is suspended", lambda: set(stage.plane.suspended()) == {"claude-sonnet-4-5"})


def test_any_path_can_be_a_chat_operation(stage):
    stage.serve({**CLAUDE, "defaults": {"temperature": 0.5}}, {**GPT, "defaults": {"temperature": 1.0, "top_p": 0.25}},
                operations=[{"target": "/route1", "verb": "POST", "kind": "chat"}])
    for body in (HELLO, HELLO, {**HELLO, "temperature": 0}, {**HELLO, "temperature": 0}):
        assert stage.ask(body, "/chat/1.0/route1").status == 200
    assert {request.path for request in stage.openai.requests} == {"/v1/chat/completions"}
    assert {request.path for request in stage.anthropic.requests} == {"/v1/messages"}
    assert sorted(request.body["temperature"] for request in stage.openai.requests) == [0, 1.0]
    assert sorted(request.body["temperature"] for request in stage.anthropic.requests) == [0, 0.5]
    assert {request.body["top_p"] for request in stage.openai.requests} == {0.25}


def test_a_client_may_choose_among_the_allowed_models(stage):
    stage.serve({**CLAUDE, "allowedModels": ["claude-haiku-4-5"]}, {**GPT, "allowedModels": ["gpt-4o-mini"]})
    for model in ("claude-haiku-4-5", "claude-haiku-4-5", "gpt-4o-mini", "gpt-4o-mini"):
        assert stage.ask({**HELLO, "model": model}).status == 200
    assert [request.body["model"] for request in stage.anthropic.requests] == ["claude-haiku-4-5", "claude-sonnet-4-5"]
    assert [request.body["model"] for request in stage.openai.requests] == ["gpt-4o", "gpt-4o-mini"]


def test_a_native_operation_goes_to_its_providers_targets_as_it_came(stage):
    stage.serve(CLAUDE, GPT, operations=[{"target": "/v1/messages", "verb": "POST"}])
    native = {"model": "x", "max_tokens": 5, "messages": [{"role": "user", "content": "Hi"}]}
    for _ in range(3):
        answer = stage.ask(native, "/chat/1.0/v1/messages", authorization="Bearer of-the-sdk")
        assert answer.json()["type"] == "message"
    assert not stage.openai.requests
    assert {request.path for request in stage.anthropic.requests} == {"/v1/messages"}
    assert stage.anthropic.requests[0].body == {**native, "model": "claude-sonnet-4-5"}


def test_an_endpoint_can_be_told_its_form(stage):
    stage.serve(CLAUDE, options={"format": "openai"})
    stage.anthropic.answer = openai_answer
    assert stage.ask(HELLO).json()["choices"][0]["message"]["content"] == "from openai"
    assert stage.anthropic.requests[0].path == "/chat/completions"
