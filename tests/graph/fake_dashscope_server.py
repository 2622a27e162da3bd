"""A server on loopback that speaks DashScope's native form: one request, whole or as server-sent events."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

import pytest

from .fake_model_server import Drops

Body = dict[str, Any]
KEY = "sk-never-to-be-seen"
PATH = "/api/v1/services/aigc/multimodal-generation/generation"
JSON = "application/json;charset=UTF-8"
EVENTS = "text/event-stream;charset=UTF-8"
USAGE = {
    "input_tokens": 1270,
    "output_tokens": 20,
    "total_tokens": 1290,
    "image_tokens": 1200,
    "input_tokens_details": {"image_tokens": 1200, "text_tokens": 70},
    "output_tokens_details": {"text_tokens": 20},
}


class Raw(NamedTuple):
    """An answer as it goes over the wire. Unless `whole`, the connection breaks where the data ends."""

    status: int
    data: bytes
    kind: str = JSON
    whole: bool = True
    headers: tuple[tuple[str, str], ...] = ()


@dataclass
class Turn:
    """What the model says, answered whole or in events as the request asks."""

    text: str = ""
    calls: list[tuple[str, Body]] = field(default_factory=list)
    finish: str = ""
    gate: threading.Event | None = None
    """An answer in events waits for it after the first one."""
    breaks: str = ""
    """What comes in place of the last event; nothing, if it is `cut`."""

    def whole(self) -> Raw:
        message: Body = {"role": "assistant", "content": [{"text": self.text}] if self.text else []}
        if self.calls:
            message["tool_calls"] = [_call(index, name, json.dumps(args)) for index, (name, args) in self._numbered()]
        return Raw(200, json.dumps(self._body(message, self._finish(), USAGE)).encode())

    def events(self) -> Iterator[bytes]:
        messages: list[Body] = [{"content": [{"text": piece}]} for piece in _pieces(self.text)]
        for index, (name, args) in self._numbered():
            first, *others = _pieces(json.dumps(args))
            messages.append({"content": [], "tool_calls": [_call(index, name, first)]})
            later = [{"index": index, "id": "", "type": "function", "function": {"arguments": rest}} for rest in others]
            messages += [{"content": [], "tool_calls": [each]} for each in later]
        for number, message in enumerate(messages, 1):
            usage = {**USAGE, "output_tokens": number, "total_tokens": 1270 + number}
            yield _event(number, self._body({"role": "assistant", **message}, "null", usage))
            if self.gate is not None and number == 1:
                self.gate.wait(20)
        if self.breaks:
            yield b"" if self.breaks == "cut" else self.breaks.encode()
            return
        yield _event(len(messages) + 1, self._body({"role": "assistant", "content": []}, self._finish(), USAGE))

    def _numbered(self) -> Iterator[tuple[int, tuple[str, Body]]]:
        return enumerate(self.calls)

    def _finish(self) -> str:
        return self.finish or ("tool_calls" if self.calls else "stop")

    @staticmethod
    def _body(message: Body, finish: str, usage: Body) -> Body:
        return {
            "output": {"choices": [{"message": message, "finish_reason": finish}]},
            "usage": usage,
            "request_id": "a75a1b22-e512-957d-891b-37db858ae738",
        }


Reply = Turn | Raw


class Server(ThreadingHTTPServer):
    """Answers with `answer(body)`, once the request is as the API documents it."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.requests: list[Body] = []
        self.headers: list[dict[str, str]] = []
        self.hung_up = threading.Event()
        """Set when the client left before it was answered."""
        self.answer: Callable[[Body], Reply | None] = lambda body: None
        self.drops: Drops | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/api/v1"

    def says(self, *replies: Reply) -> None:
        """Give these replies in order, the last one again and again."""
        left = list(replies)
        self.answer = lambda body: left.pop(0) if len(left) > 1 else left[0]


@contextmanager
def serving(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A server, and the environment that leads to it."""
    served = Server()
    threading.Thread(target=served.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    monkeypatch.setenv("DASHSCOPE_HTTP_BASE_URL", served.url)
    monkeypatch.setenv("DASHSCOPE_API_KEY", KEY)
    yield served
    served.shutdown()
    served.server_close()


class Handler(BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.requests.append(body)
        self.server.headers.append({name.lower(): value for name, value in self.headers.items()})
        streams = self.headers.get("X-DashScope-SSE") == "enable"
        if self.path != PATH:
            reply: Reply | None = Raw(404, b"<html>Not Found</html>", "text/html")
        else:
            fault = fault_of(body, streams)
            reply = refusal(400, "InvalidParameter", fault) if fault else self.server.answer(body)
        if reply is None:
            self.connection.settimeout(10)
            with suppress(TimeoutError):
                self.connection.recv(1)
                self.server.hung_up.set()
            self.close_connection = True
        elif isinstance(reply, Turn) and streams:
            self._send_events(reply)
        else:
            raw = reply if isinstance(reply, Raw) else reply.whole()
            part = self.server.drops.sent(raw.data) if self.server.drops else None
            if part == b"":
                self.close_connection = True
            else:
                self._send(raw if part is None else raw._replace(data=part, whole=False))

    def _send(self, raw: Raw) -> None:
        self.send_response(raw.status)
        self.send_header("Content-Type", raw.kind)
        for name, value in raw.headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(raw.data) + (not raw.whole)))
        self.end_headers()
        self.wfile.write(raw.data)
        self.close_connection = not raw.whole

    def _send_events(self, turn: Turn) -> None:
        self.send_response(200)
        self.send_header("Content-Type", EVENTS)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        events: Iterator[bytes] | list[bytes] = turn.events()
        is_whole = True
        if self.server.drops and self.server.drops.sent(b"..") is not None:
            told = list(events)
            events, is_whole, self.close_connection = told[: len(told) // 2], False, True
        try:
            for event in events:
                if event:
                    self.wfile.write(f"{len(event):x}\r\n".encode() + event + b"\r\n")
            if is_whole:
                self.wfile.write(b"0\r\n\r\n")
        except ConnectionError:
            self.server.hung_up.set()
            self.close_connection = True

    def log_message(self, *args: Any) -> None:
        pass


def fault_of(body: Body, streams: bool) -> str:
    """What of the request is not as the API documents it, or nothing."""
    if body.keys() != {"model", "input", "parameters"} or body["input"].keys() != {"messages"}:
        return "Required parameter(s) missing or invalid, please check the request parameters."
    if bool(body["parameters"].get("incremental_output")) != streams or "stream" in body["parameters"]:
        return "incremental_output belongs to streams"
    called: set[str] = set()
    for message in body["input"]["messages"]:
        parts, role = message["content"], message["role"]
        if not isinstance(parts, list) or not all(part.keys() in ({"text"}, {"image"}) for part in parts):
            return "content must be a list of text and image"
        if role not in ("system", "user", "assistant", "tool") or (role == "tool") != ("tool_call_id" in message):
            return f"role {role} is not supported"
        if role == "tool" and message["tool_call_id"] not in called:
            return "messages with role 'tool' must be a response to a preceding message with 'tool_calls'"
        called |= {call["id"] for call in message.get("tool_calls", ())}
    return ""


def refusal(status: int, code: str, message: str) -> Raw:
    """An error as the API sends it."""
    return Raw(status, json.dumps({"code": code, "message": message, "request_id": "req-1"}).encode())


def error_event(status: int, code: str, message: str) -> str:
    """An error inside a stream."""
    told = json.dumps({"code": code, "message": message, "request_id": "req-1"})
    return f"id:9\nevent:error\n:HTTP_STATUS/{status}\ndata:{told}\n\n"


def _event(number: int, body: Body) -> bytes:
    return f"id:{number}\nevent:result\n:HTTP_STATUS/200\ndata:{json.dumps(body, ensure_ascii=False)}\n\n".encode()


def _call(index: int, name: str, arguments: str) -> Body:
    return {
        "index": index,
        "id": f"call_{index}{name}",
        "type": "function",
        "function": {"name": name, "arguments": arguments},
    }


def _pieces(text: str) -> list[str]:
    return [text[at : at + 7] for at in range(0, len(text), 7)]


LOOK = ("detect_people", {"start": 0, "end": 0.5})
NAME = ("decompose", {"sub_actions": [{"name": "legs swing", "candidates": ["walk", "run"]}]})
ANSWER = '<think>steps</think><scores>{"1": {"walk": 8, "run": 3}}</scores><answer>walk</answer>'
GOOD = (Turn("Who is there?", [LOOK]), Turn(calls=[NAME]), Turn(ANSWER))
