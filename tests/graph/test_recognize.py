"""The public API as scripts, notebooks and agents use it."""

import asyncio
import json
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from video_star import (
    BadInput,
    Context,
    Recognition,
    VideoStarError,
    arecognize,
    build_graph,
    langchain_tool,
    recognize,
)
from video_star.graph.concurrency import wait_for
from video_star.graph.records.trace import append, read, recognition
from video_star.graph.report.annotated_video import write_overlay
from video_star.graph.report.page import render_page
from video_star.graph.run import run_record
from video_star.tools.errors import BadActions, SpanOutsideVideo, UnknownPolicy, UnknownTool, VideoNotFound
from video_star.tools.execution.media_store import MediaStore
from video_star.tools.registry import TOOL_NAMES

ACTIONS = ["walk", "run", "hug"]
NOT_ACCEPTED = "it does not accept the request; check that the model accepts images, several in one conversation"
Make = Callable[[list[Any]], Any]


@pytest.fixture(scope="module")
def found(walking_clip: Path, warm_home: Path) -> Recognition:
    """The result for one second of the bundled clip."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("VIDEO_STAR_HOME", str(warm_home))
        return recognize(walking_clip, ACTIONS, start=0, end=1)


def timeless(found: Recognition) -> dict[str, Any]:
    """The result without measured times."""
    kept = found.model_dump()
    del kept["usage"]["seconds"]
    for item in kept["evidence"]:
        del item["seconds"]
    return kept


def history(error: BaseException | None) -> list[BaseException]:
    """The error and the errors in whose handlers it was raised."""
    return [] if error is None else [error, *history(error.__context__)]


class Refused(Exception):
    status_code = 400


def test_a_script_gets_the_answer_and_what_supports_it(found: Recognition) -> None:
    assert found.action == "walk" and found.status == "ok" and found.error is None and found.notes == []
    assert sorted(item.action for item in found.ranking) == sorted(ACTIONS)
    assert [item.score for item in found.ranking] == sorted((item.score for item in found.ranking), reverse=True)
    assert found.ranking[0].action == found.action
    n = len(found.sub_actions)
    assert n >= 2 and [(s.rank, s.weight) for s in found.sub_actions] == [(k, n - k + 1) for k in range(1, n + 1)]
    assert all(set(s.scores) == set(s.candidates) <= set(ACTIONS) for s in found.sub_actions)
    assert found.evidence and all(item.status == "ok" and item.summary and item.seconds > 0 for item in found.evidence)
    assert found.usage.policy_calls == 3 and set(found.usage.seconds) >= {"tool_select", "score"}
    assert Recognition.model_validate_json(found.model_dump_json()) == found


async def test_arecognize_returns_the_same_as_recognize(warm: Path, walking_clip: Path, found: Recognition) -> None:
    assert timeless(await arecognize(walking_clip, ACTIONS, start=0, end=1)) == timeless(found)


async def test_recognize_works_while_an_event_loop_is_running(
    warm: Path, walking_clip: Path, found: Recognition
) -> None:
    assert timeless(recognize(walking_clip, ACTIONS, start=0, end=1)) == timeless(found)
    with pytest.raises(VideoNotFound):
        recognize("missing.mp4", ACTIONS)


def test_an_empty_cache_changes_only_the_time(walking_clip: Path, found: Recognition) -> None:
    assert timeless(recognize(str(walking_clip), tuple(ACTIONS), start=0, end=1)) == timeless(found)


async def test_concurrent_runs_are_independent(warm: Path, walking_clip: Path, found: Recognition) -> None:
    others = (["hug", "run"], ["sit"], ACTIONS)
    all_found = await asyncio.gather(*(arecognize(walking_clip, names, start=0, end=1) for names in others))
    assert [{item.action for item in each.ranking} for each in all_found] == [set(names) for names in others]
    assert timeless(all_found[2]) == timeless(found)


def test_on_event_is_called_for_every_node(warm: Path, walking_clip: Path) -> None:
    events: list[Any] = []
    recognize(walking_clip, ACTIONS, start=0, end=1, on_event=events.append)
    assert list(dict.fromkeys(event["node"] for event in events)) == [
        "tool_select",
        "tool_exec",
        "fuse",
        "decompose",
        "score",
    ]
    assert events[-1]["action"] == "walk" and json.loads(json.dumps(events)) == events


def test_a_trace_contains_the_returned_result(warm: Path, walking_clip: Path, tmp_path: Path) -> None:
    for question in (None, "Who moves?"):
        found = recognize(walking_clip, ACTIONS, start=0, end=1, question=question, trace=tmp_path / "a" / "trace")
    runs = list(read(tmp_path / "a" / "trace"))
    assert [run["request"]["question"] for run in runs] == ["What is the action in this video?", "Who moves?"]
    assert recognition(runs[1]) == found


def test_settings_reach_the_run(warm: Path, walking_clip: Path) -> None:
    found = recognize(walking_clip, ACTIONS, start=0, end=1, mode="static", tools=["track_motion"])
    assert [item.tool for item in found.evidence] == ["track_motion"]
    bare = recognize(walking_clip, ACTIONS, start=0, end=1, mode="no_tools")
    assert bare.evidence == [] and bare.action in ACTIONS


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({"video": "missing.mp4"}, VideoNotFound, "missing.mp4"),
        ({"actions": []}, BadActions, "no candidate actions"),
        ({"actions": "walk, run"}, BadActions, "give a list"),
        ({"actions": None}, BadActions, "give a list"),
        ({"actions": ["walk", "Walk"]}, BadActions, "the same"),
        ({"start": 3, "end": 2}, SpanOutsideVideo, "0 <= start < end"),
        ({"policy": "nope"}, UnknownPolicy, "kinematic"),
        ({"tools": ["zoom"]}, UnknownTool, "track_motion"),
        ({"tools": "track_motion"}, BadInput, "tools"),
        ({"tools": 5}, BadInput, "tools"),
        ({"mode": "magic"}, BadInput, "agentic"),
        ({"max_rounds": -1}, BadInput, "max_rounds"),
        ({"frames": "many"}, BadInput, "frames"),
        ({"pollicy": "kinematic"}, BadInput, "policy, mode"),
    ],
)
def test_bad_input_raises_an_error_that_says_what_to_do(
    walking_clip: Path, given: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message) as raised:
        recognize(**{"video": walking_clip, "actions": ACTIONS, **given})
    assert isinstance(raised.value, BadInput) and isinstance(raised.value, VideoStarError)
    # The traceback shows the user's mistake, not the machinery that runs coroutines.
    assert not any("event loop" in str(before) for before in history(raised.value))


def test_evidence_is_kept_when_the_policy_fails(
    warm: Path, replies: Any, make_policy: Make, walking_clip: Path, tmp_path: Path
) -> None:
    star = build_graph(policy=make_policy([replies.good()[0], Refused("gone")])).compile()
    found = recognize(walking_clip, ACTIONS, start=0, end=1, graph=star, trace=tmp_path)
    assert found.status == "failed" and found.action is None and found.ranking == []
    assert found.error == f"the policy failed in decompose: Refused: gone; {NOT_ACCEPTED}"
    assert found.error_type == "PolicyUnavailable"
    assert [(item.tool, item.status) for item in found.evidence] == [("detect_people", "ok"), ("explain_actions", "ok")]
    run = next(read(tmp_path))
    assert recognition(run) == found
    assert [message["role"] for message in run["messages"]][-1] == "user"


def test_a_policy_that_fails_at_once_still_gives_a_record_a_page_and_a_video(
    warm: Path, replies: Any, make_policy: Make, walking_clip: Path, tmp_path: Path
) -> None:
    star = build_graph(policy=make_policy([Refused("bad key")])).compile()
    record = wait_for(run_record(walking_clip, ACTIONS, start=0, end=1, graph=star))
    assert recognition(record).error_type == "PolicyUnavailable"
    assert recognition(record).error == f"the policy failed in tool_select: Refused: bad key; {NOT_ACCEPTED}"
    assert recognition(record).usage.policy_calls == 0 and record["recognition"]["usage"]["seconds"] == {}
    append(record, tmp_path)
    assert next(read(tmp_path)) == record
    assert "bad key" in render_page(record, MediaStore(warm / "media").get)
    write_overlay(record, tmp_path / "out" / "failed.mp4")
    assert (tmp_path / "out" / "failed.mp4").stat().st_size > 1000


def test_a_custom_graph_uses_its_own_settings(warm: Path, replies: Any, make_policy: Make, walking_clip: Path) -> None:
    policy = make_policy(replies.good())
    star = build_graph(context=Context(frames=4), policy=policy).compile()
    assert recognize(walking_clip, ACTIONS, start=0, end=1, graph=star).action == "walk"
    assert len(policy.received) == 3


@pytest.mark.parametrize("name", TOOL_NAMES)
async def test_each_tool_is_a_langchain_tool(warm: Path, walking_clip: Path, name: str) -> None:
    tool = langchain_tool(name)
    given = {"actions": ["walk"]} if name == "explain_actions" else {"video": str(walking_clip), "start": 0, "end": 1}
    assert tool.name == name and tool.description
    assert set(given) <= set(tool.args)
    assert all(about["description"] for about in tool.args.values())
    text = tool.invoke(given)
    assert isinstance(text, str) and len(text) > 20 and await tool.ainvoke(given) == text
    reply = await tool.ainvoke({"type": "tool_call", "id": "1", "name": name, "args": given})
    assert reply.content == text and reply.artifact is not None
    assert str(files("video_star")) not in text and walking_clip.name not in text


def test_an_unknown_tool_name_raises_with_the_known_names() -> None:
    with pytest.raises(UnknownTool, match="detect_people, estimate_pose"):
        langchain_tool("zoom")


async def test_a_langchain_tool_raises_typed_errors(walking_clip: Path) -> None:
    with pytest.raises(VideoNotFound):
        await langchain_tool("detect_people").ainvoke({"video": "missing.mp4"})
    with pytest.raises(SpanOutsideVideo):
        langchain_tool("track_motion").invoke({"video": str(walking_clip), "start": 5, "end": 50})
