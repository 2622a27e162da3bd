"""The media store: content-addressed, whole or absent."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from video_star.tools.errors import MissingMedia
from video_star.tools.execution.media_store import MediaStore, write_atomically

NAME = "0" * 32
BAD_URLS = (
    *("media://../secret.jpg", "media:///etc/passwd", "../x.jpg", f"media://{NAME}.png", f"media://{NAME}.jpg", ""),
)


def test_an_image_comes_back_and_is_stored_once(tmp_path: Path) -> None:
    store = MediaStore(tmp_path)
    image = np.random.default_rng(0).integers(0, 255, (40, 60, 3), dtype=np.uint8)
    one, other = store.put_image(image), store.put_image(image)
    assert one == other and one.startswith("media://") and len(list(tmp_path.iterdir())) == 1
    assert Image.open(io.BytesIO(store.get(one))).size == (60, 40)


def test_only_objects_of_the_store_are_returned(tmp_path: Path) -> None:
    (tmp_path / "secret.jpg").write_bytes(b"secret")
    for url in BAD_URLS:
        with pytest.raises(MissingMedia):
            MediaStore(tmp_path / "media").get(url)


def test_a_crash_while_writing_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.replace", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt):
        write_atomically(tmp_path / "file", b"data")
    assert list(tmp_path.iterdir()) == []
