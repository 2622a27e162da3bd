"""The executor of tool calls: every call of the process goes through it, and none can slow down or break the others.

- Identical concurrent calls run once (single flight), and all callers get the same result. An error is for the caller
  in whose thread it occurred: the others try themselves, so that no run fails because another did.
- As many calls compute at once as there are processors, each in one thread. Frames of different calls are not batched:
  on CPUs neither embedded engine gains from it (`evals/bench/tools.py` prints what batching costs).
- A transient failure is retried once. A tool that keeps reaching its time limit is not called for a while (circuit
  breaker); only its cached results are returned.
- A call that is given up releases its resources at once; its thread stops at its next check (`cancellation`) unless
  other calls wait for its result, and no later call joins it.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import Future
from contextlib import asynccontextmanager, contextmanager, nullcontext
from contextvars import ContextVar
from threading import Lock, RLock, Semaphore
from types import TracebackType
from typing import Any, Final, Self, TypeVar

from ..errors import BadInput, MissingExtra, ToolBusy, ToolCancelled, ToolResting
from .cancellation import CONDITION, Condition, cancelled_when, check_cancelled, ended, pause
from .circuit_breaker import CircuitBreaker

T = TypeVar("T")

TRANSIENT: Final = (ToolBusy, MemoryError, OSError)
"""Errors that are retried; any other would only occur again."""
RETRY_DELAY: Final = 0.2
"""Seconds before the retry."""
ADMITTED_PER_SLOT: Final = 4
"""Calls per slot that may have started, computing or waiting for a server. Limits the decoded frames in memory: up to
64 MB a call."""

_current: ContextVar[Call | None] = ContextVar("call", default=None)


def processors() -> int:
    """Processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Executor:
    """Single flight, concurrency limits, retries and circuit breakers for the tool calls of one process."""

    def __init__(self, slots: int | None = None) -> None:
        """`slots` is the number of calls that compute at once; None is one per processor."""
        slots = slots or processors()
        self.slots, self.admissions = Semaphore(slots), Semaphore(slots * ADMITTED_PER_SLOT)
        self._lock = RLock()
        self._flights: dict[object, _Flight] = {}
        self._breakers: dict[str, CircuitBreaker] = {}

    def call(self, tool: str, timeout: float) -> Call:
        """One call of a tool as a context manager; the caller gives up after `timeout` seconds.

        While the tool's circuit breaker is open the call gets cached results only: `ensure_available` raises.
        """
        with self._lock:
            return Call(self, timeout, self._breakers.setdefault(tool, CircuitBreaker(tool)))

    @asynccontextmanager
    async def time_limited(self, tool: str, timeout: float) -> AsyncIterator[None]:
        """`call` with its time limit enforced.

        Raises:
            TimeoutError: The block took longer than `timeout` seconds. A thread that it started is cancelled.
        """
        with self.call(tool, timeout):
            async with asyncio.timeout(timeout):
                yield

    def run_once(self, key: object, work: Callable[[], T]) -> T:
        """The result of `work`, computed in this thread or by another thread already running it under the same `key`.

        Nothing is cached: a call after the work is done runs it again.

        Args:
            key: Everything the result depends on.
            work: Called in the thread of the first caller, and if it fails there, in that of the next; cancelled once
                all of its callers have given up.

        Raises:
            ToolBusy: Another thread was still running it when the time limit of this call was reached.
            ToolCancelled: This call was given up.
        """
        call = _current.get() or Call(self)
        if call.unavailable:
            # This call wants cached results only; a flight of its failing tool may hang.
            return _compute(call, work)
        while True:
            with self._lock:
                flight = self._flights.get(key)
                leads = flight is None or flight.hangs(call) or flight.cancelled()
                if flight is None or leads:
                    flight = self._flights[key] = _Flight(call, self._lock)
                flight.callers.append(CONDITION.get())
            if leads:
                return self._lead(key, flight, work)
            with call.slot_released():
                if flight.succeeds(call):
                    result: T = flight.future.result()
                    return result

    def _lead(self, key: object, flight: _Flight, work: Callable[[], T]) -> T:
        def work_if_wanted() -> T:
            check_cancelled()
            return work()

        try:
            with cancelled_when(flight.cancelled):
                result = _compute(flight.leader, work_if_wanted)
        except BaseException as error:
            flight.future.set_exception(error)
            raise
        finally:
            with self._lock:
                if self._flights.get(key) is flight:
                    del self._flights[key]
        flight.future.set_result(result)
        return result


class Call:
    """One tool call: its time limit, and the resources it holds while it computes."""

    def __init__(
        self, executor: Executor, timeout: float = float("inf"), breaker: CircuitBreaker | None = None
    ) -> None:
        """`timeout` is in seconds from now."""
        self.timeout = timeout
        self.ended = False
        self.started: float | None = None
        """Monotonic time when it began to compute; None while queued, or if it got the result of another call."""
        self.unavailable = ""
        """Why the tool must not be called; empty if it may."""
        self.engine_called = False
        """Whether an engine was called, not only the cache."""
        self._deadline = time.monotonic() + timeout
        self._breaker = breaker
        self._admission, self._slot = _Permit(executor.admissions), _Permit(executor.slots)

    def __enter__(self) -> Self:
        if self._breaker is not None:
            try:
                self._breaker.before_call()
            except ToolResting as error:
                self.unavailable = str(error)
        given = CONDITION.get()
        self._token, self._condition = _current.set(self), CONDITION.set(lambda: self.ended or given())
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        CONDITION.reset(self._condition)
        _current.reset(self._token)
        self.ended = True
        self._slot.revoke()
        self._admission.revoke()
        if self._breaker is not None and not self.unavailable:
            self._breaker.after_call(self._succeeded(error))

    def _succeeded(self, error: BaseException | None) -> bool | None:
        """Whether the tool works; None if the call does not show it: cached result, cancelled, queued, quick failure.

        A quick failure keeps nobody waiting, and another run's call may well succeed.
        """
        if self.started is None or isinstance(error, BadInput | MissingExtra):
            return None
        if isinstance(error, Exception):
            return None if time.monotonic() - self.started < self.timeout / 2 else False
        return True if self.engine_called and error is None else None

    def remaining(self) -> float:
        """Seconds until the time limit."""
        return self._deadline - time.monotonic()

    @contextmanager
    def admitted(self) -> Iterator[None]:
        """Hold an admission and a slot while computing."""
        self._admission.acquire()
        self._slot.acquire()
        self.started = time.monotonic()
        try:
            yield
        finally:
            self._slot.release()
            self._admission.release()

    @contextmanager
    def slot_released(self) -> Iterator[None]:
        """Let another call compute while this one waits."""
        held = self._slot.release()
        try:
            yield
        finally:
            if held:
                self._slot.acquire()


def slot_released() -> Any:
    """A context manager for waiting without computing, such as for a server: another call computes meanwhile."""
    return call.slot_released() if (call := _current.get()) else nullcontext()


def ensure_available() -> None:
    """Call this after a cache miss, before calling an engine.

    Raises:
        ToolResting: The circuit breaker of the current call's tool is open.
    """
    if call := _current.get():
        if call.unavailable:
            raise ToolResting(call.unavailable)
        call.engine_called = True


def _compute(call: Call, work: Callable[[], T]) -> T:
    """Run the work, admitted unless it is part of admitted work already, and retry a transient failure once."""
    if call.started is not None:
        return work()
    token = _current.set(call)
    try:
        with call.admitted():
            try:
                return work()
            except TRANSIENT as error:
                if isinstance(error, BadInput | ToolCancelled) or call.remaining() < RETRY_DELAY:
                    raise
            with call.slot_released():
                pause(RETRY_DELAY)
            return work()
    finally:
        _current.reset(token)


class _Permit:
    """One call's permit of a semaphore. Once revoked it is never held again, whatever the abandoned thread does."""

    def __init__(self, semaphore: Semaphore) -> None:
        self._semaphore = semaphore
        self._lock = Lock()
        self._held = self._revoked = False

    def acquire(self) -> None:
        self._semaphore.acquire()
        with self._lock:
            self._held = True
            revoked = self._revoked
        if revoked:
            self.release()

    def release(self) -> bool:
        """Give it back; False if it is not held."""
        with self._lock:
            held, self._held = self._held, False
        if held:
            self._semaphore.release()
        return held

    def revoke(self) -> None:
        with self._lock:
            self._revoked = True
        self.release()


class _Flight:
    """Work that one thread runs and others may wait for."""

    def __init__(self, leader: Call, lock: RLock) -> None:
        self.leader = leader
        self.callers: list[Condition] = []
        """When the leader and each waiting call give up."""
        self.future: Future[Any] = Future()
        self._lock = lock
        self._started = time.monotonic()

    @property
    def joined(self) -> bool:
        return len(self.callers) > 1

    def cancelled(self) -> bool:
        """Whether all callers have given up; under the lock that joining takes, so that nobody joins from then on."""
        with self._lock:
            return all(given_up() for given_up in self.callers)

    def hangs(self, call: Call) -> bool:
        """Whether it has taken longer than both its leader and `call` would wait."""
        return time.monotonic() - self._started >= max(self.leader.timeout, call.timeout)

    def succeeds(self, call: Call) -> bool:
        """Wait for the end; whether there is a result."""
        limit = None if call.timeout == float("inf") else max(call.remaining(), 0) + 1
        try:
            return ended(self.future, limit).exception() is None
        except TimeoutError:
            raise ToolBusy(
                "another run asked for the same, and it took too long; raise tool_seconds (--tool-seconds)"
            ) from None


EXECUTOR: Final = Executor()
"""The executor of this process."""
