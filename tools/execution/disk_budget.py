"""Folders of what can be had again, bounded in size: the file that was used longest ago goes first."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Lock
from typing import Final

GRACE: Final = 600.0
"""Seconds for which a file stays after its last use, whatever the bound: a run may be at it, or a writer."""
SHARE: Final = 20
"""A folder is looked through when a process has added one part in so many of the bound, and cut that far below it."""

_guard: Final = Lock()
_added: Final[dict[Path, int]] = {}


def used(path: Path) -> bool:
    """Keep a file from being pruned for `GRACE` seconds; False where there is none (any more)."""
    with _alone(path.parent):
        try:
            # Set here, as disks are often mounted so that reading sets it once a day at most, or never.
            os.utime(path, ns=(time.time_ns(), path.stat().st_mtime_ns))
        except OSError:
            return path.exists()
    return True


def added(path: Path, limit: int) -> None:
    """To be called after a file was written: prunes its folder now and then, so that it stays near `limit` bytes."""
    folder = path.parent
    with _guard:
        grown = _added.get(folder, limit) + path.stat().st_size
        due = grown >= limit // SHARE
        _added[folder] = 0 if due else grown
    if due:
        prune(folder, limit - limit // SHARE)


def prune(folder: Path, limit: int) -> None:
    """Delete what was used longest ago until the files of the folder take at most `limit` bytes.

    Several processes may use, write and prune at once: a file goes whole, and not while it is in use.
    """
    now, files = time.time(), []
    with os.scandir(folder) as entries:
        for entry in entries:
            # Another process may have deleted it meanwhile, here and below.
            with suppress(OSError):
                if entry.is_file(follow_symlinks=False):
                    files.append((_last_use(Path(entry.path)), entry.stat().st_size, Path(entry.path)))
    left = sum(size for _, size, _ in files)
    for seen, size, path in sorted(files):
        if left <= limit or now - seen < GRACE:
            return
        left -= size
        with _alone(folder), suppress(OSError):
            if _last_use(path) == seen:
                path.unlink()


def _last_use(path: Path) -> float:
    status = path.lstat()
    return max(status.st_atime, status.st_mtime)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """No other process marks a file of the folder as used, or deletes one. Windows deletes no open file by itself."""
    if sys.platform == "win32":
        yield
        return
    import fcntl

    try:
        handle = os.open(folder.with_name(f".{folder.name}.lock"), os.O_RDWR | os.O_CREAT, 0o600)
    except OSError:  # Where nothing can be written, nothing is deleted either.
        yield
        return
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
