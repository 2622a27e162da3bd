"""Outputs: what they may replace, how they may be named, and what is left of one that cannot be finished."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from video_star.tools import output_files

from ..console import SPAN, error_of, invoke

pytestmark = pytest.mark.slow

QUICK = ("--actions", "walk,run", *SPAN, "--tools", "explain_actions")


@pytest.fixture
def clip(walking_clip: Path, tmp_path: Path) -> Path:
    """A copy of the clip, in a folder of its own."""
    (tmp_path / "clips" / "inner").mkdir(parents=True)
    return Path(shutil.copy(walking_clip, tmp_path / "clips" / "clip.mp4"))


LINKS: dict[str, Callable[[Path], Path]] = {
    "same": lambda clip: clip,
    "other_path": lambda clip: clip.parent / "inner" / ".." / "clip.mp4",
    "symbolic": lambda clip: _linked(os.symlink, clip, "symbolic.mp4"),
    "hard": lambda clip: _linked(os.link, clip, "hard.mp4"),
}


def _linked(link: Callable[[Path, Path], None], clip: Path, name: str) -> Path:
    link(clip, clip.with_name(name))
    return clip.with_name(name)


@pytest.mark.parametrize("link", LINKS)
@pytest.mark.parametrize("option", ["--annotate", "--report", "--trace"])
def test_an_output_that_is_the_video_is_refused(clip: Path, home: Path, option: str, link: str) -> None:
    before = clip.read_bytes()
    refused = invoke("recognize", clip, *QUICK, option, LINKS[link](clip), "--force")
    assert refused.exit_code == 2 and error_of(refused) == "OutputNotAllowed" and refused.stdout == ""
    assert "would overwrite the video" in refused.stderr
    assert clip.read_bytes() == before and not home.exists()


def test_a_video_given_by_a_link_or_url_is_refused_as_output(clip: Path, tmp_path: Path) -> None:
    (tmp_path / "link.mp4").symlink_to(clip)
    for given in (tmp_path / "link.mp4", clip.as_uri()):
        refused = invoke("recognize", str(given), *QUICK, "--annotate", clip)
        assert refused.exit_code == 2 and error_of(refused) == "OutputNotAllowed"


def test_outputs_are_neither_other_inputs_nor_each_other(clip: Path, tmp_path: Path) -> None:
    labels = tmp_path / "labels.txt"
    labels.write_text("walk\nrun\n")
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "runs.jsonl").symlink_to(clip)
    for words in (
        ("--actions-file", labels, "--report", labels),
        ("--report", tmp_path / "x.mp4", "--annotate", tmp_path / "x.mp4"),
        ("--trace", tmp_path / "t", "--report", tmp_path / "t" / "runs.jsonl"),
        ("--trace", tmp_path / "runs"),
        ("--report", tmp_path),
    ):
        refused = invoke("recognize", clip, *QUICK, *words, "--force")
        assert refused.exit_code == 2 and error_of(refused) == "OutputNotAllowed", words
    assert labels.read_text() == "walk\nrun\n"


def test_demo_beside_its_own_clip_is_refused(walking_clip: Path) -> None:
    before = walking_clip.read_bytes()
    assert error_of(invoke("demo", "--out", walking_clip.parent, "--force")) == "OutputNotAllowed"
    assert walking_clip.read_bytes() == before


def test_only_files_of_this_program_are_replaced_unless_forced(warm: Path, clip: Path, tmp_path: Path) -> None:
    names = {"--annotate": "a.mp4", "--report": "page.html"}
    foreign = b"a recording of my own, to be shown with video-star"
    for option, name in [*names.items(), ("--annotate", "a.gif")]:
        output = tmp_path / name
        output.write_bytes(foreign)
        refused = invoke("recognize", clip, *QUICK, option, output)
        assert refused.exit_code == 2 and "--force" in refused.stderr and output.read_bytes() == foreign
        for force in (["--force"], []):
            assert invoke("recognize", clip, *QUICK, option, output, *force).exit_code == 0
            assert foreign not in output.read_bytes()
    (tmp_path / "runs.jsonl").write_text('{"mine": 1}\n{"mi')
    refused = invoke("recognize", clip, *QUICK, "--trace", tmp_path)
    assert error_of(refused) == "OutputNotAllowed" and (tmp_path / "runs.jsonl").read_text() == '{"mine": 1}\n{"mi'


def test_show_replaces_neither_the_trace_nor_a_file_of_others(warm: Path, clip: Path, tmp_path: Path) -> None:
    trace = tmp_path / "t"
    assert invoke("recognize", clip, *QUICK, "--trace", trace).exit_code == 0
    (tmp_path / "notes.html").write_text("mine")
    for page in (trace / "runs.jsonl", tmp_path / "notes.html"):
        refused = invoke("show", trace, "--report", page)
        assert refused.exit_code == 2 and error_of(refused) == "OutputNotAllowed"
    assert (tmp_path / "notes.html").read_text() == "mine"


def test_outputs_may_have_any_name_that_the_file_system_allows(
    warm: Path, clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for option, name in (
        ("--annotate", "10:30.mp4"),
        ("--annotate", "cam-12:30 %03d.mp4"),
        ("--annotate", "10:30.gif"),
        ("--annotate", "file:a.mp4"),
        ("--report", "10:30.html"),
        ("--trace", "10:30"),
    ):
        ended = invoke("recognize", clip, *QUICK, f"{option}={name}")
        assert ended.exit_code == 0 and (tmp_path / name).exists(), ended.stderr
    assert not [name for name in os.listdir(tmp_path) if name.startswith(".")]


def test_an_output_that_fails_leaves_what_was_there(tmp_path: Path) -> None:
    output = tmp_path / "page.html"
    output.write_text("before")
    with pytest.raises(ZeroDivisionError), output_files.replacing(output) as part:
        part.write_text("half")
        raise ZeroDivisionError
    assert os.listdir(tmp_path) == ["page.html"] and output.read_text() == "before"


def test_a_link_is_followed_and_its_target_replaced(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "link.html").symlink_to(tmp_path / "there" / "page.html")
    with output_files.replacing(tmp_path / "link.html") as part:
        part.write_text("whole")
    assert (tmp_path / "link.html").is_symlink() and (tmp_path / "there" / "page.html").read_text() == "whole"


def test_an_interrupt_removes_unfinished_files(tmp_path: Path) -> None:
    script = """
import os, signal, sys
from pathlib import Path
from video_star.interrupts import _exit_at_once
from video_star.tools.output_files import replacing
signal.signal(signal.SIGINT, _exit_at_once)
with replacing(Path("page.html")) as part:
    part.write_text("half")
    os.kill(os.getpid(), signal.SIGINT)
"""
    ended = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True)
    assert ended.returncode == 128 + signal.SIGINT and os.listdir(tmp_path) == []
