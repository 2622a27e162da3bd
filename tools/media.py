"""The media store: pixels, and other bulk, by content, so that messages and checkpoints carry references only.

An object's name is the digest of its bytes: writing twice changes nothing, two processes may write the same object, and
a name that is not a digest is refused before the disk is touched.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import lru_cache
from pathlib import Path
from threading import Lock
from typing import Any, Final, TypeVar
from zipfile import BadZipFile

import numpy as np
from PIL import Image

from .source import home

SCHEME: Final = "media://"
_NAME: Final = re.compile(r"[0-9a-f]{32}\.(?:jpg|json)")
_JPEG_QUALITY: Final = 85

Result = TypeVar("Result")


@dataclass(frozen=True)
class MediaStore:
    """A folder of JPEG pictures and JSON values named by their content."""

    root: Path

    def put(self, data: bytes, suffix: str = ".jpg") -> str:
        """Keep a picture, or a JSON text under the suffix `.json`; returns its `media://<digest><suffix>` reference."""
        name = hashlib.sha256(data).hexdigest()[:32] + suffix
        path = self.root / name
        if not path.exists():
            write_atomically(path, data)
        return SCHEME + name

    def put_json(self, value: Any) -> str:
        """Keep a plain JSON value; returns its reference."""
        return self.put(json.dumps(value, separators=(",", ":")).encode(), ".json")

    def get_json(self, url: str) -> Any:
        """A value kept by `put_json`.

        Raises:
            KeyError: As for `get`.
        """
        return json.loads(self.get(url))

    def put_image(self, image: np.ndarray) -> str:
        """Keep an (height, width, 3) uint8 RGB image as JPEG; returns its reference."""
        buffer = io.BytesIO()
        Image.fromarray(image).save(buffer, "JPEG", quality=_JPEG_QUALITY)
        return self.put(buffer.getvalue())

    def holds(self, url: str) -> bool:
        """Whether the picture is still there."""
        return (self.root / url.removeprefix(SCHEME)).exists()

    def get(self, url: str) -> bytes:
        """The bytes of a picture or JSON text.

        Raises:
            KeyError: `url` is not a reference of this kind, or the store does not hold it.
        """
        name = url.removeprefix(SCHEME)
        if not _NAME.fullmatch(name):
            raise KeyError(f"{url[:80]!r} is not a media reference")
        try:
            return (self.root / name).read_bytes()
        except FileNotFoundError:
            raise KeyError(f"{url} is not in {self.root}") from None


def default_store() -> MediaStore:
    """The store of this user: the folder `media` of `source.home()`."""
    return MediaStore(home() / "media")


def write_atomically(path: Path, data: bytes) -> None:
    """Write so that no reader, and no crash, ever meets half a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, part = tempfile.mkstemp(dir=path.parent, prefix=".part-")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        os.replace(part, path)
    except BaseException:
        Path(part).unlink(missing_ok=True)
        raise


def remembered(key: tuple[object, ...], kind: type[Result], compute: Callable[[], Result]) -> Result:
    """What `compute` returns, kept on disk under `key`; threads that want the same key at once compute it once.

    Args:
        key: Everything the result depends on: video digest, span, engine and its version.
        kind: A dataclass whose fields are numpy arrays, or what `numpy.asarray` takes and gives back by its own type.
        compute: Makes the result where it is not there yet.
    """
    digest = hashlib.sha256(repr((kind.__qualname__, *key)).encode()).hexdigest()[:32]
    path = home() / "results" / f"{digest}.npz"
    with _lock(digest):
        try:
            with np.load(path, allow_pickle=False) as stored:
                return kind(**{name: stored[name] for name in stored.files})
        except (OSError, ValueError, KeyError, TypeError, EOFError, BadZipFile):
            # Absent, or half a file that something else left there: compute, and write over it.
            pass
        result = compute()
        buffer = io.BytesIO()
        np.savez(buffer, **_arrays(result))
        try:
            write_atomically(path, buffer.getvalue())
        except OSError:
            # A full disk costs the next run its cache, not this run its result.
            pass
        return result


def _arrays(result: Any) -> dict[str, Any]:
    return {field.name: np.asarray(getattr(result, field.name)) for field in fields(result)}


@lru_cache(maxsize=4096)
def _lock(digest: str) -> Lock:
    return Lock()
