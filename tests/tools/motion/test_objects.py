"""What things and the camera do, measured on drawn clips whose movement is known."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from video_star.evals.tabletop.renderer import Layer, Scene, along, render, sprite, table, write
from video_star.evals.tabletop.scenarios import SCENARIOS
from video_star.tools.motion.camera import camera_of
from video_star.tools.motion.flow import follow
from video_star.tools.motion.measure_motion import measure_motion
from video_star.tools.motion.motion_result import Motion
from video_star.tools.motion.time_series import rhythm, turning_points
from video_star.tools.registry import fine_frames, tool
from video_star.tools.video.clip import open_clip
from video_star.tools.video.reader import Frames
from video_star.tools.vision.pose import Poses


def still(t: float) -> tuple[float, float, float, float]:
    return 0.0, 0.0, 1.0, 0.0


def clip_of(folder: Path, layers: list[Layer], seconds: float, camera=still, fps: int = 15) -> Path:  # type: ignore[no-untyped-def]
    rng = np.random.default_rng(7)
    path = folder / "clip.mp4"
    scene = Scene((), [table(rng), *layers], camera, seconds, fps, 2.0, 0.03)
    write(path, render(scene, rng), fps)
    return path


def measured(path: Path) -> Motion:
    clip = open_clip(str(path))
    frames = clip.frames()
    return measure_motion(Poses.empty(frames.times, (320, 240)), frames, fine_frames(clip))


def box(seed: int = 3) -> Layer:
    return Layer(sprite(np.random.default_rng(seed), 50), still)


def moving(points: list[tuple[float, complex]], seed: int = 3) -> Layer:
    return Layer(box(seed).picture, along(points))


@pytest.mark.parametrize(
    ("end", "way", "opposite"),
    [
        (240 + 120j, "right", "left"),
        (80 + 120j, "left", "right"),
        (160 + 50j, "up", "down"),
        (160 + 190j, "down", "up"),
    ],
)
def test_a_thing_that_moves_one_way_is_seen_to_and_not_the_other(
    tmp_path: Path, end: complex, way: str, opposite: str
) -> None:
    read = measured(clip_of(tmp_path, [moving([(0.5, 160 + 120j), (1.4, end)])], 2.0)).measurements()
    assert read.support[f"thing_moves_{way}"] > 0.8
    assert f"thing_moves_{opposite}" not in read.support and f"thing_moves_{opposite}" in read.measured


def test_what_happens_first_is_told_first(tmp_path: Path) -> None:
    path = moving([(0.4, 90 + 120j), (1.0, 210 + 120j), (1.5, 210 + 120j), (2.1, 210 + 50j)])
    read = measured(clip_of(tmp_path, [path], 2.6)).measurements()
    names = [name for name, _ in read.order]
    times = dict(reversed(read.order))
    assert names.index("thing_moves_right") < names.index("thing_moves_up")
    assert abs(times["thing_moves_right"] - 0.45) < 0.25 and abs(times["thing_moves_up"] - 1.55) < 0.25


def test_a_thing_shaken_five_times_is_counted(tmp_path: Path) -> None:
    def path(t: float) -> tuple[float, float, float, float]:
        phase = 2 * np.pi * (np.clip(t, 0.4, 3.4) - 0.4) / 0.6
        return 160 + 30 * np.sin(phase), 120.0, 1.0, 0.0

    motion = measured(clip_of(tmp_path, [Layer(box().picture, path)], 3.8))
    read = motion.measurements()
    assert (read.repeated[0].by, read.repeated[0].times) == ("object 1", 5) and read.support["thing_repeats"] > 0.8
    assert motion.repetitions[0].period == pytest.approx(0.6, abs=0.1)


def test_a_camera_that_turns_moves_no_thing(tmp_path: Path) -> None:
    def turning(t: float) -> tuple[float, float, float, float]:
        return 90 * min(1.0, t / 1.5), 0.0, 1.0, 0.0

    motion = measured(clip_of(tmp_path, [], 1.8, turning))
    read = motion.measurements()
    assert read.support["camera_turns_left"] > 0.8 and "turns left" in motion.summary()
    assert not [name for name in read.support if name.startswith("thing")]
    assert motion.camera_drift[0] == pytest.approx(50, rel=0.25)


def test_the_cameras_movement_is_taken_out_of_a_things(tmp_path: Path) -> None:
    def turning(t: float) -> tuple[float, float, float, float]:
        return 80 * min(1.0, t / 1.5), 0.0, 1.0, 0.0

    still_in_picture = moving([(0.0, 160 + 120j), (1.5, 80 + 120j)])
    read = measured(clip_of(tmp_path, [still_in_picture], 1.8, turning)).measurements()
    assert read.support["thing_moves_left"] > 0.5 and "thing_moves_right" not in read.support


def test_a_fall_is_no_putting_down(tmp_path: Path) -> None:
    def falling(t: float) -> tuple[float, float, float, float]:
        return 160.0, 60 + 120 * float(np.clip((t - 0.6) / 0.3, 0, 1)) ** 2, 1.0, 0.0

    read = measured(clip_of(tmp_path, [Layer(box().picture, falling)], 1.6, fps=30)).measurements()
    assert read.support["thing_falls"] > read.support.get("thing_put_down", 0.0)


def test_nothing_that_moves_gives_no_thing(tmp_path: Path) -> None:
    motion = measured(clip_of(tmp_path, [box()], 1.5))
    read = motion.measurements()
    assert not motion.objects and not read.order and not read.repeated
    assert {"thing_moves_left", "camera_nears"} <= set(read.measured)


def test_frames_too_far_apart_are_not_measured_rather_than_not_seen() -> None:
    rng = np.random.default_rng(0)
    picture = rng.integers(0, 255, (15, 20, 3), dtype=np.uint8).repeat(8, 0).repeat(8, 1)
    times = np.arange(6.0)
    motion = measure_motion(Poses.empty(times, (160, 120)), Frames(np.stack([picture] * 6), times, 1.0))
    assert not [name for name in motion.support if name.startswith(("thing", "camera"))]
    assert "too far to measure" in motion.summary()


def test_points_are_followed_over_a_fifth_of_the_picture_at_once() -> None:
    rng = np.random.default_rng(1)
    wide = rng.integers(0, 255, (30, 60), dtype=np.uint8).repeat(8, 0).repeat(8, 1)[:120].astype(np.float32)
    flow = follow(np.stack([wide[:, 60:220], wide[:, 36:196]]))
    step = flow.points[:, 1] - flow.points[:, 0]
    assert (np.abs(step - 24) < 0.5).sum() > 60
    assert abs(camera_of(flow, np.zeros(flow.points.shape, bool)).shift[1] - 24) < 0.5


def test_the_tool_tells_pushing_right_from_pushing_left_by_motion_alone(tmp_path: Path) -> None:
    path = clip_of(tmp_path, [moving([(0.5, 80 + 120j), (1.4, 240 + 120j)])], 2.0)
    read = tool("track_motion").run(open_clip(str(path)), (), 0).result.measurements()
    assert "thing_moves_right" in read.support and "thing_moves_left" not in read.support


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 8), st.floats(0.3, 1.0), st.floats(0.1, 2.0), st.booleans())
def test_rhythm_counts_whole_swings(times: int, period: float, size: float, one_sided: bool) -> None:
    t = np.arange(0, times * period + 1.0, 0.05)
    phase = 2 * np.pi * np.clip(t - 0.5, 0, times * period) / period
    series = size * (1 - np.cos(phase) if one_sided else np.sin(phase))
    found = rhythm(series, t, size / 4)
    assert found is not None and round(found.count) == times


@given(st.lists(st.floats(-5, 5), min_size=1, max_size=40), st.floats(0.1, 3))
def test_turning_points_begin_and_end_inside(values: list[float], least: float) -> None:
    series = np.array(values)
    points = turning_points(series, least)
    assert points[0] == 0 and points[-1] <= len(series) - 1 and (np.diff(points) > 0).all()


@pytest.mark.parametrize("kind", list(SCENARIOS))
def test_every_kind_of_scene_is_drawn_the_same_for_the_same_seed(kind: str) -> None:
    one, other = (SCENARIOS[kind](np.random.default_rng(4), True) for _ in range(2))
    assert (
        one.truth == other.truth
        and one.seconds == other.seconds
        and one.layers[-1].path(0.7) == other.layers[-1].path(0.7)
    )
