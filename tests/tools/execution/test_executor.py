"""The executor: single flight, shared processors, retries, time limits and circuit breakers."""

import asyncio
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from video_star.tools.errors import SpanOutsideVideo, ToolBusy, ToolResting, VideoNotFound
from video_star.tools.execution import circuit_breaker as breaker
from video_star.tools.execution import result_cache
from video_star.tools.execution.executor import Executor, ensure_available, slot_released
from video_star.tools.execution.result_cache import cached_text

pytestmark = pytest.mark.slow


class Work:
    """Work that counts its calls and blocks until `go` is set."""

    def __init__(self, result: Any = "found") -> None:
        self.calls = 0
        self.started, self.go = threading.Event(), threading.Event()
        self.result = result

    def __call__(self) -> Any:
        self.calls += 1
        self.started.set()
        assert self.go.wait(10)
        if isinstance(self.result, BaseException):
            raise self.result
        return self.result


@pytest.fixture
def pool() -> Any:
    with ThreadPoolExecutor(16) as threads:
        yield threads


def joined(executor: Executor, key: object) -> Callable[[], bool]:
    return lambda: executor._flights[key].joined


def until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + 120
    while not true():
        assert time.monotonic() < end
        time.sleep(0.005)


def run(
    executor: Executor, work: Callable[[], Any], limit: float = 10.0, key: object = None, cached_only: bool = False
) -> Any:
    """One call of the tool `pose` as a node makes it, but in this thread; calls the engine unless `cached_only`."""

    def compute() -> Any:
        if not cached_only:
            ensure_available()
        return work()

    with executor.call("pose", limit):
        return executor.run_once(object() if key is None else key, compute)


def test_identical_concurrent_calls_run_once(pool: Any) -> None:
    executor, work = Executor(2), Work()
    calls = [pool.submit(executor.run_once, "clip", work) for _ in range(8)]
    work.started.wait(5)
    until(joined(executor, "clip"))
    time.sleep(0.05)
    work.go.set()
    assert [one.result(5) for one in calls] == ["found"] * 8 and work.calls == 1
    assert executor.run_once("clip", work) == "found" and work.calls == 2, "nothing is cached"


def test_different_calls_run_side_by_side(pool: Any) -> None:
    executor, one, other = Executor(2), Work(1), Work(2)
    calls = [pool.submit(executor.run_once, key, work) for key, work in (("a", one), ("b", other))]
    assert one.started.wait(5) and other.started.wait(5)
    one.go.set()
    other.go.set()
    assert [each.result(5) for each in calls] == [1, 2]


@pytest.mark.parametrize("error", [ValueError("bad weights"), VideoNotFound("my copy is gone"), SystemExit(3)])
def test_an_error_is_for_its_caller_and_the_others_try_themselves(pool: Any, error: BaseException) -> None:
    executor, work = Executor(2), Work(error)

    def recovers() -> Any:
        try:
            return work()
        finally:
            work.result = "found"

    first = pool.submit(executor.run_once, "clip", recovers)
    assert work.started.wait(30)
    others = [pool.submit(executor.run_once, "clip", recovers) for _ in range(3)]
    until(lambda: len(executor._flights["clip"].callers) == 4)
    work.go.set()
    assert first.exception(30) is error
    assert [one.result(30) for one in others] == ["found"] * 3 and 2 <= work.calls <= 4


def test_work_that_fails_for_everybody_ends_for_everybody(pool: Any) -> None:
    executor, work = Executor(2), Work(ValueError("bad weights"))
    calls = [pool.submit(executor.run_once, "clip", work) for _ in range(4)]
    work.go.set()
    assert [str(one.exception(30)) for one in calls] == ["bad weights"] * 4 and not executor._flights


@pytest.mark.parametrize("who", ["leader", "waiter"])
def test_a_caller_that_gives_up_does_not_cancel_work_that_others_wait_for(pool: Any, who: str) -> None:
    executor, work = Executor(1), Work()

    def hurried() -> Any:
        with executor.call("pose", 0.1), pytest.raises(TimeoutError):
            thread = pool.submit(run, executor, work, 0.1, "clip")
            thread.result(0.1)
        return thread

    if who == "leader":
        call = executor.call("pose", 0.1)
        with call:
            first = pool.submit(_in(call), lambda: executor.run_once("clip", work))
            work.started.wait(5)
            second = pool.submit(run, executor, work, 10.0, "clip")
            until(joined(executor, "clip"))
    else:
        second = pool.submit(run, executor, work, 10.0, "clip")
        work.started.wait(5)
        first = hurried()
        assert isinstance(first.exception(5), ToolBusy)
    work.go.set()
    assert second.result(5) == "found" and work.calls == 1


def _in(call: Any) -> Callable[[Callable[[], Any]], Any]:
    """Runs a function in another thread as part of a call, as nodes do."""
    from contextvars import copy_context

    context = copy_context()
    return lambda work: context.run(work)


def test_an_abandoned_call_releases_its_slot_while_its_thread_hangs(pool: Any) -> None:
    executor, hung = Executor(1), Work()
    with executor.call("pose", 0.1) as call:
        thread = pool.submit(_in(call), lambda: executor.run_once("a", hung))
        hung.started.wait(5)
    assert run(executor, lambda: "found", key="b") == "found"
    hung.go.set()
    assert thread.result(5) == "found"
    assert executor.slots._value == 1 and executor.admissions._value == 4, "released once, not twice"


def test_no_call_joins_hanging_work(pool: Any) -> None:
    executor, hung = Executor(2), Work()
    with executor.call("pose", 0.1) as call:
        thread = pool.submit(_in(call), lambda: executor.run_once("clip", hung))
        hung.started.wait(5)
        time.sleep(0.15)
    assert run(executor, lambda: "anew", 0.1, "clip") == "anew"
    hung.go.set()
    thread.result(5)


def test_work_abandoned_in_the_queue_is_not_started(pool: Any) -> None:
    executor, first, second = Executor(1), Work(), Work()
    busy = pool.submit(executor.run_once, "a", first)
    first.started.wait(5)
    with executor.call("pose", 0.1) as call:
        queued = pool.submit(_in(call), lambda: executor.run_once("b", second))
        until(lambda: "b" in executor._flights)
    first.go.set()
    assert busy.result(5) == "found" and isinstance(queued.exception(5), ToolBusy) and second.calls == 0


def test_no_more_calls_compute_at_once_than_there_are_slots(pool: Any) -> None:
    executor, guard, now, most = Executor(2), threading.Lock(), [0], [0]

    def work() -> None:
        with guard:
            now[0] += 1
            most[0] = max(most[0], now[0])
        time.sleep(0.02)
        with guard:
            now[0] -= 1

    list(pool.map(lambda i: executor.run_once(i, work), range(12)))
    assert most[0] == 2


def test_a_call_that_waits_for_a_server_lets_another_compute(pool: Any) -> None:
    executor, server = Executor(1), Work("answer")

    def ask() -> Any:
        with slot_released():
            return server()

    calls = pool.submit(executor.run_once, "a", ask)
    server.started.wait(5)
    assert executor.run_once("b", lambda: "computed") == "computed"
    server.go.set()
    assert calls.result(5) == "answer" and executor.slots._value == 1


def test_admitted_calls_are_limited_even_while_they_wait(pool: Any) -> None:
    executor, server = Executor(1), Work()

    def ask() -> Any:
        with slot_released():
            return server()

    calls = [pool.submit(executor.run_once, i, ask) for i in range(8)]
    until(lambda: server.calls == 4)
    time.sleep(0.1)
    assert server.calls == 4
    server.go.set()
    assert [one.result(5) for one in calls] == ["found"] * 8


def test_nested_work_does_not_deadlock(pool: Any) -> None:
    executor = Executor(1)

    def look() -> str:
        time.sleep(0.01)
        return "poses"

    def poses() -> str:
        return executor.run_once("poses", look)

    for _ in range(20):
        calls = [
            pool.submit(executor.run_once, "motion", poses),
            pool.submit(poses),
            pool.submit(executor.run_once, "b", poses),
        ]
        assert [one.result(5) for one in calls] == ["poses"] * 3


@pytest.mark.parametrize("error", [MemoryError(), OSError(28, "full"), ToolBusy("throttled"), ConnectionError()])
def test_a_transient_error_is_retried_once(error: Exception) -> None:
    errors: list[Exception] = [error]

    def work() -> str:
        if errors:
            raise errors.pop()
        return "found"

    assert run(Executor(1), work) == "found"
    errors += [error, error, error]
    with pytest.raises(type(error)):
        run(Executor(1), work)
    assert len(errors) == 1


@pytest.mark.parametrize("error", [ValueError("NaN"), SpanOutsideVideo("no such span"), RuntimeError("bad weights")])
def test_a_lasting_error_is_not_retried(error: Exception) -> None:
    work = Work(error)
    work.go.set()
    with pytest.raises(type(error)):
        run(Executor(1), work)
    assert work.calls == 1


def fail(executor: Executor, error: BaseException, times: int = breaker.MAX_FAILURES, seconds: float = 0.01) -> None:
    """Calls of a tool that fail after their time limit of 0.01 s, or earlier."""

    def work() -> None:
        time.sleep(seconds)
        raise error

    for _ in range(times):
        with pytest.raises(type(error)):
            run(executor, work, 0.01 if seconds else 10)


def test_quick_failures_keep_nobody_waiting_and_never_stop_the_calls_of_other_runs() -> None:
    executor = Executor(1)
    fail(executor, RuntimeError("dead"), 20, seconds=0)
    fail(executor, ToolBusy("throttled"), 3, seconds=0)
    assert run(executor, lambda: "found") == "found"


def test_repeated_slow_failures_open_the_breaker_and_one_trial_call_closes_it(
    pool: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(breaker, "COOLDOWN", 0.3)
    executor, work = Executor(2), Work()
    fail(executor, RuntimeError("dead"))
    with pytest.raises(ToolResting, match=r"pose failed 3 times in a row; it is asked again in 0 s"):
        run(executor, work)
    assert work.calls == 0
    time.sleep(0.35)
    trial = pool.submit(run, executor, work)
    work.started.wait(5)
    with pytest.raises(ToolResting, match="once the call that tries it is back"):
        run(executor, work)
    work.go.set()
    assert trial.result(5) == "found"
    fail(executor, RuntimeError("dead"), 2)
    assert run(executor, work) == "found", "the breaker is closed: failures are counted from zero"


def test_a_failed_trial_call_opens_the_breaker_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(breaker, "COOLDOWN", 0.2)
    executor = Executor(1)
    fail(executor, RuntimeError("dead"))
    time.sleep(0.25)
    fail(executor, RuntimeError("dead"), 1)
    fail(executor, ToolResting("whatever"), 1)


def test_an_open_breaker_serves_cached_results_which_do_not_close_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(breaker, "COOLDOWN", 0.3)
    monkeypatch.setattr(result_cache, "EXECUTOR", executor := Executor(1))
    cached_text(("clip",), lambda: "at hand")
    fail(executor, RuntimeError("dead"))

    def computed(key: str) -> str:
        return str(run(executor, lambda: cached_text((key,), lambda: "made anew"), cached_only=True))

    for _ in range(2):
        assert computed("clip") == "at hand"
        with pytest.raises(ToolResting, match="pose failed 3 times in a row"):
            computed("another clip")
    time.sleep(0.35)
    assert computed("another clip") == "made anew"


def test_cached_results_do_not_reset_the_failure_count() -> None:
    executor = Executor(1)
    for _ in range(breaker.MAX_FAILURES):
        fail(executor, RuntimeError("dead"), 1)
        assert run(executor, lambda: "at hand", cached_only=True) == "at hand"
    with pytest.raises(ToolResting):
        run(executor, lambda: "anew")


def test_each_tool_has_its_own_breaker() -> None:
    executor = Executor(1)
    fail(executor, RuntimeError("dead"))
    with executor.call("people", 1.0):
        assert executor.run_once("a", lambda: "found") == "found"


def test_bad_input_and_cancellation_are_not_failures() -> None:
    executor = Executor(1)
    for error in (SpanOutsideVideo("no such span"), KeyboardInterrupt()):
        fail(executor, error, 5)
    assert run(executor, lambda: "found") == "found"


def test_a_timeout_in_the_queue_is_not_a_failure() -> None:
    executor = Executor(1)
    for _ in range(5):
        with pytest.raises(TimeoutError), executor.call("pose", 10.0):
            raise TimeoutError
    assert run(executor, lambda: "found") == "found"


async def test_a_time_limit_ends_the_wait_and_the_failure_counts() -> None:
    executor, hung = Executor(1), Work()
    try:
        for _ in range(breaker.MAX_FAILURES):
            with pytest.raises(TimeoutError):
                # Long enough for the thread to start in the first half, without which the failure does not count.
                async with executor.time_limited("pose", 1):
                    await asyncio.to_thread(executor.run_once, object(), hung.go.wait)
    finally:
        hung.go.set()
    with pytest.raises(ToolResting):
        run(executor, lambda: "found")
