"""The store of pictures and the memory of results: by content, whole or absent, computed once."""

import io
import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from video_star.tools.execution import media_store as media
from video_star.tools.execution.media_store import MediaStore, remembered, write_atomically


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
    assert remembered(("clip",), Result, lambda: pytest.fail("it is at hand")).names.tolist() == ["a", "b"]
    computed = [remembered((number,), Result, result) for number in range(3 * media._UNSAVED)]
    assert len(computed) == 3 * media._UNSAVED and len(media._unsaved) == media._UNSAVED


def test_whatever_a_damaged_memory_holds_is_harmless(home: Path) -> None:
    remembered(("clip",), Result, result)
    (path,) = (home / "results").iterdir()
    whole, chance = path.read_bytes(), np.random.default_rng(0)
    for _ in range(300):
        bad = bytearray(whole[: chance.integers(1, len(whole) + 1)])
        for at in chance.integers(0, len(bad), 4):
            bad[at] = chance.integers(256)
        path.write_bytes(bytes(bad))
        found = remembered(("clip",), Result, result)
        assert found.names.shape == (2,) and found.values.shape == (1, 2)
    path.write_bytes(whole)


def test_a_disk_that_fills_while_writing_leaves_no_part_behind(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(handle: int, mode: str) -> Any:
        os.close(handle)
        return open("/dev/full", mode)  # a disk without space, as Linux has it

    if not Path("/dev/full").exists():
        pytest.skip("needs /dev/full, which only Linux has")
    monkeypatch.setattr(os, "fdopen", full)
    assert remembered(("clip",), Result, result).names.tolist() == ["a", "b"]
    assert list((home / "results").iterdir()) == []


def test_an_error_is_not_remembered() -> None:
    def fails() -> Result:
        raise ValueError("bad weights")

    with pytest.raises(ValueError, match="bad weights"):
        remembered(("clip",), Result, fails)
    assert remembered(("clip",), Result, result).names.tolist() == ["a", "b"]


def test_processes_that_write_the_same_entry_at_once_leave_it_whole(home: Path) -> None:
    code = (
        "import numpy as np, sys; from dataclasses import dataclass\n"
        "from video_star.tools.execution import media_store as media\n"
        "@dataclass\n"
        "class Result:\n    values: np.ndarray\n"
        "for i in range(40):\n"
        "    media._stored, stored = (lambda *_: None), media._stored\n"  # nobody finds what the other wrote
        "    media.remembered(('clip', i % 2), Result, lambda: Result(np.full(200_000, 7.0)))\n"
        "    media._stored = stored\n"
        "    for j in range(min(i, 2)):\n"
        "        found = media.remembered(('clip', j), Result, lambda: sys.exit('half a file was read'))\n"
        "        assert (found.values == 7).all()\n"
    )
    writers = [subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE) for _ in range(2)]
    for writer in writers:
        _, said = writer.communicate(timeout=60)
        assert writer.returncode == 0, said.decode()
    assert len(list((home / "results").iterdir())) == 2
