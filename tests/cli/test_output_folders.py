"""Commands that write folders, pages and sheets: what they refuse before any work, and what an interruption leaves."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import typer
from PIL import Image
from typer.testing import CliRunner, Result

from video_star.evals.marionette import contact_sheet
from video_star.evals.marionette.actions import ACTIONS
from video_star.evals.marionette.dataset import make
from video_star.evals.runner import run_split
from video_star.evals.splits import Example
from video_star.tools import output_files
from video_star.tools.errors import BadInput, OutputNotAllowed
from video_star.training.synthesis import gallery

from ..console import error_of, invoke

LINKS: dict[str, Callable[[Path, Path], None]] = {"symbolic": os.symlink, "hard": os.link}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A list of clips with its labels; the clips are no videos, as nothing may be read of them."""
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "list.txt").write_text("a.mp4 0\nb.mp4 1\n")
    (folder / "labels.csv").write_text("0,walk\n1,run\n")
    for name in ("a.mp4", "b.mp4"):
        (folder / name).write_text(f"film {name}")
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def module(main: Callable[..., None], *words: object) -> Result:
    """A command of a module."""
    app = typer.Typer()
    app.command()(main)
    return CliRunner().invoke(app, [str(word) for word in words])


def synthesize(data: Path, out: Path) -> Result:
    words = ("--labels", data / "labels.csv", "--teacher", "scripted", "--out", out)
    return invoke("synthesize", data / "list.txt", *map(str, words))


def test_a_folder_of_other_files_is_refused_by_every_command_that_writes_one(data: Path, tmp_path: Path) -> None:
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "README.md").write_text("mine")
    (tmp_path / "file").write_text("mine")
    (tmp_path / "link").symlink_to(tmp_path / "notes")
    (tmp_path / "nowhere").symlink_to(tmp_path / "gone")
    before = contents(tmp_path)
    for out in (tmp_path / name for name in ("notes", "file", "link", "nowhere")):
        for refused in (synthesize(data, out), invoke("marionette", "make", out, "--clips", "48")):
            assert refused.exit_code == 2 and error_of(refused) == "OutputNotAllowed", refused.stderr
    assert contents(tmp_path) == before


@pytest.mark.parametrize("link", LINKS)
@pytest.mark.parametrize("written", ["runs.jsonl", "synthesis.json", "README.md", ".lock"])
@pytest.mark.parametrize("read", ["labels.csv", "list.txt", "a.mp4"])
def test_synthesis_writes_to_no_file_that_it_reads(
    data: Path, tmp_path: Path, link: str, written: str, read: str
) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "synthesis.json").write_text("{}")
    (tmp_path / "out" / written).unlink(missing_ok=True)
    LINKS[link](data / read, tmp_path / "out" / written)
    before = contents(data)
    refused = synthesize(data, tmp_path / "out")
    assert refused.exit_code == 2 and error_of(refused) == "OutputNotAllowed" and "would overwrite" in refused.stderr
    assert contents(data) == before and synthesize(data, data).exit_code == 2


def test_a_data_set_killed_at_its_start_is_resumed(tmp_path: Path) -> None:
    (tmp_path / ".part-killed").touch()
    output_files.check_folder("--out", tmp_path, mark="marionette.json")
    (tmp_path / "other").touch()
    with pytest.raises(OutputNotAllowed, match="holds other files"):
        make(tmp_path, 48)


@pytest.mark.parametrize("link", LINKS)
async def test_an_evaluation_appends_to_no_clip_and_to_no_file_of_others(data: Path, tmp_path: Path, link: str) -> None:
    trace = tmp_path / "trace"
    trace.mkdir()
    LINKS[link](data / "a.mp4", trace / "runs.jsonl")
    before = contents(data)
    for folder in (trace, data, data / "a.mp4"):
        with pytest.raises(OutputNotAllowed):
            await run_split([Example("a.mp4", "walk")], data, folder)
    (trace / "runs.jsonl").unlink()
    (trace / "runs.jsonl").write_text('{"mine": 1}\n')
    with pytest.raises(OutputNotAllowed, match="is no trace"):
        await run_split([Example("a.mp4", "walk")], data, trace)
    assert contents(data) == before


def test_the_gallery_replaces_neither_its_traces_nor_files_of_others(tmp_path: Path) -> None:
    traces = tmp_path / "runs"
    traces.mkdir()
    (traces / "runs.jsonl").write_text("not read\n")
    (tmp_path / "notes.md").write_text("mine")
    (tmp_path / "album").mkdir()
    (tmp_path / "album" / "1.jpg").write_text("mine")
    (tmp_path / "linked").symlink_to(traces)
    os.link(traces / "runs.jsonl", tmp_path / "hard.md")
    before = contents(tmp_path)
    for name in ("runs.md", "notes.md", "album.md", "linked.md", "hard.md", "without_suffix", "runs/runs.jsonl"):
        refused = module(gallery.main, traces, tmp_path / name)
        assert isinstance(refused.exception, OutputNotAllowed), name
    assert contents(tmp_path) == before


def test_the_contact_sheet_is_whole_and_replaces_only_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("video_star.evals.marionette.contact_sheet.ACTIONS", dict(list(ACTIONS.items())[:1]))
    sheet = tmp_path / "sheet.png"
    sheet.write_text("mine")
    assert isinstance(module(contact_sheet.main, sheet).exception, OutputNotAllowed) and sheet.read_text() == "mine"
    for words in (["--force"], []):
        assert module(contact_sheet.main, sheet, *words).exit_code == 0
    shutil.copy(sheet, tmp_path / "before.png")

    def fails(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Image.Image, "save", fails)
    module(contact_sheet.main, sheet)
    assert sheet.read_bytes() == (tmp_path / "before.png").read_bytes()
    assert sorted(os.listdir(tmp_path)) == ["before.png", "sheet.png"]


def test_modules_end_with_status_2_when_an_output_is_refused(tmp_path: Path) -> None:
    (tmp_path / "sheet.png").write_text("mine")
    command = [sys.executable, "-m", "video_star.evals.marionette.contact_sheet", str(tmp_path / "sheet.png")]
    ended = subprocess.run(command, capture_output=True, text=True)
    assert ended.returncode == 2 and ended.stderr.startswith("Error: ") and "Traceback" not in ended.stderr


def test_a_folder_is_replaced_whole_or_not_at_all(tmp_path: Path) -> None:
    table = tmp_path / "table"
    for name in ("one", "two"):
        output_files.check_replaced_folder("--out", table, {})
        with output_files.replacing_folder(table) as part:
            (part / name).touch()
        assert sorted(os.listdir(table)) == [output_files.FOLDER_MARK, name]
    with pytest.raises(ZeroDivisionError), output_files.replacing_folder(table) as part:
        (part / "half").touch()
        raise ZeroDivisionError
    assert os.listdir(tmp_path) == ["table"] and (table / "two").exists()
    for source in (table, table / "two"):
        with pytest.raises(BadInput, match="would overwrite the source"):
            output_files.check_replaced_folder("--out", table, {"the source": source})


def test_an_interrupt_removes_an_unfinished_folder(tmp_path: Path) -> None:
    script = """
import os, signal
from pathlib import Path
from video_star.interrupts import _exit_at_once
from video_star.tools.output_files import replacing_folder
signal.signal(signal.SIGINT, _exit_at_once)
with replacing_folder(Path("table")) as part:
    (part / "half").touch()
    os.kill(os.getpid(), signal.SIGINT)
"""
    ended = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True)
    assert ended.returncode == 128 + signal.SIGINT and os.listdir(tmp_path) == []
