"""Cooperative cancellation: long work asks, between frames, whether anyone still waits for its result.

Whoever starts work says with `cancelled_when` when it is cancelled; loops over frames, packets and network calls ask
with `check_cancelled`. Threads of `start_thread` are also cancelled and joined when the process exits: Python 3.13 and
earlier ends a daemon thread by unwinding its stack, which aborts the process if the thread is inside a C++ library.
"""

from __future__ import annotations

import asyncio
import atexit
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from contextlib import contextmanager, suppress
from contextvars import ContextVar, copy_context
from threading import Event, Thread
from typing import Any, Final, TypeVar

from ..errors import ToolCancelled

EXIT_SECONDS: Final = 3.0
"""Seconds that the exit of the process waits for its threads: many times the longest step between two checks."""

CHECK_SECONDS: Final = 0.1
"""Seconds between two checks of a thread that waits."""

T = TypeVar("T")
Condition = Callable[[], bool]
"""Whether work is cancelled; once true, it stays true."""

CONDITION: Final[ContextVar[Condition]] = ContextVar("condition", default=lambda: False)
"""When the current work is cancelled."""
_exiting: Final = Event()
_threads: Final[set[Thread]] = set()


@contextmanager
def cancelled_when(cancelled: Condition) -> Iterator[None]:
    """Work in this block, and in threads that copy its context, is cancelled when `cancelled()` is true."""
    token = CONDITION.set(cancelled)
    try:
        yield
    finally:
        CONDITION.reset(token)


def check_cancelled() -> None:
    """Call this between steps of at most about 0.1 s.

    Raises:
        ToolCancelled: Nobody waits for the result of the current work, or the process exits.
    """
    if _exiting.is_set() or CONDITION.get()():
        raise ToolCancelled("the call was cancelled or reached its time limit; call the tool again")


def exiting() -> bool:
    """Whether the process exits."""
    return _exiting.is_set()


def pause(seconds: float) -> None:
    """Sleep; raises as `check_cancelled` does."""
    with suppress(TimeoutError):
        ended(Future[None](), seconds)


def ended(future: Future[T], seconds: float | None = None) -> Future[T]:
    """Wait until a future is done, and return it.

    Args:
        future: Of work that another thread does.
        seconds: Time limit; None: no limit.

    Raises:
        ToolCancelled: As in `check_cancelled`.
        TimeoutError: It is not done within `seconds`.
    """
    end = None if seconds is None else time.monotonic() + seconds
    while not future.done():
        check_cancelled()
        left = CHECK_SECONDS if end is None else end - time.monotonic()
        if left <= 0:
            raise TimeoutError
        wait((future,), timeout=min(CHECK_SECONDS, left))
    return future


def start_thread(work: Callable[[], None]) -> None:
    """Run `work` in a daemon thread, with the context variables of the caller."""

    def run() -> None:
        try:
            context.run(work)
        finally:
            _threads.discard(thread)

    context = copy_context()
    thread = Thread(target=run, daemon=True)
    _threads.add(thread)
    thread.start()


@atexit.register
def _stop_threads() -> None:
    _exiting.set()
    end = time.monotonic() + EXIT_SECONDS
    for thread in list(_threads):
        thread.join(max(0.0, end - time.monotonic()))


async def run_in_daemon_thread(work: Callable[..., T], *args: Any) -> T:
    """Return `work(*args)` from a thread of its own; if the caller is cancelled, so is the work, at its next check.

    Threads of `asyncio.to_thread` are joined at the end of the program: an engine that hangs would keep it from ending.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[T] = loop.create_future()
    given_up, given = threading.Event(), CONDITION.get()

    def deliver(result: T | None, error: BaseException | None) -> None:
        if done.cancelled():
            return
        if error is not None:
            done.set_exception(error)
        else:
            done.set_result(result)  # type: ignore[arg-type]

    def run() -> None:
        result, error = None, None
        try:
            with cancelled_when(lambda: given_up.is_set() or given()):
                result = work(*args)
        except BaseException as raised:
            error = raised
        # The loop may have been closed while the work ran.
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(deliver, result, error)

    start_thread(run)
    try:
        return await done
    finally:
        given_up.set()
