"""Person detection on real clips, and the type of its result."""

from functools import cache
from pathlib import Path

import numpy as np
import pytest

from video_star.tools.video.reader import Frames, read_frames
from video_star.tools.vision.people import People, detect_people
from video_star.tools.vision.ssdlite import SSDLITE

TIMES = np.array([0.0, 0.5, 1.0])


@cache
def walking(path: Path) -> People:
    return detect_people(read_frames(path, np.arange(0.1, 6.9, 0.2), max_side=768), SSDLITE)


def some_people(**changes: object) -> People:
    arrays: dict[str, object] = {
        "times": TIMES,
        "size": (200, 100),
        "frame": np.array([0, 0, 1, 2]),
        "boxes": np.array([[0, 0, 20, 50], [150, 0, 190, 100], [2, 0, 22, 50], [4, 60, 24, 100]], np.float32),
        "scores": np.ones(4, np.float32),
        "tracks": np.array([1, 2, 1, 1]),
    }
    return People(**(arrays | changes))  # type: ignore[arg-type]


def test_walking_people_are_detected_and_tracked(walking_clip: Path) -> None:
    people = walking(walking_clip)
    seconds = [np.ptp(people.times[people.of(track).frame]) for track in np.unique(people.tracks)]
    assert 4 <= len(seconds) <= 8
    assert sum(length > 3 for length in seconds) == 3
    assert np.bincount(people.frame, minlength=len(people.times)).min() >= 1
    heights = people.boxes[:, 3] - people.boxes[:, 1]
    assert 45 < np.median(heights) < 120


def test_boxes_are_in_pixels_of_the_original_frame_at_any_scale(walking_clip: Path) -> None:
    half = detect_people(read_frames(walking_clip, np.array([0.1, 0.3]), max_side=512), SSDLITE)
    whole = detect_people(read_frames(walking_clip, np.array([0.1, 0.3]), max_side=768), SSDLITE)
    assert half.size == whole.size == (768, 576)
    large = half.boxes[np.argmax(half.boxes[:, 3])]
    assert np.abs(whole.boxes - large).max(axis=1).min() < 15


def test_a_close_up_is_one_box(shared: Path) -> None:
    frames = read_frames(shared / "clips" / "carphone_pristine.mp4", np.arange(0.1, 3.9, 0.5), max_side=768)
    people = detect_people(frames, SSDLITE)
    assert np.bincount(people.frame, minlength=len(frames.times)).tolist() == [1] * len(frames.times)
    assert set(people.tracks) == {1}


def test_no_people_are_found_in_noise() -> None:
    noise = np.random.default_rng(0).integers(0, 30, (2, 120, 160, 3), np.uint8)
    people = detect_people(Frames(noise, np.array([0.0, 1.0]), 1.0), SSDLITE)
    assert len(people) == 0 and people.size == (160, 120)
    assert people.summary() == "No people found in 2 frames."


def test_selections_keep_rows_together() -> None:
    people = some_people()
    assert people.at(0).tracks.tolist() == [1, 2]
    assert people.of(1).frame.tolist() == [0, 1, 2]
    assert [len(person) for person in people.most_present(1)] == [3]


def test_invalid_arrays_are_rejected() -> None:
    cases: list[tuple[dict[str, object], str]] = [
        ({"scores": np.ones(3)}, "shape"),
        ({"boxes": np.full((4, 4), np.nan)}, "finite"),
        ({"frame": np.array([0, 0, 1, 3])}, "outside"),
        ({"frame": np.array([0, 2, 1, 2])}, "decrease"),
        ({"tracks": np.array([0, 1, 1, 1])}, "from 1"),
    ]
    for changes, message in cases:
        with pytest.raises(ValueError, match=message):
            some_people(**changes)


def test_the_summary_says_when_where_and_how_large() -> None:
    text = some_people().summary()
    assert text.startswith("2 people are seen at once.")
    assert "Person 1: 0.0 to 1.0 s, from far left, upper part to far left, lower part, about 50%" in text
    assert "Person 2: only at 0.0 s, far right, about 100%" in text


def test_the_summary_of_a_crowd_is_short() -> None:
    crowd = 300
    boxes = np.tile(np.array([0, 0, 5, 10], np.float32), (crowd, 1))
    frame, scores = np.zeros(crowd, np.int64), np.ones(crowd, np.float32)
    text = People(TIMES, (200, 100), frame, boxes, scores, np.arange(1, crowd + 1)).summary()
    assert len(text) < 1500 and "288 more" in text
