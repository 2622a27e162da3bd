"""Settings of a run: what the host sets itself, and what the caller of its graph may name."""

import json
import traceback
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
from video_star.tools.errors import BadInput, ModelNotAllowed, PolicyBusy, PolicyUnavailable

pytestmark = pytest.mark.slow

ACTIONS = ["walk", "run"]
ALLOWED = "VIDEO_STAR_ALLOWED_MODELS"


class Trap(ThreadingHTTPServer):
    """A server at a caller's address that has nothing, and keeps the key of whoever asks."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.keys: list[str | None] = []
        self.address = f"http://127.0.0.1:{self.server_port}/v1"
        self.spec = f"vllm:m@{self.address}"
        self.status, self.kind, self.body = 404, "text/plain", b""


class _Handler(BaseHTTPRequestHandler):
    server: Trap

    def do_GET(self) -> None:
        self.rfile.read(int(self.headers["content-length"] or 0))
        self.server.keys.append(self.headers["authorization"])
        self.send_response(self.server.status)
        self.send_header("content-type", self.server.kind)
        self.send_header("content-length", str(len(self.server.body)))
        self.end_headers()
        self.wfile.write(self.server.body)

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


FOREIGN = "ROOT-PASSWORD of 10.0.0.7 is 1234"
ANSWERS = {
    "refused": (400, "application/json", json.dumps({"error": {"message": FOREIGN, "code": FOREIGN}, "code": FOREIGN})),
    "no model": (404, "application/json", json.dumps({"message": FOREIGN, "code": FOREIGN, "request_id": FOREIGN})),
    "a page": (200, "text/html", f"<html>{FOREIGN}</html>"),
    "no answer": (200, "application/json", json.dumps({"choices": FOREIGN, "error": FOREIGN, "output": FOREIGN})),
}


@pytest.fixture(params=ANSWERS)
def liar(request: pytest.FixtureRequest, trap: Trap, monkeypatch: pytest.MonkeyPatch) -> Trap:
    """A server on the host's list whose answers nobody but the host may read."""
    trap.status, trap.kind, body = ANSWERS[request.param]
    trap.body = body.encode()
    for name in ("OPENAI_BASE_URL", "DASHSCOPE_HTTP_BASE_URL", "DASHSCOPE_BASE_URL", "ANTHROPIC_BASE_URL"):
        monkeypatch.setenv(name, trap.address)
    monkeypatch.setenv("ANTHROPIC_API_KEY", "HOST-SECRET")
    return trap


SERVED = ["vllm", "openai:m", "dashscope:m", "dashscope:m?api=compatible", "anthropic:m"]


@pytest.mark.parametrize("spec", SERVED)
async def test_a_caller_never_reads_what_a_server_of_the_host_said(liar: Trap, walking_clip: Path, spec: str) -> None:
    spec = liar.spec if spec == "vllm" else spec
    star = build_graph(allowed_models=[spec])
    with pytest.raises(PolicyUnavailable) as caught:
        await run(star, walking_clip, {"policy": spec, "mode": "no_tools", "seed": liar.server_port})
    told, logged = str(caught.value), "".join(traceback.format_exception(caught.value))
    assert ";" in told or "policy" in told
    for word in ("1234", "10.0.0.7", str(liar.server_port), "HOST-SECRET"):
        assert word not in told and word not in repr(caught.value)
    assert "HOST-SECRET" not in logged


@pytest.mark.parametrize(("name", "tool"), [("describer", "describe_video"), ("explainer", "explain_actions")])
async def test_notes_on_a_failed_model_of_a_tool_quote_its_server_to_the_host_only(
    liar: Trap, walking_clip: Path, name: str, tool: str
) -> None:
    settings: Any = {name: liar.spec, "tools": [tool], "mode": "static"}
    asked: Any = {"video": str(walking_clip), "actions": ["walk", "juggle with cups"], "end": 0.6}
    called = await build_graph(allowed_models=[liar.spec]).compile().ainvoke(asked, context=settings)
    assert "1234" not in str(called) and str(liar.server_port) not in str(called)
    assert any("gave no d" in note for note in called["notes"])
    asked = {**asked, "end": 0.7}
    found = recognize(**asked, **settings)
    assert any(str(liar.server_port) in note for note in found.notes)


def test_recognize_tells_its_host_what_the_server_said(liar: Trap, walking_clip: Path) -> None:
    found = recognize(walking_clip, ACTIONS, end=0.6, mode="no_tools", policy=liar.spec)
    assert found.status == "failed" and str(liar.server_port) in str(found.error)


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError(FOREIGN),
        PolicyUnavailable(FOREIGN),
        PolicyBusy(FOREIGN),
        ExceptionGroup(FOREIGN, [ValueError(FOREIGN)]),
    ],
)
async def test_an_error_of_any_policy_is_told_without_its_words(
    walking_clip: Path, make_policy: Any, error: Exception
) -> None:
    with pytest.raises(PolicyUnavailable) as caught:
        await run(build_graph(policy=make_policy([error])), walking_clip, None)
    assert "1234" not in str(caught.value) and "1234" in "".join(traceback.format_exception(caught.value))
    assert isinstance(caught.value, PolicyBusy) == isinstance(error, PolicyBusy)
