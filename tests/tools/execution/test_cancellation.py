"""Cancellation: work that nobody waits for stops at its next check, and no later call joins it."""

import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from video_star.tools.errors import ToolCancelled
from video_star.tools.execution import cancellation
from video_star.tools.execution.cancellation import cancelled_when, check_cancelled, start_thread
from video_star.tools.execution.executor import Executor
from video_star.tools.motion.camera import camera_of
from video_star.tools.motion.flow import Flow, follow
from video_star.tools.motion.similarity import as_one
from video_star.tools.video.reader import Frames, probe, read_frames
from video_star.tools.video.source import identify
from video_star.tools.vision.batching import Batcher
from video_star.tools.vision.blazepose import BLAZEPOSE
from video_star.tools.vision.mediapipe_hands import MEDIAPIPE_HANDS
from video_star.tools.vision.ssdlite import SSDLITE

from ...console import typed


class Steps:
    """Work of many steps, each after a check; it would take ten minutes."""

    def __init__(self) -> None:
        self.started = threading.Event()

    def __call__(self) -> str:
        for _ in range(60_000):
            check_cancelled()
            self.started.set()
            time.sleep(0.01)
        return "finished"


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(8) as threads:
        yield threads


def lead(pool: ThreadPoolExecutor, executor: Executor, key: object, work: Callable[[], Any]) -> Any:
    """Start the work in a thread of the current call, as nodes do."""
    return pool.submit(copy_context().run, executor.run_once, key, work)


def stopped(thread: Any) -> bool:
    return isinstance(thread.exception(30), ToolCancelled)


def test_work_stops_when_its_call_ends(pool: ThreadPoolExecutor) -> None:
    executor, work = Executor(1), Steps()
    with executor.call("pose", 60):
        thread = lead(pool, executor, "clip", work)
        assert work.started.wait(30)
    assert stopped(thread)


def test_work_goes_on_while_another_call_waits_and_stops_with_the_last(pool: ThreadPoolExecutor) -> None:
    executor, work, context = Executor(1), Steps(), copy_context()
    with executor.call("pose", 60):
        first = lead(pool, executor, "clip", work)
        assert work.started.wait(30)
        other = executor.call("pose", 60)
        context.run(other.__enter__)
        second = pool.submit(context.copy().run, executor.run_once, "clip", work)
        while not executor._flights["clip"].joined:
            time.sleep(0.01)
    time.sleep(0.1)
    assert not first.done() and not second.done()
    context.run(other.__exit__, None, None, None)
    assert stopped(first) and stopped(second)


def test_no_later_call_joins_abandoned_work(pool: ThreadPoolExecutor) -> None:
    executor, go, started = Executor(1), threading.Event(), threading.Event()

    def slow_to_notice() -> str:
        started.set()
        assert go.wait(30)
        check_cancelled()
        return "stale"

    with executor.call("pose", 60):
        abandoned = lead(pool, executor, "clip", slow_to_notice)
        assert started.wait(30)
    with executor.call("pose", 60):
        assert executor.run_once("clip", lambda: "anew") == "anew"
    go.set()
    assert stopped(abandoned)


def test_a_part_that_another_call_waits_for_is_finished_but_not_the_whole(pool: ThreadPoolExecutor) -> None:
    executor, go, started, after = Executor(2), threading.Event(), threading.Event(), []

    def part() -> str:
        started.set()
        assert go.wait(30)
        check_cancelled()
        return "poses"

    def whole() -> None:
        executor.run_once("part", part)
        check_cancelled()
        after.append("motion")

    with executor.call("motion", 60):
        first = lead(pool, executor, "whole", whole)
        assert started.wait(30)
        second = pool.submit(executor.run_once, "part", part)
        while not executor._flights["part"].joined:
            time.sleep(0.01)
    go.set()
    assert second.result(30) == "poses" and stopped(first) and not after


def test_a_cancelled_call_does_not_fail_the_batches_of_others() -> None:
    doubled = Batcher(lambda rows: rows * 2, 8)
    with cancelled_when(lambda: True), pytest.raises(ToolCancelled):
        doubled(np.ones((2, 3)))
    assert (doubled(np.ones((2, 3))) == 2).all()


def test_every_long_loop_stops(walking_clip: Path) -> None:
    frames = read_frames(walking_clip, [0.5, 1.0, 1.5])
    grey = np.random.default_rng(0).uniform(0, 255, (3, 64, 64)).astype(np.float32)
    flow: Flow = follow(grey)
    loops: list[Callable[[], object]] = [
        lambda: probe(walking_clip),
        lambda: read_frames(walking_clip, [0.5]),
        lambda: identify(walking_clip),
        lambda: SSDLITE.people(frames),
        lambda: BLAZEPOSE.poses(frames),
        lambda: MEDIAPIPE_HANDS.hands(frames, [np.zeros((0, 4))] * len(frames)),
        lambda: follow(grey),
        lambda: camera_of(flow, np.zeros(flow.points.shape, bool)),
        lambda: as_one(np.zeros((8, 20), complex)),
    ]
    with cancelled_when(lambda: True):
        for loop in loops:
            with pytest.raises(ToolCancelled):
                loop()
    assert isinstance(frames, Frames)


def test_a_thread_is_forgotten_when_it_ends() -> None:
    # Other tests may have left threads that hang on purpose.
    before, done = set(cancellation._threads), threading.Event()
    start_thread(done.set)
    assert done.wait(30)
    end = time.monotonic() + 30
    while cancellation._threads - before and time.monotonic() < end:
        time.sleep(0.01)
    assert not cancellation._threads - before


ENDS: dict[str, str] = {
    "after a time limit": "print(recognize(CLIP, ACTIONS, tool_seconds=0.6).status)",
    "after a cancel": """
async def main():
    run = asyncio.create_task(arecognize(CLIP, ACTIONS, mode="static"))
    await asyncio.sleep(1.5)
    run.cancel()
    await asyncio.gather(run, return_exceptions=True)
asyncio.run(main())
print("cancelled")
""",
    "while an engine hangs": """
from video_star.tools.vision.blazepose import BlazePose
BlazePose.poses = lambda *_: threading.Event().wait()
print(recognize(CLIP, ACTIONS, tool_seconds=0.6).status)
""",
}


@pytest.mark.slow
@pytest.mark.parametrize("when", ENDS)
def test_a_process_ends_by_itself_and_without_an_error(when: str, tmp_path: Path, walking_clip: Path) -> None:
    program = f"""
import asyncio, threading
from video_star import arecognize, recognize
CLIP, ACTIONS = {str(walking_clip)!r}, ["walk", "run", "jump"]
{ENDS[when]}
"""
    ended = typed(folder=tmp_path, program=(sys.executable, "-c", program), limit=600)
    assert ended.code == 0 and ended.stdout, ended
