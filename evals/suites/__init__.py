"""Evaluation suites: each module prints one table."""

import sys
from collections.abc import Callable

import typer

from ...tools.errors import BadInput, VideoStarError


def run(main: Callable[..., None]) -> None:
    """Run a suite as a command; its errors are one line on stderr, and status 2 if the input is to blame."""
    try:
        typer.run(main)
    except VideoStarError as error:
        print(f"Error: {error}", file=sys.stderr)
        sys.exit(2 if isinstance(error, BadInput) else 1)
