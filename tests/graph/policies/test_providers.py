"""Policies through the client of each provider, against local servers with the provider's replies and errors."""

import asyncio
import base64
import gc
import json
import re
import warnings
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import HumanMessage
from PIL import Image

from video_star import Recognition, arecognize, build_graph, recognize
from video_star.graph.policies import prompted_tools as prompted
from video_star.graph.policies.prompted_tools import render_hermes
from video_star.graph.policies.registry import resolve_policy
from video_star.graph.state import Context
from video_star.graph.turn import Turn as PolicyTurn
from video_star.graph.usage import NodeUsage
from video_star.tools.errors import PolicyBusy, PolicyDisconnected, PolicyUnavailable, PolicyUnreachable, UnknownPolicy

from ..fake_provider_server import (
    ANSWER,
    ANTHROPIC,
    GOOD,
    GOOGLE,
    LOOK,
    NAME,
    OLLAMA,
    SIGNATURE,
    Raw,
    Server,
    Turn,
    serving,
)

pytest.importorskip("langchain", reason="needs the extra [api]")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.usefixtures("warm"),
    # langchain-core reads the body of a refused request, which aiohttp gives to who awaits it.
    pytest.mark.filterwarnings("ignore:coroutine 'ClientResponse.json' was never awaited"),
]
WIRES = {wire.provider: wire for wire in (ANTHROPIC, GOOGLE, OLLAMA)}
OLDEST = {"anthropic": 1, "google_genai": 4, "ollama": 1}
"""Oldest major version of each package that is known to work."""


@pytest.fixture(params=WIRES)
def server(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    package = f"langchain-{request.param.replace('_', '-')}"
    try:
        known = int(version(package).split(".")[0]) >= OLDEST[request.param]
    except PackageNotFoundError:
        known = False
    if not known:
        pytest.skip(f"needs {package} {OLDEST[request.param]} or later")
    wire = WIRES[request.param]
    with serving(wire) as served:
        for name, value in wire.address(served.url).items():
            monkeypatch.setenv(name, value)
        resolve_policy.cache_clear()
        monkeypatch.setattr(prompted, "_REFUSING", set())
        yield served
    resolve_policy.cache_clear()
    if wire is GOOGLE:
        # While the filter above holds: a warning that is raised by some later collection can end the whole session.
        gc.collect()


only = {
    name: pytest.mark.parametrize("server", [wire.provider], indirect=True)
    for name, wire in (("anthropic", ANTHROPIC), ("google", GOOGLE), ("ollama", OLLAMA))
}
keyed = pytest.mark.parametrize("server", ["anthropic", "google_genai"], indirect=True)


def spec(server: Server, model: str = "") -> str:
    return f"{server.wire.provider}:{model or server.wire.model}"


def ask(server: Server, clip: Path, model: str = "", **settings: Any) -> Recognition:
    settings = {"tools": ["detect_people"], "frames": 4} | settings
    return recognize(clip, ["walk", "run"], end=1, policy=spec(server, model), **settings)


def test_a_provider_completes_a_run(server: Server, walking_clip: Path) -> None:
    found = ask(server, walking_clip, "", temperature=0.5, seed=7)
    assert found.action == "walk" and found.status == "ok" and not found.notes and server.refused == []
    assert [item.tool for item in found.evidence] == ["detect_people"]
    used = found.usage
    assert (used.policy_calls, used.tokens.input, used.tokens.output) == (3, 300, 60) and len(server.requests) == 3
    assert used.tokens.cached == (None if server.wire is OLLAMA else 180)
    assert [server.wire.offered(asked) for asked in server.requests] == [["detect_people", "decompose"]] * 3
    parts = [part for _, told in server.wire.heard(server.requests[-1]) for part in told]
    pictures = [Image.open(BytesIO(base64.b64decode(data))) for kind, data in parts if kind == "image"]
    assert len(pictures) > 4 and all(picture.format == "JPEG" for picture in pictures)
    seeded = {} if server.wire is ANTHROPIC else {"seed": 7}
    sampling = server.wire.sampling(server.requests[0])
    assert {**sampling, "max_tokens": 0} == {"temperature": 0.5, "max_tokens": 0, **seeded}


def test_runs_on_different_event_loops_succeed(server: Server, walking_clip: Path) -> None:
    async def alone() -> Recognition:
        return await arecognize(
            walking_clip, ["walk", "run"], end=1, policy=spec(server), tools=["detect_people"], frames=4
        )

    server.script = [*GOOD * 4]
    found = [ask(server, walking_clip), ask(server, walking_clip), asyncio.run(alone()), ask(server, walking_clip)]
    assert [(each.status, each.notes) for each in found] == [("ok", [])] * 4 and len(server.requests) == 12


async def played(server: Server, clip: Path, streamed: bool, **settings: Any) -> Any:
    """The result for a host that runs the graph itself, optionally with streamed tokens."""
    star = build_graph(context=Context(policy=spec(server), frames=4, **settings)).compile()
    given: Any = {"video": str(clip), "actions": ["walk", "run"], "end": 1.0}
    if not streamed:
        return await star.ainvoke(given)
    return [state async for _, state in star.astream(given, stream_mode=["messages", "values"])][-1]


SECOND = ("decompose", {"sub_actions": [{"name": "arms swing", "candidates": ["walk"]}]})
AWKWARD: tuple[Turn, ...] = (
    ("", (LOOK, ("look_closer", {}))),
    ("Both.", (LOOK, LOOK, ("explain_actions", {}))),
    ("More.", (("detect_people", {"start": 0.25, "end": 0.75}),)),
    ("", (NAME, SECOND)),
    ("", (LOOK,)),
    ('<scores>{"1": {"walk": 8, "run": 3}, "2": {"walk": 7}}</scores><answer>walk</answer>', ()),
)


@pytest.mark.parametrize("streamed", [False, True])
async def test_every_request_is_valid_for_the_provider(server: Server, walking_clip: Path, streamed: bool) -> None:
    """Corrected turns, duplicate calls, two rounds, merged calls, and a call where none is expected."""
    server.script = [*AWKWARD]
    out = await played(server, walking_clip, streamed, tools=["detect_people", "explain_actions"], max_rounds=2)
    assert server.refused == []
    assert out["error"] is None and out["status"] == "ok" and out["action"] == "walk"
    assert [item["tool"] for item in out["evidence"]] == ["detect_people", "explain_actions", "detect_people"]
    assert [item["name"] for item in out["sub_actions"]] == ["legs swing", "arms swing"]
    assert len(server.requests) == 6 and server.streamed == [streamed or server.wire is OLLAMA] * 6
    parts = [part for _, told in server.wire.heard(server.requests[-1]) for part in told]
    assert sum(kind == "call" for kind, _ in parts) == sum(kind == "result" for kind, _ in parts) == 4


def test_transient_failures_are_retried_by_the_graph_only(server: Server, walking_clip: Path) -> None:
    server.script = [429, *GOOD]
    found = ask(server, walking_clip)
    assert found.status == "ok" and len(server.requests) == 4 and found.usage.policy_calls == 3


async def failure(server: Server, limit: float = 30.0) -> PolicyUnavailable:
    """Of one request, which the graph might repeat."""
    with pytest.raises(PolicyUnavailable) as failed:
        usage = NodeUsage("score", {})  # type: ignore[typeddict-item]
        await PolicyTurn(resolve_policy(spec(server)), usage, limit)._reply([HumanMessage("there?")])
    return failed.value


async def test_a_transient_failure_raises_policy_busy_after_one_request(server: Server) -> None:
    server.script = [429, 500, 503, 529]
    for asked in range(1, 5):
        assert type(await failure(server)) is PolicyBusy and len(server.requests) == asked


@pytest.mark.parametrize(("status", "remedy"), [(400, "not now"), (401, "API key"), (404, "name of the model")])
async def test_a_refusal_raises_at_once_with_a_remedy(server: Server, status: int, remedy: str) -> None:
    server.script = [status]
    failed = await failure(server)
    assert type(failed) is PolicyUnavailable and remedy in str(failed) and len(server.requests) == 1


async def test_a_slow_server_is_busy_and_one_that_refuses_connections_unreachable(server: Server) -> None:
    server.seconds = 2.0
    slow = await failure(server, 0.2)
    assert type(slow) is PolicyBusy and "policy_seconds" in str(slow)
    server.shutdown()
    server.server_close()
    assert type(await failure(server)) is PolicyUnreachable


async def test_a_dropped_connection_is_told_from_a_busy_server(server: Server) -> None:
    server.script = [-1]
    assert type(await failure(server)) is PolicyDisconnected and len(server.requests) == 1


PAGE = b"<!DOCTYPE html><html><body>Welcome to nginx!</body></html>"


@pytest.mark.parametrize("status", [200, 404])
async def test_a_web_page_in_place_of_an_answer_names_its_remedy(server: Server, status: int) -> None:
    server.script = [Raw(status, PAGE)]
    failed = await failure(server)
    assert type(failed) is PolicyUnavailable and "a web page" in str(failed) and len(server.requests) == 1


NO_PICTURES = {
    "anthropic": "messages.0.content.1: image input is not supported by this model",
    "google_genai": "Image input modality is not enabled for models/gemma-3-1b-it",
    "ollama": "this model is missing data required for image input",
}


async def test_a_refusal_of_pictures_names_its_remedy(server: Server) -> None:
    body = server.wire.refuse(400, NO_PICTURES[server.wire.provider])
    server.script = [Raw(400, json.dumps(body).encode())]
    assert "use a model that accepts images" in str(await failure(server))


COUNTS = re.compile(rb'("(?:input_tokens|output_tokens|promptTokenCount|totalTokenCount|eval_count)": )\d+')


@pytest.mark.parametrize("count", [b'"12"', b"null", b"12.0"])
def test_token_counts_of_a_wrong_type_do_not_end_a_run(server: Server, walking_clip: Path, count: bytes) -> None:
    said = [server.wire.say(turn, server.wire is OLLAMA) for turn in GOOD]
    server.script = [COUNTS.sub(rb"\g<1>" + count, each) for each in said]
    assert ask(server, walking_clip).error is None


BROKEN_OFF = {
    "anthropic": b'event: error\ndata: {"type": "error", "error": {"type": "overloaded_error", "message": "late"}}\n\n',
    "google_genai": b'data: {"error": {"code": 503, "message": "late", "status": "UNAVAILABLE"}}\r\n\r\n',
    "ollama": b'{"error": "late: unexpected EOF"}\n',
}


async def test_an_interrupted_answer_is_requested_again(server: Server, walking_clip: Path) -> None:
    server.script = [BROKEN_OFF[server.wire.provider], *GOOD]
    out = await played(server, walking_clip, True, tools=["detect_people"])
    assert out["status"] == "ok" and server.streamed == [True] * 4


async def test_the_token_limit_has_the_name_the_provider_expects(server: Server) -> None:
    await resolve_policy(spec(server, f"{server.wire.model}?max_tokens=77")).ainvoke("there?")
    assert server.wire.sampling(server.requests[0])["max_tokens"] == 77


def test_resolving_a_policy_emits_no_warnings(server: Server) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        resolve_policy(spec(server))


FORCED: dict[str, Any] = {
    "anthropic": {"tool_choice": {"type": "tool", "name": "decompose"}},
    "google_genai": {"toolConfig": {"functionCallingConfig": {"allowedFunctionNames": ["decompose"], "mode": "ANY"}}},
    "ollama": {},
}


def choices(server: Server) -> list[dict[str, Any]]:
    return [{key: asked[key] for key in ("tool_choice", "toolConfig") if key in asked} for asked in server.requests]


def test_a_structured_run_requires_the_call_of_decompose(server: Server, walking_clip: Path) -> None:
    assert ask(server, walking_clip, structured="always").status == "ok"
    assert choices(server) == [{}, FORCED[server.wire.provider], {}]


@only["anthropic"]
def test_no_call_is_required_if_the_model_does_not_support_it(server: Server, walking_clip: Path) -> None:
    found = ask(server, walking_clip, "claude-sonnet-5-5", structured="always")
    assert found.status == "ok" and choices(server) == [{}] * 3


@only["anthropic"]
def test_temperature_is_omitted_if_the_model_does_not_support_it(server: Server, walking_clip: Path) -> None:
    assert ask(server, walking_clip, "claude-opus-4-8").status == "ok"
    assert "temperature" not in server.wire.sampling(server.requests[0])


@only["google"]
def test_signatures_of_calls_are_sent_back(server: Server, walking_clip: Path) -> None:
    assert ask(server, walking_clip).status == "ok"
    signed = [p.get("thoughtSignature") for content in server.requests[-1]["contents"] for p in content["parts"]]
    assert [each for each in signed if each] == [SIGNATURE, SIGNATURE]


@only["google"]
def test_a_blocked_prompt_fails_with_the_reason(server: Server, walking_clip: Path) -> None:
    blocked = {"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}, "usageMetadata": {"promptTokenCount": 9}}
    server.script = [GOOD[0], GOOD[1], json.dumps(blocked).encode()]
    found = ask(server, walking_clip)
    assert found.status == "failed" and found.error_type == "UnusableAnswer"


NO_TOOLS = {
    "anthropic": "tools: this model does not support tool use",
    "google_genai": "Function calling is not enabled for models/gemma-3-27b-it",
    "ollama": "registry.ollama.ai/library/moondream:latest does not support tools",
}


def test_a_model_without_tool_calling_gets_tools_as_text(server: Server, walking_clip: Path) -> None:
    server.no_tools = NO_TOOLS[server.wire.provider]
    server.script = [(render_hermes("", [{"name": n, "args": a}]), ()) for n, a in (LOOK, NAME)]
    server.script.append((ANSWER, ()))
    found = ask(server, walking_clip, "a-model-without-tools")
    assert found.status == "ok" and found.evidence[0].tool == "detect_people"
    assert [bool(server.wire.offered(asked)) for asked in server.requests] == [True, False, False, False]


@keyed
def test_a_missing_key_is_named(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ANTHROPIC_API_KEY", raising=False)
    monkeypatch.delenv("GOOGLE_API_KEY", raising=False)
    monkeypatch.delenv("GEMINI_API_KEY", raising=False)
    variable = {"anthropic": "ANTHROPIC_API_KEY", "google_genai": "GOOGLE_API_KEY"}[server.wire.provider]
    with pytest.raises(UnknownPolicy, match=variable):
        resolve_policy(spec(server))
