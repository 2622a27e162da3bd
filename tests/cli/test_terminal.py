"""The process as a whole: encodings, interrupts, a clean stdout."""

import json
import os
import pty
import re
import signal
import subprocess
import sys
from io import StringIO
from pathlib import Path
from typing import TextIO, cast

import pytest

from video_star.cli import messages
from video_star.cli.messages import Screen
from video_star.cli.plain_text import PlainStream
from video_star.tools.printable import printable

from ..console import SCRIPT, SPAN, typed
from .conftest import Answered

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


def test_an_interrupt_at_any_stage_ends_it_in_one_line_and_leaves_no_file(
    warm: Path, walking_clip: Path, tmp_path: Path
) -> None:
    program = """
import os, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
stage = sys.argv.pop(1)
def interrupt(event, args):
    if event == "import" and args[0] == stage:
        os.kill(os.getpid(), signal.SIGINT)
from video_star.__main__ import main
sys.addaudithook(interrupt)
main()
"""
    run = ("recognize", walking_clip, "--actions", "walk", *SPAN, "--report", "a.html", "--annotate", "a.mp4")
    assert typed(*run, folder=tmp_path, limit=250).code == 0
    for output in ("a.html", "a.mp4"):
        (tmp_path / output).unlink()
    for stage in ("typer", "av", "langgraph", "moviepy.video.io.ffmpeg_writer"):
        ended = typed(stage, *run, program=(sys.executable, "-c", program), folder=tmp_path, limit=250)
        assert ended.code == 130 and ended.stderr == "interrupted\n", (stage, ended)
        assert not list(tmp_path.iterdir()), stage


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


SET_TITLE, CLEAR = "\x1b]0;PWN\x07", "\x1b[2J"
ACTIVE = re.compile(rb"\x1b\]|\x1b\[2J|\x07|\x9b2J|\xc2\x9b|\xe2\x80\xae")
"""What would set the title, clear the screen, ring, or reverse the text."""


def on_a_terminal(*words: str | Path, folder: Path, program: str | Path = SCRIPT) -> bytes:
    """What the installed command writes to a terminal."""
    master, slave = pty.openpty()
    process = subprocess.Popen([program, *words], stdin=slave, stdout=slave, stderr=slave, cwd=folder)
    os.close(slave)
    written = b""
    try:
        while block := os.read(master, 2**16):
            written += block
    except OSError:
        pass  # The other end is closed.
    os.close(master)
    process.wait()
    return written


def test_control_characters_never_reach_the_terminal(walking_clip: Path, warm: Path, tmp_path: Path) -> None:
    labels = tmp_path / "labels.txt"
    labels.write_text(f"walk{SET_TITLE}{CLEAR}\nrun\x9b2J\nhug\u202egnal\n", encoding="utf-8")
    asked = ("recognize", walking_clip, *SPAN, "--mode", "no_tools")
    listed = ("--actions-file", labels)
    for words, shown in (
        ((*asked, *listed, "--trace", f"runs{SET_TITLE}", "--report", f"{CLEAR}.html"), rb"walk\x1b]0;PWN"),
        (("show", f"runs{SET_TITLE}"), rb"run\x9b2J"),
        ((*asked, *listed, "--json"), rb"run\u009b2J"),
        ((*asked, "--actions", "a,b", "--tools", f"x{CLEAR}"), rb"\x1b[2J"),
        (("recognize", f"no{CLEAR}.mp4", "--actions", "a,b"), rb"\x1b[2J"),
        ((*asked, "--actions-file", f"no{CLEAR}.txt"), rb"\x1b[2J"),
        (("show", f"no{SET_TITLE}"), rb"\x1b]0;"),
        (("export", f"no{SET_TITLE}", "--out", "table"), rb"\x1b]0;"),
        (("recognize", f"--no{CLEAR}"), b"No such option"),
        (("models", "pull", f"no{CLEAR}"), rb"\x1b[2J"),
    ):
        written = on_a_terminal(*words, folder=tmp_path)
        assert shown in b"".join(written.split()) or shown in written, (words, written)
        found = ACTIVE.search(written)
        assert not found, (words, written[max(0, found.start() - 40) : found.end() + 10])


def test_no_command_passes_on_control_characters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for words in (
        ("serve", f"model{CLEAR}"),
        ("serve", f"model{SET_TITLE}", "--max-model-len", "32768"),
        ("synthesize", f"no{CLEAR}.txt", "--labels", f"no{SET_TITLE}.csv", "--root", ".", "--out", f"o{CLEAR}"),
        ("marionette", "make", f"no{CLEAR}", "--clips", "x"),
        ("demo", "--out", CLEAR, "--mode", f"x{SET_TITLE}"),
        (f"no-command{CLEAR}",),
    ):
        written = on_a_terminal(*words, folder=tmp_path)
        assert written and not ACTIVE.search(written), (words, written)
    for name in ("VISION", "MAX_MB", "KNOWLEDGE"):
        monkeypatch.setenv(f"VIDEO_STAR_{name}", f"x{CLEAR}{SET_TITLE}")
        written = on_a_terminal("doctor", folder=tmp_path)
        assert written and not ACTIVE.search(written), (name, written)
        monkeypatch.delenv(f"VIDEO_STAR_{name}")


def test_a_traceback_is_shown_without_effect(tmp_path: Path) -> None:
    program = (
        "import logging, warnings, sys\n"
        "from video_star import cli\n"
        f"text = {CLEAR + SET_TITLE!r}\n"
        "def broken(*args):\n"
        "    logging.warning(text); warnings.warn(text); print(text); print(text, file=sys.stderr)\n"
        "    raise KeyError(text) from RuntimeError(text)\n"
        "import video_star.cli.doctor as doctor\n"
        "cli.app = broken\n"
        "cli.main()\n"
    )
    written = on_a_terminal("-c", program, folder=tmp_path, program=sys.executable)
    assert b"KeyError" in written and written.count(rb"\x1b[2J") >= 5 and not ACTIVE.search(written), written


def test_text_of_a_model_is_shown_without_effect(answered: Answered, tmp_path: Path) -> None:
    record = json.loads((answered.folder / "out" / "trace" / "runs.jsonl").read_text(encoding="utf-8"))
    for message in record["messages"]:
        message |= {"author": f"{message['author']}{SET_TITLE}"}
        if isinstance(message["content"], str):
            message["content"] = f"{CLEAR}{message['content']}\u202e"
        for call in message.get("tool_calls", ()):
            call |= {"name": f"{call['name']}{CLEAR}", "args": {"\x9b2J": SET_TITLE}}
    record["recognition"]["notes"] = [f"note{SET_TITLE}"]
    (tmp_path / "runs.jsonl").write_text(json.dumps(record) + "\n")
    written = on_a_terminal("show", tmp_path, folder=tmp_path)
    assert rb"note\x1b]0;PWN" in written and not ACTIVE.search(written)


def test_styles_and_progress_bars_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    stream = StringIO()
    plain = PlainStream(stream)
    for text in ("\r 50%|#####", "\n\x1b[A", "Error: a\rb\x1b[A\n"):
        plain.write(text)
    assert stream.getvalue() == "\r 50%|#####\n\x1b[AError: a\\rb\\x1b[A\n"
    screen = Screen(cast(TextIO, PlainStream(stream := StringIO())))
    screen.print("[bold]:smile: \x1b[2J[/]")
    assert "\x1b[1m:smile: \\x1b[2J\x1b[0m" in stream.getvalue()


@pytest.mark.parametrize(
    "label", ["walk\x1b[31mred\x1b[0m\x07", "\x9b2J" * 6, "\u202eהליכה\u2066\u2069", "[bold]\x00[/nope]", "w\x07" * 50]
)
def test_tables_show_labels_whole_whatever_they_hold(label: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "70")
    ranking = [{"action": action, "score": score} for action, score in ((label, 0.5), ("run", 0.25))]
    screen = Screen(stream := StringIO())
    screen.print(messages._score_table(ranking))
    header, first, *rest, last = stream.getvalue().splitlines()
    column = header.index("score")
    assert "".join(line[:column].strip() for line in (first, *rest)) == printable(label)
    assert first[column : column + 4] == "0.50" and last.split() == ["run", "0.25", "█" * 6 + "·" * 18]
