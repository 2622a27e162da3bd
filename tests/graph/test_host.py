"""Settings of a run: what the host sets itself, and what the caller of its graph may name."""

from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from video_star import Context, build_graph, recognize
from video_star.graph.host import Host
from video_star.graph.run import checked_context
from video_star.graph.state import HostContext
from video_star.tools.errors import BadInput, ModelNotAllowed

ACTIONS = ["walk", "run"]
ALLOWED = "VIDEO_STAR_ALLOWED_MODELS"


class Trap(ThreadingHTTPServer):
    """A server at a caller's address that has nothing, and keeps the key of whoever asks."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.keys: list[str | None] = []
        self.spec = f"vllm:m@http://127.0.0.1:{self.server_port}/v1"


class _Handler(BaseHTTPRequestHandler):
    server: Trap

    def do_GET(self) -> None:
        self.rfile.read(int(self.headers["content-length"] or 0))
        self.server.keys.append(self.headers["authorization"])
        self.send_response(404)
        self.send_header("content-length", "0")
        self.end_headers()

    do_POST = do_GET

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def trap(monkeypatch: pytest.MonkeyPatch) -> Iterator[Trap]:
    for name in ("VLLM_API_KEY", "OPENAI_API_KEY", "DASHSCOPE_API_KEY"):
        monkeypatch.setenv(name, "HOST-SECRET")
    with Trap() as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


async def run(star: Any, clip: Path, context: Any) -> dict[str, Any]:
    found: dict[str, Any] = await star.compile().ainvoke(
        {"video": str(clip), "actions": ACTIONS, "end": 0.6}, context=context
    )
    return found


async def test_a_caller_of_a_graph_may_not_name_models(trap: Trap, walking_clip: Path, tmp_path: Path) -> None:
    spec = trap.spec
    for context in (
        {"policy": spec, "mode": "no_tools"},
        {"describer": spec, "tools": ["describe_video"], "mode": "static"},
        {"explainer": spec, "tools": ["explain_actions"], "mode": "static"},
        {"describer": spec, "mode": "no_tools"},
        {"policy": f"transformers:{tmp_path}"},
        {"policy": "transformers:some-organisation/some-model"},
        {"policy": "openai:gpt-4.1"},
        {"explainer": "dashscope:qwen-plus"},
        {"policy": "oracle"},
        {"policy": "embedded"},
        {"policy": "kinematic?max_tokens=9"},
        {"policy": ""},
    ):
        with pytest.raises(ModelNotAllowed, match=ALLOWED):
            await run(build_graph(), walking_clip, context)
        with pytest.raises(ModelNotAllowed, match=ALLOWED):
            await run(build_graph(), walking_clip, Context.model_validate(context))
    assert trap.keys == []


async def test_a_caller_may_name_the_embedded_models_and_those_of_the_host(walking_clip: Path) -> None:
    context = {"policy": "kinematic", "describer": "embedded", "explainer": "embedded", "mode": "no_tools"}
    assert (await run(build_graph(allowed_models=[]), walking_clip, context))["action"] in ACTIONS
    host = Host(Context(policy="openai:gpt-4.1", describer="openai:gpt-4.1"))
    host.check_models({"policy": "openai:gpt-4.1", "describer": "embedded"})
    with pytest.raises(ModelNotAllowed, match="explainer 'openai:gpt-4.1'"):
        host.check_models({"explainer": "openai:gpt-4.1"})


async def test_models_on_the_host_s_list_are_used(
    trap: Trap, walking_clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = trap.spec
    context = {"describer": spec, "tools": ["describe_video"], "mode": "static"}
    await run(build_graph(allowed_models=[spec]), walking_clip, context)
    asked = len(trap.keys)
    assert asked
    monkeypatch.setenv(ALLOWED, f"openai:gpt-4.1, {spec}")
    await run(build_graph(), walking_clip, {**context, "seed": 1})
    assert len(trap.keys) > asked
    # The argument replaces the variable, and an entry allows nothing but itself.
    for allowed in ([], [f"{spec}?max_tokens=9"], [spec[:-1]], ["*"]):
        with pytest.raises(ModelNotAllowed):
            await run(build_graph(allowed_models=allowed), walking_clip, context)


def test_settings_of_recognize_are_the_host_s(trap: Trap, walking_clip: Path) -> None:
    given: Any = {"describer": trap.spec, "tools": ["describe_video"], "mode": "static"}
    for graph in (None, build_graph(allowed_models=[]).compile()):
        found = recognize(walking_clip, ACTIONS, end=0.6, graph=graph, **given)
        assert found.action in ACTIONS
        assert set(trap.keys) == {"Bearer HOST-SECRET"}
        trap.keys.clear()
        given["seed"] = 1


async def test_a_caller_cannot_pass_for_the_host(walking_clip: Path) -> None:
    assert isinstance(checked_context({"policy": "openai:gpt-4.1"}), HostContext)
    given = HostContext(policy="openai:gpt-4.1").model_dump(mode="json")
    for context in (given, {**given, "policy": "openai:gpt-4.1\n"}):
        with pytest.raises(ModelNotAllowed):
            await run(build_graph(), walking_clip, context)


async def test_the_refusal_does_not_reveal_the_host_s_models(walking_clip: Path) -> None:
    star = build_graph(context=Context(policy="vllm:m@http://inside/v1"), allowed_models=["vllm:n@http://inside/v1"])
    with pytest.raises(BadInput) as caught:
        await run(star, walking_clip, {"policy": "\x1b[2Jx" * 99})
    assert "inside" not in str(caught.value) and "\x1b" not in str(caught.value) and len(str(caught.value)) < 600
