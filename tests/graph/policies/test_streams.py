"""Words of a policy as they come: through the graph with `stream_mode="messages"`, sync and async."""

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import AIMessageChunk, HumanMessage

pytest.importorskip("langchain_openai", reason="needs the extra [api]")
pytest.importorskip("dashscope", reason="needs the extra [api]")

from video_star import Context, build_graph  # noqa: E402
from video_star.graph.policies import prompted_tools  # noqa: E402
from video_star.graph.policies.registry import resolve_policy  # noqa: E402
from video_star.graph.prompts import tool_schema  # noqa: E402
from video_star.graph.records.token_track import TOKEN_TRACK  # noqa: E402
from video_star.graph.replies.tool_calls import parse_hermes  # noqa: E402
from video_star.tools.errors import PolicyDisconnected  # noqa: E402

from .. import fake_dashscope_server as dashscope  # noqa: E402
from .. import fake_token_server as token_server  # noqa: E402
from ..fake_model_server import (  # noqa: E402
    ANSWER,
    AS_TEXT,
    GOOD,
    TOOLS_REFUSED,
    Handler,
    Server,
    Stream,
    as_stream,
    completion,
    with_tokens,
)

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("warm")]
HERMES = [reply[1]["choices"][0]["message"]["content"] for reply in AS_TEXT if isinstance(reply[1], dict)]


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    served = Server(("127.0.0.1", 0), Handler)
    served.requests, served.keys = [], []
    threading.Thread(target=served.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    monkeypatch.setenv("OPENAI_BASE_URL", served.url)
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    monkeypatch.setenv("DASHSCOPE_BASE_URL", served.url)
    monkeypatch.setenv("DASHSCOPE_API_KEY", "none")
    monkeypatch.setattr(prompted_tools, "_REFUSING", set())
    resolve_policy.cache_clear()
    yield served
    served.shutdown()
    served.server_close()


def words(policy: str, clip: Path, sync: bool) -> dict[str, list[str]]:
    """The pieces of text of each node, and the label answered under `action`, as a client of a stream sees them."""
    context = Context(policy=policy, tools=["detect_people"], frames=2)
    star = build_graph(context=context).compile()
    given: Any = {"video": str(clip), "actions": ["walk", "run"], "end": 0.5}
    modes: Any = ["messages", "values"]

    async def parts() -> list[Any]:
        return [part async for part in star.astream(given, stream_mode=modes)]

    found: dict[str, list[str]] = {}
    told: Any = star.stream(given, stream_mode=modes) if sync else asyncio.run(parts())
    for mode, part in told:
        if mode == "values":
            found["action"] = [str(part.get("action"))]
        elif isinstance(part[0], AIMessageChunk) and part[0].text:
            found.setdefault(part[1]["langgraph_node"], []).append(part[0].text)
    return found


def check(found: dict[str, list[str]]) -> None:
    assert found["action"] == ["walk"] and len(found["score"]) > 1 and "".join(found["score"]) == ANSWER


@pytest.mark.parametrize("sync", [True, False], ids=["sync", "async"])
@pytest.mark.parametrize(
    "spec",
    ["vllm:tiny@{url}", "openai:tiny", "dashscope:qwen-vl-max?api=compatible", "vllm:tiny@{url}?tools=prompted"],
)
def test_words_stream_through_the_graph(server: Server, walking_clip: Path, spec: str, sync: bool) -> None:
    server.says(*((*AS_TEXT, GOOD[2]) if "prompted" in spec else GOOD))
    found = words(spec.format(url=server.url), walking_clip, sync)
    check(found)
    assert "<tool_call>" not in str(found)


@pytest.mark.parametrize("sync", [True, False], ids=["sync", "async"])
def test_words_of_the_native_api_stream(walking_clip: Path, monkeypatch: pytest.MonkeyPatch, sync: bool) -> None:
    resolve_policy.cache_clear()
    with dashscope.serving(monkeypatch) as served:
        served.says(*dashscope.GOOD)
        check(words("dashscope:qwen3-vl-plus", walking_clip, sync))


@pytest.fixture(scope="module")
def tokenizer(tiny_qwen: Path) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(str(tiny_qwen))


def turn(prompt: str) -> str:
    asked = prompt.rpartition("<|im_start|>user\n")[2]
    return (
        HERMES[0] if "choose" in asked or "call the tools" in asked else ANSWER if "Score each" in asked else HERMES[1]
    )


@pytest.mark.parametrize("sync", [True, False], ids=["sync", "async"])
def test_words_of_vllm_by_ids_stream_and_keep_their_ids(tokenizer: Any, walking_clip: Path, sync: bool) -> None:
    with token_server.serving(tokenizer, turn) as served:
        check(words(served.policy, walking_clip, sync))
        assert "/inference/v1/generate" in served.asked and "/v1/chat/completions" not in served.asked


async def test_words_of_a_local_model_stream(tiny_qwen: Path) -> None:
    policy = resolve_policy(f"transformers:{tiny_qwen}?max_tokens=12", 1.0)
    for chunks in ([chunk async for chunk in policy.astream("Hello")], list(policy.stream("Hello"))):
        assert len([chunk for chunk in chunks if chunk.text]) > 2
        assert sum((len(c.response_metadata.get(TOKEN_TRACK, {}).get("completion_ids", ())) for c in chunks), 0) == 12


async def test_a_word_is_passed_on_before_the_next_one_is_sent(server: Server) -> None:
    server.gate = threading.Event()
    server.says(completion("five people walk"))
    for spec in ("vllm:tiny@{url}", "openai:tiny", "vllm:tiny@{url}?tools=prompted"):
        server.gate.clear()
        pieces = []
        async for chunk in resolve_policy(spec.format(url=server.url)).astream("what?"):
            pieces.append(chunk.text)
            server.gate.set()
        assert "".join(pieces) == "five people walk" and pieces[0].strip() == "five"


async def test_ids_and_usage_of_a_streamed_completion_equal_those_of_a_whole_one(server: Server) -> None:
    server.says(with_tokens(completion("five people walk"), [1, 2, 3], [(7, -0.5), (8, -1.0)]))
    policy = resolve_policy(f"vllm:tiny@{server.url}")
    chunks = [chunk async for chunk in policy.astream("what?")]
    streamed, whole = sum(chunks[1:], chunks[0]), await policy.ainvoke("what?")
    assert streamed.text == whole.text and len([chunk for chunk in chunks if chunk.text]) == 3
    assert streamed.response_metadata[TOKEN_TRACK] == whole.response_metadata[TOKEN_TRACK]
    assert streamed.usage_metadata is not None and whole.usage_metadata is not None
    assert streamed.usage_metadata["output_tokens"] == whole.usage_metadata["output_tokens"] == 20
    assert "logprobs" not in streamed.response_metadata


@pytest.mark.parametrize("spec", ["vllm:tiny@{url}", "openai:tiny", "dashscope:qwen-vl-max?api=compatible"])
async def test_a_stream_that_ends_early_is_a_broken_connection(server: Server, spec: str) -> None:
    status, body = completion("five people walk")
    assert isinstance(body, dict)
    cut = as_stream(body, False).partition(b'"finish_reason": "stop"')[0].rpartition(b"data:")[0]
    server.says((status, Stream(cut)))
    with pytest.raises(PolicyDisconnected, match="ended its answer early"):
        _ = [chunk async for chunk in resolve_policy(spec.format(url=server.url)).astream("what?")]


@pytest.mark.parametrize("cut", ["early", "late"])
async def test_a_connection_that_breaks_after_the_last_token_loses_nothing(tokenizer: Any, cut: str) -> None:
    with token_server.serving(tokenizer, lambda prompt: "five people walk") as served:
        served.cut = cut
        policy = resolve_policy(served.policy)
        if cut == "early":
            with pytest.raises(PolicyDisconnected):
                _ = [chunk async for chunk in policy.astream("what?")]
        else:
            assert "".join([chunk.text async for chunk in policy.astream("what?")]) == "five people walk"


TURNS = ["  I look.\n{call}", "I look. {call} Then more.", "<think>{call}?</think> No.", "No tool is needed.", "{call}"]


@pytest.mark.parametrize("text", TURNS)
async def test_a_streamed_turn_with_calls_as_text_equals_one_that_is_not_streamed(server: Server, text: str) -> None:
    server.says(completion(text.format(call=HERMES[0])))
    policy = resolve_policy(f"vllm:tiny@{server.url}?tools=prompted").bind_tools([tool_schema("detect_people")])
    chunks = [chunk async for chunk in policy.astream([HumanMessage("who?")])]
    streamed, whole = sum(chunks[1:], chunks[0]), await policy.ainvoke([HumanMessage("who?")])
    assert streamed.text.strip() == whole.text.strip() == parse_hermes(text.format(call=HERMES[0]))[0]
    assert [call["args"] for call in streamed.tool_calls] == [call["args"] for call in whole.tool_calls]
    assert streamed.response_metadata["finish_reason"] == "stop"


async def test_a_refusal_of_tools_is_answered_with_streamed_text(server: Server) -> None:
    server.says(TOOLS_REFUSED, completion("five people walk"))
    policy = resolve_policy("openai:refusing").bind_tools([tool_schema("detect_people")])
    assert [chunk.text async for chunk in policy.astream("who?")][:2] == ["five", " people"]
