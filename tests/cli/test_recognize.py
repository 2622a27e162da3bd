"""`video-star recognize` and `demo` from end to end: what they print and write."""

import json
import re
from pathlib import Path

import av
import pytest

from ..console import SPAN, invoke
from ..growth import growth
from .conftest import Answered

pytestmark = pytest.mark.slow

RESULT = {"action", "ranking", "sub_actions", "evidence", "status", "usage"}


def test_json_is_one_object_on_stdout_and_nothing_else(answered: Answered) -> None:
    assert answered.ended.code == 0 and "Traceback" not in answered.ended.stderr
    assert answered.ended.stdout.count("\n") == 1
    found = answered.found
    assert set(found) >= RESULT
    assert found["action"] == "walk" and found["status"] == "ok"
    assert sorted(item["action"] for item in found["ranking"]) == ["run", "shake hands", "walk"]
    assert 0 < found["confidence"] < 1 and found["calibrated_on"]
    assert all(set(item) == {"action", "score"} and 0 <= item["score"] <= 1 for item in found["ranking"])
    assert all(set(s) == {"name", "rank", "weight", "candidates", "scores"} for s in found["sub_actions"])
    assert all(set(item) >= {"tool", "status", "seconds", "summary"} for item in found["evidence"])
    assert set(found["usage"]) == {"policy_calls", "tokens", "cost", "seconds"}


def test_the_annotated_video_has_every_frame_of_the_source(answered: Answered) -> None:
    with av.open(str(answered.folder / "out" / "drawn.mp4")) as video:
        frames = [frame.to_ndarray(format="rgb24") for frame in video.decode(video=0)]
        assert float(video.streams.video[0].average_rate or 0) == pytest.approx(10)
    assert len(frames) == 20 and frames[0].shape[0] > 576 and frames[0].shape[1:] == (768, 3)
    assert (frames[0][:10].mean() < 100) and (frames[0] != frames[-1]).any()


def test_a_page_and_a_trace_are_written_where_they_were_asked_for(answered: Answered) -> None:
    page = (answered.folder / "out" / "page" / "run.html").read_text(encoding="utf-8")
    assert "walk" in page and page.count("data:image/jpeg") > 4
    assert {path.name for path in (answered.folder / "out" / "trace").iterdir()} == {"runs.jsonl", "media"}


def test_without_json_people_read_answer_scores_and_files(warm: Path, walking_clip: Path, tmp_path: Path) -> None:
    told = invoke(
        "recognize", walking_clip, "--actions", "walk,run", *SPAN, "--trace", tmp_path, "--annotate", tmp_path / "a.gif"
    )
    assert told.exit_code == 0 and told.stderr == ""
    assert re.search(r"confidence 0\.\d\d, calibrated on \d+ rendered clips", told.stdout)
    assert "walk  ok" in told.stdout and "track_motion: finished in" in told.stdout
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
    assert told.exit_code == 0 and f"{label}  degraded" in " ".join(told.stdout.split("\n"))
    assert "<script>" not in (tmp_path / "a.html").read_text(encoding="utf-8")


def test_six_hundred_labels_take_linear_time(warm: Path, walking_clip: Path, tmp_path: Path) -> None:
    def recognized(count: int) -> None:
        listed = tmp_path / "actions.txt"
        listed.write_text("\n".join(["walk", *(f"made up action number {i}" for i in range(1, count))]), "utf-8")
        found = json.loads(invoke("recognize", walking_clip, "--actions-file", listed, *SPAN, "--json").stdout)
        assert found["status"] == "ok" and len(found["ranking"]) == count

    assert growth(recognized, 300) < 3


def test_demo_writes_a_video_and_a_page(warm: Path, tmp_path: Path) -> None:
    told = invoke("demo", "--out", tmp_path / "demo")
    assert told.exit_code == 0 and "walk  ok" in told.stdout
    assert {path.name for path in (tmp_path / "demo").iterdir()} == {
        "people_walking.mp4",
        "people_walking.html",
        "runs.jsonl",
        "media",
    }
