"""Each kind of provider as a scripted one: recorded texts and streams, calls of whatever tool is asked for, refusals,
an exhausted quota, a stream without an end. Bedrock takes only what botocore would have signed alike."""
import itertools
import json

from conftest import shared_file
from harness import aws
from harness.scripted_provider import Reply, in_pieces, sse

KEY = "sk-e2e-0123456789"
PARIS = {"location": "Paris"}


def lines(name):
    return shared_file(f"recordings/{name}").read_text().strip().split("\n")


def stream(events, **framing):
    return Reply(content_type="text/event-stream", pieces=in_pieces(sse(events, **framing), 50))


class OpenAi:
    name = "openai"
    base = "/v1"
    options = {}
    credential = {"apiKeyValueKey": "key", "in": "Header", "apiKeyNameKey": "Authorization"}

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
    options = {}
    credential = {"apiKeyValueKey": "key", "in": "Header", "apiKeyNameKey": "x-api-key"}

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


class Bedrock:
    name = "bedrock"
    base = ""
    options = {"region": "eu-west-1"}
    credential = {"accessKeyRef": "id", "secretKeyRef": "secret", "sessionTokenRef": "token"}

    @staticmethod
    def _checked(request, reply):
        problem = aws.signature_problem(request)
        return reply if problem is None else Reply({"message": problem}, 403)

    @staticmethod
    def _frames(*frames):
        return Reply(content_type="application/vnd.amazon.eventstream", pieces=in_pieces(b"".join(frames), 50))

    @classmethod
    def text(cls, request):
        return cls._checked(request, Reply(shared_file("recordings/bedrock/amazon-bedrock-text.json").read_bytes()))

    @classmethod
    def text_stream(cls, request):
        return cls._checked(request, cls._frames(*map(aws.event, lines("bedrock/amazon-bedrock-text.chunks.txt"))))

    @staticmethod
    def _called(request):
        config = request.body["toolConfig"]
        return config.get("toolChoice", {}).get("tool", {}).get("name") or config["tools"][0]["toolSpec"]["name"]

    @classmethod
    def tool(cls, request):
        use = {"toolUse": {"toolUseId": "tooluse_1", "name": cls._called(request), "input": PARIS}}
        return cls._checked(request, Reply({"output": {"message": {"role": "assistant", "content": [use]}},
                                            "stopReason": "tool_use",
                                            "usage": {"inputTokens": 1, "outputTokens": 1, "totalTokens": 2}}))

    @classmethod
    def tool_stream(cls, request):
        start = {"toolUse": {"toolUseId": "tooluse_1", "name": cls._called(request)}}
        deltas = [{"contentBlockDelta": {"contentBlockIndex": 0, "delta": {"toolUse": {"input": piece}}}}
                  for piece in ('{"loca', 'tion": "Par', 'is"}')]
        events = [{"messageStart": {"role": "assistant"}}, {"contentBlockStart": {"contentBlockIndex": 0, "start": start}},
                  *deltas, {"contentBlockStop": {"contentBlockIndex": 0}}, {"messageStop": {"stopReason": "tool_use"}},
                  {"metadata": {"usage": {"inputTokens": 1, "outputTokens": 1, "totalTokens": 2}}}]
        return cls._checked(request, cls._frames(*(aws.event(json.dumps(event)) for event in events)))

    @staticmethod
    def refused(_):
        return Reply({"message": "bad"}, 400, headers={"x-amzn-errortype": "ValidationException"})

    @staticmethod
    def exhausted(_):
        return Reply({"message": "slow down"}, 429, headers={"x-amzn-errortype": "ThrottlingException"})

    @classmethod
    def endless(cls, request):
        start = aws.event(json.dumps({"messageStart": {"role": "assistant"}}))
        delta = aws.event(json.dumps({"contentBlockDelta": {"contentBlockIndex": 0, "delta": {"text": "and "}}}))
        return cls._checked(request, Reply(content_type="application/vnd.amazon.eventstream",
                                           pieces=itertools.chain([start], itertools.repeat(delta))))


class Gemini:
    name = "gemini"
    base = ""
    options = {}
    credential = {"apiKeyValueKey": "key", "in": "Header", "apiKeyNameKey": "x-goog-api-key"}

    @staticmethod
    def text(_):
        return Reply(shared_file("recordings/google/google-text.json").read_bytes())

    @staticmethod
    def text_stream(_):
        return stream(lines("google/google-text.chunks.txt"))

    @staticmethod
    def _candidate(*parts, **more):
        return {"candidates": [{"content": {"role": "model", "parts": list(parts)}, "index": 0, **more}],
                "usageMetadata": {"promptTokenCount": 1, "candidatesTokenCount": 1, "totalTokenCount": 2}}

    @classmethod
    def _answer(cls, request):
        """A call of the tool that is offered, or JSON where JSON is wanted."""
        if "tools" not in request.body:
            return cls._candidate({"text": json.dumps(PARIS)}, finishReason="STOP")
        name = request.body["tools"][0]["functionDeclarations"][0]["name"]
        return cls._candidate({"functionCall": {"name": name, "args": PARIS}}, finishReason="STOP")

    @classmethod
    def tool(cls, request):
        return Reply(cls._answer(request))

    @classmethod
    def tool_stream(cls, request):
        return stream([json.dumps(cls._answer(request))])

    @staticmethod
    def _error(code, status):
        return Reply({"error": {"code": code, "message": "no", "status": status}}, code)

    @classmethod
    def refused(cls, _):
        return cls._error(400, "INVALID_ARGUMENT")

    @classmethod
    def exhausted(cls, _):
        return cls._error(429, "RESOURCE_EXHAUSTED")

    @classmethod
    def endless(cls, _):
        return Reply(content_type="text/event-stream",
                     pieces=itertools.repeat(sse([json.dumps(cls._candidate({"text": "and "}))])))


class Ollama:
    name = "ollama"
    base = ""
    options = {}
    credential = None

    @staticmethod
    def _line(request, message, **more):
        return {"model": request.body["model"], "message": {"role": "assistant", "content": "", **message},
                "done": False, **more}

    @staticmethod
    def _lines(parts):
        return Reply(content_type="application/x-ndjson", pieces=(json.dumps(part).encode() + b"\n" for part in parts))

    @classmethod
    def _end(cls, request, message=None):
        return cls._line(request, message or {}, done=True, done_reason="stop", prompt_eval_count=26, eval_count=8)

    @classmethod
    def text(cls, request):
        return Reply(cls._end(request, {"content": "There are three r's in strawberry."}))

    @classmethod
    def text_stream(cls, request):
        words = ("There ", "are ", "three ", "r's ", "in ", "strawberry.")
        return cls._lines([*(cls._line(request, {"content": word}) for word in words), cls._end(request)])

    @classmethod
    def _answer(cls, request):
        if "tools" not in request.body:
            return {"content": json.dumps(PARIS)}
        return {"tool_calls": [{"function": {"name": request.body["tools"][0]["function"]["name"], "arguments": PARIS}}]}

    @classmethod
    def tool(cls, request):
        return Reply(cls._end(request, cls._answer(request)))

    @classmethod
    def tool_stream(cls, request):
        return cls._lines([cls._line(request, cls._answer(request)), cls._end(request)])

    @staticmethod
    def refused(_):
        return Reply({"error": "bad"}, 400)

    @staticmethod
    def exhausted(_):
        return Reply({"error": "slow down"}, 429)

    @classmethod
    def endless(cls, request):
        return cls._lines(itertools.repeat(cls._line(request, {"content": "and "})))


ALL = (OpenAi, Anthropic, Bedrock, Gemini, Ollama)
