"""What commands share: exit codes, errors on one line, a clean stdout, the format of prices."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from typing import Final

import typer

FAILED: Final = 1
BAD_INPUT: Final = 2
INTERRUPTED: Final = 130
MAX_PRICE: Final = 1e6
"""USD per million tokens, as in `graph.state.Price`."""


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
