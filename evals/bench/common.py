"""What the benchmarks share: a temporary store, and the verdict line of a target."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def temporary_home() -> Iterator[None]:
    """An empty VIDEO_STAR_HOME, in which nothing is cached."""
    before = os.environ.get("VIDEO_STAR_HOME")
    with tempfile.TemporaryDirectory() as home:
        os.environ["VIDEO_STAR_HOME"] = home
        try:
            yield
        finally:
            del os.environ["VIDEO_STAR_HOME"]
            if before is not None:
                os.environ["VIDEO_STAR_HOME"] = before


def verdict(passed: bool, text: str) -> bool:
    """Print PASS or FAIL before the text; returns whether the target was met."""
    print(f"{'PASS' if passed else 'FAIL'}  {text}")
    return passed
