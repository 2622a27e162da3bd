"""People between analysed frames."""

import numpy as np
import pytest

from video_star.tools.drawing.interpolation import found_at
from video_star.tools.vision.hands import Hands
from video_star.tools.vision.objects import Objects
from video_star.tools.vision.people import People
from video_star.tools.vision.pose import Poses


def people(times: list[float], rows: list[tuple[int, int, float]]) -> People:
    """People of (frame, track, x of the left edge), 10 pixels wide and high."""
    frame, tracks = np.array([row[0] for row in rows]), np.array([row[1] for row in rows])
    left = np.array([row[2] for row in rows], np.float32)
    boxes = np.stack([left, 0 * left, left + 10, 0 * left + 10], axis=1)
    return People(np.array(times), (640, 480), frame, boxes, np.ones(len(rows), np.float32), tracks)


def lefts(found: People) -> dict[int, float]:
    return dict(zip(found.tracks.tolist(), found.boxes[:, 0].tolist(), strict=True))


def test_positions_are_interpolated_by_person() -> None:
    walking = people([0.0, 0.1, 0.2], [(0, 1, 0), (0, 2, 100), (1, 2, 80), (1, 1, 10), (2, 1, 30), (2, 2, 60)])
    for seconds, expected in ((0.0, (0, 100)), (0.05, (5, 90)), (0.1, (10, 80)), (0.175, (25, 65)), (0.2, (30, 60))):
        assert lefts(found_at(walking, seconds)) == pytest.approx(dict(zip((1, 2), expected, strict=True)), abs=0.01)


def test_who_is_in_one_frame_only_is_shown_in_the_nearer_half() -> None:
    leaving = people([0.0, 0.2], [(0, 1, 0), (0, 2, 50), (1, 1, 10), (1, 3, 70)])
    assert set(lefts(found_at(leaving, 0.05))) == {1, 2}
    assert set(lefts(found_at(leaving, 0.15))) == {1, 3}


def test_nobody_is_invented_where_frames_are_far_apart() -> None:
    sparse = people([1.0, 3.0], [(0, 1, 0), (1, 1, 100)])
    shown = {seconds: lefts(found_at(sparse, seconds)) for seconds in (0.5, 0.9, 1.0, 1.1, 2.0, 2.9, 3.1, 4.0)}
    assert shown == {0.5: {}, 0.9: {1: 0}, 1.0: {1: 0}, 1.1: {1: 0}, 2.0: {}, 2.9: {1: 100}, 3.1: {1: 100}, 4.0: {}}


def test_a_keypoint_hidden_in_one_frame_is_not_shown_between_them() -> None:
    seen = people([0.0, 0.1], [(0, 1, 0), (1, 1, 10)])
    keypoints = np.zeros((2, 17, 3), np.float32)
    keypoints[:, :, 2] = 0.9
    keypoints[1, 3, 2] = 0.2
    keypoints[1, 4, :2] = 8
    poses = Poses(seen.times, seen.size, seen.frame, seen.boxes, seen.scores, seen.tracks, keypoints)
    (between,) = found_at(poses, 0.025).keypoints
    assert between[3, 2] == pytest.approx(0.2) and between[4].tolist() == pytest.approx([2, 2, 0.9])
    assert len(found_at(Poses.empty(seen.times, seen.size), 0.05)) == 0


def test_hands_and_objects_are_interpolated_too() -> None:
    frame, tracks, ones = np.array([0, 1]), np.array([1, 1]), np.ones(2, np.float32)
    keypoints = np.zeros((2, 21, 3), np.float32)
    keypoints[1] = 8
    times, size = np.array([0.0, 0.1]), (640, 480)
    hands = Hands(times, size, frame, keypoints, ones, ones, tracks)
    assert np.allclose(found_at(hands, 0.025).keypoints, 2) and len(found_at(hands, 0.3)) == 0
    boxes = np.array([[0, 0, 10, 10], [8, 0, 18, 10]], np.float32)
    things = Objects(times, size, frame, boxes, ones, np.array(["cup", "cup"]), tracks)
    between = found_at(things, 0.025)
    assert between.boxes[0].tolist() == pytest.approx([2, 0, 12, 10]) and between.names.tolist() == ["cup"]
