"""The official OpenAI SDKs against Rota: they must work, and raise their own typed errors."""
import json
import os
import pathlib
import subprocess

import openai
import pytest

from harness.process import clean_environment
from harness.stack import KEY, api, quota, secret
from harness.wait import until

MODELS = ("gpt-4o", "gpt-4o-mini")
MESSAGES = [{"role": "user", "content": "Hello"}]
NODE_MODULES = os.environ.get("ROTA_NODE_MODULES")


@pytest.fixture(scope="module")
def served(module_world):
    module_world.serve_directory({"api.yaml": api(models=MODELS, suspend=30),
                                  "exhausted.yaml": api("exhausted", models=("never",), suspend=30),
                                  "broken-key.yaml": api("broken-key", models=("gpt-4o",), secret_name="wrong-key",
                                                         sandbox=()),
                                  "wrong.yaml": secret("wrong-key", apiKey="sk-wrong"),
                                  "secret.yaml": secret(apiKey=KEY)})
    module_world.plane()
    module_world.mock_server.behave({"never": quota(30)})
    return module_world


def url(world, name="assistant"):
    return f"http://{world.planes[0].http}/{name}/1.0"


@pytest.fixture
def client(served):
    with openai.OpenAI(base_url=url(served), api_key="sk-of-the-caller", max_retries=0, timeout=10) as client:
        yield client


def other(served, name):
    return openai.OpenAI(base_url=url(served, name), api_key="sk-of-the-caller", max_retries=0, timeout=10)


def node(world, command, name="assistant"):
    assert NODE_MODULES, "ROTA_NODE_MODULES is not set: run these tests by scripts/lib/e2e"
    script = pathlib.Path(__file__).parent / "sdk/client.cjs"
    done = subprocess.run(["node", str(script), url(world, name), command], capture_output=True, text=True, timeout=30,
                          check=False, env=clean_environment({"NODE_PATH": NODE_MODULES}))
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_python_chat(client):
    answer = client.chat.completions.create(model="any", messages=MESSAGES)
    assert answer.model in MODELS and answer.choices[0].message.content
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens


def test_python_stream(client):
    chunks = list(client.chat.completions.create(model="any", messages=MESSAGES, stream=True,
                                                 stream_options={"include_usage": True}))
    assert len(chunks) > 3 and chunks[0].model in MODELS
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    assert chunks[-1].usage.total_tokens > 0


def test_python_models_are_those_of_the_rotation(client):
    assert sorted(model.id for model in client.models.list()) == sorted(MODELS)


def test_python_async_client_with_32_at_once(served):
    import asyncio  # pylint: disable=import-outside-toplevel

    async def run():
        async with openai.AsyncOpenAI(base_url=url(served), api_key="x", max_retries=0, timeout=10) as client:
            return await asyncio.gather(*(client.chat.completions.create(model="any", messages=MESSAGES)
                                          for _ in range(32)))
    answers = asyncio.run(run())
    assert sorted([a.model for a in answers].count(model) for model in MODELS) == [16, 16]


def test_python_rate_limit_error_with_retry_after(served):
    client = other(served, "exhausted")
    with pytest.raises(openai.RateLimitError):
        client.chat.completions.create(model="any", messages=MESSAGES)
    until("off the rota", lambda: "never" in served.planes[0].suspended())
    with pytest.raises(openai.RateLimitError) as raised:
        client.chat.completions.create(model="any", messages=MESSAGES)
    assert 0 < int(raised.value.response.headers["retry-after"]) <= 30
    assert raised.value.response.headers["x-rota-error"] and raised.value.code


def test_python_authentication_error_of_the_provider(served):
    with pytest.raises(openai.AuthenticationError) as raised:
        other(served, "broken-key").chat.completions.create(model="any", messages=MESSAGES)
    assert "sk-wrong" not in str(raised.value)


def test_python_not_found_error(client, served):
    with pytest.raises(openai.NotFoundError):
        client.embeddings.create(model="any", input="x")
    with pytest.raises(openai.NotFoundError):
        other(served, "no-such-api").chat.completions.create(model="any", messages=MESSAGES)


def test_python_bad_request_error(client):
    with pytest.raises(openai.BadRequestError) as raised:
        client.chat.completions.create(model=7, messages=MESSAGES)
    assert "model" in str(raised.value)


def test_node_chat(served):
    answer = node(served, "chat")
    assert answer["model"] in MODELS and answer["content"] and answer["usage"]["total_tokens"] > 0, answer


def test_node_stream(served):
    answer = node(served, "stream")
    assert answer["chunks"] > 3 and answer["content"] and answer["usage"]["total_tokens"] > 0, answer


def test_node_models(served):
    assert sorted(node(served, "models")["models"]) == sorted(MODELS)


@pytest.mark.parametrize("command, name, error, status", [
    ("bad", "assistant", "BadRequestError", 400),
    ("chat", "no-such-api", "NotFoundError", 404),
    ("chat", "exhausted", "RateLimitError", 429),
])
def test_node_typed_errors(served, command, name, error, status):
    if status == 429:
        until("off the rota", lambda: node(served, command, name)["status"] == 429
              and "never" in served.planes[0].suspended())
    answer = node(served, command, name)
    assert (answer.get("error"), answer.get("status")) == (error, status), answer
    if status == 429:
        assert 0 < int(answer["retryAfter"]) <= 30
