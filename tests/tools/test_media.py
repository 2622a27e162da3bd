"""The store of pictures and the memory of results: by content, whole or absent, computed once."""

import io
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from video_star.tools.media import MediaStore, remembered, write_atomically


@dataclass(frozen=True)
class Result:
    names: np.ndarray
    values: np.ndarray


def result() -> Result:
    return Result(np.array(["a", "b"]), np.array([[1.5, np.nan]]))


def test_a_picture_comes_back_and_is_kept_once(tmp_path: Path) -> None:
    store = MediaStore(tmp_path)
    image = np.random.default_rng(0).integers(0, 255, (40, 60, 3), dtype=np.uint8)
    one, other = store.put_image(image), store.put_image(image)
    assert one == other and one.startswith("media://") and len(list(tmp_path.iterdir())) == 1
    assert Image.open(io.BytesIO(store.get(one))).size == (60, 40)


NAME = "0" * 32


@pytest.mark.parametrize(
    "url",
    ["media://../secret.jpg", "media:///etc/passwd", "../x.jpg", f"media://{NAME}.png", f"media://{NAME}.jpg", ""],
)
def test_only_pictures_of_the_store_are_given(tmp_path: Path, url: str) -> None:
    (tmp_path / "secret.jpg").write_bytes(b"secret")
    with pytest.raises(KeyError):
        MediaStore(tmp_path / "media").get(url)


def test_a_crash_while_writing_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.replace", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt):
        write_atomically(tmp_path / "file", b"data")
    assert list(tmp_path.iterdir()) == []


def test_a_result_is_remembered_across_calls_and_threads_compute_it_once() -> None:
    computed = []

    def compute() -> Result:
        computed.append(threading.get_ident())
        time.sleep(0.2)
        return result()

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: remembered(("clip", 0.0, "engine-1"), Result, compute), range(8)))
    assert len(computed) == 1
    for one in found:
        assert one.names.tolist() == ["a", "b"]
        np.testing.assert_array_equal(one.values, result().values)
    remembered(("clip", 0.0, "engine-2"), Result, compute)
    assert len(computed) == 2


@pytest.mark.parametrize("left", [b"", b"PK\x03\x04 half a file", b"no archive at all"])
def test_a_damaged_memory_is_computed_anew(home: Path, left: bytes) -> None:
    remembered(("clip",), Result, result)
    (path,) = (home / "results").iterdir()
    path.write_bytes(left)
    assert remembered(("clip",), Result, result).names.tolist() == ["a", "b"]
    assert path.stat().st_size > len(left)


def test_a_disk_that_takes_nothing_costs_the_memory_not_the_result(home: Path) -> None:
    home.write_text("a file where the folder should be")
    assert remembered(("clip",), Result, result).names.tolist() == ["a", "b"]
