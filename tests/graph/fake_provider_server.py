"""Servers on loopback that speak as Anthropic, Gemini and Ollama do, and refuse what those refuse."""

import json
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from threading import Thread
from typing import Any, NamedTuple

Body = dict[str, Any]
Turn = tuple[str, tuple[tuple[str, Body], ...]]
"""What is said, and the calls: (name, arguments)."""
Part = tuple[str, str]
"""One piece of a conversation: its kind (text, image, call, result), and its words, or the name or id of the call."""

LOOK = ("detect_people", {"start": 0, "end": 0.5})
NAME = ("decompose", {"sub_actions": [{"name": "legs swing", "candidates": ["walk", "run"]}]})
ANSWER = '<think>steps</think><scores>{"1": {"walk": 8, "run": 3}}</scores><answer>walk</answer>'
GOOD: tuple[Turn, ...] = (("Who?", (LOOK,)), ("", (NAME,)), (ANSWER, ()))


@dataclass(frozen=True)
class Wire:
    """One provider's form of a request, a reply and a refusal."""

    provider: str
    address: Callable[[str], Mapping[str, str]]
    """Environment variables that lead its client to the server of this URL, and give it a key."""
    path: str
    """Of a chat request, as a regular expression."""
    say: Callable[[Turn, bool], bytes]
    """The body of a reply, in one piece or streamed."""
    refuse: Callable[[int, str], Body]
    heard: Callable[[Body], list[tuple[str, list[Part]]]]
    """A request as (role, parts) in the server's own order."""
    offered: Callable[[Body], list[str]]
    wrong: Callable[[Body], str]
    """What the provider would refuse about a request; empty if nothing."""
    model: str
    sampling: Callable[[Body], Body]
    """temperature, max_tokens and seed of a request, those that are there."""


_NUMBERS = count(1)


def numbered(calls: Iterable[tuple[str, Body]]) -> Iterator[tuple[str, str, Body]]:
    for name, args in calls:
        yield f"toolu_{next(_NUMBERS)}", name, args


def events(*each: Body, named: bool) -> bytes:
    return "".join(
        (f"event: {event['type']}\n" if named else "") + f"data: {json.dumps(event)}\r\n\r\n" for event in each
    ).encode()


# Anthropic: POST /v1/messages


def say_anthropic(turn: Turn, stream: bool) -> bytes:
    said, calls = turn
    content: list[Body] = [{"type": "text", "text": said}] if said else []
    content += [{"type": "tool_use", "id": i, "name": n, "input": a} for i, n, a in numbered(calls)]
    usage = {"input_tokens": 40, "cache_read_input_tokens": 60, "cache_creation_input_tokens": 0, "output_tokens": 20}
    message = {"id": "msg_1", "type": "message", "role": "assistant", "model": "claude", "content": content}
    end = {"stop_reason": "tool_use" if calls else "end_turn", "stop_sequence": None}
    if not stream:
        return json.dumps({**message, **end, "usage": usage}).encode()
    told: list[Body] = [
        {"type": "message_start", "message": {**message, "content": [], "stop_reason": None, "usage": usage}}
    ]
    for k, block in enumerate(content):
        if block["type"] == "text":
            empty: Body = {"type": "text", "text": ""}
            delta = {"type": "text_delta", "text": block["text"]}
        else:
            empty = {**block, "input": {}}
            delta = {"type": "input_json_delta", "partial_json": json.dumps(block["input"])}
        told.append({"type": "content_block_start", "index": k, "content_block": empty})
        told.append({"type": "content_block_delta", "index": k, "delta": delta})
        told.append({"type": "content_block_stop", "index": k})
    told += [{"type": "message_delta", "delta": end, "usage": {"output_tokens": 20}}, {"type": "message_stop"}]
    return events(*told, named=True)


def refuse_anthropic(status: int, message: str) -> Body:
    kinds = {
        401: "authentication_error",
        429: "rate_limit_error",
        529: "overloaded_error",
        400: "invalid_request_error",
    }
    error = {"type": kinds.get(status, "api_error"), "message": message}
    return {"type": "error", "error": error, "request_id": "req_1"}


def heard_anthropic(request: Body) -> list[tuple[str, list[Part]]]:
    def part(block: Body) -> Part:
        kind = block["type"]
        if kind == "image":
            source = block["source"]
            assert source["type"] == "base64" and source["media_type"] == "image/jpeg"
            return "image", source["data"]
        if kind == "tool_use":
            return "call", block["id"]
        return ("result", block["tool_use_id"]) if kind == "tool_result" else ("text", block["text"])

    told = [("system", [("text", request["system"])])] if "system" in request else []
    for message in request["messages"]:
        content = message["content"]
        blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
        told.append((message["role"], [part(block) for block in blocks]))
    return told


def wrong_anthropic(request: Body) -> str:
    told = [turn for turn in heard_anthropic(request) if turn[0] != "system"]
    if "max_tokens" not in request:
        return "max_tokens: Field required"
    if [role for role, _ in told] != (["user", "assistant"] * len(told))[: len(told)] or len(told) % 2 == 0:
        return 'messages: roles must alternate between "user" and "assistant"'
    if any(not words.strip() for _, parts in told for kind, words in parts if kind == "text"):
        return "messages: text content blocks must be non-empty"
    for (_, said), (_, answer) in zip(told[::2], told[1::2], strict=False):
        assert not any(kind == "call" for kind, _ in said) and not any(kind == "result" for kind, _ in answer)
    for (_, said), (_, answer) in zip(told[1::2], told[2::2], strict=True):
        calls = [i for kind, i in said if kind == "call"]
        if [i for kind, i in answer[: len(calls)] if kind == "result"] != calls:
            return "messages: `tool_use` ids were found without `tool_result` blocks immediately after"
        if any(kind == "result" for kind, _ in answer[len(calls) :]):
            return "messages: unexpected `tool_use_id` found in `tool_result` blocks"
    if not all(re.fullmatch(r"[a-zA-Z0-9_-]+", i) for _, parts in told for kind, i in parts if kind == "call"):
        return "messages: tool_use.id: String should match pattern '^[a-zA-Z0-9_-]+$'"
    if request["model"] == "claude-opus-4-8" and "temperature" in request:
        return "`temperature` is deprecated for this model."
    if not all(tool["input_schema"]["type"] == "object" for tool in request.get("tools", ())):
        return "tools: input_schema.type: Field required"
    choice = request.get("tool_choice", {"type": "auto"})
    if choice["type"] == "tool" and request["model"] == "claude-sonnet-5-5":
        return "tool_choice: this model does not support forced tool use"
    return ""


ANTHROPIC = Wire(
    "anthropic",
    lambda url: {"ANTHROPIC_BASE_URL": url, "ANTHROPIC_API_KEY": "sk-test"},
    r"/v1/messages",
    say_anthropic,
    refuse_anthropic,
    heard_anthropic,
    lambda request: [tool["name"] for tool in request.get("tools", ())],
    wrong_anthropic,
    "claude-opus-4-6",
    lambda request: {name: request[name] for name in ("temperature", "max_tokens") if name in request},
)


# Gemini: POST /v1beta/models/MODEL:generateContent

SIGNATURE = "c2lnbmVk"
"""What a thinking model signs its calls with; it wants them back so."""


def say_google(turn: Turn, stream: bool) -> bytes:
    said, calls = turn
    parts: list[Body] = [{"text": said}] if said else []
    parts += [{"functionCall": {"name": name, "args": args}} for name, args in calls]
    if calls:
        parts[-len(calls)]["thoughtSignature"] = SIGNATURE
    usage = {"promptTokenCount": 100, "cachedContentTokenCount": 60, "candidatesTokenCount": 20, "totalTokenCount": 120}
    candidate = {"content": {"role": "model", "parts": parts}, "finishReason": "STOP", "index": 0}
    body = {"candidates": [candidate], "usageMetadata": usage, "modelVersion": "gemini"}
    return events(body, named=False) if stream else json.dumps(body).encode()


def refuse_google(status: int, message: str) -> Body:
    kinds = {400: "INVALID_ARGUMENT", 401: "UNAUTHENTICATED", 429: "RESOURCE_EXHAUSTED", 503: "UNAVAILABLE"}
    return {"error": {"code": status, "message": message, "status": kinds.get(status, "INTERNAL")}}


def heard_google(request: Body) -> list[tuple[str, list[Part]]]:
    def part(piece: Body) -> Part:
        if "inlineData" in piece:
            picture = piece["inlineData"]
            assert "image/jpeg" in (picture.get("mimeType"), picture.get("mime_type"))
            return "image", picture["data"].replace("-", "+").replace("_", "/")
        if "functionCall" in piece:
            return "call", piece["functionCall"]["name"]
        if "functionResponse" in piece:
            return "result", piece["functionResponse"]["name"]
        return "text", piece["text"]

    system = request.get("systemInstruction")
    contents = [*([{**system, "role": "system"}] if system else []), *request["contents"]]
    return [(content["role"], [part(piece) for piece in content["parts"]]) for content in contents]


def wrong_google(request: Body) -> str:
    told = [turn for turn in heard_google(request) if turn[0] != "system"]
    if told[0][0] != "user" or told[-1][0] != "user" or any(not parts for _, parts in told):
        return "Please ensure that single turn requests end with a user role."
    for k, (_, parts) in enumerate(told):
        calls = [name for kind, name in parts if kind == "call"]
        results = [name for kind, name in (told[k + 1][1] if k + 1 < len(told) else []) if kind == "result"]
        if calls != results:
            return "Please ensure that the number of function response parts is equal to that of function call parts."
    for content in request["contents"]:
        first = next((part for part in content["parts"] if "functionCall" in part), None)
        if first is not None and "thoughtSignature" not in first:
            return "Function call is missing a thought_signature in functionCall parts."
    schemas = [tool for one in request.get("tools", ()) for tool in one["functionDeclarations"]]
    if re.search(r'"(additionalProperties|\$defs|\$ref|exclusiveMinimum)"', json.dumps(schemas)):
        return 'Invalid JSON payload received. Unknown name "additionalProperties" at tools[0].'
    return ""


def sampling_google(request: Body) -> Body:
    names = {"temperature": "temperature", "maxOutputTokens": "max_tokens", "seed": "seed"}
    given = request.get("generationConfig", {})
    return {own: given[name] for name, own in names.items() if name in given}


GOOGLE = Wire(
    "google_genai",
    lambda url: {"GOOGLE_GEMINI_BASE_URL": url, "GOOGLE_API_KEY": "k"},
    r"/v1beta/models/[\w.-]+:(generateContent|streamGenerateContent\?alt=sse)",
    say_google,
    refuse_google,
    heard_google,
    lambda request: [tool["name"] for one in request.get("tools", ()) for tool in one["functionDeclarations"]],
    wrong_google,
    "gemini-2.5-flash",
    sampling_google,
)


# Ollama: POST /api/chat, always streamed by its LangChain client


def say_ollama(turn: Turn, stream: bool) -> bytes:
    said, calls = turn
    called = [{"function": {"name": name, "arguments": args}} for name, args in calls]
    shared = {"model": "qwen2.5vl", "created_at": "2026-01-01T00:00:00Z"}
    message: Body = {"role": "assistant", "content": said} | ({"tool_calls": called} if called else {})
    ends = {"done": True, "done_reason": "stop", "prompt_eval_count": 100, "eval_count": 20, "total_duration": 1}
    empty = {"role": "assistant", "content": ""}
    lines = [{**shared, "message": message, "done": False}, {**shared, "message": empty, **ends}]
    if not stream:
        lines = [{**shared, "message": message, **ends}]
    return "".join(json.dumps(line) + "\n" for line in lines).encode()


def heard_ollama(request: Body) -> list[tuple[str, list[Part]]]:
    told: list[tuple[str, list[Part]]] = []
    for message in request["messages"]:
        parts: list[Part] = [("text", message["content"])] if message.get("content") else []
        parts += [("image", image) for image in message.get("images") or ()]
        parts += [("call", call["function"]["name"]) for call in message.get("tool_calls") or ()]
        told.append((message["role"], [("result", message["content"])] if message["role"] == "tool" else parts))
    return told


def wrong_ollama(request: Body) -> str:
    told = heard_ollama(request)
    calls = [name for _, parts in told for kind, name in parts if kind == "call"]
    if len(calls) != sum(role == "tool" for role, _ in told):
        return "calls and results differ in number"
    return ""


def sampling_ollama(request: Body) -> Body:
    names = {"temperature": "temperature", "num_predict": "max_tokens", "seed": "seed"}
    return {own: request["options"][name] for name, own in names.items() if name in request["options"]}


OLLAMA = Wire(
    "ollama",
    lambda url: {"OLLAMA_HOST": url},
    "/api/chat",
    say_ollama,
    lambda status, message: {"error": message},
    heard_ollama,
    lambda request: [tool["function"]["name"] for tool in request.get("tools") or ()],
    wrong_ollama,
    "qwen2.5vl:7b",
    sampling_ollama,
)


class Raw(NamedTuple):
    """An answer as it goes over the wire."""

    status: int
    data: bytes


class Server(ThreadingHTTPServer):
    """Speaks the turns of a script in order, the last again and again.

    A number among them is a status to fail with, or a hang-up if it is below zero; bytes are a body as it is.
    """

    daemon_threads = True
    wire: Wire
    script: list[Turn | int | bytes | Raw]
    requests: list[Body]
    streamed: list[bool]
    refused: list[str]
    """What was wrong with requests."""
    seconds = 0.0
    """How long it takes to answer."""
    no_tools = ""
    """What it says to requests with tools, if it takes none."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        wire = self.server.wire
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        stream = bool(request.get("stream")) or "streamGenerateContent" in self.path
        self.server.requests.append(request)
        self.server.streamed.append(stream)
        time.sleep(self.server.seconds)
        status, data = self._answer(request, stream)
        if status < 0:
            self.close_connection = True
            return
        self.send_response(status)
        kind = "text/event-stream" if stream and status == 200 and wire is not OLLAMA else "application/json"
        self.send_header("Content-Type", "text/html" if data.startswith(b"<") else kind)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        with suppress(BrokenPipeError):
            self.wfile.write(data)

    def _answer(self, request: Body, stream: bool) -> tuple[int, bytes]:
        wire = self.server.wire
        if not re.fullmatch(wire.path, self.path):
            return 404, b"nothing here"
        wrong = self.server.no_tools if wire.offered(request) else ""
        if wrong := wrong or wire.wrong(request):
            self.server.refused.append(wrong)
            return 400, json.dumps(wire.refuse(400, wrong)).encode()
        turn = self.server.script.pop(0) if len(self.server.script) > 1 else self.server.script[0]
        if isinstance(turn, Raw):
            return turn.status, turn.data
        if isinstance(turn, int):
            return turn, json.dumps(wire.refuse(turn, "not now")).encode()
        return 200, turn if isinstance(turn, bytes) else wire.say(turn, stream)

    def log_message(self, *args: Any) -> None:
        pass


@contextmanager
def serving(wire: Wire) -> Iterator[Server]:
    """A server of this provider, running."""
    server = Server(("127.0.0.1", 0), Handler)
    server.wire, server.script, server.requests, server.streamed, server.refused = wire, list(GOOD), [], [], []
    Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()
