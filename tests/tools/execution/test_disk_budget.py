"""Folders bounded in size: what was used longest ago goes first, and nothing that is in use."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from video_star.tools.errors import BadInput
from video_star.tools.execution import chat_model as speaker
from video_star.tools.execution import disk_budget as pruning
from video_star.tools.execution.chat_model import Words
from video_star.tools.execution.disk_budget import GRACE, added, prune, used
from video_star.tools.execution.media_store import remembered


def put(folder: Path, name: str, size: int, ago: float, changed_ago: float | None = None) -> Path:
    """A file of `size` bytes, used `ago` seconds before now."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(b"x" * size)
    now = time.time()
    os.utime(folder / name, (now - ago, now - (ago if changed_ago is None else changed_ago)))
    return folder / name


def total(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.iterdir())


def test_what_was_used_longest_ago_goes_first_until_the_rest_fits(tmp_path: Path) -> None:
    oldest = put(tmp_path, "oldest", 40, 9 * GRACE)
    used_since = put(tmp_path, "written first, used since", 40, 2 * GRACE, changed_ago=20 * GRACE)
    older = put(tmp_path, "older", 40, 5 * GRACE)
    prune(tmp_path, 100)
    assert not oldest.exists() and used_since.exists() and older.exists()
    prune(tmp_path, 50)
    assert [path.name for path in tmp_path.iterdir()] == [used_since.name]


def test_what_a_run_may_be_at_stays_whatever_the_bound(tmp_path: Path) -> None:
    fresh, old, gone = (put(tmp_path, name, 40, ago) for name, ago in (("a", 1), ("b", 9 * GRACE), ("c", 9 * GRACE)))
    changed = old.stat().st_mtime_ns
    assert used(old) and old.stat().st_mtime_ns == changed, "its time of change is part of what it is"
    prune(tmp_path, 0)
    assert fresh.exists() and old.exists() and not gone.exists() and not used(gone)


def test_links_and_folders_are_left_alone(tmp_path: Path) -> None:
    target = put(tmp_path / "elsewhere", "precious", 40, 9 * GRACE)
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "link").symlink_to(target)
    (tmp_path / "store" / "folder").mkdir()
    prune(tmp_path / "store", 0)
    assert target.exists() and len(list((tmp_path / "store").iterdir())) == 2


def test_a_folder_is_looked_through_at_the_first_file_and_then_now_and_then(tmp_path: Path) -> None:
    left_over = put(tmp_path, "of a process before", 2000, 9 * GRACE)
    added(put(tmp_path, "0", 10, 0), 1000)
    assert not left_over.exists()
    for number in range(1, 400):
        added(put(tmp_path, str(number), 10, 9 * GRACE - number), 1000)
        assert total(tmp_path) <= 1000
    assert total(tmp_path) > 900 and (tmp_path / "399").exists() and not (tmp_path / "1").exists()


def test_results_stay_within_their_bound_and_those_used_of_late_stay(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pruning, "GRACE", 0.0)
    monkeypatch.setenv("VIDEO_STAR_RESULTS_MB", "0.1")
    remembered(("used",), Words, lambda: Words("again and again"))
    for number in range(100):
        remembered((number,), Words, lambda: Words("x" * 2000))  # 4 bytes a character
        assert remembered(("used",), Words, lambda: pytest.fail("it was deleted")).text == "again and again"
        assert total(home / "results") <= 0.1 * 2**20
    assert len(list((home / "results").iterdir())) > 8
    speaker.keep(("said",), "y" * 60_000)
    assert speaker.recalled(("said",)) and total(home / "results") <= 0.1 * 2**20
    monkeypatch.setenv("VIDEO_STAR_RESULTS_MB", "all")
    with pytest.raises(BadInput, match="VIDEO_STAR_RESULTS_MB is 'all'"):
        remembered(("another",), Words, lambda: Words("x"))


def test_one_process_deletes_nothing_that_another_has_begun_to_use(tmp_path: Path) -> None:
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
            os.utime(path, (0, 0))  # from here on it may go
            if used(path):
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
