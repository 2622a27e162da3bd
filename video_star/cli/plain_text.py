"""A stream that escapes control characters, whoever prints; a clean stdout."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, redirect_stdout
from typing import Any, Final, TextIO

from ..tools.printable import printable

_BAR_MOVE: Final = re.compile(r"(?:\n|\x1b\[A)+")


class PlainStream:
    """A stream of the process that writes control characters as escape sequences, whoever prints.

    What rich prints has passed `messages.Screen`, which writes to `stream` directly.
    """

    def __init__(self, stream: TextIO) -> None:
        """Everything but `write` is left to `stream`."""
        self.stream = stream

    def write(self, text: str) -> int:
        """Write text; progress bars of libraries, as tqdm draws them, keep their moves between lines."""
        if _BAR_MOVE.fullmatch(text):
            return self.stream.write(text)
        start = "\r" if text.startswith("\r") else ""
        return self.stream.write(start + printable(text.removeprefix("\r")))

    def writelines(self, lines: Iterable[str]) -> None:
        """Write several texts."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


@contextmanager
def stdout_to_stderr() -> Iterator[None]:
    """Send what libraries print, from Python or native code, to stderr, so that stdout holds only the answer."""
    sys.stdout.flush()
    original = os.dup(1)
    os.dup2(2, 1)
    try:
        with redirect_stdout(sys.stderr):
            yield
    finally:
        os.dup2(original, 1)
        os.close(original)
