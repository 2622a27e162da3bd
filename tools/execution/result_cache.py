"""Results of tools on disk, by everything they depend on: video digest, span, engine and version, arguments.

Files in `results/` of the home folder; `VIDEO_STAR_RESULTS_MB` limits their size, least recently used first.
"""

from __future__ import annotations

import hashlib
import io
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, fields
from pathlib import Path
from threading import Lock
from typing import Any, Final, TypeVar

import numpy as np

from ..settings import home, settings
from .disk_budget import enforce, touch
from .executor import EXECUTOR, ensure_available
from .media_store import write_atomically

Result = TypeVar("Result")


@dataclass(frozen=True)
class _Text:
    text: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "text", str(self.text))


MAX_UNSAVED: Final = 8
"""Results held in memory because the disk could not take them: the tools of a run use each other's results."""
_unsaved: Final[OrderedDict[Path, Any]] = OrderedDict()
_lock: Final = Lock()


def cached(key: tuple[object, ...], kind: type[Result], compute: Callable[[], Result]) -> Result:
    """The result stored under `key`, or else that of `compute`, which is then stored; concurrent calls compute it once.

    Args:
        key: Everything the result depends on, its kind first: video digest, span, engine and its version.
        kind: A dataclass whose fields are numpy arrays, or are converted by `numpy.asarray` and accepted back as such.
        compute: Called if nothing is stored.

    Raises:
        ToolResting: Nothing is stored, and the circuit breaker of the current tool is open.
    """
    path = _path(key, ".npz")

    def compute_and_store() -> Result:
        # Another thread or process may have stored it since the first look.
        if (stored := _load(path, kind)) is not None:
            return stored
        result = compute()
        buffer = io.BytesIO()
        np.savez(buffer, **_arrays(result))
        if not _store(path, buffer.getvalue()):
            with _lock:
                _unsaved[path] = result
                while len(_unsaved) > MAX_UNSAVED:
                    _unsaved.popitem(last=False)
        return result

    if (found := _load(path, kind)) is not None:
        return found
    ensure_available()
    return EXECUTOR.run_once(path, compute_and_store)


def cached_text(key: tuple[object, ...], compute: Callable[[], str]) -> str:
    """`cached` for a text."""
    return cached(key, _Text, lambda: _Text(compute())).text


def load_text(key: tuple[object, ...]) -> str | None:
    """The text stored under `key`; None if there is none. After a crash of the machine it may be truncated."""
    path = _path(key, ".json")
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return None
    touch(path)
    return text


def save_text(key: tuple[object, ...], text: str) -> None:
    """Store a text under `key`, replacing what was there."""
    _store(_path(key, ".json"), text.encode())


def _path(key: tuple[object, ...], suffix: str) -> Path:
    digest = hashlib.sha256(repr(key).encode(errors="replace")).hexdigest()[:32]
    return home() / "results" / f"{digest}{suffix}"


def _load(path: Path, kind: type[Result]) -> Result | None:
    """The result in a file or held in memory; None if there is none, or the file is damaged."""
    try:
        with np.load(path, allow_pickle=False) as stored:
            found = kind(**{name: stored[name] for name in stored.files})
        touch(path)
        return found
    except Exception:
        # A truncated file can raise anything, including MemoryError: recompute and overwrite it.
        return _unsaved.get(path)


def _arrays(result: Any) -> dict[str, Any]:
    return {field.name: np.asarray(getattr(result, field.name)) for field in fields(result)}


def _store(path: Path, data: bytes) -> bool:
    """Write a file within the size limit; False if the disk cannot take it, which only costs a later run its cache."""
    limit = int(settings().results_mb * 2**20)
    with suppress(OSError):
        write_atomically(path, data)
        enforce(path, limit)
        return True
    return False
