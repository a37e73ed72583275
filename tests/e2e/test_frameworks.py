"""Frameworks and SDKs that people build with, in front of each kind of provider: LangChain, the Vercel AI SDK, and
Anthropic's own SDK on Anthropic's own path. Text, streams, tools, structured output, errors, leaving early."""
import itertools
import json
import os
import pathlib
import subprocess

import anthropic
import openai
import pytest
from langchain_openai import ChatOpenAI

from conftest import shared_file
from harness.process import clean_environment
from harness.scripted_provider import Provider, Reply, in_pieces, sse
from harness.stack import model_policy, secret
from harness.wait import until

KEY = "sk-e2e-0123456789"
NODE_MODULES = os.environ.get("ROTA_NODE_MODULES")
LOCATION = {"title": "Place", "type": "object", "properties": {"location": {"type": "string"}}, "required": ["location"]}
WEATHER = {"type": "function", "function": {"name": "weather", "description": "The weather of a place",
                                            "parameters": LOCATION}}
PARIS = {"location": "Paris"}


def lines(name):
    return shared_file(f"recordings/{name}").read_text().strip().split("\n")


def stream(events, **framing):
    return Reply(content_type="text/event-stream", pieces=in_pieces(sse(events, **framing), 50))


class OpenAi:
    """What OpenAI answers: recorded texts, and calls of whatever tool is asked for."""
    name = "openai"
    base = "/v1"
    credential = {"in": "Header", "apiKeyNameKey": "Authorization"}

    @staticmethod
    def text(_):
        return Reply(shared_file("recordings/openai/openai-text.json").read_bytes())

    @staticmethod
    def text_stream(_):
        return stream(lines("openai/openai-text.chunks.txt") + ["[DONE]"])

    @staticmethod
    def _chunk(delta, finish=None):
        return json.dumps({"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "gpt-4o",
                           "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]})

    @classmethod
    def tool(cls, request):
        call = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": json.dumps(PARIS)}}
        message = {"role": "assistant", "content": None, "tool_calls": [call]}
        if "response_format" in request.body:
            message = {"role": "assistant", "content": json.dumps(PARIS)}
        return Reply({"id": "c", "object": "chat.completion", "created": 1, "model": "gpt-4o", "choices": [
            {"index": 0, "message": message, "finish_reason": "tool_calls" if "tool_calls" in message else "stop"}],
                      "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}})

    @classmethod
    def tool_stream(cls, _):
        pieces = ['{"loca', 'tion": "Par', 'is"}']
        call = {"index": 0, "id": "call_1", "type": "function", "function": {"name": "weather", "arguments": ""}}
        parts = [{"tool_calls": [{"index": 0, "function": {"arguments": piece}}]} for piece in pieces]
        return stream([cls._chunk({"role": "assistant", "content": None, "tool_calls": [call]}),
                       *map(cls._chunk, parts), cls._chunk({}, "tool_calls"), "[DONE]"])

    @staticmethod
    def refused(_):
        return Reply({"error": {"message": "bad", "type": "invalid_request_error", "code": "bad", "param": None}}, 400)

    @staticmethod
    def exhausted(_):
        return Reply({"error": {"message": "slow down", "type": "requests", "code": "rate_limit_exceeded"}}, 429,
                     headers={"retry-after": "30"})

    @classmethod
    def endless(cls, _):
        return Reply(content_type="text/event-stream", pieces=itertools.chain(
            [sse([cls._chunk({"role": "assistant", "content": ""})])],
            itertools.repeat(sse([cls._chunk({"content": "and "})]))))


class Anthropic:
    name = "anthropic"
    base = ""
    credential = {"in": "Header", "apiKeyNameKey": "x-api-key"}

    @staticmethod
    def text(_):
        return Reply(shared_file("recordings/anthropic/anthropic-text.json").read_bytes())

    @staticmethod
    def text_stream(_):
        return stream(lines("anthropic/anthropic-text.chunks.txt"), named=True)

    @staticmethod
    def _called(request):
        """The tool that a request forces, or the one that it offers."""
        choice = request.body.get("tool_choice", {})
        return choice.get("name") or request.body["tools"][0]["name"]

    @classmethod
    def tool(cls, request):
        return Reply({"id": "msg_1", "type": "message", "role": "assistant", "model": "claude", "content": [
            {"type": "tool_use", "id": "toolu_1", "name": cls._called(request), "input": PARIS}],
                      "stop_reason": "tool_use", "usage": {"input_tokens": 1, "output_tokens": 1}})

    @classmethod
    def tool_stream(cls, request):
        block = {"type": "tool_use", "id": "toolu_1", "name": cls._called(request), "input": {}}
        deltas = [{"type": "content_block_delta", "index": 0, "delta": {"type": "input_json_delta", "partial_json": piece}}
                  for piece in ("", '{"loca', 'tion": "Paris"}')]
        return stream(map(json.dumps, [cls._start(), {"type": "content_block_start", "index": 0, "content_block": block},
                                       *deltas, {"type": "content_block_stop", "index": 0},
                                       {"type": "message_delta", "delta": {"stop_reason": "tool_use"},
                                        "usage": {"output_tokens": 9}}, {"type": "message_stop"}]), named=True)

    @staticmethod
    def _start():
        return {"type": "message_start", "message": {"id": "msg_1", "model": "claude", "usage": {"input_tokens": 3}}}

    @staticmethod
    def refused(_):
        return Reply({"type": "error", "error": {"type": "invalid_request_error", "message": "bad"}}, 400)

    @staticmethod
    def exhausted(_):
        return Reply({"type": "error", "error": {"type": "rate_limit_error", "message": "slow down"}}, 429,
                     headers={"retry-after": "30"})

    @classmethod
    def endless(cls, _):
        delta = {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "and "}}
        begin = [cls._start(), {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}]
        return Reply(content_type="text/event-stream", pieces=itertools.chain(
            [sse(map(json.dumps, begin), named=True)],
            itertools.repeat(sse([json.dumps(delta)], named=True))))


class Served:
    """One data plane in front of one provider."""

    def __init__(self, world, kind):
        self.kind = kind
        self.provider = Provider(kind.text)
        security = {"enabled": True, "securityType": {"secretName": "key", "apiKeyValueKey": "key", **kind.credential}}
        endpoint = {"name": "provider", "endpoint": self.provider.url + kind.base, "provider": kind.name,
                    "endpointSecurity": security}
        policy = model_policy([{"model": "the-model", "endpoint": "provider"}], [], onQuotaExceedSuspendDuration=30)
        world.serve_directory({"api.yaml": {
            "name": "chat", "basePath": "/chat", "version": "1.0", "endpointConfigurations": {"production": [endpoint]},
            "operations": [{"target": target, "verb": "POST"} for target in ("/chat/completions", "/v1/messages")],
            "apiPolicies": {"request": [policy]}}, "secret.yaml": secret("key", key=KEY)})
        self.plane = world.plane()
        self.plane.wait_serves("/chat/1.0/chat/completions")
        self.url = f"http://{self.plane.http}/chat/1.0"

    def chat(self, **options):
        return ChatOpenAI(base_url=self.url, api_key="sk-of-the-caller", model="any", max_retries=0, **options)

    def vercel(self, command):
        assert NODE_MODULES, "ROTA_NODE_MODULES is not set: run these tests by scripts/lib/e2e"
        script = pathlib.Path(__file__).parent / "sdk/vercel.cjs"
        done = subprocess.run(["node", str(script), self.url, command], capture_output=True, text=True, timeout=30,
                              check=False, env=clean_environment({"NODE_PATH": NODE_MODULES}))
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(params=[OpenAi, Anthropic], ids=lambda kind: kind.name)
def served(world, request):
    served = Served(world, request.param)
    yield served
    served.provider.close()


# --- LangChain


def test_langchain_text(served):
    answer = served.chat().invoke("Hello")
    assert len(answer.content) > 20 and answer.usage_metadata["total_tokens"] > 10
    assert answer.response_metadata["finish_reason"] == "stop"


def test_langchain_stream(served):
    served.provider.answer = served.kind.text_stream
    chunks = list(served.chat(stream_usage=True).stream("Hello"))
    assert len(chunks) > 3 and len("".join(chunk.text for chunk in chunks)) > 20
    assert sum(chunk.response_metadata.get("finish_reason") == "stop" for chunk in chunks) == 1


@pytest.mark.parametrize("streams", [False, True])
def test_langchain_tools(served, streams):
    served.provider.answer = served.kind.tool_stream if streams else served.kind.tool
    chat = served.chat(streaming=streams).bind_tools([WEATHER])
    answer = chat.invoke("The weather in Paris?")
    assert [(call["name"], call["args"]) for call in answer.tool_calls] == [("weather", PARIS)]
    assert answer.response_metadata["finish_reason"] == "tool_calls"


def test_langchain_structured_output(served):
    served.provider.answer = served.kind.tool
    assert served.chat().with_structured_output(LOCATION, method="json_schema").invoke("Where?") == PARIS


@pytest.mark.parametrize("answer, error", [("refused", openai.BadRequestError), ("exhausted", openai.RateLimitError)])
def test_langchain_typed_errors(served, answer, error):
    served.provider.answer = getattr(served.kind, answer)
    with pytest.raises(error):
        served.chat().invoke("Hello")


# --- Vercel AI SDK


def test_vercel_text(served):
    answer = served.vercel("text")
    assert len(answer["text"]) > 20 and answer["finishReason"] == "stop" and answer["usage"]["totalTokens"] > 10, answer


def test_vercel_stream(served):
    served.provider.answer = served.kind.text_stream
    answer = served.vercel("stream")
    assert answer["deltas"] > 3 and len(answer["text"]) > 20 and answer["finishReason"] == "stop", answer


@pytest.mark.parametrize("streams", [False, True])
def test_vercel_tools(served, streams):
    served.provider.answer = served.kind.tool_stream if streams else served.kind.tool
    answer = served.vercel("toolStream" if streams else "tool")
    assert answer["calls"] == [{"name": "weather", "input": PARIS}] and answer["finishReason"] == "tool-calls", answer


def test_vercel_structured_output(served):
    served.provider.answer = served.kind.tool
    assert served.vercel("object") == {"object": PARIS}


@pytest.mark.parametrize("answer, status", [("refused", 400), ("exhausted", 429)])
def test_vercel_typed_errors(served, answer, status):
    served.provider.answer = getattr(served.kind, answer)
    assert served.vercel("text")["status"] == status


def test_vercel_leaves_early(served):
    served.provider.answer = served.kind.endless
    assert served.vercel("abort")["deltas"] >= 1
    until("the provider's stream has been given up", lambda: served.provider.broken == 1)


# --- Anthropic's SDK on Anthropic's own path


@pytest.fixture
def native(world):
    served = Served(world, Anthropic)
    with anthropic.Anthropic(base_url=served.url, api_key="sk-of-the-caller", max_retries=0) as client:
        served.client = client
        yield served
    served.provider.close()


MESSAGE = {"model": "any", "max_tokens": 64, "messages": [{"role": "user", "content": "Hello"}]}


def test_anthropic_text(native):
    answer = native.client.messages.create(**MESSAGE)
    assert answer.content[0].text and answer.usage.output_tokens > 0
    request = native.provider.requests[0]
    assert request.path == "/v1/messages" and request.body == {**MESSAGE, "model": "the-model"}
    assert request.headers["x-api-key"] == KEY and "sk-of-the-caller" not in str(request.headers)


def test_anthropic_stream(native):
    native.provider.answer = Anthropic.text_stream
    with native.client.messages.stream(**MESSAGE) as events:
        assert len("".join(events.text_stream)) > 20
        assert events.get_final_message().stop_reason == "end_turn"


def test_anthropic_rate_limit(native):
    native.provider.answer = Anthropic.exhausted
    with pytest.raises(anthropic.RateLimitError):
        native.client.messages.create(**MESSAGE)
