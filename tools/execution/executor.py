"""The execution service: every tool call of the process goes through it, and none can slow down or break the others.

- The same request at the same time is worked on once, and all who wait get its result or its error.
- As many calls compute at once as there are processors, each in one thread. Frames of different calls are not put into
  batches: on processors neither embedded engine gains by it (`evals/bench/tools.py` prints what it costs).
- A failure that may pass by itself is tried once more; a tool that fails again and again is left alone for a while, in
  which what is kept of it is served.
- A call that is given up hands back at once what it held, however long its thread goes on.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar
from threading import Lock, Semaphore
from types import TracebackType
from typing import Any, Final, Self, TypeVar

from ..errors import BadInput, MissingExtra, ToolBusy, ToolResting
from .circuit_breaker import Breaker

T = TypeVar("T")

PASSING: Final = (ToolBusy, MemoryError, OSError)
"""Failures that may pass by themselves; everything else would fail again."""
PAUSE: Final = 0.2
"""Seconds before the second try."""
PLACES: Final = 4
"""Calls per processor that may have begun, computing or waiting for a server: the bound on decoded frames in memory,
which are 64 MB for the longest span."""

_current: ContextVar[Call | None] = ContextVar("call", default=None)


def processors() -> int:
    """Processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Service:
    """Single flight, bounds, second tries and circuit breakers for the tool calls of one process."""

    def __init__(self, slots: int | None = None) -> None:
        """`slots` calls compute at once; None for one per processor."""
        slots = slots or processors()
        self.slots, self.places = Semaphore(slots), Semaphore(slots * PLACES)
        self._guard = Lock()
        self._flights: dict[object, _Flight] = {}
        self._breakers: dict[str, Breaker] = {}

    def call(self, tool: str, limit: float) -> Call:
        """One call of a tool, to be entered with `with` around the `limit` seconds that it may take.

        Of a tool that failed too often of late it gets what is kept, and `working` raises ToolResting.
        """
        with self._guard:
            return Call(self, limit, self._breakers.setdefault(tool, Breaker(tool)))

    def forget(self) -> None:
        """Ask every tool again, whatever it did before."""
        with self._guard:
            self._breakers.clear()

    def once(self, key: object, work: Callable[[], T], own: tuple[type[Exception], ...] = ()) -> T:
        """What `work` returns, from this thread or from another that is at it already under the same `key`.

        Nothing is kept once the work is done.

        Args:
            key: Everything the result depends on.
            work: Called in the thread of the first who asks. It goes on when that one gives up, as others may wait.
            own: Errors of `work` that are about who asked: those who waited try for themselves.

        Raises:
            ToolBusy: Another thread was at it until the time of this call was over.
        """
        call = _current.get() or Call(self)
        if call.rests:
            # What others of its tool are at may hang, and it wants only what is kept.
            return _work(call, work)
        with self._guard:
            flight = self._flights.get(key)
            leads = flight is None or flight.hangs(call)
            if flight is None or leads:
                flight = self._flights[key] = _Flight(call)
            flight.joined |= not leads
        if leads:
            return self._lead(key, flight, work)
        try:
            with call.waiting():
                result: T = flight.result(call)
                return result
        except own:
            return _work(call, work)

    def _lead(self, key: object, flight: _Flight, work: Callable[[], T]) -> T:
        def wanted() -> T:
            if flight.leader.over and not flight.joined:
                raise ToolBusy("it was given up before it began")
            return work()

        try:
            result = _work(flight.leader, wanted)
        except BaseException as error:
            flight.future.set_exception(error)
            raise
        finally:
            with self._guard:
                if self._flights.get(key) is flight:
                    del self._flights[key]
        flight.future.set_result(result)
        return result


class Call:
    """One call: its time limit, and what it holds while it computes."""

    def __init__(self, service: Service, limit: float = float("inf"), breaker: Breaker | None = None) -> None:
        """`limit` in seconds, from now on."""
        self.limit = limit
        self.over = False
        self.began: float | None = None
        """When it was let in to work itself; None while it waits, or if it has what another worked out."""
        self.rests = ""
        """Why the tool is to be left alone; empty where it is not."""
        self.asked = False
        """Whether an engine was set to work."""
        self._until = time.monotonic() + limit
        self._breaker = breaker
        self._place, self._slot = _Hold(service.places), _Hold(service.slots)

    def __enter__(self) -> Self:
        if self._breaker is not None:
            try:
                self._breaker.ask()
            except ToolResting as error:
                self.rests = str(error)
        self._token = _current.set(self)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        _current.reset(self._token)
        self.over = True
        self._slot.end()
        self._place.end()
        if self._breaker is not None and not self.rests:
            self._breaker.heard(self._tells(error))

    def _tells(self, error: BaseException | None) -> bool | None:
        """Whether the tool works; None where a call tells nothing: result at hand, bad input, cancelled, queued."""
        if self.began is None or isinstance(error, BadInput | MissingExtra):
            return None
        if isinstance(error, TimeoutError):
            return None if time.monotonic() - self.began < self.limit / 2 else False
        if not self.asked:
            return None
        return False if isinstance(error, Exception) else True if error is None else None

    def left(self) -> float:
        """Seconds until its limit."""
        return self._until - time.monotonic()

    @contextmanager
    def holding(self) -> Iterator[None]:
        """Let in: a place and a slot, held while computing."""
        self._place.take()
        self._slot.take()
        self.began = time.monotonic()
        try:
            yield
        finally:
            self._slot.give()
            self._place.give()

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Lets another compute while this one waits."""
        held = self._slot.give()
        try:
            yield
        finally:
            if held:
                self._slot.take()


def waiting() -> Any:
    """A context for what a tool waits for without computing, such as a server: another call computes meanwhile."""
    return call.waiting() if (call := _current.get()) else nullcontext()


def working() -> None:
    """To be called where what is kept does not do, before an engine is set to work.

    Raises:
        ToolResting: The tool of this call failed too often of late.
    """
    if call := _current.get():
        if call.rests:
            raise ToolResting(call.rests)
        call.asked = True


def _work(call: Call, work: Callable[[], T]) -> T:
    """The work, let in if it is not yet part of work that is, and once more where that can help."""
    if call.began is not None:
        return work()
    token = _current.set(call)
    try:
        with call.holding():
            try:
                return work()
            except PASSING as error:
                if isinstance(error, BadInput) or call.left() < PAUSE:
                    raise
            with call.waiting():
                time.sleep(PAUSE)
            return work()
    finally:
        _current.reset(token)


class _Hold:
    """What one call holds of a semaphore; nothing once ended: the thread of a call given up goes on as it may."""

    def __init__(self, semaphore: Semaphore) -> None:
        self._semaphore = semaphore
        self._guard = Lock()
        self._held = self._ended = False

    def take(self) -> None:
        self._semaphore.acquire()
        with self._guard:
            self._held = True
            ended = self._ended
        if ended:
            self.give()

    def give(self) -> bool:
        """Hand it back; False if it is not held."""
        with self._guard:
            held, self._held = self._held, False
        if held:
            self._semaphore.release()
        return held

    def end(self) -> None:
        with self._guard:
            self._ended = True
        self.give()


class _Flight:
    """Work that one thread does and others may wait for."""

    def __init__(self, leader: Call) -> None:
        self.leader = leader
        self.joined = False
        self.future: Future[Any] = Future()
        self._began = time.monotonic()

    def hangs(self, call: Call) -> bool:
        """Whether it takes longer than both who began it and `call` would wait."""
        return time.monotonic() - self._began >= max(self.leader.limit, call.limit)

    def result(self, call: Call) -> Any:
        try:
            return self.future.result(None if call.limit == float("inf") else max(call.left(), 0) + 1)
        except TimeoutError:
            if self.future.done():
                raise
            raise ToolBusy("another run asked for the same, and it took too long; raise tool_seconds") from None


SERVICE: Final = Service()
"""That of this process."""
