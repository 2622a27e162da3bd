"""A `langgraph dev` server for tests: offline, without keys, with blocking calls in nodes rejected."""

import http.client
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

pytest.importorskip("langgraph_cli", reason="needs langgraph-cli[inmem], of the extra [studio]")
pytest.importorskip("langgraph_api", reason="needs langgraph-cli[inmem], of the extra [studio]")

CONFIG = Path(__file__).parents[2] / "langgraph.json"
NODES = ["tool_select", "tool_exec", "fuse", "decompose", "score"]
ACTIONS = ["walk", "run", "hug", "jump", "sit", "wave", "clap", "drink"]
NOWHERE = "http://127.0.0.1:9"
MCP = {"accept": "application/json, text/event-stream"}

Event = tuple[str, Any]


@dataclass(frozen=True)
class Dev:
    """A running server and an HTTP client for it."""

    api: httpx.Client
    folder: Path
    """Its working folder: besides the bundled clips, the only place from which it may read videos."""
    home: Path
    log: Path

    def stream(
        self, given: dict[str, Any] | None, thread: str | None = None, **options: Any
    ) -> tuple[str, list[Event]]:
        """Run on a thread, by default a new one, to the end of the stream; returns the thread and the events."""
        thread = thread or self.api.post("/threads", json={}).json()["thread_id"]
        run = {"assistant_id": "video_star", "input": given, "stream_mode": ["custom", "updates"], **options}
        events: list[Event] = []
        with self.api.stream("POST", f"/threads/{thread}/runs/stream", json=run) as answer:
            assert answer.status_code == 200, answer.read()
            kind = ""
            for line in answer.iter_lines():
                if line.startswith("event: "):
                    kind = line.removeprefix("event: ")
                elif line.startswith("data: "):
                    events.append((kind, json.loads(line.removeprefix("data: "))))
        return thread, events

    def state(self, thread: str) -> dict[str, Any]:
        found: dict[str, Any] = self.api.get(f"/threads/{thread}/state").raise_for_status().json()
        return found

    def mcp(self, method: str, **params: Any) -> dict[str, Any]:
        call = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        result: dict[str, Any] = self.api.post("/mcp", json=call, headers=MCP).raise_for_status().json()["result"]
        return result

    def raw(self, method: str, path: str) -> tuple[int, bytes]:
        """Request exactly this path; httpx would normalise `..`."""
        link = http.client.HTTPConnection("127.0.0.1", self.api.base_url.port, timeout=10)
        try:
            link.putrequest(method, path, skip_host=False)
            link.endheaders()
            answer = link.getresponse()
            return answer.status, answer.read()
        finally:
            link.close()


def offline(home: Path) -> dict[str, str]:
    """The environment without API keys, and with proxies on which nothing listens."""
    dropped = re.compile(r"LANGSMITH|LANGCHAIN|LANGGRAPH|VIDEO_STAR|OPENAI|.*_API_KEY$")
    kept = {name: value for name, value in os.environ.items() if not dropped.match(name)}
    proxies = {
        name: NOWHERE for kind in ("HTTP", "HTTPS", "ALL") for name in (f"{kind}_PROXY", f"{kind}_PROXY".lower())
    }
    return {
        **kept,
        **proxies,
        "NO_PROXY": "",
        "no_proxy": "",
        "LANGSMITH_TRACING": "false",
        "LANGGRAPH_NO_VERSION_CHECK": "true",
        "LANGGRAPH_CLI_NO_ANALYTICS": "1",
        "OPENAI_API_KEY": "unused",
        "OPENAI_BASE_URL": f"{NOWHERE}/v1",
        "VIDEO_STAR_HOME": str(home),
        # Any host is allowed, so that a URL is rejected only because of its address.
        "VIDEO_STAR_HOSTS": "*",
        "VIDEO_STAR_ALLOWED_MODELS": "openai:gpt-4.1",
        "PYTHONUNBUFFERED": "1",
    }


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dev]:
    folder, home = tmp_path_factory.mktemp("served"), tmp_path_factory.mktemp("home")
    log = home / "server.log"
    shutil.copy(CONFIG, folder)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "langgraph_cli", "dev", "--no-browser", "--no-reload"]
    with log.open("wb") as sink:
        process = subprocess.Popen(
            [*command, "--host", "127.0.0.1", "--port", str(port)],
            cwd=folder,
            env=offline(home),
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        with httpx.Client(base_url=address(process, log), timeout=60, trust_env=False) as api:
            yield Dev(api, folder, home, log)
    finally:
        stop(process)


def address(process: subprocess.Popen[bytes], log: Path) -> str:
    """The URL on which the server listens, once it responds."""
    deadline = time.monotonic() + 240
    while time.monotonic() < deadline and process.poll() is None:
        found = re.search(r"API: \S*?(http://127\.0\.0\.1:\d+)", log.read_text(errors="replace"))
        if found:
            with suppress(httpx.TransportError):
                if httpx.get(f"{found[1]}/ok", trust_env=False, timeout=5).status_code == 200:
                    return found[1]
        time.sleep(0.2)
    raise AssertionError(f"langgraph dev did not start:\n{log.read_text(errors='replace')}")


def stop(process: subprocess.Popen[bytes]) -> None:
    for signum, patience in ((signal.SIGTERM, 10), (signal.SIGKILL, 10)):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signum)
        with suppress(subprocess.TimeoutExpired):
            process.wait(patience)
            break
    # Processes that the server may have left running in its group.
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


@pytest.fixture
def dev(server: Dev) -> Iterator[Dev]:
    """The server; pytest shows its log of a test that fails."""
    before = server.log.stat().st_size
    yield server
    log = re.sub(r"\x1b\[[0-9;]*m", "", server.log.read_bytes()[before:].decode(errors="replace"))
    print(*(line[:300] for line in log.splitlines()[-150:]), sep="\n")


@dataclass(frozen=True)
class Finished:
    """A finished run, used by several tests."""

    thread: str
    events: list[Event]
    state: str


@pytest.fixture(scope="module")
def finished(server: Dev, walking_clip: Path) -> Finished:
    thread, events = server.stream(inputs(walking_clip))
    return Finished(thread, events, server.api.get(f"/threads/{thread}/state").raise_for_status().text)


def inputs(video: object, **more: Any) -> dict[str, Any]:
    return {"video": str(video), "actions": ACTIONS, "start": 1, "end": 3, **more}


def custom(events: list[Event]) -> list[dict[str, Any]]:
    return [data for kind, data in events if kind == "custom"]


def answer(events: list[Event]) -> str | None:
    assert "error" not in [kind for kind, _ in events], events[-1]
    scored = [event for event in custom(events) if event["node"] == "score"]
    return str(scored[-1]["action"]) if scored else None


def refusal(events: list[Event]) -> tuple[str, str]:
    """Type and message of the error that ended a run."""
    kind, data = events[-1]
    assert kind == "error", events
    return data["error"], data["message"]


def schemas(dev: Dev) -> dict[str, Any]:
    found = dev.api.post("/assistants/search", json={"graph_id": "video_star"}).raise_for_status().json()
    schema: dict[str, Any] = dev.api.get(f"/assistants/{found[0]['assistant_id']}/schemas").raise_for_status().json()
    return schema
