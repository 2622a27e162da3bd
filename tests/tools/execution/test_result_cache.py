"""The result cache: each result computed once, files whole or absent, keys stable across versions."""

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

from video_star.tools.execution import result_cache
from video_star.tools.execution.result_cache import cached, cached_text, load_text, save_text


@dataclass(frozen=True)
class Result:
    names: np.ndarray
    values: np.ndarray


def result() -> Result:
    return Result(np.array(["a", "b"]), np.array([[1.5, np.nan]]))


def test_file_names_are_those_of_version_0_1(home: Path) -> None:
    cached_text(("Words", "clip", 0.0, "describe-1"), lambda: "a yard")
    save_text(("explain-1", "openai:qwen-plus", "zorbing \ud83d"), "{}")
    assert load_text(("explain-1", "openai:qwen-plus", "zorbing \ud83d")) == "{}"
    assert sorted(path.name for path in (home / "results").iterdir()) == [
        "322683fde7b1d433aa853ec938140f51.json",
        "3cfed202da239c55ff85fbe3787a52c8.npz",
    ]


def test_a_result_is_cached_and_concurrent_calls_compute_it_once() -> None:
    computed = []

    def compute() -> Result:
        computed.append(threading.get_ident())
        time.sleep(0.2)
        return result()

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: cached(("clip", 0.0, "engine-1"), Result, compute), range(8)))
    assert len(computed) == 1
    for one in found:
        assert one.names.tolist() == ["a", "b"]
        np.testing.assert_array_equal(one.values, result().values)
    cached(("clip", 0.0, "engine-2"), Result, compute)
    assert len(computed) == 2


def test_a_damaged_file_is_recomputed(home: Path) -> None:
    cached(("clip",), Result, result)
    (path,) = (home / "results").iterdir()
    for content in (b"", b"PK\x03\x04 half a file", b"no archive at all"):
        path.write_bytes(content)
        assert cached(("clip",), Result, result).names.tolist() == ["a", "b"]
        assert path.stat().st_size > len(content)


def test_without_a_writable_disk_results_are_held_in_memory(home: Path) -> None:
    home.write_text("a file where the folder should be")
    assert cached(("clip",), Result, result).names.tolist() == ["a", "b"]
    assert cached(("clip",), Result, lambda: pytest.fail("it is in memory")).names.tolist() == ["a", "b"]
    computed = [cached((number,), Result, result) for number in range(3 * result_cache.MAX_UNSAVED)]
    assert len(computed) == 3 * result_cache.MAX_UNSAVED and len(result_cache._unsaved) == result_cache.MAX_UNSAVED


def test_randomly_damaged_files_are_harmless(home: Path) -> None:
    cached(("clip",), Result, result)
    (path,) = (home / "results").iterdir()
    whole, chance = path.read_bytes(), np.random.default_rng(0)
    for _ in range(300):
        bad = bytearray(whole[: chance.integers(1, len(whole) + 1)])
        for at in chance.integers(0, len(bad), 4):
            bad[at] = chance.integers(256)
        path.write_bytes(bytes(bad))
        found = cached(("clip",), Result, result)
        assert found.names.shape == (2,) and found.values.shape == (1, 2)
    path.write_bytes(whole)


def test_a_disk_that_fills_up_while_writing_leaves_no_partial_file(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(handle: int, mode: str) -> Any:
        os.close(handle)
        return open("/dev/full", mode)  # a disk without space, as Linux has it

    if not Path("/dev/full").exists():
        pytest.skip("needs /dev/full, which only Linux has")
    monkeypatch.setattr(os, "fdopen", full)
    assert cached(("clip",), Result, result).names.tolist() == ["a", "b"]
    assert list((home / "results").iterdir()) == []


def test_an_error_is_not_cached() -> None:
    def fails() -> Result:
        raise ValueError("bad weights")

    with pytest.raises(ValueError, match="bad weights"):
        cached(("clip",), Result, fails)
    assert cached(("clip",), Result, result).names.tolist() == ["a", "b"]


def test_processes_that_write_the_same_entry_at_once_leave_it_whole(home: Path) -> None:
    code = (
        "import numpy as np, sys; from dataclasses import dataclass\n"
        "from video_star.tools.execution import result_cache as cache\n"
        "@dataclass\n"
        "class Result:\n    values: np.ndarray\n"
        "for i in range(40):\n"
        "    cache._load, load = (lambda *_: None), cache._load\n"  # neither finds what the other wrote
        "    cache.cached(('clip', i % 2), Result, lambda: Result(np.full(200_000, 7.0)))\n"
        "    cache._load = load\n"
        "    for j in range(min(i, 2)):\n"
        "        found = cache.cached(('clip', j), Result, lambda: sys.exit('half a file was read'))\n"
        "        assert (found.values == 7).all()\n"
    )
    writers = [subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE) for _ in range(2)]
    for writer in writers:
        _, errors = writer.communicate(timeout=60)
        assert writer.returncode == 0, errors.decode()
    assert len(list((home / "results").iterdir())) == 2
