"""Motion primitives on stick figures whose movement is known, and on the bundled clip."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from video_star.tools.motion.measure_motion import measure_motion
from video_star.tools.motion.measurements import Measurements
from video_star.tools.motion.motion_result import MeasuredPrimitive, Motion
from video_star.tools.motion.time_series import cycles, ramp
from video_star.tools.motion_primitives import PRIMITIVES
from video_star.tools.registry import tool
from video_star.tools.video.clip import open_clip
from video_star.tools.video.reader import Frames
from video_star.tools.vision.pose import Poses

HEIGHT = 300.0
SIZE = (1280, 720)
RATE = 8.0
Figure = Callable[[float], np.ndarray]

# Joints of a standing person in body heights from the feet, x to the person's left, y upwards.
STANDING = np.array(
    [
        (0.0, 0.93), (0.02, 0.95), (-0.02, 0.95), (0.045, 0.94), (-0.045, 0.94),
        (0.115, 0.81), (-0.115, 0.81), (0.14, 0.64), (-0.14, 0.64), (0.15, 0.49), (-0.15, 0.49),
        (0.07, 0.52), (-0.07, 0.52), (0.07, 0.28), (-0.07, 0.28), (0.07, 0.04), (-0.07, 0.04),
    ]
)  # fmt: skip


def placed(joints: np.ndarray, x: float = 640.0, y: float = 600.0) -> np.ndarray:
    """(17, 3) pixels of a figure whose feet stand at x, y."""
    return np.column_stack([x + joints[:, 0] * HEIGHT, y - joints[:, 1] * HEIGHT, np.ones(17)])


def measured(*figures: Figure, seconds: float = 3.0) -> dict[str, float]:
    """Support of each measured primitive of figures before a grey wall."""
    times = (np.arange(int(seconds * RATE)) + 0.5) / RATE
    keypoints = np.stack([figure(t) for t in times for figure in figures]).astype(np.float32)
    low, high = keypoints[:, :, :2].min(1), keypoints[:, :, :2].max(1)
    count = len(figures)
    poses = Poses(
        times=times,
        size=SIZE,
        frame=np.repeat(np.arange(len(times)), count),
        boxes=np.concatenate([low, high], 1),
        scores=np.ones(len(keypoints), np.float32),
        tracks=np.tile(np.arange(1, count + 1), len(times)),
        keypoints=keypoints,
    )
    images = np.full((len(times), 72, 128, 3), 128, np.uint8)
    motion = measure_motion(poses, Frames(images, times, 0.1, ""))
    return motion.support


def moved(changes: dict[int, tuple[float, float]], base: np.ndarray = STANDING) -> np.ndarray:
    joints = base.copy()
    for joint, change in changes.items():
        joints[joint] += change
    return joints


def walking(speed: float, per_second: float = 2.0, x: float = 200.0) -> Figure:
    def figure(t: float) -> np.ndarray:
        swing = 0.12 * np.sin(np.pi * per_second * t)
        joints = moved({15: (swing, 0), 16: (-swing, 0), 13: (swing / 2, 0), 14: (-swing / 2, 0)})
        return placed(joints * (0.6, 1), x + speed * HEIGHT * t)

    return figure


def standing(x: float = 640.0) -> Figure:
    return lambda t: placed(STANDING, x)


def squatting(t: float, depth: float) -> np.ndarray:
    """Hips and everything above lower by `depth`; the knees go forward and outward."""
    joints = STANDING.copy()
    joints[:13, 1] -= depth
    joints[13:15] += [(0.5 * depth, -0.3 * depth), (-0.5 * depth, -0.3 * depth)]
    return placed(joints)


def leaning(degrees: float) -> np.ndarray:
    joints = STANDING.copy()
    hips = joints[11:13].mean(0)
    a = np.radians(degrees)
    turn = np.array([[np.cos(a), np.sin(a)], [-np.sin(a), np.cos(a)]])
    joints[:11] = (joints[:11] - hips) @ turn.T + hips
    return placed(joints)


def falling(t: float) -> np.ndarray:
    a = np.radians(90 * np.clip((t - 1) / 0.5, 0, 1))
    turn = np.array([[np.cos(a), np.sin(a)], [-np.sin(a), np.cos(a)]])
    return placed(STANDING @ turn.T)


def waving(t: float) -> np.ndarray:
    return placed(moved({7: (0.1, 0.2), 9: (0.1 + 0.08 * np.sin(2 * np.pi * 1.5 * t), 0.55)}))


def clapping(t: float) -> np.ndarray:
    gap = 0.05 * (1 + np.cos(2 * np.pi * 1.7 * t))
    return placed(moved({9: (gap - 0.15, 0.2), 10: (-gap + 0.15, 0.2), 7: (0, 0.02), 8: (0, 0.02)}))


def jumping(t: float) -> np.ndarray:
    rise = max(0.0, 0.25 * np.sin(np.pi * (t - 1) / 0.6)) if 1 < t < 1.6 else 0.0
    return placed(STANDING + (0, rise))


def kicking(t: float) -> np.ndarray:
    far = 0.4 * np.exp(-(((t - 1.5) / 0.12) ** 2))
    return placed(moved({16: (-far, far), 14: (-far / 2, far / 2)}))


def punching(t: float) -> np.ndarray:
    out = float(np.clip((t - 1.4) / 0.2, 0, 1))
    return placed(moved({8: (-0.02 - 0.1 * out, 0.05 + 0.1 * out), 10: (0.12 - 0.44 * out, 0.25 + 0.05 * out)}))


def seating(t: float, view: float) -> np.ndarray:
    """From standing to sitting with level thighs, seen from `view` degrees off the front by a camera far away."""
    done = float(np.clip((t - 1) / 0.8, 0, 1))
    ahead = np.zeros(17)
    joints = STANDING.copy()
    joints[:13, 1] -= 0.22 * done
    ahead[:13] = -0.24 * done
    ahead[:5] += 0.05
    a = np.radians(view)
    return placed(np.column_stack([joints[:, 0] * np.cos(a) + ahead * np.sin(a), joints[:, 1]]))


def climbing(t: float) -> np.ndarray:
    """Foot after foot goes up a rung of 0.25 body heights twice a second, the rest of the body along with them."""
    rungs = np.array([0.25 * np.floor(t + 0.5 * side) for side in (0, 1)])
    joints = STANDING + (0, rungs.mean())
    joints[[15, 16], 1] = STANDING[[15, 16], 1] + rungs
    return placed(joints)


def stepping_back_and_kicking(t: float) -> np.ndarray:
    """One leg goes back, shoots forwards and comes back, while the other stands."""
    swing = np.interp(t, [1, 1.4, 1.7, 2.2], [0, 0.25, -0.5, 0])
    return placed(moved({16: (swing, abs(swing) / 2), 14: (swing / 2, 0)}))


def throwing(t: float) -> np.ndarray:
    """A raised hand sweeps from behind the head to the front, and stays there."""
    swing = np.interp(t, [1.4, 1.7], [0, 1])
    return placed(moved({8: (0, 0.2), 10: (-0.05 + 0.45 * swing, 0.45 - 0.2 * swing)}))


def bowing_to_the_camera(t: float) -> np.ndarray:
    """The trunk bends by 70 degrees towards the camera, which sees it grow short."""
    joints, lean = STANDING.copy(), np.radians(70 * np.clip(t - 1, 0, 1))
    joints[:11, 1] = 0.52 + (joints[:11, 1] - 0.52) * np.cos(lean)
    return placed(joints)


def nodding(t: float) -> np.ndarray:
    return placed(moved({k: (0, 0.025 * np.sin(2 * np.pi * 2 * t)) for k in range(5)}))


def hugging(side: int) -> Figure:
    def figure(t: float) -> np.ndarray:
        apart = 0.9 - 0.35 * min(t, 2.0)
        joints = STANDING.copy()
        if t > 1.6:
            joints[[7, 8]] = [(-0.05, 0.72), (-0.05, 0.7)]
            joints[[9, 10]] = [(-0.2, 0.7), (-0.2, 0.68)]
        return placed(joints * (side, 1), 640 + side * apart * HEIGHT / 2)

    return figure


def test_walking_steps_and_travels_and_does_not_run() -> None:
    found = measured(walking(0.7))
    assert found["steps"] > 0.8 and found["travel"] > 0.8 and found["upright"] > 0.8
    assert found["travel_fast"] < 0.1 and found["stay_in_place"] < 0.1 and found["kick"] < 0.3 and found["jump"] < 0.3


def test_running_travels_fast() -> None:
    found = measured(walking(1.8, 3.0, x=-300))
    assert found["travel_fast"] > 0.8 and found["steps"] > 0.6


def test_standing_stays_and_does_nothing_else() -> None:
    found = measured(standing())
    assert found["stay_in_place"] > 0.9 and found["upright"] > 0.9
    busy = [name for name, support in found.items() if support >= 0.3 and name not in ("stay_in_place", "upright")]
    assert busy == []


@pytest.mark.parametrize(
    ("figure", "shows", "not_shown"),
    [
        (waving, {"wave", "arm_raise", "stay_in_place"}, {"travel", "hands_together", "kick"}),
        (clapping, {"hands_together", "arm_repeat"}, {"wave", "arm_raise", "travel"}),
        (jumping, {"jump"}, {"fall", "sit_down", "travel", "body_repeat"}),
        (kicking, {"kick"}, {"steps", "travel", "wave"}),
        (punching, {"arm_thrust"}, {"wave", "kick", "travel"}),
        (falling, {"fall", "lie"}, {"jump", "stand_up"}),
        (lambda t: leaning(50 * min(1.0, t)), {"torso_bend"}, {"fall", "sit_down"}),
        (lambda t: squatting(t, 0.2 * min(1.0, t)), {"sit_down"}, {"stand_up", "jump"}),
        (lambda t: squatting(t, 0.2 * max(0.0, 1 - t)), {"stand_up"}, {"sit_down", "fall"}),
        (lambda t: squatting(t, 0.1 - 0.1 * np.cos(2 * np.pi * t)), {"body_repeat"}, {"travel", "fall"}),
        (lambda t: placed(STANDING * (1, -1), y=300), {"invert"}, {"upright"}),
        (lambda t: seating(t, 0), {"sit_down", "seated", "stay_in_place"}, {"travel", "steps", "climb", "stand_up"}),
        (lambda t: seating(t, 50), {"sit_down", "seated", "stay_in_place"}, {"travel", "steps", "climb", "stand_up"}),
        (lambda t: seating(3 - t, 20), {"stand_up", "seated"}, {"travel", "steps", "climb", "sit_down"}),
        (climbing, {"climb", "steps"}, {"travel", "jump", "sit_down"}),
        (stepping_back_and_kicking, {"kick", "stay_in_place"}, {"steps", "travel"}),
        (throwing, {"arm_swing", "arm_raise"}, {"wave", "travel"}),
        (bowing_to_the_camera, {"torso_bend"}, {"sit_down", "travel", "seated"}),
        (nodding, {"head_motion", "stay_in_place"}, {"torso_bend", "travel"}),
    ],
    ids=[
        "wave", "clap", "jump", "kick", "punch", "fall", "bow", "sit", "stand", "squats", "handstand",
        "sit seen from the front", "sit", "stand up", "climb", "kick with a backswing", "throw", "bow to the camera",
        "nod",
    ],
)  # fmt: skip
def test_a_known_movement_shows_its_primitives_and_not_others(
    figure: Figure, shows: set[str], not_shown: set[str]
) -> None:
    found = measured(figure)
    assert {name for name in shows if found.get(name, 0.0) < 0.5} == set()
    assert {name for name in not_shown if found.get(name, 0.0) >= 0.3} == set()


def test_two_people_who_hug_approach_and_put_their_arms_around() -> None:
    found = measured(hugging(1), hugging(-1))
    assert found["approach"] > 0.6 and found["close_together"] > 0.5 and found["arms_around"] > 0.5
    assert found["separate"] < 0.3


def test_people_far_apart_neither_touch_nor_approach() -> None:
    found = measured(standing(300), standing(1000))
    assert all(found[name] < 0.1 for name in ("approach", "close_together", "arms_around", "hands_meet", "strike"))


def test_hidden_legs_are_not_measured_rather_than_unseen() -> None:
    def upper(t: float) -> np.ndarray:
        joints = waving(t)
        joints[13:, 2] = 0
        return joints

    found = measured(upper)
    assert not {"steps", "kick", "pedal"} & set(found) and found["wave"] > 0.5


def test_a_far_hand_hidden_behind_the_near_one_does_not_keep_raised_arms_from_being_measured() -> None:
    def sideways(t: float) -> np.ndarray:
        done = min(1.0, t)
        up = {k: (0.0, part * done) for k, part in ((7, 0.3), (8, 0.3), (9, 0.6), (10, 0.6))}
        joints = placed(moved(up) * (0.3, 1))
        joints[[7, 9], 2] = 0
        return joints

    assert measured(sideways)["arms_overhead"] > 0.5


def test_hands_that_hang_are_not_together_for_being_seen_from_the_side() -> None:
    assert measured(lambda t: placed(STANDING * (0.2, 1)))["hands_together"] < 0.3


def test_the_same_movement_measures_the_same_in_the_mirror() -> None:
    def mirrored(t: float) -> np.ndarray:
        points = kicking(t)
        points[:, 0] = 1280 - points[:, 0]
        swapped = [0, *(i + 1 if i % 2 else i - 1 for i in range(1, 17))]
        return np.asarray(points[swapped])

    one, other = measured(kicking), measured(mirrored)
    assert one == pytest.approx(other, abs=0.02)


def test_a_moving_camera_does_not_make_people_travel() -> None:
    rng = np.random.default_rng(0)
    wall = rng.integers(0, 255, (72, 400, 3), dtype=np.uint8).repeat(4, 0).repeat(4, 1)
    times = (np.arange(24) + 0.5) / RATE
    pan = (times * 100).astype(int)
    images = np.stack([wall[:, x : x + 512] for x in pan])
    keypoints = np.stack([placed(STANDING, 900 - x * 2.5) for x in pan]).astype(np.float32)
    boxes = np.concatenate([keypoints[:, :, :2].min(1), keypoints[:, :, :2].max(1)], 1)
    ones = np.ones(24, np.int64)
    poses = Poses(times, SIZE, np.arange(24), boxes, ones.astype(np.float32), ones, keypoints)
    motion = measure_motion(poses, Frames(images, times, 0.4, ""))
    assert abs(motion.camera_drift[0] + 250) < 30
    assert motion.support["travel"] < 0.2


def test_nobody_gives_an_empty_result() -> None:
    times = np.arange(4.0)
    empty = Poses.empty(times, SIZE)
    motion = measure_motion(empty, Frames(np.zeros((4, 72, 128, 3), np.uint8), times, 0.1, ""))
    assert len(motion.primitives) == 0 and "Nobody is seen" in motion.summary()
    assert motion.measurements().support == {}


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_no_keypoints_break_the_measures(seed: int) -> None:
    rng = np.random.default_rng(seed)
    inside, never_seen = rng.random() < 0.5, rng.random(17) < rng.choice([0.0, 0.3, 0.8])

    def person(_: float) -> np.ndarray:
        places = rng.uniform(0, 700, (17, 2)) if inside else rng.uniform(-500, 2000, (17, 2))
        return np.column_stack([places, np.where(never_seen, 0.0, rng.uniform(0.3, 1, 17))])

    found = measured(*[person] * 3)
    assert all(0 <= support <= 1 for support in found.values())


def test_measurements_are_rounded_as_policies_read_them_and_survive_storage() -> None:
    support = np.linspace(0, 1, len(PRIMITIVES))
    primitives = [MeasuredPrimitive(n, s, 0.51, 1.49, 1) for n, s in zip(PRIMITIVES, support.tolist(), strict=True)]
    motion = Motion((0.0, 1.0, 2.0), tuple(primitives))
    found = motion.measurements()
    assert found.support == {p.name: round(p.support, 2) for p in primitives if p.support >= 0.3}
    assert Measurements.from_json(json.loads(json.dumps(found.to_json()))) == found
    assert set(found.measured) == set(PRIMITIVES) and set(found.spans.values()) == {(0.5, 1.5)}
    assert Motion.from_json(motion.to_json()) == motion


@given(st.floats(0.3, 3), st.floats(0.05, 1), st.floats(0, 6))
def test_cycles_are_counted(rate: float, size: float, phase: float) -> None:
    times = np.arange(0, 6, 0.05)
    count, half = cycles(size * np.sin(2 * np.pi * rate * times + phase), times, size / 3)
    assert abs(count - 6 * rate) <= 1 and half == pytest.approx(size * 0.92, rel=0.2)


def test_ramp_runs_either_way() -> None:
    assert ramp(np.array([0, 5, 10, 20]), 0, 10).tolist() == [0, 0.5, 1, 1]
    assert ramp(np.array([0, 5, 10]), 10, 0).tolist() == [1, 0.5, 0]


def test_the_bundled_clip_shows_people_who_walk(walking_clip: Path) -> None:
    found = tool("track_motion").run(open_clip(str(walking_clip), 0, 4), ["walk"], 4)
    read = found.result.measurements()
    assert read.support["steps"] > 0.4 and read.support["travel"] > 0.4 and read.support["upright"] > 0.5
    assert not {"jump", "fall", "lie", "pedal", "seated", "arms_around"} & set(read.support)
    assert len(found.frames) == 4 and all(image.ndim == 3 for _, image in found.frames)
