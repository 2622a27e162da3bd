"""`video-star show` on a recorded run."""

import json
from pathlib import Path

import pytest

from ..console import SCRIPT, error_of, invoke, typed
from .conftest import Answered

pytestmark = pytest.mark.slow


def test_show_gives_the_recorded_run_though_the_store_is_gone(answered: Answered, tmp_path: Path, home: Path) -> None:
    assert not home.exists()
    trace = answered.folder / "out" / "trace"
    shown = invoke("show", trace, "--json")
    assert shown.exit_code == 0 and json.loads(shown.stdout) == answered.found and shown.stdout.count("\n") == 1
    told = invoke("show", trace, "--report", tmp_path / "a" / "page.html")
    assert told.exit_code == 0 and "walk" in told.stdout and "tool_select · assistant · by policy" in told.stdout
    pages = [tmp_path / "a" / "page.html", answered.folder / "out" / "page" / "run.html"]
    assert len({page.read_text(encoding="utf-8").count("data:image/jpeg") for page in pages}) == 1


def test_show_finds_a_run_by_the_beginning_of_its_id(answered: Answered) -> None:
    trace = answered.folder / "out" / "trace"
    run = json.loads((trace / "runs.jsonl").read_text(encoding="utf-8"))["id"]
    assert invoke("show", trace / "runs.jsonl", "--run", run[:6]).exit_code == 0
    missed = invoke("show", trace, "--run", "zzz")
    assert missed.exit_code == 2 and error_of(missed) == "BadRecord"


def test_a_reader_that_leaves_early_is_no_error(answered: Answered, warm: Path, tmp_path: Path) -> None:
    shell = f"'{SCRIPT}' show '{answered.folder / 'out' / 'trace'}' | head -n 1"
    ended = typed("-c", shell, program=("bash",), folder=tmp_path)
    assert ended.stdout.count("\n") == 1 and ended.stderr == ""
