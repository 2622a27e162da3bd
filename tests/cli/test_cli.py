"""The command line from end to end: what it prints, what it writes, and what it leaves behind."""

import json
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import pytest

from video_star.cli.doctor import EXTRAS

from ..console import SCRIPT, SPAN, Ended, invoke, typed

pytestmark = pytest.mark.slow

RESULT = {"action", "ranking", "sub_actions", "evidence", "status", "usage"}


@dataclass(frozen=True)
class Answered:
    """A run of the installed command with everything it can write."""

    ended: Ended
    folder: Path

    @property
    def found(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.ended.stdout)
        return found


@pytest.fixture(scope="module")
def answered(walking_clip: Path, warm_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Answered:
    folder = tmp_path_factory.mktemp("answered")
    asked = ("recognize", walking_clip, "--actions", "walk, run, shake hands", "--start", "0", "--end", "2", "--json")
    written = ("--trace", "out/trace", "--annotate", "out/drawn.mp4", "--report", "out/page/run.html")
    return Answered(typed(*asked, *written, folder=folder, environment={"VIDEO_STAR_HOME": str(warm_home)}), folder)


def test_json_is_one_object_on_stdout_and_nothing_else(answered: Answered) -> None:
    assert answered.ended.code == 0 and "Traceback" not in answered.ended.stderr
    assert answered.ended.stdout.count("\n") == 1
    found = answered.found
    assert set(found) >= RESULT
    assert found["action"] == "walk" and found["status"] == "ok"
    assert sorted(item["action"] for item in found["ranking"]) == ["run", "shake hands", "walk"]
    assert all(set(item) == {"action", "score"} and 0 <= item["score"] <= 1 for item in found["ranking"])
    assert all(set(s) == {"name", "rank", "weight", "candidates", "scores"} for s in found["sub_actions"])
    assert all(set(item) >= {"tool", "status", "seconds", "summary"} for item in found["evidence"])
    assert set(found["usage"]) == {"policy_calls", "tokens", "cost", "seconds"}


def test_the_annotated_video_plays_every_frame_that_was_looked_at(answered: Answered) -> None:
    with av.open(str(answered.folder / "out" / "drawn.mp4")) as video:
        frames = [frame.to_ndarray(format="rgb24") for frame in video.decode(video=0)]
        assert float(video.streams.video[0].average_rate or 0) == pytest.approx(8)
    assert len(frames) == 16 and frames[0].shape[0] > 576 and frames[0].shape[1:] == (768, 3)
    assert (frames[0][:10].mean() < 100) and (frames[0] != frames[-1]).any()


def test_a_page_and_a_trace_are_written_where_they_were_asked_for(answered: Answered) -> None:
    page = (answered.folder / "out" / "page" / "run.html").read_text(encoding="utf-8")
    assert "walk" in page and page.count("data:image/jpeg") > 4
    assert {path.name for path in (answered.folder / "out" / "trace").iterdir()} == {"runs.jsonl", "media"}


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
    assert missed.exit_code == 2 and missed.stderr.startswith("BadRecord: ")


def test_without_json_people_read_answer_scores_and_files(warm: Path, walking_clip: Path, tmp_path: Path) -> None:
    told = invoke(
        "recognize", walking_clip, "--actions", "walk,run", *SPAN, "--trace", tmp_path, "--annotate", tmp_path / "a.gif"
    )
    assert told.exit_code == 0 and told.stderr == ""
    assert "walk  ok" in told.stdout and "track_motion: ok" in told.stdout
    assert f"annotated video: {tmp_path / 'a.gif'}" in told.stdout.splitlines()
    assert (tmp_path / "a.gif").read_bytes().startswith(b"GIF8")


@pytest.mark.parametrize("mode", ["static", "no_tools", "no_sub_actions"])
def test_each_mode_answers(warm: Path, walking_clip: Path, mode: str) -> None:
    told = invoke("recognize", walking_clip, "--actions", "walk,hug", *SPAN, "--mode", mode, "--json")
    found = json.loads(told.stdout)
    assert found["action"] in ("walk", "hug") and len(found["ranking"]) == 2
    tools = {item["tool"] for item in found["evidence"]}
    assert len(tools) == {"static": 5, "no_tools": 0}.get(mode, 2)
    assert (found["sub_actions"] == []) == (mode == "no_sub_actions")


def test_only_the_tools_named_are_on_offer(warm: Path, walking_clip: Path) -> None:
    words = ["--tools", " track_motion,track_motion ,", "--mode", "static", "--json"]
    found = json.loads(invoke("recognize", walking_clip, "--actions", "walk,hug", *SPAN, *words).stdout)
    assert [item["tool"] for item in found["evidence"]] == ["track_motion"]


def test_actions_come_from_a_file_one_to_a_line_commas_and_all(warm: Path, walking_clip: Path, tmp_path: Path) -> None:
    listed = tmp_path / "actions.txt"
    listed.write_bytes("\ufeffwalk\r\n\r\nsit down, then stand up\r\n  走る 🚶 \r\n".encode())
    told = invoke("recognize", walking_clip, "--actions", "hug", "--actions-file", listed, *SPAN, "--json")
    found = json.loads(told.stdout)
    assert {item["action"] for item in found["ranking"]} == {"hug", "walk", "sit down, then stand up", "走る 🚶"}


def test_labels_are_shown_as_typed_whatever_they_hold(warm: Path, walking_clip: Path, tmp_path: Path) -> None:
    label = "[bold]行走[/nope] <script>alert(1)</script> {{7*7}} media://../x"
    told = invoke("recognize", walking_clip, "--actions", label, *SPAN, "--report", tmp_path / "a.html")
    assert told.exit_code == 0 and f"{label}  ok" in " ".join(told.stdout.split("\n"))
    assert "<script>" not in (tmp_path / "a.html").read_text(encoding="utf-8")


def test_six_hundred_labels_take_bounded_time(warm: Path, walking_clip: Path, tmp_path: Path) -> None:
    listed = tmp_path / "actions.txt"
    listed.write_text("\n".join([*(f"made up action number {i}" for i in range(599)), "walk"]), encoding="utf-8")
    began = time.monotonic()
    found = json.loads(invoke("recognize", walking_clip, "--actions-file", listed, *SPAN, "--json").stdout)
    assert found["status"] == "ok" and len(found["ranking"]) == 600
    assert time.monotonic() - began < 30


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
    began = time.monotonic()
    process.send_signal(signal.SIGINT)
    _, complained = process.communicate(timeout=30)
    assert process.returncode == 130 and time.monotonic() - began < 1
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


def test_a_reader_that_leaves_early_is_no_error(answered: Answered, warm: Path, tmp_path: Path) -> None:
    shell = f"'{SCRIPT}' show '{answered.folder / 'out' / 'trace'}' | head -n 1"
    ended = typed("-c", shell, program=("bash",), folder=tmp_path)
    assert ended.stdout.count("\n") == 1 and ended.stderr == ""


def test_doctor_says_what_works_and_how_to_install_the_rest(warm: Path, tmp_path: Path) -> None:
    without_ray = "import sys; sys.modules['ray'] = None\nfrom video_star.cli import main\nmain()"
    ended = typed("doctor", program=(sys.executable, "-c", without_ray), folder=tmp_path, environment={"COLUMNS": "40"})
    assert ended.code == 0 and "Traceback" not in ended.stderr
    lines = ended.stdout.splitlines()
    for name in ("langgraph", "onnxruntime", "video reading", "embedded perception", "video writing", "policy"):
        assert any(line.strip().startswith(f"✓ {name}") for line in lines), name
    assert all(any(name in line for line in lines) for name in EXTRAS)
    assert [line for line in lines if " ray: " in line][0].endswith("pip install 'video-star[ray]'")
    assert lines[-1] == f"store: {warm}"


def test_demo_writes_a_video_and_a_page(warm: Path, tmp_path: Path) -> None:
    told = invoke("demo", "--out", tmp_path / "demo")
    assert told.exit_code == 0 and "walk  ok" in told.stdout
    assert {path.name for path in (tmp_path / "demo").iterdir()} == {
        "people_walking.mp4",
        "people_walking.html",
        "runs.jsonl",
        "media",
    }


def test_help_needs_no_store(tmp_path: Path, home: Path) -> None:
    ended = typed("--help", folder=tmp_path)
    assert ended.code == 0 and "recognize" in ended.stdout and not home.exists()
