"""The command line as a stranger types it: odd input, odd files, and files that cannot be written."""

import json
import os
import sys
from pathlib import Path

import av
import pytest

from ..console import SCRIPT, SPAN, error_of, invoke, one_error_line, typed
from ..tools.video.hostile import HostileFiles

pytestmark = pytest.mark.slow

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
def test_a_file_that_is_no_video_fails_typed_and_at_once(hostile: HostileFiles, kind: str, tmp_path: Path) -> None:
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
    ended = typed("recognize", clip, "--actions", "walk", program=program, folder=tmp_path, limit=20)
    assert ended.code == 2 and ended.stdout == ""
    assert one_error_line(ended.stderr)


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
        (["--actions", "walk", "--max-rounds", "-1"], "BadInput"),
        (["--actions", "walk", "--start", "3", "--end", "50"], "SpanOutsideVideo"),
        (["--actions", "walk", "--start", "3", "--end", "2"], "SpanOutsideVideo"),
        (["--actions", "walk", "--start", "-1"], "SpanOutsideVideo"),
        (["--actions", "walk", "--start", "nan"], "SpanOutsideVideo"),
        (["--actions", "walk", "--end", "nan"], "SpanOutsideVideo"),
        (["--actions", "walk", "--end", "inf"], "SpanOutsideVideo"),
        (["--actions", "walk", "--annotate", "drawn.txt"], "BadInput"),
        (["--actions", "walk", "--frames", "1"], "BadInput"),
        (["--actions", "walk", "--price", "abc"], "BadInput"),
    ],
)
def test_what_cannot_be_used_is_one_typed_line_before_anything_is_read(
    walking_clip: Path, home: Path, words: list[str], error: str
) -> None:
    failed = invoke("recognize", walking_clip, *words)
    assert failed.exit_code == 2 and failed.stdout == ""
    assert error_of(failed) == error
    assert not home.exists()


@pytest.mark.parametrize("words", [["recognize"], ["recognise"], ["recognize", "x.mp4", "--start", "soon"], ["show"]])
def test_a_mistyped_command_says_how_it_goes(words: list[str]) -> None:
    failed = invoke(*words)
    assert failed.exit_code == 2 and failed.stdout == "" and "--help" in failed.stderr


def test_a_folder_that_is_no_trace_is_one_typed_line(tmp_path: Path) -> None:
    (tmp_path / "runs.jsonl").write_text('{"schema": 1, "id": 5, "request": 0, "messages": 0, "recognition": 0}\n')
    for trace in (tmp_path / "missing", tmp_path):
        failed = invoke("show", trace)
        assert failed.exit_code == 2 and failed.stdout == "" and error_of(failed) == "BadRecord"


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
def test_odd_files_get_an_answer(warm: Path, hostile: HostileFiles, kind: str, tmp_path: Path) -> None:
    asked = ["recognize", getattr(hostile, kind), "--actions", "walk,run"]
    ended = invoke(*asked, "--json", "--annotate", tmp_path / "drawn.mp4", "--report", tmp_path / "page.html")
    assert ended.exit_code == 0, ended.stderr
    found = json.loads(ended.stdout)
    assert found["action"] in ("walk", "run") and found["status"] in ("ok", "degraded")
    with av.open(str(tmp_path / "drawn.mp4")) as video:
        picture = next(video.decode(video=0))
    # A landscape picture gets taller by the captions, but not much taller than wide.
    assert (picture.height > 1.5 * picture.width) == (kind == "rotated")


# Between the suite and the command, because a process begins with the peak of the one that started it.
MEASURE = """
import resource, subprocess, sys
code = subprocess.call(sys.argv[1:])
with open("peak", "w") as file:
    file.write(str(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss))
sys.exit(code)
"""


@pytest.mark.parametrize("kind", ["eight_k", "three_hours"])
def test_large_and_long_videos_take_bounded_time_and_memory(hostile: HostileFiles, kind: str, tmp_path: Path) -> None:
    clip = getattr(hostile, kind)
    asked = ("recognize", clip, "--actions", "walk,run", "--json", "--annotate", "drawn.mp4")
    ended = typed(*asked, program=(sys.executable, "-c", MEASURE, SCRIPT), folder=tmp_path, limit=30)
    assert ended.code == 0, ended.stderr
    assert json.loads(ended.stdout)["action"] in ("walk", "run")
    assert int((tmp_path / "peak").read_text()) / (2**20 if sys.platform == "darwin" else 2**10) < 900
    with av.open(str(tmp_path / "drawn.mp4")) as video:
        assert len(list(video.decode(video=0))) == {"eight_k": 3, "three_hours": 48}[kind]


def test_a_file_that_cannot_be_written_does_not_cost_the_answer(warm: Path, walking_clip: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    asked = ("recognize", walking_clip, "--actions", "walk,run", *SPAN)
    for option, name in (("--report", "p.html"), ("--annotate", "v.mp4"), ("--annotate", "v.gif"), ("--trace", "t")):
        ended = invoke(*asked, option, tmp_path / "file" / name, "--json")
        assert ended.exit_code == 1 and json.loads(ended.stdout)["action"] == "walk"
        assert len(ended.stderr.splitlines()) == 1 and "Error: " in ended.stderr
    several = invoke(*asked, "--trace", tmp_path / "file" / "t", "--report", tmp_path / "page.html")
    assert several.exit_code == 1 and "walk  ok" in several.stdout
    assert several.stderr.startswith("Error: trace not written: ")
    assert "check that the path can be written" in several.stderr and (tmp_path / "page.html").exists()
    refused = invoke(*asked, "--trace", tmp_path / "file")
    assert refused.exit_code == 2 and "is not a folder" in refused.stderr, "refused before the run"
    assert (tmp_path / "file").read_text() == "in the way"


def test_a_store_that_cannot_be_written_costs_the_pictures_not_the_answer(walking_clip: Path, home: Path) -> None:
    home.write_text("in the way")
    ended = invoke("recognize", walking_clip, "--actions", "walk", *SPAN, "--json")
    found = json.loads(ended.stdout)
    assert ended.exit_code == 0 and (found["action"], found["status"]) == ("walk", "degraded")
    assert any(note.startswith("the policy sees no frames, because they could not be saved") for note in found["notes"])


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
    ended = typed(*asked, *written, "--json", folder=tmp_path, environment=nobody)
    assert ended.code == 1 and "Traceback" not in ended.stderr
    found = json.loads(ended.stdout)
    assert found["status"] == "failed" and found["action"] is None
    assert found["error_type"] == "PolicyUnreachable" and found["error"].startswith("the policy failed in decompose")
    assert len(found["evidence"]) == 5
    assert (tmp_path / "v.mp4").exists() and (tmp_path / "p.html").exists()
