"""The sync/async bridge: one event loop for all sync callers, in any thread, process or loop."""

import asyncio
import os
import signal
import subprocess
import sys
import threading
from contextvars import ContextVar

import pytest

from video_star.graph.concurrency import wait_for
from video_star.tools.execution.cancellation import run_in_daemon_thread

pytestmark = pytest.mark.slow

WHO: ContextVar[str] = ContextVar("WHO", default="nobody")


async def here() -> asyncio.AbstractEventLoop:
    await asyncio.sleep(0)
    return asyncio.get_running_loop()


def test_all_calls_share_one_loop_from_any_thread_and_inside_a_loop() -> None:
    first = wait_for(here())
    found: list[asyncio.AbstractEventLoop] = []
    thread = threading.Thread(target=lambda: found.append(wait_for(here())))
    thread.start()
    thread.join()

    async def inside() -> asyncio.AbstractEventLoop:
        return wait_for(here())

    assert found == [first] and asyncio.run(inside()) is first


def test_work_on_the_loop_may_wait_for_other_work() -> None:
    async def outer() -> asyncio.AbstractEventLoop:
        return wait_for(here())

    assert wait_for(outer()) is not wait_for(here())


def test_calls_of_many_threads_run_concurrently() -> None:
    together = threading.Barrier(8)

    async def work(number: int) -> int:
        await asyncio.to_thread(together.wait, 20)
        return number

    found: list[int] = []
    threads = [threading.Thread(target=lambda i=i: found.append(wait_for(work(i)))) for i in range(4)]
    threads += [threading.Thread(target=together.wait, args=(20,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == [0, 1, 2, 3]


def test_errors_and_context_variables_are_passed_on() -> None:
    async def who() -> str:
        return WHO.get()

    async def fail(error: BaseException) -> None:
        raise error

    token = WHO.set("somebody")
    assert wait_for(who()) == "somebody"
    WHO.reset(token)
    assert wait_for(who()) == "nobody"
    for error in (ZeroDivisionError(), SystemExit(3), KeyboardInterrupt(), asyncio.CancelledError()):
        with pytest.raises(type(error)):
            wait_for(fail(error))
        assert wait_for(who()) == "nobody"


def test_an_interrupted_caller_cancels_its_work_and_waits_for_it() -> None:
    begun, ended = threading.Event(), threading.Event()

    async def work() -> None:
        try:
            begun.set()
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0.05)
            ended.set()

    def interrupt() -> None:
        begun.wait()
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    # A shell makes background jobs, which may include these tests, ignore the signal.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    threading.Thread(target=interrupt).start()
    try:
        with pytest.raises(KeyboardInterrupt):
            wait_for(work())
    finally:
        signal.signal(signal.SIGINT, before)
    assert ended.is_set()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_forked_process_uses_a_loop_of_its_own() -> None:
    program = (
        "import asyncio, os, sys\n"
        "from video_star.graph.concurrency import wait_for\n"
        "async def add(a, b):\n"
        "    await asyncio.sleep(0.01)\n"
        "    return a + b\n"
        "wait_for(add(1, 2))\n"
        "child = os.fork()\n"
        "if not child:\n"
        "    os._exit(wait_for(add(40, 2)))\n"
        "print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), wait_for(add(3, 4)))\n"
    )
    done = subprocess.run([sys.executable, "-Wd", "-c", program], capture_output=True, text=True, timeout=250)
    assert done.stdout == "42 7\n" and "event loop" not in done.stderr


async def test_a_daemon_thread_returns_raises_and_keeps_context_variables() -> None:
    WHO.set("somebody")
    assert await run_in_daemon_thread(lambda a, b: (a + b, WHO.get()), 1, 2) == (3, "somebody")
    with pytest.raises(ZeroDivisionError):
        await run_in_daemon_thread(lambda: 1 / 0)


def test_work_that_hangs_does_not_keep_the_program_from_ending() -> None:
    program = (
        "import asyncio, time\n"
        "from video_star.tools.execution.cancellation import run_in_daemon_thread\n"
        "async def main():\n"
        "    try:\n"
        "        async with asyncio.timeout(0.1): await run_in_daemon_thread(time.sleep, 3600)\n"
        "    except TimeoutError: print('abandoned')\n"
        "asyncio.run(main())\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=250)
    assert done.stdout == "abandoned\n" and done.stderr == ""
