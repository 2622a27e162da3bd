"""Hands: their type, where they are looked for, and what the embedded estimator finds on real clips."""

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
from PIL import Image

from video_star.tools.video.clip import open_clip
from video_star.tools.video.reader import Frames
from video_star.tools.vision.blazepose import BLAZEPOSE
from video_star.tools.vision.hands import (
    Hands,
    HandSkeletons,
    beside_hands,
    estimate_hands,
    extended_fingers,
    rarely_whole,
    wrist_boxes,
)
from video_star.tools.vision.mediapipe_hands import MEDIAPIPE_HANDS
from video_star.tools.vision.pose import Poses, estimate_pose

pytestmark = pytest.mark.slow

TIMES = np.arange(8) / 8
SIZE = (400, 300)


@cache
def found(path: Path, end: float | None = None, crop: tuple[int, int, int, int] | None = None) -> tuple[Poses, Hands]:
    """The people and hands of a clip, or of a part of its pictures (x0, y0, x1, y1), enlarged to 480 pixels."""
    frames = open_clip(str(path), None, end).frames()
    if crop:
        x0, y0, x1, y1 = crop
        size = 480, round(480 * (y1 - y0) / (x1 - x0))
        parts = [np.asarray(Image.fromarray(image[y0:y1, x0:x1]).resize(size)) for image in frames.images]
        frames = Frames(np.stack(parts), frames.times, 1.0)
    poses = estimate_pose(frames, BLAZEPOSE)
    return poses, estimate_hands(frames, poses, MEDIAPIPE_HANDS)


@pytest.fixture
def makeup(shared: Path) -> tuple[Poses, Hands]:
    return found(shared / "clips" / "apply_eye_makeup.avi", 3.0)


@pytest.fixture
def wrestling(shared: Path) -> tuple[Poses, Hands]:
    return found(shared / "clips" / "arm_wrestling.mp4", 6.0)


def person(height: float, x: float = 200, y: float = 20, visible: Sequence[int] = range(17)) -> tuple[np.ndarray, ...]:
    """A box and an upright skeleton in it, of which the joints in `visible` are seen."""
    across = np.array(
        [0, 0.02, -0.02, 0.04, -0.04, 0.1, -0.1, 0.13, -0.13, 0.14, -0.14, 0.06, -0.06, 0.06, -0.06, 0.06, -0.06]
    )
    down = np.array(
        [0.06, 0.05, 0.05, 0.06, 0.06, 0.18, 0.18, 0.33, 0.33, 0.48, 0.48, 0.47, 0.47, 0.71, 0.71, 0.95, 0.95]
    )
    seen = np.isin(np.arange(17), list(visible))
    joints = np.column_stack([x + across * height, y + down * height, np.where(seen, 0.9, 0.1)])
    return np.array([x - 0.15 * height, y, x + 0.15 * height, y + height]), joints


def poses(*people: tuple[np.ndarray, ...], frames: Sequence[int] = range(8), score: float = 0.9) -> Poses:
    """These people in each of the frames."""
    index = np.repeat(np.array(frames), len(people))
    boxes = np.array([box for _ in frames for box, _ in people], np.float32).reshape(-1, 4)
    joints = np.array([points for _ in frames for _, points in people], np.float32).reshape(-1, 17, 3)
    scores = np.full(len(index), score, np.float32)
    return Poses(TIMES, SIZE, index, boxes, scores, np.tile(np.arange(len(people)) + 1, len(frames)), joints)


def hand(palm: float, x: float = 200, y: float = 200) -> np.ndarray:
    """21 keypoints of an upright hand: wrist, then fingers straight up, the thumb bent."""
    points = np.zeros((21, 3), np.float32)
    for finger, across in enumerate((-0.5, -0.3, 0, 0.2, 0.4)):
        for joint in range(4):
            points[1 + 4 * finger + joint] = (across, -(1 if finger else 0.4) - 0.25 * joint, 0)
    points[4] = (-0.1, -0.6, 0)
    return np.asarray(points * palm + np.array([x, y, 0]), np.float32)


def hands(*keypoints: np.ndarray, frames: Sequence[int] = range(8), score: float = 0.95) -> Hands:
    index = np.repeat(np.array(frames), len(keypoints))
    points = np.array([each for _ in frames for each in keypoints], np.float32).reshape(-1, 21, 3)
    scores = np.full(len(index), score, np.float32)
    tracks = np.tile(np.arange(len(keypoints)) + 1, len(frames))
    return Hands(TIMES, SIZE, index, points, scores, scores, tracks)


class Fixed:
    """A `HandEstimator` that finds the same hands in given frames."""

    def __init__(self, *by_frame: HandSkeletons) -> None:
        self.by_frame = by_frame

    def hands(self, frames: Frames, wrists: Sequence[np.ndarray]) -> Sequence[HandSkeletons]:
        return self.by_frame


def skeletons(*palms: float, score: float = 0.95, first: int = 1) -> HandSkeletons:
    one = np.full(len(palms), score, np.float32)
    points = np.array([hand(palm) for palm in palms], np.float32).reshape(-1, 21, 3)
    return points, one, one, np.arange(len(palms)) + first


def blank(scale: float = 1.0) -> Frames:
    return Frames(np.zeros((8, round(300 * scale), round(400 * scale), 3), np.uint8), TIMES, scale)


def test_a_hand_in_close_up_is_followed_through_the_clip_with_one_skeleton(makeup: tuple[Poses, Hands]) -> None:
    _, seen = makeup
    assert seen.share() > 0.95 and set(seen.tracks) == {1}
    assert np.bincount(seen.frame).max() == 1
    assert 0.2 < seen.median_palm() < 0.4
    wrists, tips = seen.keypoints[:, 0, 1], seen.keypoints[:, 12, 1]
    assert (wrists > tips).mean() > 0.95, "the hand points up"


def test_clasped_hands_are_found_and_each_has_one_skeleton(wrestling: tuple[Poses, Hands]) -> None:
    _, seen = wrestling
    assert seen.share() > 0.7
    assert (np.bincount(seen.frame) <= 2).all()
    x, y = seen.keypoints[:, 9, 0], seen.keypoints[:, 9, 1]
    assert ((x > 120) & (x < 300) & (y > 40) & (y < 200)).mean() > 0.9, "where the hands are clasped"


def far_hand(shared: Path, frames: int, step: int = 0) -> Frames:
    """A real hand, 22 pixels of palm, at the left of a grey picture of 768x432; it moves by `step` pixels a frame."""
    source = open_clip(str(shared / "clips" / "apply_eye_makeup.avi"), 0, 1).frames().images[0]
    one = Image.fromarray(source[60:225, 160:290]).resize((39, 50), Image.Resampling.LANCZOS)
    images = np.full((frames, 432, 768, 3), 120, np.uint8)
    for k in range(frames):
        images[k, 250 : 250 + one.height, 60 + step * k : 60 + step * k + one.width] = np.asarray(one)
    return Frames(images, np.arange(frames) / 8, 1.0)


def test_a_hand_too_small_for_a_look_at_the_whole_picture_is_found_in_a_part_and_kept(shared: Path) -> None:
    frames = far_hand(shared, 24, step=6)
    none = [np.zeros((0, 4))] * 24
    seen = [len(scores) for _, scores, _, _ in MEDIAPIPE_HANDS.hands(frames, none)]
    first = seen.index(1)
    assert 0 < first < 12 and set(seen[first:]) == {1}
    numbers = {int(number) for _, _, _, tracks in MEDIAPIPE_HANDS.hands(frames, none) for number in tracks}
    assert numbers == {1}


@pytest.mark.parametrize("size", [(768, 432), (432, 768), (500, 500), (16_000, 16), (3, 2000), (1, 1)])
def test_pictures_of_any_shape_are_looked_at(size: tuple[int, int]) -> None:
    frames = Frames(np.zeros((13, size[1], size[0], 3), np.uint8), np.arange(13) / 8, 1.0)
    beyond = np.array([[size[0], size[1], size[0], size[1]], [0.0, 0.0, *size]])
    assert all(len(scores) == 0 for _, scores, _, _ in MEDIAPIPE_HANDS.hands(frames, [beyond] * 13))


def test_a_hand_at_a_wrist_is_found_at_once(shared: Path) -> None:
    frames = far_hand(shared, 1)
    (points, _, _, _), *_ = MEDIAPIPE_HANDS.hands(frames, [np.array([[20.0, 200.0, 150.0, 330.0]])])
    assert len(points) == 1 and 60 < points[0, 9, 0] < 100 and 250 < points[0, 9, 1] < 300


@pytest.mark.parametrize(
    ("clip", "crop"),
    [("apply_eye_makeup.avi", (150, 90, 290, 230)), ("arm_wrestling.mp4", (150, 60, 290, 190))],
)
def test_where_only_hands_are_seen_nobody_is_left(shared: Path, clip: str, crop: tuple[int, int, int, int]) -> None:
    bodies, seen = found(shared / "clips" / clip, 2.0, crop)
    assert len(bodies) > 0, "the pose model invents people here"
    assert seen.large and len(beside_hands(bodies, seen)) == 0


def test_people_beside_large_hands_are_kept(makeup: tuple[Poses, Hands]) -> None:
    bodies, seen = makeup
    kept = beside_hands(bodies, seen)
    assert seen.large and len(np.unique(kept.frame)) > 0.6 * len(np.unique(bodies.frame))


def test_walkers_have_no_hands_to_look_at_and_are_seen_whole(walking_clip: Path) -> None:
    bodies, seen = found(walking_clip, 1.0)
    assert not rarely_whole(bodies) and not seen.large
    assert len(seen) == 0


def test_threads_may_share_the_estimator(shared: Path) -> None:
    frames = open_clip(str(shared / "clips" / "apply_eye_makeup.avi"), 0, 0.5).frames()
    results: list[Hands] = []
    none = Poses.empty(frames.times, (320, 240))
    threads = [Thread(target=lambda: results.append(estimate_hands(frames, none, MEDIAPIPE_HANDS))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 3 and len(results[0])
    for result in results[1:]:
        assert np.allclose(result.keypoints, results[0].keypoints, atol=0.5)


def test_hands_are_in_pixels_of_the_original() -> None:
    seen = estimate_hands(blank(0.5), Poses.empty(TIMES, SIZE), Fixed(*[skeletons(20)] * 8))
    assert seen.size == SIZE and np.allclose(seen.keypoints[0], hand(20) / 0.5)
    assert np.allclose(seen.palms, 40)


@pytest.mark.parametrize(("score", "frames", "kept"), [(0.6, 1, 0), (0.8, 3, 0), (0.95, 1, 1), (0.6, 4, 4)])
def test_a_hand_that_is_seen_briefly_needs_a_high_score(score: float, frames: int, kept: int) -> None:
    none, one = skeletons(), skeletons(20, score=score)
    seen = estimate_hands(
        blank(), Poses.empty(TIMES, SIZE), Fixed(*[none] * 3, *[one] * frames, *[none] * (5 - frames))
    )
    assert len(seen) == kept


def test_identities_are_numbered_from_one() -> None:
    seen = estimate_hands(blank(), Poses.empty(TIMES, SIZE), Fixed(*[skeletons(20, first=7)] * 8))
    assert set(seen.tracks) == {1}


def test_hands_are_looked_for_unless_whole_people_are_seen_in_most_frames() -> None:
    whole = person(260)
    assert not rarely_whole(poses(whole))
    assert not rarely_whole(poses(whole, frames=range(6)))
    assert rarely_whole(poses(whole, frames=range(5)))
    assert rarely_whole(poses(person(600, visible=range(11))))
    assert rarely_whole(Poses.empty(TIMES, SIZE))


def test_crops_lie_beyond_visible_wrists_and_inside_the_picture() -> None:
    boxes = wrist_boxes(poses(person(260), person(260, x=395, visible=[*range(8), 9])), blank(0.5))
    assert [len(each) for each in boxes] == [3] * 8
    for box, (_, joints), wrist in zip(boxes[0], [person(260)] * 2, (9, 10), strict=False):
        assert (box[:2] < joints[wrist, :2] / 2).all() and (box[2:] > joints[wrist, :2] / 2).all()
    assert (boxes[0] >= 0).all() and (boxes[0] <= [200, 150, 200, 150]).all()


def test_bodies_as_small_as_hands_are_dropped_and_people_are_kept() -> None:
    large, small = hands(hand(80)), hands(hand(15))
    invented, tall = person(200), person(1200, y=-100)
    assert len(beside_hands(poses(invented, score=0.5), large)) == 0
    assert len(beside_hands(poses(invented, score=0.5), small)) == 8
    assert set(beside_hands(poses(invented, tall, score=0.5), large).tracks) == {2}


def test_a_face_that_is_seen_all_the_time_is_a_person_however_large_the_hands() -> None:
    large, close = hands(hand(80)), person(300, visible=[0, 1, 2, 5])
    assert len(beside_hands(poses(close), large)) == 8
    assert len(beside_hands(poses(close, frames=range(3)), large)) == 0
    assert len(beside_hands(poses(close, score=0.5), large)) == 0


def test_fingers_are_extended_or_bent() -> None:
    assert extended_fingers(hand(50)).tolist() == [False, True, True, True, True]


def test_the_summary_counts_hands_and_describes_each() -> None:
    text = hands(hand(60), hand(60, x=330)).summary()
    assert text.startswith("Hands: at most 2 at once, in 100% of the frames. They are close to the camera.")
    assert "Hand 1 (right): 0.0 to 0.9 s, palm 20% of the picture's short side, 4 fingers extended." in text
    assert hands().summary() == "No hands found in 8 frames."


def test_arrays_that_do_not_match_are_refused() -> None:
    one = hands(hand(50))
    with pytest.raises(ValueError, match="keypoints"):
        Hands(one.times, one.size, one.frame, one.keypoints[:, :5], one.scores, one.right, one.tracks)
