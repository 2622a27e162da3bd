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
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, fields
from pathlib import Path
from threading import Lock
from typing import Any, Final, TypeVar

import numpy as np
from PIL import Image

from ..errors import BadInput
from ..settings import home, settings
from .disk_budget import added, used
from .executor import SERVICE, working

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
    """The store of this user: the folder `media` of `settings.home()`."""
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


_UNSAVED: Final = 8
"""Results held in memory that the disk did not take: the tools of a run use each other's."""
_unsaved: Final[OrderedDict[Path, Any]] = OrderedDict()
_guard: Final = Lock()


def keep(path: Path, data: bytes) -> bool:
    """Write into the memory of results, of which $VIDEO_STAR_RESULTS_MB are kept, those used longest ago going first.

    A full disk costs the next run its memory, not this run its result: False where it is not kept.
    """
    limit = int(settings().results_mb * 2**20)
    with suppress(OSError):
        write_atomically(path, data)
        added(path, limit)
        return True
    return False


def remembered(key: tuple[object, ...], kind: type[Result], compute: Callable[[], Result]) -> Result:
    """What `compute` returns, kept on disk under `key`; threads that want the same key at once compute it once.

    Args:
        key: Everything the result depends on: video digest, span, engine and its version.
        kind: A dataclass whose fields are numpy arrays, or what `numpy.asarray` takes and gives back by its own type.
        compute: Makes the result where it is not there yet.

    Raises:
        ToolResting: It is not there, and the tool that is called is to be left alone.
    """
    digest = hashlib.sha256(repr((kind.__qualname__, *key)).encode()).hexdigest()[:32]
    path = home() / "results" / f"{digest}.npz"

    def made() -> Result:
        # Another thread, or process, may have been done between our looking for it and our turn.
        if (stored := _stored(path, kind)) is not None:
            return stored
        result = compute()
        buffer = io.BytesIO()
        np.savez(buffer, **_arrays(result))
        if not keep(path, buffer.getvalue()):
            with _guard:
                _unsaved[path] = result
                while len(_unsaved) > _UNSAVED:
                    _unsaved.popitem(last=False)
        return result

    if (found := _stored(path, kind)) is not None:
        return found
    working()
    # Bad input and errors of the disk are about one copy of a video: who has another one looks at that.
    return SERVICE.once(path, made, own=(BadInput, OSError))


def _stored(path: Path, kind: type[Result]) -> Result | None:
    """The result in a file, or one that no file took; None where there is none, or no whole one."""
    try:
        with np.load(path, allow_pickle=False) as stored:
            found = kind(**{name: stored[name] for name in stored.files})
        used(path)
        return found
    except Exception:
        # Half a file raises whatever its bytes happen to mean, MemoryError for one: compute, and write over it.
        return _unsaved.get(path)


def _arrays(result: Any) -> dict[str, Any]:
    return {field.name: np.asarray(getattr(result, field.name)) for field in fields(result)}
