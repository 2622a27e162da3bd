"""Settings of a run: what the host sets itself, and what the caller of its graph may name."""

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from video_star import Context, build_graph, recognize
from video_star.graph.host import Host
from video_star.graph.run import checked_context
from video_star.graph.state import HostContext
from video_star.tools.errors import BadInput, ModelNotAllowed

ACTIONS = ["walk", "run"]
ALLOWED = "VIDEO_STAR_ALLOWED_MODELS"


@pytest.fixture
def trap(monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """A listener at a caller's address; `accept` raises BlockingIOError while nobody has connected."""
    for name in ("VLLM_API_KEY", "OPENAI_API_KEY", "DASHSCOPE_API_KEY"):
        monkeypatch.setenv(name, "HOST-SECRET")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        yield listener


def vllm_at(listener: socket.socket) -> str:
    return f"vllm:m@http://127.0.0.1:{listener.getsockname()[1]}/v1"


async def run(star: Any, clip: Path, context: Any) -> dict[str, Any]:
    found: dict[str, Any] = await star.compile().ainvoke(
        {"video": str(clip), "actions": ACTIONS, "end": 0.6}, context=context
    )
    return found


async def test_a_caller_of_a_graph_may_not_name_models(trap: socket.socket, walking_clip: Path, tmp_path: Path) -> None:
    spec = vllm_at(trap)
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
    with pytest.raises(BlockingIOError):
        trap.accept()


async def test_a_caller_may_name_the_embedded_models_and_those_of_the_host(walking_clip: Path) -> None:
    context = {"policy": "kinematic", "describer": "embedded", "explainer": "embedded", "mode": "no_tools"}
    assert (await run(build_graph(allowed_models=[]), walking_clip, context))["action"] in ACTIONS
    host = Host(Context(policy="openai:gpt-4.1", describer="openai:gpt-4.1"))
    host.check_models({"policy": "openai:gpt-4.1", "describer": "embedded"})
    with pytest.raises(ModelNotAllowed, match="explainer 'openai:gpt-4.1'"):
        host.check_models({"explainer": "openai:gpt-4.1"})


async def test_models_on_the_host_s_list_are_used(
    trap: socket.socket, walking_clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = vllm_at(trap)
    context = {"describer": spec, "tools": ["describe_video"], "mode": "static", "tool_seconds": 0.5}
    await run(build_graph(allowed_models=[spec]), walking_clip, context)
    trap.accept()[0].close()
    monkeypatch.setenv(ALLOWED, f"openai:gpt-4.1, {spec}")
    await run(build_graph(), walking_clip, {**context, "seed": 1})
    trap.accept()[0].close()
    # The argument replaces the variable, and an entry allows nothing but itself.
    for allowed in ([], [f"{spec}?max_tokens=9"], [spec[:-1]], ["*"]):
        with pytest.raises(ModelNotAllowed):
            await run(build_graph(allowed_models=allowed), walking_clip, context)


def test_settings_of_recognize_are_the_host_s(trap: socket.socket, walking_clip: Path) -> None:
    given: Any = {"describer": vllm_at(trap), "tools": ["describe_video"], "mode": "static", "tool_seconds": 0.5}
    for graph in (None, build_graph(allowed_models=[]).compile()):
        found = recognize(walking_clip, ACTIONS, end=0.6, graph=graph, **given)
        assert found.action in ACTIONS
        trap.accept()[0].close()
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
