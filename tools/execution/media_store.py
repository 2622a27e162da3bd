"""The content-addressed media store: images and JSON values by digest; messages and checkpoints hold references.

The name of an object is the digest of its content: writing it twice changes nothing, two processes may write the same
object at once, and a name that is not a digest is rejected before the disk is accessed.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from PIL import Image

from ..errors import MissingMedia
from ..settings import home

SCHEME: Final = "media://"
_NAME: Final = re.compile(r"[0-9a-f]{32}\.(?:jpg|json)")
_JPEG_QUALITY: Final = 85
UNFINISHED: Final = ".part-"
"""Beginning of the names of files that are being written; those of a killed process stay behind."""


@dataclass(frozen=True)
class MediaStore:
    """A folder of JPEG images and JSON values named by their content."""

    root: Path

    def put(self, data: bytes, suffix: str = ".jpg") -> str:
        """Store an image, or JSON text with the suffix `.json`; returns its reference `media://<digest><suffix>`."""
        name = hashlib.sha256(data).hexdigest()[:32] + suffix
        path = self.root / name
        if not path.exists():
            write_atomically(path, data)
        return SCHEME + name

    def put_json(self, value: Any) -> str:
        """Store a plain JSON value; returns its reference."""
        return self.put(json.dumps(value, separators=(",", ":")).encode(), ".json")

    def get_json(self, url: str) -> Any:
        """A value stored by `put_json`.

        Raises:
            MissingMedia: As for `get`.
        """
        return json.loads(self.get(url))

    def put_image(self, image: np.ndarray) -> str:
        """Store an (height, width, 3) uint8 RGB image as JPEG; returns its reference."""
        buffer = io.BytesIO()
        Image.fromarray(image).save(buffer, "JPEG", quality=_JPEG_QUALITY)
        return self.put(buffer.getvalue())

    def holds(self, url: str) -> bool:
        """Whether the object is in the store."""
        return (self.root / url.removeprefix(SCHEME)).exists()

    def get(self, url: str) -> bytes:
        """The bytes of an image or JSON text.

        Raises:
            MissingMedia: `url` is not a media reference, or the object is not in the store.
        """
        name = url.removeprefix(SCHEME)
        if not _NAME.fullmatch(name):
            raise MissingMedia(f"{url[:80]!r} is not an image of the media store; give media://<name>.jpg")
        try:
            return (self.root / name).read_bytes()
        except FileNotFoundError:
            raise MissingMedia(
                f"{url} is not in the media store any more; start the run again, or set VIDEO_STAR_HOME to the folder "
                "that it was started with"
            ) from None


def default_store() -> MediaStore:
    """The user's store: the folder `media` of the home folder."""
    return MediaStore(home() / "media")


def write_atomically(path: Path, data: bytes) -> None:
    """Write a file so that neither a reader nor a crash ever sees it incomplete."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, part = tempfile.mkstemp(dir=path.parent, prefix=UNFINISHED)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        os.replace(part, path)
    except BaseException:
        Path(part).unlink(missing_ok=True)
        raise
