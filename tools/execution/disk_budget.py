"""Size limits for cache folders: the least recently used file is deleted first."""

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
"""Seconds after its last use for which a file is kept whatever the limit: a run or a writer may be using it."""
SHARE: Final = 20
"""A folder is scanned after a process has added 1/`SHARE` of the limit, and reduced to that much below it."""

_lock: Final = Lock()
_added: Final[dict[Path, int]] = {}


def touch(path: Path) -> bool:
    """Mark a file as used, which protects it from pruning for `GRACE` seconds; False if it does not exist."""
    with _exclusive(path.parent):
        try:
            # Set explicitly: many disks are mounted with relatime or noatime.
            os.utime(path, ns=(time.time_ns(), path.stat().st_mtime_ns))
        except OSError:
            return path.exists()
    return True


def enforce(path: Path, limit: int) -> None:
    """Call this after writing a file; prunes its folder from time to time so that it stays near `limit` bytes."""
    folder = path.parent
    with _lock:
        grown = _added.get(folder, limit) + path.stat().st_size
        due = grown >= limit // SHARE
        _added[folder] = 0 if due else grown
    if due:
        prune(folder, limit - limit // SHARE)


def prune(folder: Path, limit: int) -> None:
    """Delete the least recently used files until the folder takes at most `limit` bytes.

    Several processes may use, write and prune files at once: no file is deleted while it is in use.
    """
    now, files = time.time(), []
    with os.scandir(folder) as entries:
        for entry in entries:
            # Another process may delete it meanwhile, here and below.
            with suppress(OSError):
                if entry.is_file(follow_symlinks=False):
                    files.append((_last_use(Path(entry.path)), entry.stat().st_size, Path(entry.path)))
    total = sum(size for _, size, _ in files)
    for last_use, size, path in sorted(files):
        if total <= limit or now - last_use < GRACE:
            return
        total -= size
        with _exclusive(folder), suppress(OSError):
            if _last_use(path) == last_use:
                path.unlink()


def _last_use(path: Path) -> float:
    status = path.lstat()
    return max(status.st_atime, status.st_mtime)


@contextmanager
def _exclusive(folder: Path) -> Iterator[None]:
    """Hold the lock that other processes need to touch or delete files of the folder. Windows protects open files."""
    if sys.platform == "win32":
        yield
        return
    import fcntl

    try:
        handle = os.open(folder.with_name(f".{folder.name}.lock"), os.O_RDWR | os.O_CREAT, 0o600)
    except OSError:  # A read-only disk: nothing is deleted either.
        yield
        return
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
