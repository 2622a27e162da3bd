"""Tools that fail in any way: the run ends with a valid result, and the failure is part of its evidence."""

import asyncio
import re
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from langgraph.checkpoint.memory import InMemorySaver

from video_star.evals.bench.soak import crowd, differing, drawn
from video_star.evals.bench.tools import soak
from video_star.graph import build_graph
from video_star.graph.nodes import tool_exec
from video_star.graph.records.result import Recognition
from video_star.graph.run import arecognize
from video_star.graph.state import Context, State
from video_star.tools import registry
from video_star.tools.errors import ToolBusy
from video_star.tools.execution import cancellation, media_store, result_cache
from video_star.tools.execution import circuit_breaker as breaker
from video_star.tools.execution.cancellation import check_cancelled
from video_star.tools.execution.executor import Executor
from video_star.tools.settings import home
from video_star.tools.vision.blazepose import BlazePose
from video_star.tools.vision.ssdlite import SsdLite

from ...tools.video.hostile import HostileFiles

pytestmark = pytest.mark.slow

ACTIONS = ["walk", "run", "hug"]
NO_MOTION = "no evidence: no motion was measured; the answer is a guess"
"""The note of the embedded policy where `track_motion` was not called or failed."""


@pytest.fixture(autouse=True)
def own_executor(monkeypatch: pytest.MonkeyPatch) -> Executor:
    """A new executor for each test, so that no circuit breaker is open because of another test."""
    fresh = Executor()
    monkeypatch.setattr(tool_exec, "EXECUTOR", fresh)
    monkeypatch.setattr(result_cache, "EXECUTOR", fresh)
    return fresh


async def look(clip: Path, *tools: str, **settings: Any) -> Recognition:
    return await arecognize(clip, ACTIONS, start=0, end=1, mode="static", tools=list(tools), **settings)


def boxes(*rows: list[float]) -> Any:
    return [(np.array(rows, np.float32), np.full(len(rows), 0.9, np.float32))] * 8


def fails(error: BaseException) -> Any:
    def people(*_: Any) -> Any:
        raise error

    return people


@pytest.mark.parametrize(
    ("people", "why"),
    [
        (fails(RuntimeError("bad weights")), "RuntimeError: bad weights"),
        (fails(MemoryError()), "MemoryError"),
        (fails(SystemExit(9)), "the tool ended with SystemExit"),
        (fails(StopIteration()), "the tool ended with StopIteration"),
        (fails(asyncio.CancelledError()), "the tool ended with CancelledError"),
        (lambda *_: boxes([np.nan, 0, 10, 10]), "boxes"),
        (lambda *_: boxes([0, 0, np.inf, 10]), "boxes"),
        (lambda *_: boxes([0, 0, 10]), "Error"),
        (lambda *_: "garbage", "Error"),
        (lambda *_: None, "TypeError"),
        (lambda *_: boxes([0, 0, 10, 10]) * 5, "frame contains an index outside"),
    ],
)
async def test_every_failure_of_an_engine_becomes_evidence(
    walking_clip: Path, monkeypatch: pytest.MonkeyPatch, people: Any, why: str
) -> None:
    monkeypatch.setattr(SsdLite, "people", people)
    found = await look(walking_clip, "detect_people", "explain_actions")
    failed, explained = found.evidence
    assert failed.status == "unavailable" and why in failed.summary and failed.frames == []
    assert explained.status == "ok" and found.status == "degraded" and found.action in ACTIONS


async def test_a_failure_is_not_cached(walking_clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as broken:
        broken.setattr(SsdLite, "people", lambda *_: boxes([np.nan, 0, 10, 10]))
        assert (await look(walking_clip, "detect_people")).evidence[0].status == "unavailable"
    (found,) = (await look(walking_clip, "detect_people")).evidence
    assert found.status == "ok" and "people" in found.summary


async def test_an_engine_that_runs_out_of_memory_once_is_retried(
    walking_clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sound, tries = SsdLite.people, []

    def people(self: SsdLite, frames: Any) -> Any:
        tries.append(1)
        if len(tries) == 1:
            raise MemoryError
        return sound(self, frames)

    monkeypatch.setattr(SsdLite, "people", people)
    (found,) = (await look(walking_clip, "detect_people")).evidence
    assert found.status == "ok" and len(tries) == 2


async def test_an_engine_that_hangs_is_abandoned_and_then_not_called(
    walking_clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hung, asked = threading.Event(), []

    def poses(*_: Any) -> Any:
        asked.append(1)
        hung.wait()
        return []

    monkeypatch.setattr(BlazePose, "poses", poses)
    try:
        for _ in range(breaker.MAX_FAILURES):
            found = await look(walking_clip, "estimate_pose", tool_seconds=0.3)
            assert found.evidence[0].summary == "unavailable: no result within 0.3 s"
            unavailable = "estimate_pose unavailable: no result within 0.3 s; raise tool_seconds (--tool-seconds)"
            assert found.notes == [unavailable, NO_MOTION]
        # The abandoned calls are not waited for, and hold no slot.
        found = await look(walking_clip, "estimate_pose", "explain_actions")
        assert "failed 3 times in a row" in found.evidence[0].summary and found.evidence[1].status == "ok"
        assert len(asked) <= breaker.MAX_FAILURES
    finally:
        hung.set()


async def test_a_run_resumed_after_a_cancel_or_retried_after_a_time_limit_equals_one_never_cancelled(
    walking_clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sound, asked, go = BlazePose.poses, threading.Event(), threading.Event()

    def poses(self: BlazePose, frames: Any) -> Any:
        if not asked.is_set():
            asked.set()
            go.wait(60)
            check_cancelled()
        return sound(self, frames)

    def plain(state: Any) -> Any:
        evidence = [{k: v for k, v in each.items() if k != "seconds"} for each in state["evidence"]]
        return evidence, state["ranking"], state["action"], state["status"], state["notes"]

    context = Context(mode="static", tools=["estimate_pose", "track_motion"])
    star = build_graph(context=context).compile(checkpointer=InMemorySaver())
    given: Any = {"video": str(walking_clip), "actions": ACTIONS, "start": 0, "end": 1}
    monkeypatch.setattr(BlazePose, "poses", poses)
    try:
        thread: Any = {"configurable": {"thread_id": "cancelled"}}
        run = asyncio.create_task(star.ainvoke(given, thread))
        await asyncio.to_thread(asked.wait, 60)
        run.cancel()
        with pytest.raises(asyncio.CancelledError):
            await run
        resumed = plain(await star.ainvoke(None, thread))
        result_cache._unsaved.clear()
        shutil.rmtree(home() / "results")
        asked.clear()
        limited = await star.ainvoke(
            given,
            {"configurable": {"thread_id": "limited"}},
            context=Context(mode="static", tools=["estimate_pose", "track_motion"], tool_seconds=0.5),
        )
        assert limited["status"] == "degraded"
        retried = plain(await star.ainvoke(given, {"configurable": {"thread_id": "retried"}}))
    finally:
        asked.set()
        go.set()
    never = plain(await star.ainvoke(given, {"configurable": {"thread_id": "never"}}))
    assert resumed == retried == never and never[3] == "ok" and not never[4]


async def test_a_cancelled_run_leaves_no_thread_at_work(walking_clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    working = threading.Event()

    def poses(*_: Any) -> Any:
        while True:
            check_cancelled()
            working.set()
            time.sleep(0.01)

    monkeypatch.setattr(BlazePose, "poses", poses)
    run = asyncio.create_task(look(walking_clip, "estimate_pose", "track_motion", "describe_video"))
    assert await asyncio.to_thread(working.wait, 60)
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run
    for _ in range(3000):
        if not cancellation._threads:
            break
        await asyncio.sleep(0.01)
    assert not cancellation._threads


async def test_eight_concurrent_runs_on_one_clip_call_the_engine_once(
    walking_clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sound, asked = BlazePose.poses, []

    def poses(self: BlazePose, frames: Any) -> Any:
        asked.append(1)
        return sound(self, frames)

    monkeypatch.setattr(BlazePose, "poses", poses)
    found = await asyncio.gather(*(look(walking_clip, "estimate_pose", "track_motion") for _ in range(8)))
    assert len(asked) == 1 and {one.status for one in found} == {"ok"}
    assert len({one.evidence[0].summary for one in found}) == 1


async def test_evidence_is_kept_when_its_images_cannot_be_saved(
    walking_clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> Any:
        raise OSError(28, "No space left on device")

    sound = registry.tool("detect_people").run

    def filled(*args: Any) -> Any:
        found = sound(*args)
        monkeypatch.setattr(media_store, "write_atomically", full)
        return found

    tools = dict(registry.library())
    tools["detect_people"] = replace(tools["detect_people"], run=filled)
    monkeypatch.setattr(registry, "library", lambda: tools)
    (seen,) = (await arecognize(walking_clip, ACTIONS, start=0, end=1, tools=["detect_people"], mode="static")).evidence
    assert seen.status == "ok" and "Person 1" in seen.summary and seen.frames == []
    assert seen.summary.endswith("Its pictures could not be kept: No space left on device.")


@contextmanager
def no_room() -> Iterator[None]:
    """This process cannot write another byte to disk."""
    resource = pytest.importorskip("resource", reason="needs limits on written files, which Windows lacks")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


async def test_on_a_full_disk_a_run_loses_only_its_images(
    walking_clip: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    star, sound, asked = build_graph().compile(), BlazePose.poses, []

    def poses(self: BlazePose, frames: Any) -> Any:
        asked.append(1)
        return sound(self, frames)

    monkeypatch.setattr(BlazePose, "poses", poses)
    inputs: Any = {"video": str(walking_clip), "actions": ACTIONS, "start": 0, "end": 1}
    context: Any = {"mode": "static", "tools": ["estimate_pose", "track_motion", "explain_actions"]}
    with no_room():
        found: Any = await star.ainvoke(inputs, context=context, output_keys=list(State.__annotations__))
    assert found["action"] == "walk" and found["status"] == "degraded" and len(found["notes"]) == 1
    assert found["notes"][0].startswith("the policy sees no frames, because they could not be saved: ")
    assert "Frames at" not in found["conversation"][1].text
    assert found["frames"] == [] and "its frames cannot be shown" in found["conversation"][1].text
    assert {(item["status"], len(item["frames"])) for item in found["evidence"]} == {("ok", 0)} and len(asked) == 1
    assert not [path for path in home.rglob("*") if path.is_file() and not path.name.endswith(".lock")]
    again = await look(walking_clip, "estimate_pose")
    assert again.evidence[0].status == "ok" and again.evidence[0].frames and again.notes == [NO_MOTION]


@pytest.mark.slow
def test_of_many_runs_at_once_with_failing_tools_none_is_lost_and_none_differs_from_the_same_run_alone(
    warm: Path,
) -> None:
    """`evals.bench.soak` makes 500."""
    runs = drawn(64, 0.3, seed=1, spans=2)
    seen = asyncio.run(crowd(runs, 64))
    calls = [item for record in seen.records.values() for item in record["recognition"]["evidence"]]
    assert 0.2 < sum(item["status"] != "ok" for item in calls) / len(calls) < 0.4
    assert not list(differing(runs, seen))
    for record in seen.records.values():
        found = record["recognition"]
        bad = [item for item in found["evidence"] if item["status"] != "ok"]
        assert found["action"] in found["ranking"][0].values() and (found["status"] == "ok") == (not found["notes"])
        assert all(item["summary"].startswith("unavailable: ") and len(item["summary"]) > 15 for item in bad)
        assert len(bad) == len([note for note in found["notes"] if "unavailable" in note])
    assert max(seen.threads) < 64 * 3 + 32 and threading.active_count() < 32


@pytest.mark.slow
def test_memory_does_not_grow_over_many_calls(walking_clip: Path) -> None:
    if not Path("/proc/self/statm").exists():
        pytest.skip("reads the memory of the process as Linux tells it")
    early, late = soak(walking_clip, 100, ["detect_people", "explain_actions"])
    assert late < early * 1.05, f"{early:.0f} MB early, {late:.0f} MB late in 100 calls"


@pytest.mark.parametrize("name", ["a.mp4", "1.mp4", "no.mp4", "end.mp4", "61.avi", "start=51"])
def test_an_error_reads_the_same_whatever_the_video_is_called(name: str) -> None:
    for text in (
        "no part of 0.00 to 2.00 s lies between start=51.0 and end=61.0; a 1",
        "give 0 <= start < end <= 1.50",
    ):
        assert tool_exec._reason(ToolBusy(text), f"/videos/{name}") == text
    assert tool_exec._reason(ValueError("1 is no index of a"), "/videos/a.mp4") == "ValueError: 1 is no index of a"


@pytest.mark.parametrize("name", ["brush_hair.mp4", "a.mp4", "1.mp4", "hand stand (2).avi", "clip.tar.mkv"])
def test_an_error_never_names_the_video(name: str) -> None:
    video, stem = f"/videos/{name}", Path(name).stem
    for text in (f"cannot open {video}", f"{name} is broken", f"no '{stem}' here", f"[Errno 2]: /cache/{stem}.json"):
        for error in (ToolBusy(text), RuntimeError(text)):
            assert not re.search(rf"(?<!\w){re.escape(stem)}(?!\w)", tool_exec._reason(error, video)), (text, error)
    assert "brush" not in tool_exec._reason(RuntimeError("lost brush_hair on the way"), "/videos/brush_hair.mp4")


async def test_a_video_that_breaks_off_is_noted_in_the_result(hostile: HostileFiles) -> None:
    for path, said in ((hostile.truncated, "nothing can be read after 5"), (hostile.damaged, "the file is damaged")):
        found = await arecognize(path, ACTIONS, tools=["explain_actions"], mode="static")
        note, _ = found.notes
        assert note.startswith(f"the video could not be read whole: {said}") and found.status == "degraded"
    assert (await arecognize(hostile.plain, ACTIONS, tools=["explain_actions"], mode="static")).notes == [NO_MOTION]
