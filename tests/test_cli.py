"""The command line as a stranger types it: odd input, odd files, and files that cannot be written."""

import json
import os
import signal
import subprocess
import sys
import sysconfig
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import pytest
from click.testing import Result
from typer.testing import CliRunner

from video_star.cli import app
from video_star.doctor import EXTRAS

from .tools.hostile import HostileFiles

SCRIPT = Path(sysconfig.get_path("scripts")) / "video-star"
SPAN = ("--start", "0", "--end", "1")
RESULT = {"action", "ranking", "sub_actions", "evidence", "status", "usage"}


@dataclass(frozen=True)
class Ended:
    """A process that has ended."""

    code: int
    stdout: str
    stderr: str
    seconds: float
    megabytes: float
    """Most memory it held."""


def typed(
    *words: str | Path | bytes,
    home: Path,
    folder: Path,
    program: Sequence[str | Path] = (SCRIPT,),
    limit: float = 60,
    **environment: str,
) -> Ended:
    """Run the installed command in a process of its own, killed after `limit` seconds."""
    began = time.monotonic()
    with (folder / "stdout").open("w+b") as out, (folder / "stderr").open("w+b") as err:
        process = subprocess.Popen(
            [*program, *words],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            cwd=folder,
            env={**os.environ, "VIDEO_STAR_HOME": str(home), **environment},
        )
        killer = threading.Timer(limit, process.kill)
        killer.start()
        _, status, usage = os.wait4(process.pid, 0)
        killer.cancel()
        process.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        err.seek(0)
        said, complained = out.read().decode(), err.read().decode()
    memory = usage.ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)
    return Ended(process.returncode, said, complained, time.monotonic() - began, memory)


@pytest.fixture(scope="module")
def warm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store that the tests share, so that one second of video is looked at once."""
    return tmp_path_factory.mktemp("warm")


@pytest.fixture
def invoke(warm: Path) -> Any:
    """Run the command in this process."""

    def run(*words: str | Path, home: Path = warm) -> Result:
        result = CliRunner().invoke(app, [str(word) for word in words], env={"VIDEO_STAR_HOME": str(home)})
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return run


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
def answered(walking_clip: Path, warm: Path, tmp_path_factory: pytest.TempPathFactory) -> Answered:
    folder = tmp_path_factory.mktemp("answered")
    asked = ["recognize", walking_clip, "--actions", "walk, run, shake hands", "--start", "0", "--end", "2", "--json"]
    written = ["--trace", "out/trace", "--annotate", "out/drawn.mp4", "--report", "out/page/run.html"]
    return Answered(typed(*asked, *written, home=warm, folder=folder), folder)


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
    assert set(found["usage"]) == {"policy_calls", "tokens", "seconds"}


def test_the_annotated_video_plays_every_frame_that_was_looked_at(answered: Answered) -> None:
    with av.open(str(answered.folder / "out" / "drawn.mp4")) as video:
        frames = [frame.to_ndarray(format="rgb24") for frame in video.decode(video=0)]
        assert float(video.streams.video[0].average_rate or 0) == pytest.approx(8)
    assert len(frames) == 16 and frames[0].shape == (576, 768, 3)
    assert (frames[0][:10].mean() < 100) and (frames[0] != frames[-1]).any()


def test_a_page_and_a_trace_are_written_where_they_were_asked_for(answered: Answered) -> None:
    page = (answered.folder / "out" / "page" / "run.html").read_text(encoding="utf-8")
    assert "walk" in page and page.count("data:image/jpeg") > 4
    assert {path.name for path in (answered.folder / "out" / "trace").iterdir()} == {"runs.jsonl", "media"}


def test_show_gives_the_recorded_run_though_the_store_is_gone(
    answered: Answered, invoke: Any, tmp_path: Path, home: Path
) -> None:
    trace = answered.folder / "out" / "trace"
    shown = invoke("show", trace, "--json", home=home)
    assert shown.exit_code == 0 and json.loads(shown.stdout) == answered.found and shown.stdout.count("\n") == 1
    told = invoke("show", trace, "--report", tmp_path / "a" / "page.html", home=home)
    assert told.exit_code == 0 and "walk" in told.stdout and "tool_select · assistant · by policy" in told.stdout
    page = (tmp_path / "a" / "page.html").read_text(encoding="utf-8")
    assert page.count("data:image/jpeg") == (answered.folder / "out" / "page" / "run.html").read_text(
        encoding="utf-8"
    ).count("data:image/jpeg")


def test_show_finds_a_run_by_the_beginning_of_its_id(answered: Answered, invoke: Any) -> None:
    trace = answered.folder / "out" / "trace"
    run = json.loads((trace / "runs.jsonl").read_text(encoding="utf-8"))["id"]
    assert invoke("show", trace / "runs.jsonl", "--run", run[:6]).exit_code == 0
    missed = invoke("show", trace, "--run", "zzz")
    assert missed.exit_code == 2 and missed.stderr.startswith("BadRecord: ")


def test_without_json_people_read_answer_scores_and_files(invoke: Any, walking_clip: Path, tmp_path: Path) -> None:
    told = invoke(
        "recognize", walking_clip, "--actions", "walk,run", *SPAN, "--trace", tmp_path, "--annotate", tmp_path / "a.gif"
    )
    assert told.exit_code == 0 and told.stderr == ""
    assert "walk  ok" in told.stdout and "track_motion: ok" in told.stdout
    assert f"annotated video: {tmp_path / 'a.gif'}" in told.stdout.splitlines()
    assert (tmp_path / "a.gif").read_bytes().startswith(b"GIF8")


BAD_FILES = [
    "missing",
    "text",
    "empty",
    "garbage",
    "audio_only",
    "cover_art",
    "zero_frames",
    "folder",
    "device",
    "pipe",
]


@pytest.mark.parametrize("kind", BAD_FILES)
def test_a_file_that_is_no_video_fails_typed_and_at_once(
    hostile: HostileFiles, kind: str, tmp_path: Path, home: Path
) -> None:
    clip: Path
    match kind:
        case "missing":
            clip = tmp_path / "missing.mp4"
        case "folder":
            clip = tmp_path
        case "device":
            clip = Path("/dev/zero")
        case "pipe":
            clip = tmp_path / "pipe.mp4"
            os.mkfifo(clip)
        case _:
            clip = getattr(hostile, kind)
    # A process of its own, so that one that hangs is ended; what takes long to import must not be among its modules.
    watched = (
        "import sys; from video_star.cli import app; code = 0\ntry: app()\nexcept SystemExit as e: code = e.code\n"
    )
    watched += "assert not {'langgraph', 'onnxruntime', 'moviepy'} & set(sys.modules)\nsys.exit(code)"
    program = (sys.executable, "-c", watched)
    ended = typed("recognize", clip, "--actions", "walk", program=program, home=home, folder=tmp_path, limit=20)
    assert ended.code == 2 and ended.stdout == ""
    assert one_typed_line(ended.stderr)


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (["--actions", ""], "BadActions"),
        (["--actions", " , ,"], "BadActions"),
        ([], "BadActions"),
        (["--actions", "walk, Walk"], "BadActions"),
        (["--actions", "w" * 301], "BadActions"),
        (["--actions-file", "missing.txt"], "BadActions"),
        (["--actions-file", "/dev/zero"], "BadActions"),
        (["--actions", "walk", "--policy", "nope"], "UnknownPolicy"),
        (["--actions", "walk", "--policy", "nope:model"], "UnknownPolicy"),
        (["--actions", "walk", "--tools", "zoom"], "UnknownTool"),
        (["--actions", "walk", "--mode", "magic"], "BadInput"),
        (["--actions", "walk", "--rounds", "-1"], "BadInput"),
        (["--actions", "walk", "--start", "3", "--end", "50"], "SpanOutsideVideo"),
        (["--actions", "walk", "--start", "3", "--end", "2"], "SpanOutsideVideo"),
        (["--actions", "walk", "--start", "-1"], "SpanOutsideVideo"),
        (["--actions", "walk", "--start", "nan"], "SpanOutsideVideo"),
        (["--actions", "walk", "--end", "nan"], "SpanOutsideVideo"),
        (["--actions", "walk", "--end", "inf"], "SpanOutsideVideo"),
        (["--actions", "walk", "--annotate", "drawn.txt"], "BadInput"),
    ],
)
def test_what_cannot_be_used_is_one_typed_line_before_anything_is_read(
    invoke: Any, walking_clip: Path, home: Path, words: list[str], error: str
) -> None:
    failed = invoke("recognize", walking_clip, *words, home=home)
    assert failed.exit_code == 2 and failed.stdout == ""
    assert one_typed_line(failed.stderr) == error
    assert not home.exists()


@pytest.mark.parametrize("words", [["recognize"], ["recognise"], ["recognize", "x.mp4", "--start", "soon"], ["show"]])
def test_a_mistyped_command_says_how_it_goes(invoke: Any, words: list[str]) -> None:
    failed = invoke(*words)
    assert failed.exit_code == 2 and failed.stdout == "" and "--help" in failed.stderr


def test_a_folder_that_is_no_trace_is_one_typed_line(invoke: Any, tmp_path: Path) -> None:
    (tmp_path / "runs.jsonl").write_text('{"schema": 1, "id": 5, "request": 0, "messages": 0, "recognition": 0}\n')
    for words in (["show", tmp_path / "missing"], ["show", tmp_path]):
        failed = invoke(*words)
        assert failed.exit_code == 2 and failed.stdout == "" and one_typed_line(failed.stderr) == "BadRecord"


def one_typed_line(stderr: str) -> str:
    """The error's type, where that is all there is: one line, with something to do in it, and no traceback."""
    lines = stderr.splitlines()
    assert len(lines) == 1, stderr
    name, _, text = lines[0].partition(": ")
    assert name.isidentifier() and len(text) > 20
    return name


@pytest.mark.parametrize("mode", ["static", "no_tools", "no_sub_actions"])
def test_each_mode_answers(invoke: Any, walking_clip: Path, mode: str) -> None:
    found = json.loads(
        invoke("recognize", walking_clip, "--actions", "walk,hug", *SPAN, "--mode", mode, "--json").stdout
    )
    assert found["action"] in ("walk", "hug") and len(found["ranking"]) == 2
    tools = {item["tool"] for item in found["evidence"]}
    assert len(tools) == {"static": 5, "no_tools": 0}.get(mode, 3)
    assert (found["sub_actions"] == []) == (mode == "no_sub_actions")


def test_only_the_tools_named_are_on_offer(invoke: Any, walking_clip: Path) -> None:
    words = ["--tools", " track_motion,track_motion ,", "--mode", "static", "--json"]
    found = json.loads(invoke("recognize", walking_clip, "--actions", "walk,hug", *SPAN, *words).stdout)
    assert [item["tool"] for item in found["evidence"]] == ["track_motion"]


def test_actions_come_from_a_file_one_to_a_line_commas_and_all(invoke: Any, walking_clip: Path, tmp_path: Path) -> None:
    listed = tmp_path / "actions.txt"
    listed.write_bytes("\ufeffwalk\r\n\r\nsit down, then stand up\r\n  走る 🚶 \r\n".encode())
    asked = ["recognize", walking_clip, "--actions", "hug", "--actions-file", listed, *SPAN, "--json"]
    found = json.loads(invoke(*asked).stdout)
    assert {item["action"] for item in found["ranking"]} == {"hug", "walk", "sit down, then stand up", "走る 🚶"}


def test_labels_are_shown_as_typed_whatever_they_hold(invoke: Any, walking_clip: Path, tmp_path: Path) -> None:
    label = "[bold]行走[/nope] <script>alert(1)</script> {{7*7}} media://../x"
    told = invoke("recognize", walking_clip, "--actions", label, *SPAN, "--report", tmp_path / "a.html")
    assert told.exit_code == 0 and f"{label}  ok" in " ".join(told.stdout.split("\n"))
    assert "<script>" not in (tmp_path / "a.html").read_text(encoding="utf-8")


def test_six_hundred_labels_take_bounded_time(invoke: Any, walking_clip: Path, tmp_path: Path) -> None:
    listed = tmp_path / "actions.txt"
    listed.write_text("\n".join([*(f"made up action number {i}" for i in range(599)), "walk"]), encoding="utf-8")
    began = time.monotonic()
    found = json.loads(invoke("recognize", walking_clip, "--actions-file", listed, *SPAN, "--json").stdout)
    assert found["status"] == "ok" and len(found["ranking"]) == 600
    assert time.monotonic() - began < 30


def test_words_and_terminals_of_other_encodings_are_no_obstacle(walking_clip: Path, warm: Path, tmp_path: Path) -> None:
    odd = "走る,b\u00e9".encode() + b",walk\xff"
    asked = ("recognize", walking_clip, "--actions", odd, *SPAN, "--tools", "explain_actions")
    for words in (["--json"], []):
        ended = typed(*asked, *words, home=warm, folder=tmp_path, PYTHONIOENCODING="ascii")
        assert ended.code == 0 and ended.stderr == ""
    found = json.loads(typed(*asked, "--json", "--trace", "t", home=warm, folder=tmp_path).stdout)
    assert {item["action"] for item in found["ranking"]} == {"走る", "b\u00e9", "walk\udcff"}


ODD_FILES = {
    "truncated": "damaged or cut",
    "damaged": "noise in the middle",
    "rotated": "turned by a quarter",
    "anamorphic": "pixels that are no squares",
    "gif": "GIF",
    "av1": "AV1",
    "ten_bit": "ten bits per sample",
    "raw_h264": "no duration, no index",
    "live_webm": "no duration",
    "one_frame": "one frame",
    "vfr": "frames at odd times",
    "transport_stream": "a clock that starts late",
}


@pytest.mark.parametrize("kind", ODD_FILES)
def test_odd_files_get_an_answer(invoke: Any, hostile: HostileFiles, kind: str, tmp_path: Path) -> None:
    asked = ["recognize", getattr(hostile, kind), "--actions", "walk,run"]
    ended = invoke(*asked, "--json", "--annotate", tmp_path / "drawn.mp4", "--report", tmp_path / "page.html")
    assert ended.exit_code == 0, ended.stderr
    found = json.loads(ended.stdout)
    assert found["action"] in ("walk", "run") and found["status"] in ("ok", "degraded")
    with av.open(str(tmp_path / "drawn.mp4")) as video:
        picture = next(video.decode(video=0))
    assert (picture.width < picture.height) == (kind == "rotated")


@pytest.mark.parametrize("kind", ["eight_k", "three_hours"])
def test_large_and_long_videos_take_bounded_time_and_memory(
    hostile: HostileFiles, kind: str, tmp_path: Path, home: Path
) -> None:
    clip = getattr(hostile, kind)
    asked = ("recognize", clip, "--actions", "walk,run", "--json", "--annotate", "drawn.mp4")
    ended = typed(*asked, home=home, folder=tmp_path)
    assert ended.code == 0, ended.stderr
    assert json.loads(ended.stdout)["action"] in ("walk", "run")
    assert ended.megabytes < 900 and ended.seconds < 30
    with av.open(str(tmp_path / "drawn.mp4")) as video:
        assert len(list(video.decode(video=0))) in (3, 48)


def test_a_file_that_cannot_be_written_does_not_cost_the_answer(
    invoke: Any, walking_clip: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("in the way")
    asked = ["recognize", walking_clip, "--actions", "walk,run", *SPAN]
    for option, name in (("--report", "p.html"), ("--annotate", "v.mp4"), ("--annotate", "v.gif"), ("--trace", "t")):
        ended = invoke(*asked, option, tmp_path / "file" / name, "--json")
        assert ended.exit_code == 1 and json.loads(ended.stdout)["action"] == "walk"
        assert len(ended.stderr.splitlines()) == 1 and "Error: " in ended.stderr
    several = invoke(*asked, "--trace", tmp_path / "file", "--report", tmp_path / "page.html")
    assert several.exit_code == 1 and "walk  ok" in several.stdout
    assert several.stderr.startswith("no trace: ") and "check that the path can be written" in several.stderr
    assert (tmp_path / "page.html").exists() and (tmp_path / "file").read_text() == "in the way"


def test_a_store_that_cannot_be_written_is_one_line(invoke: Any, walking_clip: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    ended = invoke("recognize", walking_clip, "--actions", "walk", *SPAN, "--json", home=tmp_path / "file")
    assert ended.exit_code == 1 and ended.stdout == "" and len(ended.stderr.splitlines()) == 1


def test_a_policy_that_cannot_be_reached_fails_typed_with_the_evidence(
    warm: Path, walking_clip: Path, tmp_path: Path
) -> None:
    pytest.importorskip("langchain_openai", reason="needs the extra [api]")
    asked = (
        "recognize",
        walking_clip,
        "--actions",
        "walk,run",
        *SPAN,
        "--policy",
        "openai:some-model",
        "--mode",
        "static",
    )
    written = ("--trace", "t", "--annotate", "v.mp4", "--report", "p.html")
    nobody = {"OPENAI_API_KEY": "none", "OPENAI_BASE_URL": "http://127.0.0.1:9/v1"}
    ended = typed(*asked, *written, "--json", home=warm, folder=tmp_path, **nobody)
    assert ended.code == 1 and "Traceback" not in ended.stderr
    found = json.loads(ended.stdout)
    assert found["status"] == "failed" and found["action"] is None
    assert found["error"].startswith("PolicyBusy: the policy failed in decompose")
    assert len(found["evidence"]) == 5
    assert (tmp_path / "v.mp4").exists() and (tmp_path / "p.html").exists()


def test_interrupting_a_run_ends_it_at_once(walking_clip: Path, home: Path, tmp_path: Path) -> None:
    process = subprocess.Popen(
        [SCRIPT, "recognize", walking_clip, "--actions", "walk,run"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "VIDEO_STAR_HOME": str(home)},
        # Where this suite runs in the background, its children would ignore the signal.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL) and None,
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
    ended = typed(*asked, "--json", program=(sys.executable, "-c", noisy), home=warm, folder=tmp_path)
    assert ended.code == 0 and json.loads(ended.stdout)["action"] == "walk"
    assert ended.stdout.count("\n") == 1
    assert ended.stderr.count("printed by a library") == ended.stderr.count("written below Python") == 2


def test_a_reader_that_leaves_early_is_no_error(answered: Answered, warm: Path, tmp_path: Path) -> None:
    shell = f"'{SCRIPT}' show '{answered.folder / 'out' / 'trace'}' | head -n 1"
    ended = typed("-c", shell, program=("bash",), home=warm, folder=tmp_path)
    assert ended.stdout.count("\n") == 1 and ended.stderr == ""


def test_doctor_says_what_works_and_how_to_install_the_rest(warm: Path, tmp_path: Path) -> None:
    without_ray = "import sys; sys.modules['ray'] = None\nfrom video_star.cli import main\nmain()"
    ended = typed("doctor", program=(sys.executable, "-c", without_ray), home=warm, folder=tmp_path, COLUMNS="40")
    assert ended.code == 0 and "Traceback" not in ended.stderr
    lines = ended.stdout.splitlines()
    for name in ("langgraph", "onnxruntime", "video reading", "embedded perception", "video writing", "policy"):
        assert any(line.strip().startswith(f"✓ {name}") for line in lines), name
    assert all(any(name in line for line in lines) for name in EXTRAS)
    assert [line for line in lines if " ray: " in line][0].endswith("pip install 'video-star[ray]'")
    assert lines[-1] == f"store: {warm}"


def test_demo_writes_a_video_and_a_page(invoke: Any, warm: Path, tmp_path: Path) -> None:
    told = invoke("demo", "--out", tmp_path / "demo")
    assert told.exit_code == 0 and "walk  ok" in told.stdout
    assert {path.name for path in (tmp_path / "demo").iterdir()} == {
        "people_walking.mp4",
        "people_walking.html",
        "runs.jsonl",
        "media",
    }


def test_help_and_errors_need_no_home(tmp_path: Path) -> None:
    ended = typed("--help", home=tmp_path / "none", folder=tmp_path)
    assert ended.code == 0 and "recognize" in ended.stdout and not (tmp_path / "none").exists()
