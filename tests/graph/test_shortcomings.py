"""An answer without evidence, or with the score of another candidate, is degraded under any policy."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from langgraph.checkpoint.memory import InMemorySaver

from video_star.graph import Context, build_graph

pytestmark = pytest.mark.slow

Make = Callable[[list[Any]], Any]
TIES = {
    "two": ('{"1": {"walk": 9, "run": 4}, "2": {"run": 10}}', "walk", "'walk' and 'run'"),
    "all at zero": ('{"1": {"walk": 0, "run": 0}, "2": {"hug": 0}}', "hug", "'hug', 'run' and 'walk'"),
}


async def run(policy: Any, clip: Path, edit: dict[str, Any] | None = None, **settings: Any) -> dict[str, Any]:
    """The output of a run that waited before decompose, with an edit made there."""
    builder = build_graph(context=Context(frames=2, **settings), policy=policy)
    star = builder.compile(checkpointer=InMemorySaver(), interrupt_before=["decompose"])
    thread: Any = {"configurable": {"thread_id": "1"}}
    await star.ainvoke({"video": str(clip), "actions": ["walk", "run", "hug"], "start": 0.0, "end": 1.0}, thread)
    if edit is not None:
        await star.aupdate_state(thread, edit)
    return await star.ainvoke(None, thread)


@pytest.mark.parametrize(("scores", "answer", "named"), TIES.values(), ids=TIES)
async def test_a_tie_for_the_first_place_degrades_and_names_the_candidates(
    replies: Any, make_policy: Make, walking_clip: Path, scores: str, answer: str, named: str
) -> None:
    policy = make_policy([*replies.good()[:2], replies.answer(answer, scores)])
    out = await run(policy, walking_clip)
    assert (out["action"], out["status"], out["error"]) == (answer, "degraded", None)
    assert "tie for the first place" in out["notes"][-1] and named in out["notes"][-1]


async def test_a_tie_for_the_second_place_is_none(replies: Any, make_policy: Make, walking_clip: Path) -> None:
    scores = replies.answer("walk", '{"1": {"walk": 9, "run": 4}, "2": {"hug": 8}}')
    out = await run(make_policy([*replies.good()[:2], scores]), walking_clip)
    assert out["ranking"][1]["score"] == out["ranking"][2]["score"] and (out["status"], out["notes"]) == ("ok", [])


async def test_a_policy_that_saw_frames_has_evidence(replies: Any, make_policy: Make, walking_clip: Path) -> None:
    out = await run(make_policy(replies.good()[1:]), walking_clip, mode="no_tools")
    assert (out["action"], out["status"], out["notes"]) == ("walk", "ok", [])


@pytest.mark.parametrize(
    "call", [("estimate_pose", {"start": 99}), ("describe_video", {"start": 99}), ("explain_actions", {})]
)
async def test_without_frames_an_answer_needs_a_tool_that_examined_the_video(
    replies: Any, make_policy: Make, walking_clip: Path, call: Any
) -> None:
    unseen: dict[str, Any] = {"frames": []}
    for told, calls in ((False, [call]), (True, [call, ("detect_people", {})])):
        policy = make_policy([replies.calls(*calls), *replies.good()[1:]])
        out = await run(policy, walking_clip, unseen)
        assert out["action"] == "walk" and ("no evidence" in "".join(out["notes"])) is not told
        assert told or (out["status"] == "degraded" and "saw no frames" in out["notes"][-1])


async def test_a_policy_that_had_nothing_to_judge_by_says_so_in_its_reply(
    replies: Any, make_policy: Make, walking_clip: Path
) -> None:
    last = replies.good()[2].model_copy(update={"response_metadata": {"no_evidence": "it was dark"}})
    out = await run(make_policy([*replies.good()[:2], last]), walking_clip)
    assert out["status"] == "degraded" and out["notes"] == ["no evidence: it was dark; the answer is a guess"]


async def test_a_run_without_an_answer_has_no_guess(replies: Any, make_policy: Make, walking_clip: Path) -> None:
    policy = make_policy([*replies.good()[:2], replies.says("?")])
    out = await run(policy, walking_clip, {"frames": []})
    assert out["status"] == "failed" and out["action"] is None and not [n for n in out["notes"] if "guess" in n]


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ({}, (None, None)),
        ({"confidence": {"probability": 0.37, "calibrated_on": "my clips"}}, (0.37, "my clips")),
        ({"confidence": "high"}, (None, None)),
        ({"confidence": {"probability": "0.9"}}, (None, None)),
        ({"confidence": {"probability": 3.0, "calibrated_on": "my clips"}}, (None, None)),
        ({"confidence": {"probability": float("nan"), "calibrated_on": "my clips"}}, (None, None)),
    ],
)
async def test_only_a_calibrated_policy_gives_a_confidence(
    replies: Any, make_policy: Make, walking_clip: Path, said: dict[str, Any], expected: Any
) -> None:
    last = replies.good()[2].model_copy(update={"response_metadata": said})
    out = await run(make_policy([*replies.good()[:2], last]), walking_clip)
    assert (out["confidence"], out["calibrated_on"]) == expected and out["ranking"][0]["score"] == 0.8333


async def test_an_answer_that_is_only_partly_usable_has_no_confidence(
    replies: Any, make_policy: Make, walking_clip: Path
) -> None:
    sure = {"response_metadata": {"confidence": {"probability": 0.9, "calibrated_on": "my clips"}}}
    last = replies.answer("run", '{"1": {"walk": 9, "run": 4}}').model_copy(update=sure)
    out = await run(make_policy([*replies.good()[:2], last]), walking_clip)
    assert out["status"] == "degraded" and out["confidence"] is None
