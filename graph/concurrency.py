"""Waiting for async work in code that is not async, on one event loop for the whole process.

Clients of model servers keep their connections open, and a connection belongs to the loop that opened it: were there a
loop for each call, a client that is kept would hold dead ones.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Coroutine
from concurrent.futures import Future, wait
from contextlib import suppress
from contextvars import copy_context
from typing import Any, Final, TypeVar

T = TypeVar("T")
PATIENCE: Final = 5.0
"""Seconds that work which is called off may take to end."""


class _Background:
    """An event loop in a thread of its own, started when first needed; a forked process gets another."""

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
        # Its thread is not in this process. To close it here would unhook the parent's: both share one epoll.
        if self._loop is not None:
            self._abandoned.append(self._loop)
        self._forget()

    def loop(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(target=_forever, args=(self._loop,), name="video-star", daemon=True)
                self._thread.start()
            return self._loop

    def is_here(self) -> bool:
        """Whether this code is run by the loop itself."""
        return threading.current_thread() is self._thread


_BACKGROUND: Final = _Background()


def wait_for(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end and return what it returns, also where this thread's event loop is running.

    It sees the context variables of the caller. If the caller is interrupted, the work is called off.
    """
    if _BACKGROUND.is_here():
        return _elsewhere(work)
    loop = _BACKGROUND.loop()
    outcome: Future[T] = Future()
    tasks: list[asyncio.Task[T]] = []

    def begin() -> None:
        tasks.append(asyncio.get_running_loop().create_task(work))
        tasks[0].add_done_callback(lambda task: _settle(outcome, task))

    def call_off() -> None:
        for task in tasks:
            task.cancel()

    try:
        loop.call_soon_threadsafe(begin)
        # Windows hears of Ctrl-C only between two waits.
        while not wait((outcome,), timeout=1.0).done:
            pass
    except BaseException:
        loop.call_soon_threadsafe(call_off)
        wait((outcome,), timeout=PATIENCE)
        raise
    return outcome.result()


def _settle(outcome: Future[T], task: asyncio.Task[T]) -> None:
    if task.cancelled():
        outcome.set_exception(asyncio.CancelledError())
    elif (error := task.exception()) is not None:
        outcome.set_exception(error)
    else:
        outcome.set_result(task.result())


def _forever(loop: asyncio.AbstractEventLoop) -> None:
    asyncio.set_event_loop(loop)
    while True:
        # A task that raises SystemExit or KeyboardInterrupt stops the loop; its caller is told, the others go on.
        with suppress(BaseException):
            loop.run_forever()


def _elsewhere(work: Coroutine[Any, Any, T]) -> T:
    """The same on a loop for this once: a callback of work on the shared loop holds that loop up."""
    outcome: Future[T] = Future()

    def run() -> None:
        try:
            outcome.set_result(asyncio.run(work))
        except BaseException as error:
            outcome.set_exception(error)

    threading.Thread(target=copy_context().run, args=(run,), daemon=True).start()
    return outcome.result()
