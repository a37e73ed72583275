"""Frameworks and SDKs that people build with, in front of each kind of provider: OpenAI's SDK for Node.js, LangChain, the
Vercel AI SDK; and Anthropic's own SDK on Anthropic's own path. Text, streams, tools, structured output, errors, leaving early."""
import json
import os
import pathlib
import subprocess

import anthropic
import openai
import pytest
from langchain_openai import ChatOpenAI

from harness import aws, provider_kinds
from harness.process import clean_environment
from harness.provider_kinds import KEY, PARIS, Anthropic
from harness.scripted_provider import Provider
from harness.stack import model_policy, secret
from harness.wait import until

NODE_MODULES = os.environ.get("ROTA_NODE_MODULES")
LOCATION = {"title": "Place", "type": "object", "properties": {"location": {"type": "string"}}, "required": ["location"]}
WEATHER = {"type": "function", "function": {"name": "weather", "description": "The weather of a place",
                                            "parameters": LOCATION}}


# An exhausted quota takes the model off the rota: whoever meets it does so in an API of its own.
APIS = ("chat", "exhausted-node", "exhausted-langchain", "exhausted-vercel", "exhausted-anthropic")


class Served:
    """What the shared data plane serves of one kind of provider."""

    def __init__(self, plane, kind, provider):
        self.plane, self.kind, self.provider = plane, kind, provider

    def url(self, api="chat"):
        return f"http://{self.plane.http}/{self.kind.name}/{api}/1.0"

    def langchain(self, api="chat", **options):
        return ChatOpenAI(base_url=self.url(api), api_key="sk-of-the-caller", model="any", max_retries=0, **options)

    def _node(self, script, command, api):
        assert NODE_MODULES, "ROTA_NODE_MODULES is not set: run these tests by scripts/lib/e2e"
        script = pathlib.Path(__file__).parent / "sdk" / script
        done = subprocess.run(["node", str(script), self.url(api), command], capture_output=True, text=True, timeout=30,
                              check=False, env=clean_environment({"NODE_PATH": NODE_MODULES}))
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    def openai_node(self, command, api="chat"):
        return self._node("client.cjs", command, api)

    def vercel(self, command, api="chat"):
        return self._node("vercel.cjs", command, api)


def endpoint_of(kind, provider):
    endpoint = {"name": kind.name, "endpoint": provider.url + kind.base, "provider": kind.name}
    if kind.credential:
        endpoint["endpointSecurity"] = {"enabled": True, "securityType": {"secretName": "key", **kind.credential}}
    if kind.options:
        endpoint["providerOptions"] = kind.options
    return endpoint


def definition(path, providers):
    """One API that shares its requests over `providers`, {kind: Provider}."""
    entries = [{"model": "the-model", "endpoint": kind.name} for kind in providers]
    return {"name": path.replace("/", "-"), "basePath": f"/{path}", "version": "1.0",
            "endpointConfigurations": {"production": [endpoint_of(*each) for each in providers.items()]},
            "operations": [{"target": target, "verb": "POST"} for target in ("/chat/completions", "/v1/messages")],
            "apiPolicies": {"request": [model_policy(entries, [], onQuotaExceedSuspendDuration=30)]}}


@pytest.fixture(scope="module")
def all_served(module_world):
    """{name of a kind: Served}, all behind one data plane."""
    providers = {kind: Provider(kind.text) for kind in provider_kinds.ALL}
    files = {f"{kind.name}-{name}.yaml": definition(f"{kind.name}/{name}", {kind: provider})
             for kind, provider in providers.items() for name in APIS}
    files |= {f"all-{name}.yaml": definition(f"all/{name}", providers) for name in ("text", "stream")}
    files["secret.yaml"] = secret("key", key=KEY, id=aws.ACCESS_KEY, secret=aws.SECRET_KEY, token=aws.TOKEN)
    module_world.serve_directory(files)
    plane = module_world.plane()
    plane.wait_serves("/openai/chat/1.0/chat/completions")
    yield {kind.name: Served(plane, kind, provider) for kind, provider in providers.items()}
    for provider in providers.values():
        provider.close()


def fresh(served):
    served.provider.answer = served.kind.text
    served.provider.requests.clear()
    served.provider.broken = 0
    return served


@pytest.fixture(params=[kind.name for kind in provider_kinds.ALL])
def served(all_served, request):
    return fresh(all_served[request.param])


# --- One rotation over all of them


@pytest.mark.parametrize("streams", [False, True])
def test_an_exhausted_provider_is_anothers_success(all_served, streams):
    everyone = [fresh(served) for served in all_served.values()]
    for served in everyone:
        served.provider.answer = served.kind.text_stream if streams else served.kind.text
    exhausted = [all_served["anthropic"], all_served["bedrock"]]
    for served in exhausted:
        served.provider.answer = served.kind.exhausted
    client = openai.OpenAI(base_url=f"http://{everyone[0].plane.http}/all/{'stream' if streams else 'text'}/1.0",
                           api_key="sk-of-the-caller", max_retries=0)
    for _ in range(30):
        answer = client.chat.completions.create(model="any", messages=[{"role": "user", "content": "Hello"}],
                                                stream=streams)
        pieces = [chunk.choices[0].delta.content or "" for chunk in answer if chunk.choices] if streams else [
            answer.choices[0].message.content]
        assert len("".join(pieces)) > 20
    counts = {served.kind.name: len(served.provider.requests) for served in everyone}
    assert counts["anthropic"] == counts["bedrock"] == 1, counts
    assert all(9 <= counts[name] <= 11 for name in ("openai", "gemini", "ollama")), counts


# --- OpenAI's SDK for Node.js


def test_node_chat(served):
    answer = served.openai_node("chat")
    assert len(answer["content"]) > 20 and answer["usage"]["total_tokens"] > 10, answer


def test_node_stream(served):
    served.provider.answer = served.kind.text_stream
    answer = served.openai_node("stream")
    assert answer["chunks"] > 3 and len(answer["content"]) > 20 and answer["usage"]["total_tokens"] > 10, answer


@pytest.mark.parametrize("streams", [False, True])
def test_node_tools(served, streams):
    served.provider.answer = served.kind.tool_stream if streams else served.kind.tool
    answer = served.openai_node("toolStream" if streams else "tool")
    assert answer == {"name": "weather", "arguments": PARIS, "finish": "tool_calls"}


@pytest.mark.parametrize("answer, api, error", [("refused", "chat", "BadRequestError"),
                                                ("exhausted", "exhausted-node", "RateLimitError")])
def test_node_typed_errors(served, answer, api, error):
    served.provider.answer = getattr(served.kind, answer)
    assert served.openai_node("chat", api)["error"] == error


# --- LangChain


def test_langchain_text(served):
    answer = served.langchain().invoke("Hello")
    assert len(answer.content) > 20 and answer.usage_metadata["total_tokens"] > 10
    assert answer.response_metadata["finish_reason"] == "stop"


def test_langchain_stream(served):
    served.provider.answer = served.kind.text_stream
    chunks = list(served.langchain(stream_usage=True).stream("Hello"))
    assert len(chunks) > 3 and len("".join(chunk.text for chunk in chunks)) > 20
    assert sum(chunk.response_metadata.get("finish_reason") == "stop" for chunk in chunks) == 1


@pytest.mark.parametrize("streams", [False, True])
def test_langchain_tools(served, streams):
    served.provider.answer = served.kind.tool_stream if streams else served.kind.tool
    chat = served.langchain(streaming=streams).bind_tools([WEATHER])
    answer = chat.invoke("The weather in Paris?")
    assert [(call["name"], call["args"]) for call in answer.tool_calls] == [("weather", PARIS)]
    assert answer.response_metadata["finish_reason"] == "tool_calls"


def test_langchain_structured_output(served):
    served.provider.answer = served.kind.tool
    assert served.langchain().with_structured_output(LOCATION, method="json_schema").invoke("Where?") == PARIS


@pytest.mark.parametrize("answer, api, error", [("refused", "chat", openai.BadRequestError),
                                                ("exhausted", "exhausted-langchain", openai.RateLimitError)])
def test_langchain_typed_errors(served, answer, api, error):
    served.provider.answer = getattr(served.kind, answer)
    with pytest.raises(error):
        served.langchain(api).invoke("Hello")


# --- Vercel AI SDK


def test_vercel_text(served):
    answer = served.vercel("text")
    assert len(answer["text"]) > 20 and answer["finishReason"] == "stop" and answer["usage"]["totalTokens"] > 10, answer


def test_vercel_stream(served):
    served.provider.answer = served.kind.text_stream
    answer = served.vercel("stream")
    assert answer["deltas"] > 1 and len(answer["text"]) > 20 and answer["finishReason"] == "stop", answer


@pytest.mark.parametrize("streams", [False, True])
def test_vercel_tools(served, streams):
    served.provider.answer = served.kind.tool_stream if streams else served.kind.tool
    answer = served.vercel("toolStream" if streams else "tool")
    assert answer["calls"] == [{"name": "weather", "input": PARIS}] and answer["finishReason"] == "tool-calls", answer


def test_vercel_structured_output(served):
    served.provider.answer = served.kind.tool
    assert served.vercel("object") == {"object": PARIS}


@pytest.mark.parametrize("answer, api, status", [("refused", "chat", 400), ("exhausted", "exhausted-vercel", 429)])
def test_vercel_typed_errors(served, answer, api, status):
    served.provider.answer = getattr(served.kind, answer)
    assert served.vercel("text", api)["status"] == status


def test_vercel_leaves_early(served):
    served.provider.answer = served.kind.endless
    assert served.vercel("abort")["deltas"] >= 1
    until("the provider's stream has been given up", lambda: served.provider.broken == 1)


# --- Anthropic's SDK on Anthropic's own path


@pytest.fixture
def native(all_served):
    served = fresh(all_served[Anthropic.name])
    with anthropic.Anthropic(base_url=served.url(), api_key="sk-of-the-caller", max_retries=0) as client:
        served.client = client
        yield served


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
    client = native.client.with_options(base_url=native.url("exhausted-anthropic"))
    with pytest.raises(anthropic.RateLimitError):
        client.messages.create(**MESSAGE)
