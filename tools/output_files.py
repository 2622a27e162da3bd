"""Output files and folders: written whole or not at all, and never in place of a file that the user did not give up."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final
from uuid import uuid4

from .errors import OutputNotAllowed

MARK: Final = "written by video-star"
"""Stands in every page and video that is written, so that the next run may replace it."""
FOLDER_MARK: Final = ".video-star"
"""File of the folders that are replaced as a whole; others are known by a file of their own."""
UNFINISHED: Final[set[Path]] = set()
"""Files and folders being written, to be removed by an exit that skips `finally`."""
_RUNS: Final = "runs.jsonl"
_INCOMPLETE: Final = (".part-", ".lock")
"""Beginnings of names in folders in which nothing was finished."""
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


@contextmanager
def replacing_folder(folder: Path) -> Iterator[Path]:
    """A new folder to fill, beside `folder`; at the end it gets `FOLDER_MARK` and takes the place of `folder`.

    If the block raises, `folder` stays as it was and nothing else is left. A link at `folder` is followed.
    """
    target = Path(os.path.realpath(folder))
    target.parent.mkdir(parents=True, exist_ok=True)
    part, before = (target.with_name(f".{uuid4().hex}") for _ in range(2))
    UNFINISHED.add(part)
    try:
        part.mkdir()
        yield part
        (part / FOLDER_MARK).write_text(f"{MARK}\n", encoding="utf-8")
        if target.exists():
            target.rename(before)
        try:
            part.rename(target)
        except OSError:
            if before.exists():
                before.rename(target)
            raise
        shutil.rmtree(before, ignore_errors=True)
    finally:
        shutil.rmtree(part, ignore_errors=True)
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


def check_appended(name: str, folder: Path, files: Iterable[str], inputs: Mapping[str, Path]) -> None:
    """Check that a folder and the files that are written in it are no inputs, by any path or link.

    Raises:
        OutputNotAllowed: One of them is.
    """
    for path in (folder, *(folder / file for file in files)):
        if os.path.exists(path):
            check_different(name, path, inputs)


def check_folder(name: str, folder: Path, *, mark: str = FOLDER_MARK) -> None:
    """Check that a folder may be written: a new or empty one, or one that holds the file `mark`, hence our own.

    Raises:
        OutputNotAllowed: It is a file, or holds other files. These are not given up by --force, as a name mistyped
            would cost a whole folder.
    """
    if not os.path.lexists(folder):
        return
    if not folder.is_dir():
        raise OutputNotAllowed(f"{name} {folder} is not a folder; give another name")
    others = [entry for entry in os.listdir(folder) if not entry.startswith(_INCOMPLETE)]
    if others and not (folder / mark).is_file():
        raise OutputNotAllowed(f"{name} {folder} holds other files; give a new folder, or one that this command wrote")


def check_replaced_folder(name: str, folder: Path, inputs: Mapping[str, Path]) -> None:
    """Check that a folder may be written by `replacing_folder`: as in `check_folder`, and no input is or lies in it."""
    real = os.path.realpath(folder)
    for other, taken in inputs.items():
        if Path(os.path.realpath(taken)).is_relative_to(real):
            raise OutputNotAllowed(f"{name} {folder} would overwrite {other}; give another name")
    check_folder(name, folder)


def check_trace(folder: Path, inputs: Mapping[str, Path], *, force: bool = False) -> Path:
    """Check that records may be appended in a folder, and return their file.

    Raises:
        OutputNotAllowed: The folder or the file is an input, or the file exists and is no trace.
    """
    runs = folder / _RUNS
    check_different("--trace", folder, inputs)
    check_different("--trace", runs, inputs)
    if os.path.exists(folder) and not folder.is_dir():
        raise OutputNotAllowed(f"--trace {folder} is not a folder; give another name")
    if not force and not _is_trace(runs):
        raise OutputNotAllowed(f"--trace {runs} exists and is no trace; give another folder, or --force")
    return runs


def _is_trace(runs: Path) -> bool:
    """Whether records can be appended: the file is missing, empty, or begins like a record."""
    if not os.path.exists(runs):
        return True
    if not runs.is_file():
        return False
    with runs.open("rb") as file:
        return b'{"schema":'.startswith(file.read(10))


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
