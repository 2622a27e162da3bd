"""Edits of a waiting run, as in Studio or by `update_state`: the policy reads them next, or they are refused."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.memory import InMemorySaver

from video_star.graph import Context, build_graph
from video_star.tools.errors import BadActions, BadEdit
from video_star.tools.registry import TOOL_NAMES

THREAD: RunnableConfig = {"configurable": {"thread_id": "1"}}
ACTIONS = ["walk", "run", "hug"]
WAVING = """OBSERVED, with support from 0 to 1:
- wave 1.00, 0.0 to 2.0 s, person 1: a raised hand goes from side to side
- stay_in_place 1.00, 0.0 to 2.0 s, person 1: the body stays where it is"""
Make = Callable[[list[Any]], Any]
Edit = Callable[[dict[str, Any]], dict[str, Any]]


async def resumed(policy: Any, clip: Path, node: str, edit: Edit, **more: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """The state of a run that waited before `node`, and the final state after the edit."""
    tools: Any = more.pop("tools", TOOL_NAMES)
    star = build_graph(policy=policy, context=Context(tools=list(tools), **more)).compile(
        checkpointer=InMemorySaver(), interrupt_before=[node]
    )
    await star.ainvoke({"video": str(clip), "actions": ACTIONS, "start": 0.0, "end": 1.0}, THREAD)
    before = (await star.aget_state(THREAD)).values
    await star.aupdate_state(THREAD, edit(before))
    await star.ainvoke(None, THREAD)
    return before, (await star.aget_state(THREAD)).values


def words(policy: Any, turn: int) -> str:
    return "\n".join(message.text for message in policy.received[turn])


async def test_a_waiting_run_without_edits_reads_the_same_words(
    replies: Any, make_policy: Make, walking_clip: Path
) -> None:
    everything = replies.calls(*((name, {}) for name in TOOL_NAMES))
    policy = make_policy([everything, *replies.good()[1:]])
    before, after = await resumed(policy, walking_clip, "score", lambda state: {})
    kept = len(before["conversation"])
    assert after["conversation"][:kept] == before["conversation"]
    assert after["action"] == "walk" and after["status"] == "ok"


@pytest.mark.parametrize("node", ["decompose", "score"])
@pytest.mark.parametrize("tool", ["detect_people", "explain_actions"])
async def test_edited_evidence_is_read(
    replies: Any, make_policy: Make, walking_clip: Path, node: str, tool: str
) -> None:
    policy = make_policy(replies.good())

    def edit(state: dict[str, Any]) -> dict[str, Any]:
        return {
            "evidence": [
                {**item, "summary": "A hand waves, nine times."} if item["tool"] == tool else item
                for item in state["evidence"]
            ]
        }

    before, after = await resumed(policy, walking_clip, node, edit)
    turn = 1 if node == "decompose" else 2
    assert words(policy, turn).count("A hand waves, nine times.") == 1
    assert [m.id for m in after["conversation"]][: len(before["conversation"])] == [
        m.id for m in before["conversation"]
    ]


async def test_edited_frames_and_question_are_read(replies: Any, make_policy: Make, walking_clip: Path) -> None:
    policy = make_policy(replies.good())
    edit: Edit = lambda state: {"frames": state["frames"][:1], "question": "Which way is up?"}  # noqa: E731
    _, after = await resumed(policy, walking_clip, "decompose", edit)
    assert [b["type"] for b in policy.received[1][1].content] == ["text", "image", "text"]
    assert "Question: Which way is up?" in words(policy, 1) and "Question: Which way is up?" in words(policy, 2)
    assert after["asked"]["question"] == "Which way is up?"


async def test_edited_actions_are_asked_explained_and_ranked(
    replies: Any, make_policy: Make, walking_clip: Path
) -> None:
    scores = replies.answer("wave", '{"1": {"wave": 9, "jump": 1}, "2": {"wave": 8, "jump": 1}}')
    policy = make_policy([*replies.good()[:2], scores])
    _, after = await resumed(policy, walking_clip, "decompose", lambda state: {"actions": ["jump", "wave"]})
    assert '["jump", "wave"]' in words(policy, 1) and '"hug"' not in words(policy, 1)
    assert 'DEFINITIONS (JSON): {"jump":' in words(policy, 1)
    assert [item["action"] for item in after["ranking"]] == ["wave", "jump"] and after["status"] == "ok"


async def test_edited_sub_actions_are_listed_and_scored(replies: Any, make_policy: Make, walking_clip: Path) -> None:
    policy = make_policy([*replies.good()[:2], replies.answer("run", '{"1": {"run": 9, "hug": 2}}')])
    one = {"name": "arms swing", "rank": 1, "weight": 1, "candidates": ["run", "hug"], "scores": {}}
    _, after = await resumed(policy, walking_clip, "score", lambda state: {"sub_actions": [one]})
    assert '{"1": {"sub_action": "arms swing", "candidates": ["run", "hug"]}}' in words(policy, 2)
    assert "legs swing in steps" not in policy.received[2][-1].text
    assert after["action"] == "run" and after["ranking"][0]["score"] == 0.9


async def test_a_message_that_a_person_edited_stays_as_edited(
    replies: Any, make_policy: Make, walking_clip: Path
) -> None:
    policy = make_policy(replies.good())

    def edit(state: dict[str, Any]) -> dict[str, Any]:
        message = next(m for m in state["conversation"] if m.type == "tool")
        return {"conversation": [message.model_copy(update={"content": "Nobody is there."})]}

    await resumed(policy, walking_clip, "decompose", edit)
    assert "Nobody is there." in words(policy, 1) and "Person 1" not in words(policy, 1)


async def test_the_embedded_policy_follows_edited_evidence(walking_clip: Path) -> None:
    def edit(state: dict[str, Any]) -> dict[str, Any]:
        changed = [{**e, "summary": WAVING} if e["tool"] == "track_motion" else e for e in state["evidence"]]
        return {"evidence": changed, "actions": ["walk", "wave"]}

    _, after = await resumed(None, walking_clip, "decompose", edit)
    assert after["action"] == "wave"
    measured = [item["measured"]["observed"] for item in after["evidence"] if item["tool"] == "track_motion"]
    assert set(measured[0]) == {"wave", "stay_in_place"}


@pytest.mark.parametrize(
    ("node", "edit", "error"),
    [
        ("decompose", lambda state: {"actions": []}, BadActions),
        ("decompose", lambda state: {"actions": ["walk", "Walk"]}, BadActions),
        ("decompose", lambda state: {"end": 0.5}, BadEdit),
        ("decompose", lambda state: {"evidence": []}, BadEdit),
        ("decompose", lambda state: {"evidence": [{"tool": "detect_people"}] * 2}, BadEdit),
        ("score", lambda state: {"actions": ["jump", "wave"]}, BadEdit),
        ("score", lambda state: {"sub_actions": [{"name": "arms swing"}]}, BadEdit),
    ],
)
async def test_edits_that_cannot_be_honoured_are_refused(
    replies: Any, make_policy: Make, walking_clip: Path, node: str, edit: Edit, error: type[Exception]
) -> None:
    policy = make_policy(replies.good())
    with pytest.raises(error):
        await resumed(policy, walking_clip, node, edit)
