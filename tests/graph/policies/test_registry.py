"""Policies by name: the embedded one, and a real client of a local OpenAI-compatible server."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from video_star import recognize
from video_star.graph.policies.registry import resolve_policy
from video_star.graph.records.result import Cost
from video_star.tools.errors import UnknownPolicy

from ...console import invoke

pytestmark = pytest.mark.slow

pytest.importorskip("langchain_openai", reason="needs the extra [api]")


class Server(ThreadingHTTPServer):
    """Answers chat completions with prepared replies; a number among them is an HTTP error status."""

    daemon_threads = True
    turns: list[Any]
    requests: list[dict[str, Any]]
    more_usage: dict[str, Any]
    """Usage that it reports for each reply in addition to 100 input and 20 output tokens."""


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_POST(self) -> None:
        self.server.requests.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        turn = self.server.turns.pop(0) if len(self.server.turns) > 1 else self.server.turns[0]
        status = turn if isinstance(turn, int) else 200
        body = {"error": {"message": "not now", "type": "server"}}
        if not isinstance(turn, int):
            body = completion(turn)
            body["usage"] |= self.server.more_usage
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
    served.turns, served.requests, served.more_usage = [], [], {}
    threading.Thread(target=served.serve_forever, daemon=True).start()
    monkeypatch.setenv("OPENAI_BASE_URL", f"http://127.0.0.1:{served.server_port}/v1")
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    resolve_policy.cache_clear()
    yield served
    served.shutdown()
    served.server_close()


def ask(clip: Path, **settings: Any) -> Any:
    return recognize(clip, ["walk", "run"], end=1, policy="openai:served", **settings)


def test_a_served_model_completes_a_run(server: Server, walking_clip: Path) -> None:
    server.turns = list(GOOD)
    found = ask(walking_clip)
    assert found.action == "walk" and found.status == "ok"
    assert found.usage.policy_calls == 3 and found.usage.tokens.input == 300 and found.usage.tokens.output == 60
    offered = [[tool["function"]["name"] for tool in asked.get("tools", ())] for asked in server.requests]
    assert offered[0][0] == "detect_people" and offered[0][5:] == ["decompose"] and offered == [offered[0]] * 3


def test_the_cost_follows_your_price_or_else_the_providers_report(server: Server, walking_clip: Path) -> None:
    server.turns = list(GOOD)
    assert ask(walking_clip).usage.cost is None
    server.more_usage = {"prompt_tokens_details": {"cached_tokens": 60}, "cost": 0.00125}
    server.turns = list(GOOD)
    reported = ask(walking_clip).usage
    assert reported.tokens.cached == 180 and reported.cost == Cost(amount=0.00375, currency="USD")
    server.turns = list(GOOD)
    priced = ask(walking_clip, price={"input": 1, "cached": 0.5, "output": 10, "currency": "EUR"}).usage
    assert priced.cost == Cost(amount=(120 * 1 + 180 * 0.5 + 60 * 10) / 1e6, currency="EUR")


def test_the_command_line_takes_a_price_and_shows_the_cost(server: Server, walking_clip: Path, tmp_path: Path) -> None:
    server.turns = list(GOOD)
    asked = ("recognize", walking_clip, "--actions", "walk,run", "--end", "1", "--policy", "openai:served")
    told = invoke(*asked, "--price", "0.8/3.2", "--report", tmp_path / "run.html")
    assert told.exit_code == 0, told.stderr
    assert "300 input tokens, 60 output; 0.000432 USD" in " ".join(told.stdout.split())
    assert "0.000432 USD" in (tmp_path / "run.html").read_text(encoding="utf-8")
    for wrong in ("cheap", "1", "-1/2", "nan/1", "1/2/3/4"):
        refused = invoke(*asked, "--price", wrong)
        assert refused.exit_code == 2 and refused.stderr.startswith("Error: ") and "price" in refused.stderr


def test_images_are_in_user_messages_only_and_every_call_has_a_result(server: Server, walking_clip: Path) -> None:
    server.turns = list(GOOD)
    ask(walking_clip)
    sent = server.requests[-1]["messages"]
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
    assert "parameters" in server.requests[0]["tools"][0]["function"]
    assert "return" not in server.requests[0]["tools"][0]["function"]


@pytest.mark.parametrize("status", [429, 503])
def test_a_transient_failure_is_retried(server: Server, walking_clip: Path, status: int) -> None:
    server.turns = [status, *GOOD]
    assert ask(walking_clip).status == "ok" and len(server.requests) == 4


def test_a_refusal_is_not_retried(server: Server, walking_clip: Path) -> None:
    server.turns = [GOOD[0], 401]
    found = ask(walking_clip)
    assert found.status == "failed" and found.error_type == "PolicyUnavailable"
    assert [item.tool for item in found.evidence] == ["detect_people"] and len(server.requests) == 2


def test_a_dead_server_fails_the_run(server: Server, walking_clip: Path) -> None:
    server.shutdown()
    server.server_close()
    found = ask(walking_clip)
    assert found.status == "failed" and found.error_type == "PolicyUnreachable"


@pytest.mark.parametrize("spec", ["", "kinetic", "nobody:model", "openai:", ":model", "a b c"])
def test_an_unknown_policy_raises_with_the_known_forms(spec: str) -> None:
    with pytest.raises(UnknownPolicy, match="policy"):
        resolve_policy(spec)
