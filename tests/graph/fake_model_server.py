"""A server on loopback that speaks vLLM's and DashScope's form of chat completions, and a conversation for it."""

import json
import re
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from random import Random
from threading import Event, Lock
from typing import Any

from video_star.graph.policies.prompted_tools import render_hermes

Body = dict[str, Any]
Reply = tuple[int, Body | bytes]


class Stream(bytes):
    """Server-sent events."""


class Drops:
    """Breaks connections at random: half of them before the reply, half in the middle of it.

    A request whose reply is sent whole is one that a provider would bill.
    """

    def __init__(self, share: float, seed: int) -> None:
        self._random, self._lock, self._share = Random(seed), Lock(), share
        self.dropped, self.whole = 0, 0

    def sent(self, data: bytes) -> bytes | None:
        """What is sent of a reply before its connection breaks; None for the whole of it."""
        with self._lock:
            drawn = self._random.random()
            if drawn >= self._share:
                self.whole += 1
                return None
            self.dropped += 1
            return b"" if drawn < self._share / 2 else data[: len(data) // 2]


class Server(ThreadingHTTPServer):
    """Answers with `answer(request)`: status and body. Connections are kept, as vLLM keeps them."""

    daemon_threads = True
    answer: Callable[[Body], Reply]
    requests: list[Body]
    keys: list[str | None]
    drops: Drops | None = None
    gate: Event | None = None
    """A stream waits for it after its first event."""
    request_queue_size = 128

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"

    def says(self, *replies: Reply) -> None:
        """Give these replies in order, the last one again and again."""
        left = list(replies)
        self.answer = lambda request: left.pop(0) if len(left) > 1 else left[0]


class Handler(BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path == "/v1/chat/completions":
            self.server.requests.append(request)
            self.server.keys.append(self.headers["Authorization"])
            status, body = self.server.answer(request)
            if request.get("stream") and isinstance(body, dict) and body.get("object") == "chat.completion":
                body = as_stream(body, bool((request.get("stream_options") or {}).get("include_usage")))
        else:
            status, body = 404, b"nothing here"
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        part = self.server.drops.sent(data) if self.server.drops and status == 200 else None
        if part == b"":
            self.close_connection = True
            return
        self.send_response(status)
        self.send_header("Content-Type", "text/event-stream" if isinstance(body, Stream) else "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.server.gate is not None and isinstance(body, Stream):
            first = data.index(b"\n\n") + 2
            self.wfile.write(data[:first])
            self.server.gate.wait(20)
            data = data[first:]
        self.wfile.write(data if part is None else part)
        self.close_connection = part is not None

    def log_message(self, *args: Any) -> None:
        pass


def completion(content: str | None = None, calls: list[tuple[str, Body]] | None = None, **more: Any) -> Reply:
    """A chat completion as vLLM writes it; `more` replaces or adds fields of the choice."""
    tool_calls = [
        {
            "id": f"chatcmpl-tool-{name}",
            "type": "function",
            "function": {"name": name, "arguments": json.dumps(arguments)},
        }
        for name, arguments in calls or ()
    ]
    message = {
        "role": "assistant",
        "content": content,
        "refusal": None,
        "annotations": None,
        "audio": None,
        "function_call": None,
        "tool_calls": tool_calls,
        "reasoning": None,
    }
    choice = {
        "index": 0,
        "message": message,
        "logprobs": None,
        "finish_reason": "tool_calls" if tool_calls else "stop",
        "stop_reason": None,
        "token_ids": None,
    }
    return 200, {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "tiny",
        "choices": [{**choice, **more}],
        "service_tier": None,
        "system_fingerprint": None,
        "usage": {"prompt_tokens": 100, "total_tokens": 120, "completion_tokens": 20, "prompt_tokens_details": None},
        "prompt_logprobs": None,
        "prompt_token_ids": None,
        "kv_transfer_params": None,
    }


def with_tokens(reply: Reply, prompt: list[int], sampled: list[tuple[int, float]]) -> Reply:
    """The reply of a vLLM that was asked for token ids and log-probabilities."""
    status, body = reply
    assert isinstance(body, dict)
    content = [{"token": f"t{i}", "logprob": p, "bytes": [116], "top_logprobs": []} for i, p in sampled]
    choice = {**body["choices"][0], "token_ids": [i for i, _ in sampled], "logprobs": {"content": content}}
    return status, {**body, "choices": [choice], "prompt_token_ids": prompt}


def refusal(status: int, message: str, **more: Any) -> Reply:
    return status, {"error": {"message": message, "type": "BadRequestError", "param": None, "code": status, **more}}


LOOK = ("detect_people", {"start": 0, "end": 0.5})
NAME = ("decompose", {"sub_actions": [{"name": "legs swing", "candidates": ["walk", "run"]}]})
ANSWER = '<think>steps</think><scores>{"1": {"walk": 8, "run": 3}}</scores><answer>walk</answer>'
GOOD = (completion("Who?", [LOOK]), completion(None, [NAME]), completion(ANSWER))
AS_TEXT = tuple(completion(render_hermes("", [{"name": name, "args": args}])) for name, args in (LOOK, NAME))
TOOLS_REFUSED = refusal(
    400, '"auto" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set', param="tool_choice"
)


def as_stream(body: Body, include_usage: bool) -> Stream:
    """A completion as server-sent events: its words piece by piece, then its calls, its end, its usage."""
    (choice,) = body["choices"]
    message = choice["message"]
    deltas: list[Body] = [{"content": piece} for piece in re.findall(r"\S+\s*|\s+", message["content"] or "")]
    for index, call in enumerate(message.get("tool_calls") or ()):
        given = call["function"]["arguments"]
        parts = [given[at : at + 9] for at in range(0, len(given), 9)] if isinstance(given, str) else [given]
        deltas.append({"tool_calls": [{**call, "index": index, "function": {**call["function"], "arguments": ""}}]})
        deltas += [{"tool_calls": [{"index": index, "function": {"arguments": part}}]} for part in parts]
    shared = {"id": body["id"], "object": "chat.completion.chunk", "created": 1, "model": body["model"]}
    events = [
        {**shared, "choices": [{"index": 0, "delta": d, "finish_reason": None, "token_ids": None}]} for d in deltas
    ]
    end: Body = {"index": 0, "delta": {}, "finish_reason": choice["finish_reason"]}
    if choice.get("token_ids"):
        end |= {"token_ids": choice["token_ids"], "logprobs": choice["logprobs"]}
    events.append({**shared, "choices": [end], "prompt_token_ids": body.get("prompt_token_ids")})
    events += [{**shared, "choices": [], "usage": body["usage"]}] if include_usage else []
    return Stream("".join(f"data: {json.dumps(each)}\n\n" for each in events).encode() + b"data: [DONE]\n\n")
