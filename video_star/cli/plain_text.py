"""Text that is safe to print: control characters escaped, whoever prints; a clean stdout."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, redirect_stdout
from typing import Any, Final, TextIO

CONTROLS: Final = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
"""Control characters except tab and line feed, separators of lines, and marks that reverse the order of text."""
_BAR_MOVE: Final = re.compile(r"(?:\n|\x1b\[A)+")


def printable(text: str) -> str:
    r"""The text with each control character written as its escape sequence, such as \x1b."""
    return CONTROLS.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


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
