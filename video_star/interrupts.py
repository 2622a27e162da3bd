"""Ctrl-C on the command line ends the process at once."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Final, NoReturn

INTERRUPTED: Final = 130
"""Exit status after Ctrl-C."""


def end_on_interrupt() -> None:
    """Let Ctrl-C end the process, unless it is ignored, as in background jobs of a shell."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _exit_at_once)


def _exit_at_once(signal_number: int, frame: object) -> NoReturn:
    """End without waiting for tools that run in threads, as a normal exit would."""
    if sys.stdout.isatty():
        show_cursor = b"\x1b[?25h\n"
        os.write(sys.stdout.fileno(), show_cursor)
    _end_workers()
    # What is not imported yet has written nothing.
    output_files = sys.modules.get("video_star.tools.output_files")
    for part in tuple(output_files.UNFINISHED) if output_files else ():
        if part.is_dir():
            shutil.rmtree(part, ignore_errors=True)
        with suppress(OSError):
            part.unlink()
    os.write(2, b"interrupted\n")
    os._exit(INTERRUPTED)


def _end_workers() -> None:
    """End the processes of a pool and remove its semaphores, which `os._exit` would leave with a warning."""
    if "multiprocessing.process" in sys.modules:
        from multiprocessing import active_children, util

        for child in active_children():
            child.kill()
        run_finalizers: Callable[[int], None] = vars(util)["_run_finalizers"]
        run_finalizers(0)
