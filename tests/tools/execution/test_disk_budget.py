"""Size limits of cache folders: the least recently used file goes first, and none that is in use."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from video_star.tools.errors import BadInput
from video_star.tools.execution import disk_budget
from video_star.tools.execution.disk_budget import GRACE, enforce, prune, touch
from video_star.tools.execution.result_cache import cached_text, load_text, save_text


def put(folder: Path, name: str, size: int, ago: float, changed_ago: float | None = None) -> Path:
    """A file of `size` bytes, used `ago` seconds before now."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(b"x" * size)
    now = time.time()
    os.utime(folder / name, (now - ago, now - (ago if changed_ago is None else changed_ago)))
    return folder / name


def total(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.iterdir())


def test_the_least_recently_used_files_are_deleted_until_the_rest_fits(tmp_path: Path) -> None:
    oldest = put(tmp_path, "oldest", 40, 9 * GRACE)
    used_since = put(tmp_path, "written first, used since", 40, 2 * GRACE, changed_ago=20 * GRACE)
    older = put(tmp_path, "older", 40, 5 * GRACE)
    prune(tmp_path, 100)
    assert not oldest.exists() and used_since.exists() and older.exists()
    prune(tmp_path, 50)
    assert [path.name for path in tmp_path.iterdir()] == [used_since.name]


def test_recently_used_files_are_kept_whatever_the_limit(tmp_path: Path) -> None:
    fresh, old, gone = (put(tmp_path, name, 40, ago) for name, ago in (("a", 1), ("b", 9 * GRACE), ("c", 9 * GRACE)))
    changed = old.stat().st_mtime_ns
    assert touch(old) and old.stat().st_mtime_ns == changed, "the modification time identifies the file"
    prune(tmp_path, 0)
    assert fresh.exists() and old.exists() and not gone.exists() and not touch(gone)


def test_links_and_folders_are_not_deleted(tmp_path: Path) -> None:
    target = put(tmp_path / "elsewhere", "precious", 40, 9 * GRACE)
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "link").symlink_to(target)
    (tmp_path / "store" / "folder").mkdir()
    prune(tmp_path / "store", 0)
    assert target.exists() and len(list((tmp_path / "store").iterdir())) == 2


def test_a_folder_is_scanned_at_the_first_file_and_then_from_time_to_time(tmp_path: Path) -> None:
    left_over = put(tmp_path, "of a process before", 2000, 9 * GRACE)
    enforce(put(tmp_path, "0", 10, 0), 1000)
    assert not left_over.exists()
    for number in range(1, 400):
        enforce(put(tmp_path, str(number), 10, 9 * GRACE - number), 1000)
        assert total(tmp_path) <= 1000
    assert total(tmp_path) > 900 and (tmp_path / "399").exists() and not (tmp_path / "1").exists()


def test_the_result_cache_stays_within_its_limit_and_keeps_recently_used_results(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(disk_budget, "GRACE", 0.0)
    monkeypatch.setenv("VIDEO_STAR_RESULTS_MB", "0.1")
    cached_text(("used",), lambda: "again and again")
    for number in range(100):
        cached_text((number,), lambda: "x" * 2000)  # 4 bytes a character
        assert cached_text(("used",), lambda: pytest.fail("it was deleted")) == "again and again"
        assert total(home / "results") <= 0.1 * 2**20
    assert len(list((home / "results").iterdir())) > 8
    save_text(("said",), "y" * 60_000)
    assert load_text(("said",)) and total(home / "results") <= 0.1 * 2**20
    monkeypatch.setenv("VIDEO_STAR_RESULTS_MB", "all")
    with pytest.raises(BadInput, match="VIDEO_STAR_RESULTS_MB is 'all'"):
        cached_text(("another",), lambda: "x")


def test_no_process_deletes_a_file_that_another_has_touched(tmp_path: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path; from video_star.tools.execution.disk_budget import prune\n"
        "print('ready', flush=True)\n"
        "end = time.monotonic() + 120\n"
        "while time.monotonic() < end and not Path(sys.argv[1], 'done').exists(): prune(Path(sys.argv[1]), 0)\n"
    )
    pruner = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE)
    try:
        assert pruner.stdout is not None and pruner.stdout.readline() == b"ready\n"
        kept, gone, end = 0, 0, time.monotonic() + 60
        while (kept < 100 or gone < 10) and time.monotonic() < end:
            path = put(tmp_path, "clip", 10, 0)
            os.utime(path, (0, 0))  # from here on it may be deleted
            if touch(path):
                assert path.read_bytes() == b"x" * 10
                time.sleep(0.0005)
                assert path.exists()
                kept += 1
            else:
                gone += 1
        assert kept and gone
    finally:
        (tmp_path / "done").touch()
        assert pruner.wait(250) == 0
