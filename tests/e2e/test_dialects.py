"""Bedrock, Gemini and Ollama behind OpenAI's form: answers that real providers gave, to the official SDK. The mock of
Bedrock takes only what botocore would have signed alike."""
import json
import struct
import urllib.parse

import jsonschema
import openai
import pytest

from conftest import shared_file
from harness import aws, http, scripted_provider
from harness.scripted_provider import Reply
from harness.stack import model_policy, secret
from harness.wait import until

GOOGLE_KEY = "google-key-of-the-test"
MESSAGES = [{"role": "user", "content": "How many r's are there in strawberry?"}]
TOOLS = [{"type": "function", "function": {"name": "weather", "description": "Says the weather.", "parameters": {
    "type": "object", "properties": {"city": {"type": "string"}}}}}]
MODELS = {"bedrock": "us.amazon.nova-micro-v1:0", "gemini": "gemini-3-pro-preview", "ollama": "llama3.2:1b"}
EMBEDDERS = {"bedrock": "amazon.titan-embed-text-v2:0", "gemini": "gemini-embedding-001", "ollama": "nomic-embed-text"}
NAMES = tuple(MODELS)
SECURITY = {
    "bedrock": {"secretName": "aws", "accessKeyRef": "id", "secretKeyRef": "key", "sessionTokenRef": "token"},
    "gemini": {"secretName": "google", "in": "Header", "apiKeyNameKey": "x-goog-api-key", "apiKeyValueKey": "key"},
}


def recording(name):
    return shared_file(f"recordings/{name}").read_text()


def bedrock(request):
    problem = aws.signature_problem(request)
    if problem:
        return Reply({"message": problem}, 403, headers={"x-amzn-errortype": "InvalidSignatureException"})
    _, _, model, operation = request.path.split("/")
    if operation == "invoke":
        return Reply({"embedding": [1, -2], "inputTextTokenCount": 3})
    kind = "tool-call.1" if "toolConfig" in request.body else "text"
    if operation == "converse":
        return Reply(recording(f"bedrock/amazon-bedrock-{kind}.json").encode())
    assert operation == "converse-stream" and urllib.parse.unquote(model) == MODELS["bedrock"], request.path
    frames = [aws.event(line) for line in recording(f"bedrock/amazon-bedrock-{kind}.chunks.txt").splitlines()]
    return event_stream(b"".join(frames))


def event_stream(data, size=11):
    return Reply(content_type="application/vnd.amazon.eventstream", pieces=scripted_provider.in_pieces(data, size))


def gemini(request):
    method = request.path.rpartition(":")[2]
    if request.headers.get("x-goog-api-key") != GOOGLE_KEY:
        return Reply({"error": {"code": 400, "message": "API key not valid.", "status": "INVALID_ARGUMENT",
                                "details": [{"reason": "API_KEY_INVALID"}]}}, 400)
    if method == "batchEmbedContents":
        return Reply({"embeddings": [{"values": [1, -2]}]})
    kind = "tool-call" if "tools" in request.body else "text"
    if method == "generateContent":
        return Reply(recording(f"google/google-{kind}.json").encode())
    assert method == "streamGenerateContent?alt=sse", method
    data = scripted_provider.sse(recording(f"google/google-{kind}.chunks.txt").splitlines())
    return Reply(content_type="text/event-stream", pieces=scripted_provider.in_pieces(data, 97))


def ollama(request):
    if request.path == "/api/embed":
        return Reply({"model": request.body["model"], "embeddings": [[1, -2]], "prompt_eval_count": 3})
    assert request.path == "/api/chat", request.path
    message = {"role": "assistant", "content": "Three."}
    if "tools" in request.body:
        function = {"name": request.body["tools"][0]["function"]["name"], "arguments": {"city": "Bern"}}
        message = {"role": "assistant", "content": "", "tool_calls": [{"function": function}]}
    end = {"done": True, "done_reason": "stop", "prompt_eval_count": 26, "eval_count": 3}
    if not request.body["stream"]:
        return Reply({"model": request.body["model"], "message": message, **end})
    lines = [{"model": request.body["model"], "message": message, "done": False},
             {"model": request.body["model"], "message": {"role": "assistant", "content": ""}, **end}]
    data = "".join(json.dumps(line) + "\n" for line in lines).encode()
    return Reply(content_type="application/x-ndjson", pieces=scripted_provider.in_pieces(data, 13))


ANSWERS = {"bedrock": bedrock, "gemini": gemini, "ollama": ollama}


def api(providers, name, models):
    """`models`: {provider: model}, one target each."""
    endpoints = []
    for provider in models:
        endpoint = {"name": provider, "endpoint": providers[provider].url, "provider": provider}
        if provider in SECURITY:
            endpoint["endpointSecurity"] = {"enabled": True, "securityType": SECURITY[provider]}
        if provider == "bedrock":
            endpoint["providerOptions"] = {"region": "eu-west-1"}
        endpoints.append(endpoint)
    entries = [{"model": model, "endpoint": provider} for provider, model in models.items()]
    return {"name": name, "basePath": f"/{name}", "version": "1.0", "endpointConfigurations": {"production": endpoints},
            "operations": [{"target": f"/{path}", "verb": "POST"} for path in ("chat/completions", "embeddings")],
            "apiPolicies": {"request": [model_policy(entries, [], onQuotaExceedSuspendDuration=1)]}}


class Stage:
    def __init__(self, world):
        self.providers = {name: scripted_provider.Provider(ANSWERS[name]) for name in NAMES}
        files = {f"{name}.yaml": api(self.providers, name, {name: MODELS[name]}) for name in NAMES}
        files |= {f"{name}-vectors.yaml": api(self.providers, f"{name}-vectors", {name: EMBEDDERS[name]})
                  for name in NAMES}
        files["all.yaml"] = api(self.providers, "all", MODELS)
        files["aws.yaml"] = secret("aws", id=aws.ACCESS_KEY, key=aws.SECRET_KEY, token=aws.TOKEN)
        files["google.yaml"] = secret("google", key=GOOGLE_KEY)
        world.serve_directory(files)
        self.plane = world.plane()

    def ask(self, name, path="chat/completions", **body):
        return http.ask(self.plane.http, "POST", f"/{name}/1.0/{path}", {"model": "any", **body},
                        {"authorization": "Bearer sk-of-the-caller"})

    def client(self, name):
        return openai.OpenAI(base_url=f"http://{self.plane.http}/{name}/1.0", api_key="sk-of-the-caller",
                             max_retries=0, timeout=10)

    def close(self):
        for provider in self.providers.values():
            provider.close()


@pytest.fixture(scope="module")
def shared_stage(module_world):
    recording("bedrock/amazon-bedrock-text.json")
    stage = Stage(module_world)
    yield stage
    stage.close()


@pytest.fixture
def stage(shared_stage):
    yield shared_stage
    for name, provider in shared_stage.providers.items():
        provider.answer = ANSWERS[name]


def check(name, value):
    """Against OpenAI's published schema."""
    document = json.loads(recording("openai-chat.schema.json"))
    schema = {"$ref": f"#/components/schemas/{name}", "components": document["components"]}
    jsonschema.Draft202012Validator(schema).validate(value)


def events(answer):
    """The data of a stream's events."""
    return [line.removeprefix("data: ") for line in answer.body.split("\n\n") if line]


@pytest.mark.parametrize("name", NAMES)
def test_text(stage, name):
    answer = stage.ask(name, messages=MESSAGES)
    assert answer.status == 200, answer
    check("CreateChatCompletionResponse", answer.json())
    choice = stage.client(name).chat.completions.create(model="any", messages=MESSAGES).choices[0]
    assert "3" in choice.message.content or "Three" in choice.message.content
    assert choice.finish_reason == "stop"


@pytest.mark.parametrize("name", NAMES)
def test_stream(stage, name):
    answer = stage.ask(name, messages=MESSAGES, stream=True, stream_options={"include_usage": True})
    data = events(answer)
    assert answer.headers["content-type"].startswith("text/event-stream") and data[-1] == "[DONE]", answer
    for chunk in data[:-1]:
        check("CreateChatCompletionStreamResponse", json.loads(chunk))
    chunks = list(stage.client(name).chat.completions.create(
        model="any", messages=MESSAGES, stream=True, stream_options={"include_usage": True}))
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert "3" in text or "Three" in text
    assert chunks[-1].usage.total_tokens == chunks[-1].usage.prompt_tokens + chunks[-1].usage.completion_tokens > 0


@pytest.mark.parametrize("name", NAMES)
def test_usage_is_shown_only_when_asked_for_and_counted_always(stage, name):
    def tokens():
        return stage.plane.metric("rota_tokens_total", kind="completion", model=MODELS[name])
    before = tokens()
    data = events(stage.ask(name, messages=MESSAGES, stream=True))
    assert not any(json.loads(chunk).get("usage") for chunk in data[:-1])
    until("the tokens are counted", lambda: tokens() > before)


@pytest.mark.parametrize("stream", (False, True))
@pytest.mark.parametrize("name", NAMES)
def test_tool_calls(stage, name, stream):
    completions = stage.client(name).chat.completions
    if stream:
        with completions.stream(model="any", messages=MESSAGES, tools=TOOLS) as seen:
            choice = seen.get_final_completion().choices[0]
    else:
        choice = completions.create(model="any", messages=MESSAGES, tools=TOOLS).choices[0]
    assert choice.finish_reason == "tool_calls"
    [call] = choice.message.tool_calls
    assert call.id and isinstance(json.loads(call.function.arguments), dict)


@pytest.mark.parametrize("name", NAMES)
def test_embeddings(stage, name):
    answer = stage.ask(f"{name}-vectors", "embeddings", input="Hi", encoding_format="float")
    check("CreateEmbeddingResponse", answer.json())
    client = stage.client(f"{name}-vectors")
    # The SDK asks for base64 by default and reads it.
    assert client.embeddings.create(model="any", input="Hi").data[0].embedding == [1, -2]
    assert client.embeddings.create(model="any", input="Hi", encoding_format="float").data[0].embedding == [1, -2]


def test_every_body_has_a_signature_of_its_own(stage):
    for text in ("a", "ä\n €", "x" * 100_000):
        for stream in (False, True):
            answer = stage.ask("bedrock", messages=[{"role": "user", "content": text}], stream=stream)
            assert answer.status == 200, answer
    request = stage.providers["bedrock"].requests[-1]
    assert "sk-of-the-caller" not in str(request.headers) and aws.SECRET_KEY not in str(request)


def test_dropped_and_refused_fields_are_named(stage):
    answer = stage.ask("bedrock", messages=MESSAGES, seed=7, user="me")
    assert answer.status == 200 and set(answer.headers["x-rota-dropped"].split(",")) == {"seed", "user"}
    with pytest.raises(openai.BadRequestError) as refused:
        stage.client("bedrock").chat.completions.create(model="any", messages=MESSAGES, n=2)
    assert refused.value.param == "n"


def test_errors_are_openais_and_tell_no_account(stage):
    stage.providers["bedrock"].answer = lambda _: Reply(
        {"message": "arn:aws:bedrock:eu-west-1:123456789012:x: Input is too long."}, 400,
        headers={"x-amzn-errortype": "ValidationException:http://internal.amazon.com/"})
    with pytest.raises(openai.BadRequestError) as refused:
        stage.client("bedrock").chat.completions.create(model="any", messages=MESSAGES)
    assert refused.value.code == "context_length_exceeded" and "Input is too long" in refused.value.message
    assert "123456789012" not in str(refused.value.body)


@pytest.mark.parametrize("stream", (False, True))
def test_a_quota_of_one_becomes_a_success_of_another_dialect(stage, stream):
    throttled = {"message": "Too many requests"}
    stage.providers["bedrock"].answer = lambda _: (
        event_stream(aws.exception("throttlingException", "Too many requests")) if stream
        else Reply(throttled, 429, headers={"x-amzn-errortype": "ThrottlingException"}))
    stage.providers["gemini"].answer = lambda _: Reply(
        {"error": {"code": 429, "status": "RESOURCE_EXHAUSTED", "message": "no"}}, 429)
    for _ in range(3):
        answer = stage.ask("all", messages=MESSAGES, stream=stream)
        assert answer.status == 200 and "Three." in answer.body, answer


def test_an_exception_later_in_a_stream_is_an_error_event(stage):
    text = aws.event('{"contentBlockDelta":{"contentBlockIndex":0,"delta":{"text":"Let"}}}')
    stage.providers["bedrock"].answer = lambda _: event_stream(
        text + aws.exception("modelStreamErrorException", "broken"))
    data = events(stage.ask("bedrock", messages=MESSAGES, stream=True))
    assert json.loads(data[-1])["error"]["message"] == "broken" and "[DONE]" not in data


@pytest.mark.parametrize("damage", ("checksum", "cut", "no end"))
def test_a_damaged_stream_is_never_done(stage, damage):
    text = aws.event('{"contentBlockDelta":{"contentBlockIndex":0,"delta":{"text":"Let"}}}')
    end = aws.event('{"messageStop":{"stopReason":"end_turn"}}')
    data = {"checksum": text + end[:-4] + struct.pack(">I", 1), "cut": text + end[:20], "no end": text}[damage]
    stage.providers["bedrock"].answer = lambda _: event_stream(data)
    seen = events(stage.ask("bedrock", messages=MESSAGES, stream=True))
    assert "Let" in "".join(seen) and "error" in json.loads(seen[-1]) and "[DONE]" not in seen
