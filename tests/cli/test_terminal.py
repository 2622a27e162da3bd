"""The process as a whole: encodings, interrupts, a clean stdout."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from ..console import SCRIPT, SPAN, typed

pytestmark = pytest.mark.slow


def test_words_and_terminals_of_other_encodings_are_no_obstacle(walking_clip: Path, warm: Path, tmp_path: Path) -> None:
    odd = "走る,b\u00e9".encode() + b",walk\xff"
    asked = ("recognize", walking_clip, "--actions", odd, *SPAN, "--tools", "explain_actions")
    told = typed(*asked, folder=tmp_path, environment={"PYTHONIOENCODING": "ascii"})
    assert told.code == 0 and told.stderr == "" and "\\u8d70" in told.stdout
    written = typed(*asked, "--json", "--trace", "t", folder=tmp_path, environment={"PYTHONIOENCODING": "ascii"})
    assert {item["action"] for item in json.loads(written.stdout)["ranking"]} == {"走る", "b\u00e9", "walk\udcff"}
    assert written.code == 0 and len((tmp_path / "t" / "runs.jsonl").read_text(encoding="utf-8").splitlines()) == 1


def test_interrupting_a_run_ends_it_at_once(walking_clip: Path) -> None:
    process = subprocess.Popen(
        [SCRIPT, "recognize", walking_clip, "--actions", "walk,run"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # Where this suite runs in the background, its children would ignore the signal.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert process.stdout and process.stdout.readline().startswith("tool_select")
    process.send_signal(signal.SIGINT)
    told, complained = process.communicate(timeout=250)
    assert process.returncode == 130 and "score" not in told
    assert complained.splitlines()[-1] == "interrupted" and "Traceback" not in complained


def test_what_a_library_prints_stays_off_stdout(warm: Path, walking_clip: Path, tmp_path: Path) -> None:
    noisy = """
import os, sys
def noise(event, args):
    if event == "import" and args[0] in ("onnxruntime", "moviepy.video.io.ffmpeg_writer"):
        print("printed by a library")
        os.write(1, b"written below Python\\n")
sys.addaudithook(noise)
from video_star.cli import main
main()
"""
    asked = ("recognize", walking_clip, "--actions", "walk", "--start", "0", "--end", "0.5", "--annotate", "v.mp4")
    buffered = {"PYTHONUNBUFFERED": ""}
    program = (sys.executable, "-c", noisy)
    ended = typed(*asked, "--json", program=program, folder=tmp_path, environment=buffered)
    assert ended.code == 0 and json.loads(ended.stdout)["action"] == "walk"
    assert ended.stdout.count("\n") == 1
    assert ended.stderr.count("printed by a library") == ended.stderr.count("written below Python") >= 2
