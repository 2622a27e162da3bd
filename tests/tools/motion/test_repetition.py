"""Repetitions of people whose movement is known: counted on the pose, or on the picture where there is none."""

from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image, ImageDraw

from video_star.tools.motion.measure_motion import measure_motion
from video_star.tools.motion.motion_result import Motion
from video_star.tools.video.reader import Frames
from video_star.tools.vision.pose import Poses

from .test_people import HEIGHT, SIZE, STANDING, Figure, moved, placed, squatting, walking

Movement = Callable[[float], np.ndarray]
"""From how far the movement has gone, 0 to 1, to a figure."""


def turned(joints: np.ndarray, degrees: float, about: np.ndarray) -> np.ndarray:
    a = np.radians(degrees)
    return np.asarray((joints - about) @ np.array([[np.cos(a), np.sin(a)], [-np.sin(a), np.cos(a)]]).T + about)


def squat(done: float) -> np.ndarray:
    return squatting(0.0, 0.22 * done)


def push_up(done: float) -> np.ndarray:
    joints = turned(STANDING, 75, np.zeros(2))
    joints[:9, 1] -= 0.2 * done
    joints[11:13, 1] -= 0.1 * done
    return placed(joints)


def sit_up(done: float) -> np.ndarray:
    joints = turned(STANDING, 90, np.zeros(2))
    joints[:11] = turned(joints[:11], -70 * done, joints[11:13].mean(axis=0))
    return placed(joints)


def jumping_jack(done: float) -> np.ndarray:
    arms = {7: (0.1, 0.25), 8: (-0.1, 0.25), 9: (0.05, 0.6), 10: (-0.05, 0.6)}
    legs = {15: (0.12, 0.0), 16: (-0.12, 0.0)}
    changes = {joint: (x * done, y * done) for joint, (x, y) in (arms | legs).items()}
    return placed(moved(changes) + (0, 0.06 * np.sin(np.pi * done)))


def curl(done: float) -> np.ndarray:
    return placed(moved({9: (0.02, 0.28 * done)}))


def again(movement: Movement, count: float, period: float, rest: float = 0.4) -> Figure:
    """The movement there and back `count` times after a rest; a half is the way there."""
    return lambda t: movement(0.5 - 0.5 * np.cos(2 * np.pi * np.clip((t - rest) / period, 0, count)))


def motion_of(figure: Figure, seconds: float, rate: float = 8.0, noise: float = 0.01, seen: float = 1.0) -> Motion:
    """What is measured of a figure before a grey wall, with noise in body heights and joints visible at random."""
    rng = np.random.default_rng(0)
    times = (np.arange(int(seconds * rate)) + 0.5) / rate
    keypoints = np.stack([figure(t) for t in times]).astype(np.float32)
    keypoints[:, :, :2] += rng.normal(0, noise * HEIGHT, keypoints[:, :, :2].shape)
    keypoints[:, :, 2] *= rng.random(keypoints.shape[:2]) < seen
    boxes = np.concatenate([keypoints[:, :, :2].min(1), keypoints[:, :, :2].max(1)], 1)
    ones = np.ones(len(times), np.int64)
    poses = Poses(times, SIZE, np.arange(len(times)), boxes, ones.astype(np.float32), ones, keypoints)
    return measure_motion(poses, Frames(np.full((len(times), 72, 128, 3), 128, np.uint8), times, 0.1))


@pytest.mark.parametrize("movement", [squat, push_up, sit_up, jumping_jack, curl])
def test_repetitions_are_counted_in_halves(movement: Movement) -> None:
    for count, period, rate in ((2, 1.6, 8.0), (2.5, 1.2, 8.0), (3, 1.0, 4.8), (5, 1.4, 4.8)):
        motion = motion_of(again(movement, count, period), count * period + 0.8, rate, seen=0.9)
        (found,) = motion.repetitions
        assert (found.kind, found.number) == ("person", 1)
        assert abs(found.count - count) <= 0.5 and found.period == pytest.approx(period, rel=0.25)
        assert motion.measurements().repeated[0].times == found.count


def test_the_body_repeats_where_the_trunk_moves_and_not_where_a_hand_does() -> None:
    for movement in (squat, push_up, sit_up, jumping_jack):
        assert motion_of(again(movement, 4, 1.2), 5.6).support["body_repeat"] > 0.6
    assert motion_of(again(curl, 4, 1.2), 5.6).support["body_repeat"] < 0.3


def boxing(t: float) -> np.ndarray:
    """Punches of either hand at irregular times."""
    joints = STANDING.copy()
    for at, hand in ((0.5, 9), (0.9, 10), (1.8, 10), (2.9, 9), (3.1, 10), (4.4, 9), (4.9, 9)):
        joints[hand] += np.array([0.35 if hand == 10 else -0.3, 0.3]) * np.exp(-(((t - at) / 0.13) ** 2))
    return placed(joints)


@pytest.mark.parametrize(
    "figure",
    [
        lambda t: push_up(0.0),
        boxing,
        walking(0.8),
        again(squat, 0.5, 2.0),
        lambda t: sit_up(min(1.0, t / 3)),
        lambda t: placed(STANDING, 500 + 40 * t),
    ],
    ids=["plank", "box", "walk", "half a squat", "sit up slowly", "slide"],
)
def test_nothing_is_counted_that_does_not_come_back(figure: Figure) -> None:
    for noise in (0.0, 0.01, 0.025):
        motion = motion_of(figure, 6.0, noise=noise)
        assert motion.repetitions == () and motion.support["body_repeat"] == 0


def filmed(height_of: Callable[[float], float], seconds: float = 5.0) -> Motion:
    """A light block on grey at a height (pixels of 144) over time: a person in a box without keypoints."""
    times = (np.arange(int(seconds * 8)) + 0.5) / 8
    images = []
    for t in times:
        picture = Image.new("RGB", (192, 144), (70, 70, 70))
        y = height_of(t)
        ImageDraw.Draw(picture).rectangle((60, y, 130, y + 40), fill=(200, 180, 160))
        images.append(np.asarray(picture))
    count = len(times)
    boxes = np.tile(np.array([50, 20, 140, 130], np.float32), (count, 1))
    keypoints = np.zeros((count, 17, 3), np.float32)
    ones = np.ones(count, np.int64)
    poses = Poses(times, (192, 144), np.arange(count), boxes, ones.astype(np.float32), ones, keypoints)
    return measure_motion(poses, Frames(np.stack(images), times, 1.0))


def test_without_keypoints_repetitions_are_counted_on_the_picture() -> None:
    motion = filmed(lambda t: 60 - 25 * np.cos(2 * np.pi * np.clip((t - 0.4) / 1.0, 0, 4)))
    assert [(r.kind, r.count) for r in motion.repetitions if r.kind == "person"] == [("person", 4)]
    still = filmed(lambda t: 60.0)
    lowered = filmed(lambda t: 35 + 50 * min(1.0, t / 4))
    assert not [r for m in (still, lowered) for r in m.repetitions if r.kind == "person"]
