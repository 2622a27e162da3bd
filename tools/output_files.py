"""Output files: written whole or not at all, and never in place of a file that the user did not give up."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final
from uuid import uuid4

from .errors import OutputNotAllowed

MARK: Final = "written by video-star"
"""Stands in every page and video that is written, so that the next run may replace it."""
UNFINISHED: Final[set[Path]] = set()
"""Files being written, to be removed by an exit that skips `finally`."""
_HEAD: Final = 2**20
_TAIL: Final = 2**12


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A new file to write, in the same folder and with the same suffix; at the end it takes the place of `path`.

    If the block raises, `path` stays as it was and nothing else is left. A link at `path` is followed.
    """
    target = Path(os.path.realpath(path))
    target.parent.mkdir(parents=True, exist_ok=True)
    with temporary(target) as part:
        yield part
        os.replace(part, target)


@contextmanager
def temporary(path: Path) -> Iterator[Path]:
    """The name of a new file in the folder of `path`, with its suffix; the file is removed at the end."""
    part = path.with_name(f".{uuid4().hex}{path.suffix}")
    UNFINISHED.add(part)
    try:
        yield part
    finally:
        part.unlink(missing_ok=True)
        UNFINISHED.discard(part)


def check_output(name: str, path: Path, others: Mapping[str, Path], *, force: bool) -> None:
    """Check that a file may be written.

    Args:
        name: What the user calls it, such as `--report`.
        path: The file.
        others: Files that it must not be, by what the user calls them: what is read, and other outputs.
        force: Whether an existing file may be replaced though it lacks `MARK`.

    Raises:
        OutputNotAllowed: It is one of `others`, by any path or link, or an existing file that may not be replaced.
    """
    check_different(name, path, others)
    if not os.path.exists(path):
        return
    if not path.is_file():
        raise OutputNotAllowed(f"{name} {path} is a folder or device; give the name of a file")
    if not force and not _is_ours(path):
        raise OutputNotAllowed(f"{name} {path} exists and is not by video-star; give another name, or --force")


def check_different(name: str, path: Path, others: Mapping[str, Path]) -> None:
    """Check that an output is not one of `others`, by any path or link.

    Raises:
        OutputNotAllowed: It is one of them.
    """
    for other, taken in others.items():
        if _same(path, taken):
            raise OutputNotAllowed(f"{name} {path} would overwrite {other}; give another name")


def _same(one: Path, other: Path) -> bool:
    try:
        return os.path.samefile(one, other)
    except OSError:
        return os.path.realpath(one) == os.path.realpath(other)


def _is_ours(path: Path) -> bool:
    """Whether a file is empty or has the mark: pages and mp4 near the beginning, GIF at the end."""
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            read = file.read(_HEAD)
            file.seek(max(0, size - _TAIL))
            return not size or MARK.encode() in read or MARK.encode() in file.read(_TAIL)
    except OSError:
        return False
