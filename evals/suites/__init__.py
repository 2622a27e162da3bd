"""Evaluation suites: each module prints one table."""

import sys
from collections.abc import Callable

import typer

from ...tools.errors import VideoStarError


def run(main: Callable[..., None]) -> None:
    """Run a suite as a command; its errors are one line on stderr."""
    try:
        typer.run(main)
    except VideoStarError as error:
        sys.exit(f"Error: {error}")
