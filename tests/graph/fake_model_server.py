"""A server on loopback that speaks vLLM's and DashScope's form of chat completions, and a conversation for it."""

import json
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from video_star.graph.policies.prompted_tools import render_hermes

Body = dict[str, Any]
Reply = tuple[int, Body | bytes]


class Stream(bytes):
    """Server-sent events."""


class Server(ThreadingHTTPServer):
    """Answers with `answer(request)`: status and body. Connections are kept, as vLLM keeps them."""

    daemon_threads = True
    answer: Callable[[Body], Reply]
    requests: list[Body]
    keys: list[str | None]

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
        else:
            status, body = 404, b"nothing here"
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/event-stream" if isinstance(body, Stream) else "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

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


def streamed(*texts: str) -> Reply:
    """A completion piece by piece."""
    shared = {"id": "1", "object": "chat.completion.chunk", "created": 1, "model": "tiny"}
    pieces = [{**shared, "choices": [{"index": 0, "delta": {"content": t}, "finish_reason": None}]} for t in texts]
    end = {**shared, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
    return 200, Stream(
        "".join(f"data: {json.dumps(each)}\n\n" for each in [*pieces, end]).encode() + b"data: [DONE]\n\n"
    )
