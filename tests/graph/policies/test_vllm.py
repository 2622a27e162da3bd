"""A real vLLM on the CPU serves the tiny Qwen2.5-VL, by the command that `video-star serve` prints.

Run as `pytest -m vllm`, with VIDEO_STAR_VLLM_PYTHON set to the Python of an environment that has vLLM.
"""

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage
from langgraph.checkpoint.memory import InMemorySaver

from video_star.graph import Context, build_graph
from video_star.graph.policies.chat_template import render
from video_star.graph.policies.openai_compatible import Server, vllm_server
from video_star.graph.policies.registry import resolve_policy
from video_star.graph.policies.vllm import VllmPolicy
from video_star.graph.records.token_track import TOKEN_TRACK, sequences, tracks
from video_star.graph.records.trace import read
from video_star.graph.run import recognize, run_record
from video_star.tools.errors import PolicyUnavailable
from video_star.tools.execution.media_store import MediaStore, default_store

from ..conversations import record_all
from ..real_vllm_server import PYTHON, VllmServer

pytestmark = [
    pytest.mark.slow,
    pytest.mark.vllm,
    pytest.mark.timeout(1200),
    pytest.mark.skipif(PYTHON not in os.environ, reason=f"needs vLLM: set {PYTHON}"),
]

ACTIONS = ["walk", "run", "hug", "jump"]
SETTINGS: dict[str, Any] = {"frames": 4, "end": 2, "structured": "auto", "reasoning": 40, "temperature": 1.0}


@pytest.fixture(scope="module")
def server(tiny_qwen: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[VllmServer]:
    made = VllmServer(os.environ[PYTHON], tiny_qwen, tmp_path_factory.mktemp("vllm") / "log")
    made.start()
    yield made
    made.kill()


def named(server: VllmServer) -> Server:
    return vllm_server(server.policy.removeprefix("vllm:"))


async def episodes(
    server: VllmServer, clip: Path, number: int, most: int = 400, **settings: Any
) -> list[dict[str, Any]]:
    policy = f"{server.policy}?max_tokens={most}"
    return await asyncio.gather(
        *(run_record(clip, ACTIONS, policy=policy, seed=seed, **{**SETTINGS, **settings}) for seed in range(number))
    )


async def test_ten_concurrent_episodes_complete_with_images_calls_and_tokens(
    server: VllmServer, walking_clip: Path
) -> None:
    records = await episodes(server, walking_clip, 10)
    assert not any(record["tokens"]["forks"] for record in records)
    assert all(record["recognition"]["action"] in ACTIONS for record in records)
    assert all(record["recognition"]["sub_actions"] for record in records)
    called = {item["tool"] for record in records for item in record["recognition"]["evidence"]}
    assert len(called) >= 3
    for record in records:
        (whole,) = sequences(tracks(record["messages"], default_store()))
        nodes = [node for node, _, _ in whole.spans]
        assert nodes[:2] == ["tool_select", "decompose"] and set(nodes[2:]) == {"score"}
        assert all(value <= 0 for value, mine in zip(whole.logprobs, whole.completion_mask, strict=True) if mine)
        assert record["recognition"]["usage"]["tokens"]["output"] == sum(whole.completion_mask)
    # One seed, one run: no two of them say the same.
    assert len({record["messages"][2]["content"] for record in records}) == 10


async def test_unconstrained_random_replies_never_fork(server: VllmServer, walking_clip: Path) -> None:
    records = await episodes(server, walking_clip, 8, most=60, structured="never")
    assert all(record["tokens"]["turns"] >= 3 for record in records)
    assert not any(record["tokens"]["forks"] for record in records)


async def test_vllm_and_transformers_read_the_same_ids(server: VllmServer, walking_clip: Path, tiny_qwen: Path) -> None:
    opening, vocabularies = [], set()
    for policy in (f"{server.policy}?max_tokens=2", f"transformers:{tiny_qwen}?max_tokens=2"):
        record = await run_record(walking_clip, ACTIONS, policy=policy, frames=4, mode="no_tools")
        opening.append(tracks(record["messages"], default_store())[0].prompt_ids)
        reference = next(message["tokens"] for message in record["messages"] if "tokens" in message)
        vocabularies.add(default_store().get_json(reference)["vocabulary"])
    assert len(vocabularies) == 1 and opening[0] == opening[1] and opening[0].count(151655) > 16


def test_vllm_renders_recorded_conversations_to_the_same_bytes(server: VllmServer, walking_clip: Path) -> None:
    recorded = record_all(walking_clip)
    assert len(recorded) >= 10
    for name, one in recorded.items():
        ask = {"messages": one.wired, "tools": one.tools, "add_generation_prompt": False, "max_tokens": 1}
        answer = httpx.post(
            f"{server.url}/chat/completions",
            json={"model": "tiny", "return_prompt_text": True, "tool_choice": "none", **ask},
            timeout=300,
        ).json()
        assert answer["prompt_text"].encode() == render(one.chat, one.tools, ask=False).encode(), name


async def test_a_streamed_turn_equals_one_that_is_not_streamed(server: VllmServer, walking_clip: Path) -> None:
    policy = VllmPolicy(server=named(server), temperature=1.0, seed=5, max_new_tokens=30)
    question = [SystemMessage("Be brief."), HumanMessage("What do you see?")]
    chunks = [chunk async for chunk in policy.astream(question)]
    shown = [chunk for chunk in chunks if chunk.text]
    whole = sum(chunks[1:], chunks[0])
    alone = await policy.ainvoke(question)
    # A busy server sends several tokens in one chunk.
    assert len(shown) > 1 and whole.text == alone.text
    streamed, at_once = whole.response_metadata[TOKEN_TRACK], alone.response_metadata[TOKEN_TRACK]
    assert streamed.pop("logprobs") == pytest.approx(at_once.pop("logprobs"), abs=0.05) and streamed == at_once
    assert whole.usage_metadata == alone.usage_metadata


async def test_vision_tokens_are_never_sampled(server: VllmServer) -> None:
    policy = VllmPolicy(server=named(server), temperature=2.0, max_new_tokens=200)
    reply = await policy.ainvoke([HumanMessage("Anything.")])
    assert not {151652, 151653, 151654, 151655, 151656} & set(reply.response_metadata[TOKEN_TRACK]["completion_ids"])


async def test_a_conversation_that_is_too_long_is_reported_with_a_remedy(server: VllmServer) -> None:
    policy = VllmPolicy(server=named(server))
    with pytest.raises(PolicyUnavailable, match="--max-model-len"):
        await policy.ainvoke([HumanMessage("word " * 20_000)])


async def test_an_unknown_model_is_reported(server: VllmServer) -> None:
    with pytest.raises(PolicyUnavailable, match="does not serve 'other'"):
        await resolve_policy(f"vllm:other@{server.url}").ainvoke("hello")


async def test_a_thread_resumed_in_another_process_still_extends(server: VllmServer, walking_clip: Path) -> None:
    """Ids are read from the store, so that the turns of a resumed thread still extend."""
    policy = VllmPolicy(server=named(server), max_new_tokens=8)
    messages: list[Any] = [HumanMessage("Look.")]
    first = await policy.ainvoke(messages)
    track = first.response_metadata.pop(TOKEN_TRACK)
    first.additional_kwargs["video_star"] = {"tokens": default_store().put_json(track)}
    again = AIMessage.model_validate_json(first.model_dump_json())
    second = await policy.ainvoke([*messages, again, HumanMessage("Go on.")])
    read = second.response_metadata[TOKEN_TRACK]["prompt_ids"]
    assert read[: len(track["prompt_ids"]) + 8] == [*track["prompt_ids"], *track["completion_ids"]]


def test_the_command_line_records_the_tokens_of_vllm(server: VllmServer, walking_clip: Path, tmp_path: Path) -> None:
    program = Path(sys.executable).parent / "video-star"
    done = subprocess.run(
        [
            str(program), "recognize", str(walking_clip), "--actions", ",".join(ACTIONS), "--end", "2",
            "--policy", server.policy, "--trace", str(tmp_path / "trace"),
        ],
        capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    (record,) = read(tmp_path / "trace")
    assert record["tokens"]["turns"] >= 3 and record["tokens"]["forks"] == 0
    assert {timing["node"] for timing in record["timings"]} == {
        "tool_select", "tool_exec", "fuse", "decompose", "score",
    } - ({"tool_exec"} if not record["recognition"]["evidence"] else set())  # fmt: skip
    assert len(tracks(record["messages"], MediaStore(tmp_path / "trace" / "media"))) == record["tokens"]["turns"]


async def test_a_run_interrupted_by_a_killed_server_can_be_resumed(server: VllmServer, walking_clip: Path) -> None:
    star = build_graph(
        context=Context(policy=f"{server.policy}?max_tokens=400", **{k: v for k, v in SETTINGS.items() if k != "end"})
    ).compile(checkpointer=InMemorySaver())
    thread: Any = {"configurable": {"thread_id": "one"}}
    question: Any = {"video": str(walking_clip), "actions": ACTIONS, "end": 2}
    with pytest.raises(PolicyUnavailable, match="no answer from"):
        async for step in star.astream(question, thread, stream_mode="updates"):
            if "tool_select" in step:
                server.kill()
    assert (await star.aget_state(thread)).values["conversation"]
    found = await asyncio.to_thread(recognize, walking_clip, ACTIONS, policy=server.policy, end=2)
    assert found.status == "failed" and found.error is not None and "no answer from" in found.error

    await asyncio.to_thread(server.start)
    out = await star.ainvoke(None, thread)
    assert out["action"] in ACTIONS
    record = [m for m in (await star.aget_state(thread)).values["conversation"] if m.type == "ai"]
    assert len(record) >= 3 and all("tokens" in m.additional_kwargs["video_star"] for m in record)
