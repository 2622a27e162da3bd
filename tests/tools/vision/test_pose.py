"""Poses on real clips, and their description in words."""

from functools import cache
from itertools import combinations
from pathlib import Path
from threading import Thread

import numpy as np
import pytest

from video_star.tools.video.reader import Frames, read_frames
from video_star.tools.vision.blazepose import BLAZEPOSE
from video_star.tools.vision.detections import pose_distance
from video_star.tools.vision.people import People
from video_star.tools.vision.pose import Poses, estimate_pose
from video_star.tools.vision.posture import body_height, joint_angle, posture

pytestmark = pytest.mark.slow

STANDING = np.zeros((17, 3), np.float32)
STANDING[:, 2] = 1
STANDING[:, :2] = [
    (50, 10), (53, 8), (47, 8), (56, 10), (44, 10), (62, 30), (38, 30), (66, 52), (34, 52), (66, 72), (34, 72),
    (58, 75), (42, 75), (58, 108), (42, 108), (58, 140), (42, 140),
]  # fmt: skip


@cache
def poses_of(path: Path, end: float) -> Poses:
    return estimate_pose(read_frames(path, np.arange(0.06, end, 0.125), max_side=768), BLAZEPOSE)


@pytest.fixture
def walking(walking_clip: Path) -> Poses:
    return poses_of(walking_clip, 6.9)


@pytest.fixture
def hug(shared: Path) -> Poses:
    return poses_of(shared / "clips" / "hug.mp4", 2.5)


def test_walkers_are_tracked_stably(walking: Poses) -> None:
    seconds = [np.ptp(walking.times[walking.of(track).frame]) for track in np.unique(walking.tracks)]
    assert 4 <= len(seconds) <= 7
    assert np.median(seconds) > 2
    assert sum(length > 4 for length in seconds) == 3


def test_feet_of_walkers_are_below_their_hips(walking: Poses) -> None:
    seen = walking.keypoints[:, :, 2] >= 0.5
    standing = seen[:, 11:17].all(axis=1)
    y = walking.keypoints[:, :, 1]
    assert standing.mean() > 0.5
    below = (y[:, 15:17].min(axis=1) > y[:, 11:13].max(axis=1))[standing]
    assert below.mean() > 0.9
    assert (y[seen[:, 0], 0] < y[seen[:, 0], 11]).mean() > 0.95


def test_boxes_contain_the_visible_keypoints(walking: Poses) -> None:
    x, y, seen = np.moveaxis(walking.keypoints, 2, 0)
    x0, y0, x1, y1 = walking.boxes.T[:, :, None]
    within = (x >= x0 - 1) & (x <= x1 + 1) & (y >= y0 - 1) & (y <= y1 + 1)
    assert within[seen >= 0.5].all()


def test_people_who_hug_remain_two_tracks(hug: Poses) -> None:
    frames = len(hug.times)
    counts = sorted((len(hug.of(track)) for track in np.unique(hug.tracks)), reverse=True)
    assert len(counts) == 2
    assert counts[1] >= 0.85 * frames


def test_no_two_people_have_the_same_skeleton(hug: Poses, walking: Poses) -> None:
    for poses in (hug, walking):
        for index in range(len(poses.times)):
            here = poses.at(index)
            sizes = np.sqrt(np.prod(here.boxes[:, 2:] - here.boxes[:, :2], axis=1))
            for a, b in combinations(range(len(here)), 2):
                assert not pose_distance(here.keypoints[a], here.keypoints[b], min(sizes[a], sizes[b])) < 0.1


def test_a_close_up_is_one_person(shared: Path) -> None:
    poses = poses_of(shared / "clips" / "carphone_pristine.mp4", 3.9)
    assert set(poses.tracks) == {1}
    assert len(poses) == len(poses.times)


def test_nobody_is_tracked_across_a_cut(shared: Path) -> None:
    """False detections among the cars before the cut must not hide the cyclist after it."""
    times = np.array([2.2, 2.4, 2.6, 2.8, 3.04])
    cyclist = estimate_pose(read_frames(shared / "clips" / "bikes.mp4", times, max_side=768), BLAZEPOSE).at(4)
    assert len(cyclist) == 1
    nose, hip = cyclist.keypoints[0, [0, 11]]
    assert min(nose[2], hip[2]) > 0.5 and hip[1] - nose[1] > 60


def test_threads_may_share_the_estimator(walking_clip: Path) -> None:
    frames = read_frames(walking_clip, np.array([0.1, 0.2, 0.3]), max_side=768)
    results: list[Poses] = []
    threads = [Thread(target=lambda: results.append(estimate_pose(frames, BLAZEPOSE))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 3
    for result in results[1:]:
        assert np.allclose(result.keypoints, results[0].keypoints, atol=0.5)


def test_another_estimator_can_be_used() -> None:
    class Fixed:
        def poses(self, frames: Frames) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
            box = np.array([[30, 0, 70, 145]], np.float32)
            return [(box, np.ones(1, np.float32), STANDING[None]) for _ in frames.times]

    frames = Frames(np.zeros((2, 150, 100, 3), np.uint8), np.array([0.0, 0.2]), 0.5)
    poses = estimate_pose(frames, Fixed())
    assert poses.size == (200, 300)
    assert poses.tracks.tolist() == [1, 1]
    assert np.allclose(poses.keypoints[0, :, :2], STANDING[:, :2] * 2)
    assert np.allclose(STANDING[0], [50, 10, 1])


def test_poses_are_people(walking: Poses) -> None:
    assert isinstance(walking, People)
    one = walking.of(1)
    assert isinstance(one, Poses) and len(one.keypoints) == len(one)
    assert len(Poses.empty(walking.times, walking.size).keypoints) == 0
    with pytest.raises(ValueError, match="keypoints"):
        Poses(one.times, one.size, one.frame, one.boxes, one.scores, one.tracks, one.keypoints[:, :5])


def test_a_standing_person_is_upright() -> None:
    words = posture(STANDING)
    assert "trunk upright (0 degrees)" in words
    assert "knees 180/180" in words
    assert "both hands at the hips" in words


def test_raised_hands_and_bent_knees_are_described() -> None:
    pose = STANDING.copy()
    pose[[9, 10], 1] = -20
    pose[15, :2] = (90, 108)
    words = posture(pose)
    assert "both hands above the head" in words
    assert "knees 90/180" in words


def test_a_handstand_is_upside_down_and_a_bow_has_a_direction() -> None:
    assert "upside down" in posture(STANDING * [1, -1, 1])
    bow = STANDING.copy()
    bow[:11, :2] = STANDING[:11, [1, 0]] * [-1, 1] + [130, 25]
    assert "to the right" in posture(bow)


def test_invisible_joints_are_not_described() -> None:
    pose = STANDING.copy()
    pose[11:, 2] = 0
    assert "knees" not in posture(pose) and "trunk" not in posture(pose)
    assert posture(pose * [1, 1, 0]) == "joints not seen"
    assert np.isnan(joint_angle(pose[[11, 13, 15]]))


def test_body_height_comes_from_the_trunk() -> None:
    assert body_height(STANDING[None], np.array([[0, 0, 10, 20]])) == pytest.approx(45 / 0.288)
    assert body_height(STANDING[None] * [1, 1, 0], np.array([[0, 0, 10, 20]])) == 20


def test_the_summary_gives_postures_and_distances_and_is_short(hug: Poses, walking: Poses) -> None:
    text = hug.summary()
    assert text.startswith("2 people are seen at once.")
    assert "trunk leaning" in text
    assert "Persons 1 and 2 apart, in body heights" in text
    assert len(walking.summary()) < 6000
    assert Poses.empty(hug.times, hug.size).summary().startswith("No people found")
