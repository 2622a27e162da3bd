"""Sync/async bridge: coroutines run from sync code.

Sync callers share one event loop per process. Clients of model servers keep connections open, and a connection belongs
to the event loop that opened it: with one loop per call, a client that outlives the call would hold dead connections.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from concurrent.futures import Future, wait
from contextlib import suppress
from contextvars import copy_context
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any, Final, TypeVar

from ..tools.execution.cancellation import ended

T = TypeVar("T")
CANCEL_SECONDS: Final = 5.0
"""Seconds that cancelled work is given to end."""


class _Background:
    """An event loop in a thread of its own, started on first use; a forked process starts another."""

    def __init__(self) -> None:
        self._forget()
        self._abandoned: list[asyncio.AbstractEventLoop] = []
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._after_fork)

    def _forget(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    def _after_fork(self) -> None:
        # Its thread does not exist in this process. Closing the loop would break the parent's: both share one epoll.
        if self._loop is not None:
            self._abandoned.append(self._loop)
        self._forget()

    def loop(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(target=_run_forever, args=(self._loop,), name="video-star", daemon=True)
                self._thread.start()
            return self._loop

    def is_current(self) -> bool:
        """Whether the caller runs on this loop."""
        return threading.current_thread() is self._thread


_BACKGROUND: Final = _Background()


def wait_for(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine and return its result; also works in a thread whose event loop is running.

    The coroutine sees the caller's context variables. It is cancelled if the caller is interrupted, or is itself
    cancelled work.
    """
    if _BACKGROUND.is_current():
        return _run_on_own_loop(work)
    loop = _BACKGROUND.loop()
    outcome: Future[T] = Future()
    tasks: list[asyncio.Task[T]] = []

    def start() -> None:
        tasks.append(asyncio.get_running_loop().create_task(work))
        tasks[0].add_done_callback(lambda task: _settle(outcome, task))

    def cancel() -> None:
        for task in tasks:
            task.cancel()

    try:
        loop.call_soon_threadsafe(start)
        ended(outcome)
    except BaseException:
        loop.call_soon_threadsafe(cancel)
        wait((outcome,), timeout=CANCEL_SECONDS)
        raise
    return outcome.result()


def _settle(outcome: Future[T], task: asyncio.Task[T]) -> None:
    if task.cancelled():
        outcome.set_exception(asyncio.CancelledError())
    elif (error := task.exception()) is not None:
        outcome.set_exception(error)
    else:
        outcome.set_result(task.result())


def _run_forever(loop: asyncio.AbstractEventLoop) -> None:
    asyncio.set_event_loop(loop)
    while True:
        # SystemExit or KeyboardInterrupt in a task stops the loop. Its caller gets the error; other tasks run on.
        with suppress(BaseException):
            loop.run_forever()


def _run_on_own_loop(work: Coroutine[Any, Any, T]) -> T:
    """`wait_for` on a new loop, for callers on the shared loop, which they block while they wait."""
    outcome: Future[T] = Future()

    def run() -> None:
        try:
            outcome.set_result(asyncio.run(work))
        except BaseException as error:
            outcome.set_exception(error)

    threading.Thread(target=copy_context().run, args=(run,), daemon=True).start()
    return outcome.result()


@dataclass(frozen=True)
class _End:
    """The end of an iterator, and the error that ended it, if any."""

    error: BaseException | None = None


def iterate(items: AsyncIterator[T]) -> Iterator[T]:
    """The items of an async iterator from sync code, each as soon as it is there."""
    came: SimpleQueue[T | _End] = SimpleQueue()
    given_up = threading.Event()
    # The shared loop stands still while a caller on it waits.
    drive = asyncio.run if _BACKGROUND.is_current() else wait_for

    async def pump() -> None:
        async for item in items:
            came.put(item)
            if given_up.is_set():
                break

    def run() -> None:
        try:
            drive(pump())
            came.put(_End())
        except BaseException as error:
            came.put(_End(error))

    threading.Thread(target=copy_context().run, args=(run,), daemon=True).start()
    try:
        while not isinstance(item := came.get(), _End):
            yield item
        if item.error is not None:
            raise item.error
    finally:
        given_up.set()


async def run_workers(work: Callable[[], Coroutine[Any, Any, None]], count: int) -> None:
    """Run `count` workers side by side; if one fails, or the caller is cancelled, all of them have ended before."""
    workers = [asyncio.ensure_future(work()) for _ in range(count)]
    try:
        await asyncio.gather(*workers)
    finally:
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)


async def finished(work: Awaitable[T]) -> T:
    """The result of short work that must not be left half done; a caller that is cancelled waits for its end."""
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        # It may be cancelled again while it waits.
        while not task.done():
            with suppress(asyncio.CancelledError):
                await asyncio.wait((task,))
        raise
