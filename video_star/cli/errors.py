"""Exit codes, and errors as one line on stderr."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import typer

FAILED: Final = 1
BAD_INPUT: Final = 2


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
