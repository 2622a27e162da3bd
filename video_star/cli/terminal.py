"""What commands share: exit codes, errors on one line, stdout kept for the answer, prices as they are given."""

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
DEAREST: Final = 1e6
"""USD per million tokens, as `Price` has it."""


@contextmanager
def stdout_kept_clean() -> Iterator[None]:
    """What libraries print, from Python or below it, goes to stderr: stdout is for the answer alone."""
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        with redirect_stdout(sys.stderr):
            yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)


@contextmanager
def typed_errors() -> Iterator[None]:
    """One line on stderr for what a user can mend, never a traceback."""
    from ..tools.errors import BadInput, VideoStarError

    try:
        yield
    except (VideoStarError, OSError) as error:
        print(told(error), file=sys.stderr)
        raise typer.Exit(BAD_INPUT if isinstance(error, BadInput | ImportError) else FAILED) from None


def told(error: Exception) -> str:
    """An error on one line."""
    remedy = "; check that the path can be written" if isinstance(error, OSError) else ""
    return f"{type(error).__name__}: {' '.join(str(error).split())}{remedy}"


def priced(text: str) -> dict[str, float]:
    """A price as an option gives it, as the fields of `graph.state.Price`.

    Raises:
        BadInput: It is in another form.
    """
    from ..tools.errors import BadInput

    try:
        figures = [float(figure) for figure in text.split("/")]
        if not all(0 <= figure <= DEAREST for figure in figures):
            raise ValueError
        return dict(zip(("input", "output", "cached")[: max(2, len(figures))], figures, strict=True))
    except ValueError:
        raise BadInput(f"{text[:40]!r} is no price; give USD per million input/output tokens, as in 0.8/3.2") from None
