"""Servers that drop connections: runs succeed, and no reply that came whole is asked for again."""

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("langchain_openai", reason="needs the extra [api]")
pytest.importorskip("dashscope", reason="needs the extra [api]")

from video_star import Context, build_graph  # noqa: E402
from video_star.graph.policies.registry import resolve_policy  # noqa: E402

from ...clips import cut_clip  # noqa: E402
from .. import fake_dashscope_server as dashscope  # noqa: E402
from ..fake_model_server import ANSWER, NAME, Body, Drops, Handler, Reply, Server, completion  # noqa: E402

pytestmark = pytest.mark.slow
RUNS = 40
TURNS = 2


def reply(request: Body) -> Reply:
    """The turn that a conversation without tools is at: the server knows nothing of runs."""
    return completion(ANSWER) if request["messages"][-1]["role"] == "tool" else completion("Legs.", [NAME])


def dashscope_reply(body: Body) -> dashscope.Reply:
    last = body["input"]["messages"][-1]["role"]
    return dashscope.Turn(ANSWER) if last == "tool" else dashscope.Turn("Legs.", [NAME])


@pytest.fixture
def compatible(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    served = Server(("127.0.0.1", 0), Handler)
    served.requests, served.keys, served.answer = [], [], reply
    threading.Thread(target=served.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    monkeypatch.setenv("OPENAI_BASE_URL", served.url)
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    resolve_policy.cache_clear()
    yield served
    served.shutdown()
    served.server_close()


@pytest.fixture
def native(monkeypatch: pytest.MonkeyPatch) -> Iterator[dashscope.Server]:
    resolve_policy.cache_clear()
    with dashscope.serving(monkeypatch) as served:
        served.answer = dashscope_reply
        yield served


@pytest.fixture(scope="module")
def clip(walking_clip: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    short = tmp_path_factory.mktemp("clip") / "short.mp4"
    cut_clip(walking_clip, short, 0, 0.5)
    return short


async def outcomes(policy: str, clip: Path, mode: list[Any]) -> list[str]:
    """How `RUNS` runs at once end."""
    star = build_graph(context=Context(policy=policy, mode="no_tools", frames=2)).compile()
    given: Any = {"video": str(clip), "actions": ["walk", "run"]}

    async def one() -> str:
        state: Any = {}
        async for kind, part in star.astream(given, stream_mode=mode):
            state = part if kind == "values" else state
        return str(state["status"])

    ended = await asyncio.gather(*(one() for _ in range(RUNS)), return_exceptions=True)
    return [end if isinstance(end, str) else f"{type(end).__name__}: {end}" for end in ended]


MODES = pytest.mark.parametrize("mode", [["values"], ["messages", "values"]], ids=["whole", "streamed"])


@MODES
@pytest.mark.parametrize("spec", ["vllm:tiny@{url}", "openai:tiny"])
async def test_runs_survive_dropped_connections(compatible: Server, clip: Path, spec: str, mode: list[Any]) -> None:
    compatible.drops = Drops(0.3, seed=7)
    assert await outcomes(spec.format(url=compatible.url), clip, mode) == ["ok"] * RUNS
    assert compatible.drops.whole == RUNS * TURNS and compatible.drops.dropped > 10


@MODES
async def test_runs_through_the_native_api_survive_dropped_connections(
    native: dashscope.Server, clip: Path, mode: list[Any]
) -> None:
    native.drops = Drops(0.3, seed=11)
    assert await outcomes("dashscope:qwen3-vl-plus", clip, mode) == ["ok"] * RUNS
    assert native.drops.whole == RUNS * TURNS and native.drops.dropped > 10
