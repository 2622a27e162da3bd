"""Policies by name: the embedded one, and a real client of an OpenAI-compatible server on loopback."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from video_star import recognize
from video_star.graph.policy import resolve_policy
from video_star.tools.errors import UnknownPolicy

pytest.importorskip("langchain_openai", reason="needs the extra [api]")


class Server(ThreadingHTTPServer):
    """Answers chat completions with prepared turns; a number among them is an HTTP status to fail with."""

    daemon_threads = True
    turns: list[Any]
    asked: list[dict[str, Any]]


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_POST(self) -> None:
        self.server.asked.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        turn = self.server.turns.pop(0) if len(self.server.turns) > 1 else self.server.turns[0]
        status = turn if isinstance(turn, int) else 200
        body = {"error": {"message": "not now", "type": "server"}} if isinstance(turn, int) else completion(turn)
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *args: Any) -> None:
        pass


def completion(message: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": "1",
        "object": "chat.completion",
        "created": 0,
        "model": "served",
        "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "", **message}}],
        "usage": {"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120},
    }


def call(name: str, **args: Any) -> dict[str, Any]:
    function = {"name": name, "arguments": json.dumps(args)}
    return {"tool_calls": [{"id": f"call_{name}", "type": "function", "function": function}]}


GOOD = [
    call("detect_people", start=0, end=0.5),
    call("decompose", sub_actions=[{"name": "legs swing", "candidates": ["walk", "run"]}]),
    {"content": '<think>steps</think><scores>{"1": {"walk": 8, "run": 3}}</scores><answer>walk</answer>'},
]


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    served = Server(("127.0.0.1", 0), Handler)
    served.turns, served.asked = [], []
    threading.Thread(target=served.serve_forever, daemon=True).start()
    monkeypatch.setenv("OPENAI_BASE_URL", f"http://127.0.0.1:{served.server_port}/v1")
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    resolve_policy.cache_clear()
    yield served
    served.shutdown()
    served.server_close()


def ask(clip: Path, **settings: Any) -> Any:
    return recognize(clip, ["walk", "run"], end=1, policy="openai:served", **settings)


def test_a_served_model_plays_the_whole_conversation(server: Server, walking_clip: Path) -> None:
    server.turns = list(GOOD)
    found = ask(walking_clip)
    assert found.action == "walk" and found.status == "ok"
    assert found.usage.policy_calls == 3 and found.usage.tokens.input == 300 and found.usage.tokens.output == 60
    offered = [[tool["function"]["name"] for tool in asked.get("tools", ())] for asked in server.asked]
    assert offered[0][0] == "detect_people" and offered[0][5:] == ["decompose"] and offered == [offered[0]] * 3


def test_pictures_are_in_user_turns_only_and_every_call_has_its_reply(server: Server, walking_clip: Path) -> None:
    server.turns = list(GOOD)
    ask(walking_clip)
    sent = server.asked[-1]["messages"]
    for message in sent:
        if isinstance(message["content"], list):
            assert message["role"] == "user"
    pictures = [
        part["image_url"]["url"]
        for message in sent
        if isinstance(message["content"], list)
        for part in message["content"]
        if part["type"] == "image_url"
    ]
    assert len(pictures) > 4 and all(url.startswith("data:image/jpeg;base64,") for url in pictures)
    asked = [c["id"] for message in sent for c in message.get("tool_calls") or ()]
    assert asked == [message["tool_call_id"] for message in sent if message["role"] == "tool"]
    assert "parameters" in server.asked[0]["tools"][0]["function"]
    assert "return" not in server.asked[0]["tools"][0]["function"]


@pytest.mark.parametrize("status", [429, 503])
def test_a_passing_failure_is_tried_again(server: Server, walking_clip: Path, status: int) -> None:
    server.turns = [status, *GOOD]
    assert ask(walking_clip).status == "ok" and len(server.asked) == 4


def test_a_refusal_is_not_tried_again_and_ends_typed(server: Server, walking_clip: Path) -> None:
    server.turns = [GOOD[0], 401]
    found = ask(walking_clip)
    assert found.status == "failed" and found.error is not None and found.error.startswith("PolicyUnavailable")
    assert [item.tool for item in found.evidence] == ["detect_people"] and len(server.asked) == 2


def test_a_dead_server_ends_typed(server: Server, walking_clip: Path) -> None:
    server.shutdown()
    server.server_close()
    found = ask(walking_clip)
    assert found.status == "failed" and found.error is not None and found.error.startswith("PolicyBusy")


@pytest.mark.parametrize("spec", ["", "kinetic", "nobody:model", "openai:", ":model", "a b c"])
def test_an_unknown_policy_says_what_there_is(spec: str) -> None:
    with pytest.raises(UnknownPolicy, match="policy"):
        resolve_policy(spec)
