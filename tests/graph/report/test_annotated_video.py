"""The annotated video of a run, decoded again."""

import copy
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import ImageDraw

from video_star.graph.concurrency import wait_for
from video_star.graph.report import annotated_video
from video_star.graph.report.annotated_video import preview, write_overlay
from video_star.graph.report.observations import Measured, happening
from video_star.graph.run import run_record
from video_star.tools.drawing import interpolation
from video_star.tools.drawing.annotators import track_colour
from video_star.tools.drawing.banner import Banner
from video_star.tools.vision.objects import Objects

from ...tools.video.hostile import HostileFiles, number_of, write_video

pytestmark = pytest.mark.slow

Record = dict[str, Any]


def record_of(path: Path, start: float, end: float, **recognition: Any) -> Record:
    """A run on a video that no tool looked at."""
    return {
        "request": {"source": str(path), "start": None, "end": None},
        "video": {"start": start, "end": end},
        "recognition": {
            "action": "walk", "status": "ok", "evidence": [], "sub_actions": [],
            "ranking": [{"action": "walk", "score": 0.7}, {"action": "run", "score": 0.6}], **recognition,
        },
    }  # fmt: skip


def motion(start: float, end: float, **observed: tuple[float, float]) -> Record:
    rows = {name: [0.8, *times, "person 1", ""] for name, times in observed.items()}
    return {"tool": "track_motion", "status": "ok", "start": start, "end": end, "measured": {"observed": rows}}


def decoded(path: Path) -> tuple[list[np.ndarray], list[float], float]:
    """Images, their times, and the duration, in seconds."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        images, times = [], []
        for frame in container.decode(stream):
            images.append(frame.to_ndarray(format="rgb24"))
            times.append(float((frame.pts or 0) * (frame.time_base or 0)))
        return images, times, float((stream.duration or 0) * (stream.time_base or 0))


@pytest.fixture
def captions(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, tuple[str, ...]]]:
    """What is written on each frame: the time, and what happens."""
    written = []
    real = Banner.annotate

    def annotate(self: Banner, scene: np.ndarray, time: str = "", happening: Any = ()) -> np.ndarray:
        written.append((time, tuple(happening)))
        return real(self, scene, time, happening)

    monkeypatch.setattr(Banner, "annotate", annotate)
    return written


def test_rate_and_duration_are_those_of_the_source(hostile: HostileFiles, tmp_path: Path) -> None:
    even = [k / 10 for k in range(100)]
    ticks = [0, 1, 2, 13, 14, 40, 41, 90, 91, 95]
    uneven = [
        write_video(tmp_path / name, ticks, time_base=Fraction(1, 24), options={"bf": b_frames})
        for name, b_frames in (("uneven.mp4", "0"), ("uneven.mkv", "3"))
    ]
    for source, starts, end in (
        (hostile.plain, even, 10.0),
        (hostile.transport_stream, even, 10.0),
        *((path, [tick / 24 for tick in ticks], 4.0) for path in uneven),
    ):
        write_overlay(record_of(source, 0, end), tmp_path / "out.mp4")
        images, times, duration = decoded(tmp_path / "out.mp4")
        assert times == pytest.approx(starts, abs=1e-3)
        assert duration == pytest.approx(end, abs=1e-2)
        caption = (images[0].shape[0] - 480) // 3
        assert [number_of(image[caption:][:480]) for image in images] == list(range(len(starts)))


def test_a_span_keeps_its_times_and_shows_those_of_the_source(
    hostile: HostileFiles, tmp_path: Path, captions: list[tuple[str, tuple[str, ...]]]
) -> None:
    write_overlay(record_of(hostile.vfr, 0.65, 4.5), tmp_path / "out.mp4")
    _, times, duration = decoded(tmp_path / "out.mp4")
    shown = [0.65, 0.7, 0.8, 0.9, 1, 2, 3, 4]
    assert times == pytest.approx([time - 0.65 for time in shown], abs=1e-3)
    assert duration == pytest.approx(3.85, abs=1e-2)
    assert [time for time, _ in captions] == [f"{time:.2f} s" for time in shown]


def test_a_frame_says_what_was_measured_at_its_time(
    hostile: HostileFiles, tmp_path: Path, captions: list[tuple[str, tuple[str, ...]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(annotated_video, "_bodies", lambda clip: ())
    evidence = [motion(1.0, 3.0, steps=(1.2, 1.8), jump=(1.5, 2.0)), motion(2.5, 3.0, turn=(2.6, 2.7))]
    sub_actions = [{"name": "the person jumps off the ground and lands"}]
    record = record_of(hostile.plain, 0.5, 3.5, evidence=evidence, sub_actions=sub_actions)
    write_overlay(record, tmp_path / "out.mp4")
    now = {float(time[:-2]): said for time, said in captions}
    steps, jump = "the person takes steps · person 1", "the person jumps off the ground and lands · person 1"
    assert now[0.8] == now[3.4] == ("not measured here",)
    assert now[1.1] == now[2.3] == ("no measured movement now",)
    assert now[1.3] == (steps,) and now[1.6] == (jump, steps) and now[1.9] == (jump,)
    assert now[2.6] == ("the person turns around · person 1",)


def test_observations_of_odd_records_are_left_out() -> None:
    good = motion(0, 1, steps=(0, 1))
    odd = [{**good, "measured": {"observed": 5}}, {**good, "start": None}, {**good, "status": "unavailable"}, {}]
    assert [each.observed[0].meaning for each in Measured.of([*odd, good])] == ["the person takes steps"]
    unknown = {**good, "measured": {"observed": {"flies": [1, 0, 1, "person 1", "<b>flies</b>"]}}}
    assert happening(Measured.of([unknown]), 0.5) == ["no measured movement now"]


def test_an_observation_names_the_people_who_are_numbered_in_the_picture() -> None:
    for by, named in (("person 2", " · person 2"), ("person 1 with person 3", " · persons 1 and 3"), ("object 2", "")):
        item = {**motion(0, 1), "measured": {"observed": {"approach": [1, 0, 1, by, ""]}}}
        assert happening(Measured.of([item]), 0.5) == [f"two people approach each other{named}"]


def test_scores_are_not_shown_as_per_cent(
    hostile: HostileFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts: list[str] = []
    real = ImageDraw.ImageDraw.text

    def text(self: ImageDraw.ImageDraw, at: Any, text: str, *more: Any, **options: Any) -> None:
        texts.append(text)
        real(self, at, text, *more, **options)

    monkeypatch.setattr(ImageDraw.ImageDraw, "text", text)
    write_overlay(record_of(hostile.one_frame, 0, 0.1), tmp_path / "out.mp4")
    assert {"walk", "0.00 s", "0.70", "run", "0.60"} == set(filter(None, texts))


@pytest.fixture(scope="module")
def walked(walking_clip: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Record, Path]:
    """A run on the second half of the first two seconds of the bundled clip, and its home folder."""
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VIDEO_STAR_HOME", str(home))
        return wait_for(run_record(walking_clip, ["walk", "run"], start=1, end=2)), home


def test_skeletons_are_drawn_only_where_a_tool_of_the_run_looked(
    walked: tuple[Record, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record, home = copy.deepcopy(walked[0]), walked[1]
    monkeypatch.setenv("VIDEO_STAR_HOME", str(home))

    def annotated() -> list[bool]:
        """Of each frame, whether the box of the first person is drawn on it."""
        write_overlay(record, tmp_path / "out.mp4")
        box = np.array(track_colour(1))
        return [
            bool((np.abs(i.astype(int) - box).max(axis=2) < 40).sum() > 60) for i in decoded(tmp_path / "out.mp4")[0]
        ]

    assert annotated() == [True] * 10
    record["video"] |= {"start": 0.0, "end": 3.0}
    assert annotated() == [False] * 10 + [True] * 11 + [False] * 9
    for item in record["recognition"]["evidence"]:
        item["status"] = "unavailable"
    assert annotated() == [False] * 30


def test_objects_are_drawn_beside_people_where_a_tool_looked_for_them(
    walked: tuple[Record, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = copy.deepcopy(walked[0])
    monkeypatch.setenv("VIDEO_STAR_HOME", str(walked[1]))
    record["recognition"]["evidence"].append({"tool": "detect_objects", "status": "ok", "start": 1.5, "end": 2.0})
    drawn: list[tuple[str, float]] = []
    real = interpolation.found_at

    def found_at(result: Any, seconds: float) -> Any:
        drawn.append((type(result).__name__, round(seconds, 1)))
        return real(result, seconds)

    one, nothing = np.zeros(1, np.int64), np.zeros((1, 4), np.float32)
    cup = Objects(np.array([1.7]), (768, 576), one, nothing + 9, np.ones(1, np.float32), np.array(["cup"]), one + 1)
    monkeypatch.setattr(annotated_video, "found_objects", lambda clip: cup)
    monkeypatch.setattr(annotated_video, "found_at", found_at)
    write_overlay(record, tmp_path / "out.mp4")
    assert [time for kind, time in drawn if kind == "Poses"] == pytest.approx(np.arange(10, 20) / 10)
    assert [time for kind, time in drawn if kind == "Objects"] == pytest.approx([1.5, 1.6, 1.7, 1.8, 1.9])


def test_the_preview_is_the_same_video_in_small(
    walked: tuple[Record, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record, home = walked
    monkeypatch.setenv("VIDEO_STAR_HOME", str(home))
    small = preview(record)
    assert small is not None and len(small) < 300_000
    (tmp_path / "small.mp4").write_bytes(small)
    images, times, duration = decoded(tmp_path / "small.mp4")
    assert times == pytest.approx(np.arange(10) / 10, abs=1e-3) and duration == pytest.approx(1, abs=1e-2)
    assert images[0].shape[1] == 640


def test_there_is_no_preview_of_a_long_large_or_lost_video(hostile: HostileFiles, tmp_path: Path) -> None:
    assert preview(record_of(hostile.three_hours, 0, 10_800)) is None
    assert preview(record_of(hostile.three_hours, 0, 5)) is not None
    assert preview(record_of(hostile.eight_k, 0, 0.5)) is not None
    assert preview(record_of(tmp_path / "gone.mp4", 0, 1)) is None
