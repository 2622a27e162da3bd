"""The execution service: work done once, two cores shared, second tries, and tools that are left alone."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from video_star.tools.errors import SpanOutsideVideo, ToolBusy, ToolResting, VideoNotFound
from video_star.tools.execution import circuit_breaker as breaker
from video_star.tools.execution import media_store as media
from video_star.tools.execution.chat_model import Words
from video_star.tools.execution.executor import Service, waiting, working


class Work:
    """Work that counts how often it is done, and goes on until it is let go."""

    def __init__(self, result: Any = "found") -> None:
        self.times = 0
        self.began, self.go = threading.Event(), threading.Event()
        self.result = result

    def __call__(self) -> Any:
        self.times += 1
        self.began.set()
        assert self.go.wait(10)
        if isinstance(self.result, Exception):
            raise self.result
        return self.result


@pytest.fixture
def pool() -> Any:
    with ThreadPoolExecutor(16) as threads:
        yield threads


def joined(service: Service, key: object) -> Callable[[], bool]:
    return lambda: service._flights[key].joined


def until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + 120
    while not true():
        assert time.monotonic() < end
        time.sleep(0.005)


def called(
    service: Service, work: Callable[[], Any], limit: float = 10.0, key: object = None, kept: bool = False
) -> Any:
    """One call of the tool `pose` as a node makes it, but in this thread; nothing of it is kept unless `kept`."""

    def asked() -> Any:
        if not kept:
            working()
        return work()

    with service.call("pose", limit):
        return service.once(object() if key is None else key, asked)


def test_the_same_request_at_the_same_time_is_worked_on_once(pool: Any) -> None:
    service, work = Service(2), Work()
    asked = [pool.submit(service.once, "clip", work) for _ in range(8)]
    work.began.wait(5)
    until(joined(service, "clip"))
    time.sleep(0.05)
    work.go.set()
    assert [one.result(5) for one in asked] == ["found"] * 8 and work.times == 1
    assert service.once("clip", work) == "found" and work.times == 2, "nothing is kept"


def test_other_requests_are_worked_on_beside_it(pool: Any) -> None:
    service, one, other = Service(2), Work(1), Work(2)
    asked = [pool.submit(service.once, key, work) for key, work in (("a", one), ("b", other))]
    assert one.began.wait(5) and other.began.wait(5)
    one.go.set()
    other.go.set()
    assert [each.result(5) for each in asked] == [1, 2]


def test_an_error_is_given_to_all_who_wait_and_not_kept(pool: Any) -> None:
    service, work = Service(2), Work(ValueError("bad weights"))
    asked = [pool.submit(service.once, "clip", work) for _ in range(4)]
    work.began.wait(5)
    time.sleep(0.1)
    work.go.set()
    for one in asked:
        with pytest.raises(ValueError, match="bad weights"):
            one.result(5)
    assert work.times == 1
    work.result = "found"
    assert service.once("clip", work) == "found"


def test_an_error_about_who_asked_is_not_given_to_others(pool: Any) -> None:
    service, gone = Service(2), Work(VideoNotFound("my copy is gone"))
    first = pool.submit(service.once, "clip", gone, (VideoNotFound,))
    gone.began.wait(5)
    second = pool.submit(service.once, "clip", lambda: "mine is there", (VideoNotFound,))
    until(joined(service, "clip"))
    gone.go.set()
    assert isinstance(first.exception(5), VideoNotFound) and second.result(5) == "mine is there"


@pytest.mark.parametrize("who", ["leader", "waiter"])
def test_who_gives_up_does_not_cancel_what_others_wait_for(pool: Any, who: str) -> None:
    service, work = Service(1), Work()

    def hurried() -> Any:
        with service.call("pose", 0.1), pytest.raises(TimeoutError):
            thread = pool.submit(called, service, work, 0.1, "clip")
            thread.result(0.1)
        return thread

    if who == "leader":
        call = service.call("pose", 0.1)
        with call:
            first = pool.submit(_in(call), lambda: service.once("clip", work))
            work.began.wait(5)
            second = pool.submit(called, service, work, 10.0, "clip")
            until(joined(service, "clip"))
    else:
        second = pool.submit(called, service, work, 10.0, "clip")
        work.began.wait(5)
        first = hurried()
        assert isinstance(first.exception(5), ToolBusy)
    work.go.set()
    assert second.result(5) == "found" and work.times == 1


def _in(call: Any) -> Callable[[Callable[[], Any]], Any]:
    """To run something in another thread as part of a call, as nodes do."""
    from contextvars import copy_context

    context = copy_context()
    return lambda work: context.run(work)


def test_a_call_given_up_hands_back_its_slot_while_its_thread_hangs(pool: Any) -> None:
    service, hung = Service(1), Work()
    with service.call("pose", 0.1) as call:
        thread = pool.submit(_in(call), lambda: service.once("a", hung))
        hung.began.wait(5)
    assert called(service, lambda: "found", key="b") == "found"
    hung.go.set()
    assert thread.result(5) == "found"
    assert service.slots._value == 1 and service.places._value == 4, "handed back once, not twice"


def test_nobody_joins_what_hangs(pool: Any) -> None:
    service, hung = Service(2), Work()
    with service.call("pose", 0.1) as call:
        thread = pool.submit(_in(call), lambda: service.once("clip", hung))
        hung.began.wait(5)
        time.sleep(0.15)
    assert called(service, lambda: "anew", 0.1, "clip") == "anew"
    hung.go.set()
    thread.result(5)


def test_what_was_given_up_in_the_queue_is_not_begun(pool: Any) -> None:
    service, first, second = Service(1), Work(), Work()
    busy = pool.submit(service.once, "a", first)
    first.began.wait(5)
    with service.call("pose", 0.1) as call:
        queued = pool.submit(_in(call), lambda: service.once("b", second))
        until(lambda: "b" in service._flights)
    first.go.set()
    assert busy.result(5) == "found" and isinstance(queued.exception(5), ToolBusy) and second.times == 0


def test_no_more_compute_at_once_than_there_are_slots(pool: Any) -> None:
    service, guard, now, most = Service(2), threading.Lock(), [0], [0]

    def work() -> None:
        with guard:
            now[0] += 1
            most[0] = max(most[0], now[0])
        time.sleep(0.02)
        with guard:
            now[0] -= 1

    list(pool.map(lambda i: service.once(i, work), range(12)))
    assert most[0] == 2


def test_who_waits_for_a_server_lets_another_compute(pool: Any) -> None:
    service, server = Service(1), Work("answer")

    def asks() -> Any:
        with waiting():
            return server()

    asked = pool.submit(service.once, "a", asks)
    server.began.wait(5)
    assert service.once("b", lambda: "computed") == "computed"
    server.go.set()
    assert asked.result(5) == "answer" and service.slots._value == 1


def test_begun_calls_are_bounded_even_while_they_wait(pool: Any) -> None:
    service, server = Service(1), Work()

    def asks() -> Any:
        with waiting():
            return server()

    asked = [pool.submit(service.once, i, asks) for i in range(8)]
    until(lambda: server.times == 4)
    time.sleep(0.1)
    assert server.times == 4
    server.go.set()
    assert [one.result(5) for one in asked] == ["found"] * 8


def test_work_within_work_waits_for_neither_itself_nor_its_slot(pool: Any) -> None:
    service = Service(1)

    def look() -> str:
        time.sleep(0.01)
        return "poses"

    def poses() -> str:
        return service.once("poses", look)

    for _ in range(20):
        asked = [pool.submit(service.once, "motion", poses), pool.submit(poses), pool.submit(service.once, "b", poses)]
        assert [one.result(5) for one in asked] == ["poses"] * 3


@pytest.mark.parametrize("passing", [MemoryError(), OSError(28, "full"), ToolBusy("throttled"), ConnectionError()])
def test_what_may_pass_by_itself_is_tried_once_more(passing: Exception) -> None:
    tries: list[Exception] = [passing]

    def work() -> str:
        if tries:
            raise tries.pop()
        return "found"

    assert called(Service(1), work) == "found"
    tries += [passing, passing, passing]
    with pytest.raises(type(passing)):
        called(Service(1), work)
    assert len(tries) == 1


@pytest.mark.parametrize("lasting", [ValueError("NaN"), SpanOutsideVideo("no such span"), RuntimeError("bad weights")])
def test_what_would_fail_again_is_not_tried_again(lasting: Exception) -> None:
    work = Work(lasting)
    work.go.set()
    with pytest.raises(type(lasting)):
        called(Service(1), work)
    assert work.times == 1


def fail(service: Service, error: BaseException, times: int = breaker.FAILURES) -> None:
    def work() -> None:
        raise error

    for _ in range(times):
        with pytest.raises(type(error)):
            called(service, work)


def test_a_tool_that_fails_again_and_again_rests_then_one_call_tries_it(
    pool: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(breaker, "REST", 0.3)
    service, work = Service(2), Work()
    fail(service, RuntimeError("dead"))
    with pytest.raises(ToolResting, match=r"pose failed 3 times in a row; it is asked again in 0 s"):
        called(service, work)
    assert work.times == 0
    time.sleep(0.35)
    trying = pool.submit(called, service, work)
    work.began.wait(5)
    with pytest.raises(ToolResting, match="once the call that tries it is back"):
        called(service, work)
    work.go.set()
    assert trying.result(5) == "found"
    fail(service, RuntimeError("dead"), 2)
    assert called(service, work) == "found", "it is closed: failures are counted from nought"


def test_a_tool_that_still_fails_when_it_is_tried_rests_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(breaker, "REST", 0.2)
    service = Service(1)
    fail(service, RuntimeError("dead"))
    time.sleep(0.25)
    fail(service, RuntimeError("dead"), 1)
    fail(service, ToolResting("whatever"), 1)


def test_what_is_kept_of_a_resting_tool_is_served_and_tells_nothing_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(breaker, "REST", 0.3)
    monkeypatch.setattr(media, "SERVICE", service := Service(1))
    media.remembered(("clip",), Words, lambda: Words("at hand"))
    fail(service, RuntimeError("dead"))

    def remembered(key: str) -> str:
        found = called(service, lambda: media.remembered((key,), Words, lambda: Words("made anew")), kept=True)
        return str(found.text)

    for _ in range(2):
        assert remembered("clip") == "at hand"
        with pytest.raises(ToolResting, match="pose failed 3 times in a row"):
            remembered("another clip")
    time.sleep(0.35)
    assert remembered("another clip") == "made anew"


def test_results_at_hand_do_not_hide_that_the_engine_is_dead() -> None:
    service = Service(1)
    for _ in range(breaker.FAILURES):
        fail(service, RuntimeError("dead"), 1)
        assert called(service, lambda: "at hand", kept=True) == "at hand"
    with pytest.raises(ToolResting):
        called(service, lambda: "anew")


def test_other_tools_are_asked_while_one_rests() -> None:
    service = Service(1)
    fail(service, RuntimeError("dead"))
    with service.call("people", 1.0):
        assert service.once("a", lambda: "found") == "found"


def test_bad_input_and_cancelled_runs_do_not_count_as_failures() -> None:
    service = Service(1)
    for error in (SpanOutsideVideo("no such span"), KeyboardInterrupt()):
        fail(service, error, 5)
    assert called(service, lambda: "found") == "found"


def test_time_spent_in_the_queue_does_not_count_as_a_failure() -> None:
    service = Service(1)
    for _ in range(5):
        with pytest.raises(TimeoutError), service.call("pose", 10.0):
            raise TimeoutError
    assert called(service, lambda: "found") == "found"
