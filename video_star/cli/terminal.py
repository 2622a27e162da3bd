"""What commands share: exit codes, errors on one line, a clean stdout, the format of prices."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, redirect_stdout
from typing import Any, Final, TextIO

import typer

FAILED: Final = 1
BAD_INPUT: Final = 2
INTERRUPTED: Final = 130
MAX_PRICE: Final = 1e6
"""USD per million tokens, as in `graph.state.Price`."""

CONTROLS: Final = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
"""Control characters except tab and line feed, separators of lines, and marks that reverse the order of text."""
_BAR_MOVE: Final = re.compile(r"(?:\n|\x1b\[A)+")


def printable(text: str) -> str:
    r"""The text with each control character written as its escape sequence, such as \x1b."""
    return CONTROLS.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


class PlainStream:
    """A stream of the process that writes control characters as escape sequences, whoever prints.

    What rich prints has passed `screen.Screen`, which writes to `stream` directly.
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


@contextmanager
def typed_errors() -> Iterator[None]:
    """Print expected errors as one line on stderr, without a traceback, and exit."""
    from ..tools.errors import BadInput, VideoStarError

    try:
        yield
    except (VideoStarError, OSError) as error:
        print(f"Error: {one_line(error)}", file=sys.stderr)
        raise typer.Exit(BAD_INPUT if isinstance(error, BadInput | ImportError) else FAILED) from error


def one_line(error: Exception) -> str:
    """The message of an error on one line."""
    remedy = "; check that the path can be written" if isinstance(error, OSError) else ""
    return f"{' '.join(str(error).split())}{remedy}"


def parse_price(text: str) -> dict[str, float]:
    """A price such as 0.8/3.2 as the fields of `graph.state.Price`.

    Raises:
        BadInput: It has another format.
    """
    from ..tools.errors import BadInput

    try:
        figures = [float(figure) for figure in text.split("/")]
        if not all(0 <= figure <= MAX_PRICE for figure in figures):
            raise ValueError
        return dict(zip(("input", "output", "cached")[: max(2, len(figures))], figures, strict=True))
    except ValueError:
        raise BadInput(
            f"invalid price {text[:40]!r}; give USD per million input/output tokens, as in 0.8/3.2"
        ) from None
