"""The motion primitives of hands, on drawn hands whose movement is known."""

from collections.abc import Callable

import numpy as np
import pytest

from video_star.tools.motion.hands import measure_hands
from video_star.tools.vision.hands import Hands
from video_star.tools.vision.pose import Poses

SIZE = (640, 480)
TIMES = (np.arange(24) + 0.5) / 8
OPEN = np.zeros((21, 3), np.float32)
"""An open hand, fingers up, wrist at the origin; the palm is 1 long."""
for finger, (across, knuckle, bone) in enumerate(
    [(-0.5, 0.35, 0.25), (-0.35, 0.95, 0.25), (-0.1, 1.0, 0.28), (0.15, 0.95, 0.26), (0.4, 0.85, 0.2)]
):
    for joint in range(4):
        OPEN[1 + 4 * finger + joint, :2] = (across * (1 + 0.1 * joint), -knuckle - bone * joint)

Movement = Callable[[float], np.ndarray]


def bent(hand: np.ndarray, share: float) -> np.ndarray:
    """The hand with its fingers bent towards the palm: the tips come down by this share of their length."""
    moved = hand.copy()
    for tip in (4, 8, 12, 16, 20):
        knuckle = moved[tip - 3].copy()
        moved[tip - 2 : tip + 1] = knuckle + (moved[tip - 2 : tip + 1] - knuckle) * (1 - share)
    return moved


def placed(hand: np.ndarray, x: float, y: float, palm: float) -> np.ndarray:
    return np.asarray(hand * palm + np.array([x, y, 0]), np.float32)


def hands(*movements: Movement, times: np.ndarray = TIMES) -> Hands:
    """Hands that are in every frame."""
    keypoints = np.array([movement(t) for t in times for movement in movements], np.float32).reshape(-1, 21, 3)
    count = len(movements)
    ones = np.ones(len(keypoints), np.float32)
    tracks = np.tile(np.arange(count) + 1, len(times))
    return Hands(times, SIZE, np.repeat(np.arange(len(times)), count), keypoints, ones, ones, tracks)


def measured(*movements: Movement, times: np.ndarray = TIMES) -> dict[str, float]:
    found = measure_hands(hands(*movements, times=times), Poses.empty(times, SIZE))
    return {name: measure.support for name, measure in found.items() if measure is not None}


def people() -> Poses:
    """One person who is seen as a whole in every frame."""
    count = len(TIMES)
    box, ones = np.array([[200, 50, 400, 450]], np.float32), np.ones(count, np.int64)
    joints = np.full((count, 17, 3), 0.9, np.float32)
    return Poses(TIMES, SIZE, np.arange(count), box.repeat(count, 0), ones.astype(np.float32), ones, joints)


def still(x: float = 320, y: float = 300, palm: float = 100) -> Movement:
    return lambda t: placed(OPEN, x, y, palm)


@pytest.mark.parametrize(("palm", "close"), [(30, False), (45, False), (85, True), (150, True)])
def test_large_hands_fill_the_picture_and_small_ones_do_not(palm: float, close: bool) -> None:
    assert (measured(still(palm=palm))["hands_close"] >= 0.5) == close
    assert hands(still(palm=palm)).large == close


def test_a_hand_that_comes_by_does_not_fill_the_picture() -> None:
    seen = hands(still(palm=120))
    assert not seen.where(seen.frame < 4).large
    found = measure_hands(seen.where(seen.frame < 8), people())["hands_close"]
    assert found is not None and found.support < 0.3


def test_hands_do_not_fill_a_picture_in_which_people_are_seen() -> None:
    for seen in (hands(), hands(still(palm=120))):
        found = measure_hands(seen, people())["hands_close"]
        assert found is not None and found.support == 0


def test_where_nothing_is_seen_nothing_is_known_of_hands() -> None:
    assert measured() == {}


def test_where_hands_were_not_looked_for_only_whole_people_tell_that_none_is_close() -> None:
    assert measure_hands(None, Poses.empty(TIMES, SIZE)) == {}
    far = measure_hands(None, people())
    assert list(far) == ["hands_close"] and far["hands_close"] is not None and far["hands_close"].support == 0


def test_hands_side_by_side_touch_and_hands_apart_do_not() -> None:
    assert measured(still(300), still(395))["hands_touch"] > 0.8
    assert measured(still(200), still(420))["hands_touch"] < 0.2
    assert "hands_touch" not in measured(still())


def test_a_small_thing_at_a_hand_is_no_second_hand() -> None:
    assert "hands_touch" not in measured(still(300), still(395, palm=30))


def test_hands_that_meet_again_and_again_touch() -> None:
    def other(t: float) -> np.ndarray:
        return placed(OPEN, 480 + 90 * np.cos(2 * np.pi * t), 300, 100)

    assert 0.3 < measured(still(300), other)["hands_touch"]


def test_fingers_that_open_and_close_or_tap_work() -> None:
    def fist(t: float) -> np.ndarray:
        return placed(bent(OPEN, 0.4 + 0.4 * np.sin(2 * np.pi * t)), 320, 300, 100)

    def taps(t: float) -> np.ndarray:
        hand = OPEN.copy()
        for k, tip in enumerate((8, 12, 16)):
            hand[tip - 2 : tip + 1, 1] += 0.3 * (1 + np.sin(2 * np.pi * (2 * t + k / 3)))
        return placed(hand, 320, 300, 100)

    assert measured(fist)["fingers_work"] > 0.7
    assert measured(taps)["fingers_work"] > 0.7


@pytest.mark.parametrize(
    "move",
    [
        lambda t: placed(OPEN, 100 + 150 * t, 300, 100),
        lambda t: placed(OPEN, 320, 250, 60 + 30 * t),
        lambda t: placed(
            OPEN @ np.array([[np.cos(t), np.sin(t), 0], [-np.sin(t), np.cos(t), 0], [0, 0, 1]]), 320, 250, 80
        ),
    ],
    ids=["moved", "nearing", "turned"],
)
def test_a_hand_that_moves_as_a_whole_does_not_work_with_its_fingers(move: Movement) -> None:
    assert measured(move)["fingers_work"] < 0.2


def test_finger_tips_outside_the_picture_and_uncertain_hands_tell_nothing_of_fingers() -> None:
    def fist(y: float) -> Movement:
        return lambda t: placed(bent(OPEN, 0.4 + 0.4 * np.sin(2 * np.pi * t)), 320, y, 100)

    uncertain = hands(fist(300))
    uncertain.scores[:] = 0.6
    assert "fingers_work" not in measured(fist(60)) and measured(fist(300))["fingers_work"] > 0.7
    assert measure_hands(uncertain, Poses.empty(TIMES, SIZE))["fingers_work"] is None


def test_small_hands_tell_nothing_of_fingers() -> None:
    rng = np.random.default_rng(0)
    assert "fingers_work" not in measured(lambda t: placed(OPEN, 320, 300, 14) + rng.normal(0, 2, OPEN.shape))


def test_errors_of_keypoints_are_not_work_of_fingers() -> None:
    rng = np.random.default_rng(0)
    noisy = measured(lambda t: placed(OPEN + rng.normal(0, 0.02, OPEN.shape), 320, 300, 100))
    assert noisy["fingers_work"] < 0.3


def test_frames_too_far_apart_tell_nothing_of_fingers() -> None:
    assert "fingers_work" not in measured(still(), times=np.arange(8.0))
