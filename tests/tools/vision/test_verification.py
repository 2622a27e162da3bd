"""Who is there: skeletons beside their mirrored readings, duplicates, joined tracks, gaps and cuts."""

from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image

from video_star.tools.video.reader import Frames, read_frames
from video_star.tools.vision.blazepose import BLAZEPOSE
from video_star.tools.vision.cuts import shot_numbers
from video_star.tools.vision.detections import MIRRORED, MirroredReader, Skeletons, pose_distance
from video_star.tools.vision.pose import Poses, estimate_pose
from video_star.tools.vision.tracking import track

from .test_pose import STANDING

Where = Callable[[int], list[tuple[float, float, float]]]
"""From the index of a frame to the people in it: left, top and score."""


class Scripted:
    """An estimator that finds standing people of 60x145 pixels where it is told, and reads them again as told."""

    def __init__(self, where: Where, distance: float = 0.0, presence: float = 1.0) -> None:
        self.where, self.distance, self.presence = where, distance, presence
        self.looks = 0

    def poses(self, frames: Frames) -> list[Skeletons]:
        """The people of each frame."""
        found = []
        for k in range(len(frames.times)):
            people = self.where(k)
            places = np.array([(x, y) for x, y, _ in people], np.float32).reshape(-1, 2)
            keypoints = np.repeat(STANDING[None], len(people), axis=0)
            keypoints[:, :, :2] += places[:, None] - [20, 0]
            boxes = np.concatenate([places, places + [60, 145]], axis=1).astype(np.float32)
            found.append((boxes, np.array([score for *_, score in people], np.float32), keypoints))
        return found

    def read_mirrored(self, image: np.ndarray, keypoints: np.ndarray) -> tuple[np.ndarray, float]:
        """The same joints, moved by `distance` square roots of the box area."""
        self.looks += 1
        return keypoints + [self.distance * np.sqrt(60 * 145), 0, 0], self.presence


def frames_of(count: int, colour: Callable[[int], tuple[int, int, int]] = lambda k: (90, 90, 90)) -> Frames:
    images = np.stack([np.full((200, 400, 3), colour(k), np.uint8) for k in range(count)])
    return Frames(images, (np.arange(count) + 0.5) / 8, 1.0)


def found(estimator: Scripted, count: int = 24, **kwargs: object) -> Poses:
    return estimate_pose(frames_of(count, **kwargs), estimator)  # type: ignore[arg-type]


def standing_still(k: int) -> list[tuple[float, float, float]]:
    return [(100.0, 20.0, 0.55)]


def test_a_person_read_alike_in_the_mirror_is_kept_after_at_most_five_looks() -> None:
    estimator = Scripted(standing_still, distance=0.03)
    people = found(estimator)
    assert len(people) == 24 and set(people.tracks) == {1} and people.keypoints[:, :, 2].min() == 1
    assert 0 < estimator.looks <= 5


def test_people_read_otherwise_in_the_mirror_are_invented() -> None:
    assert len(found(Scripted(standing_still, distance=0.2, presence=0.3))) == 0
    assert len(found(Scripted(standing_still, distance=0.0, presence=0.3))) == 0


def test_a_sure_box_is_kept_without_the_skeleton_that_is_wrong() -> None:
    people = found(Scripted(lambda k: [(100.0, 20.0, 0.9)], distance=0.2, presence=0.3))
    assert len(people) == 24 and people.keypoints[:, :, 2].max() == 0


def test_a_lying_trunk_must_be_read_more_alike() -> None:
    class Lying(Scripted):
        def poses(self, frames: Frames) -> list[Skeletons]:
            turned = STANDING[:, [1, 0, 2]] + [100, 0, 0]
            box = np.array([[90, 20, 250, 80]], np.float32)
            return [(box, np.array([0.5], np.float32), turned[None].astype(np.float32))] * len(frames.times)

    assert len(found(Lying(standing_still, distance=0.04))) == 24
    assert found(Lying(standing_still, distance=0.085)).keypoints[:, :, 2].max(initial=0) == 0
    assert found(Scripted(standing_still, distance=0.085)).keypoints[:, :, 2].min() == 1


def test_somebody_seen_once_needs_a_certain_box_and_a_skeleton() -> None:
    for score, kept in ((0.5, 0), (0.9, 1)):
        assert len(found(Scripted(lambda k, s=score: [(100.0, 20.0, s)] if k == 9 else []))) == kept  # type: ignore[misc]
    assert len(found(Scripted(lambda k: [(100.0, 20.0, 0.9)] if k == 9 else [], distance=0.3))) == 0


def test_of_two_boxes_on_one_person_the_better_is_kept_and_of_two_people_both() -> None:
    twice = found(Scripted(lambda k: [(100.0, 20.0, 0.9), (112.0, 24.0, 0.4)]))
    assert len(twice) == 24 and set(twice.tracks) == {1} and twice.scores.min() > 0.8
    beside = found(Scripted(lambda k: [(100.0, 20.0, 0.9), (130.0, 20.0, 0.9)]))
    assert len(beside) == 48 and set(beside.tracks) == {1, 2}


def test_who_is_lost_for_over_a_second_keeps_the_identity() -> None:
    people = found(Scripted(lambda k: [] if 8 <= k < 20 else [(100.0 + k, 20.0, 0.9)]))
    assert set(people.tracks) == {1} and not set(range(8, 20)) & set(people.frame)


def test_somebody_in_other_clothes_or_too_late_is_somebody_else() -> None:
    away = Scripted(lambda k: [] if 8 <= k < 20 else [(100.0, 20.0, 0.9)])
    # The scenery stays, and the clothes change.
    count = 24
    images = np.full((count, 200, 400, 3), 90, np.uint8)
    images[:12, 20:165, 100:160], images[12:, 20:165, 100:160] = (200, 30, 30), (30, 30, 200)
    assert set(estimate_pose(Frames(images, (np.arange(count) + 0.5) / 8, 1.0), away).tracks) == {1, 2}
    later = found(Scripted(lambda k: [] if 8 <= k < 30 else [(100.0, 20.0, 0.9)]), 40)
    assert set(later.tracks) == {1, 2}


def test_gaps_of_up_to_a_second_are_filled_where_the_person_is_seen() -> None:
    blinking = lambda k: [] if 8 <= k < 13 else [(100.0 + k, 20.0, 0.9)]  # noqa: E731
    people = found(Scripted(blinking))
    assert people.frame.tolist() == list(range(24)) and set(people.tracks) == {1}
    assert people.boxes[10, 0] == pytest.approx(110, abs=0.5)

    class Hidden(Scripted):
        def read_mirrored(self, image: np.ndarray, keypoints: np.ndarray) -> tuple[np.ndarray, float]:
            return keypoints, 0.2 if image[0, 0, 0] > 100 else 1.0

    hidden = found(Hidden(blinking), colour=lambda k: (110, 90, 90) if 8 <= k < 13 else (90, 90, 90))
    assert not set(range(8, 13)) & set(hidden.frame)


def scene(seed: int, shift: int = 0, light: float = 1.0) -> np.ndarray:
    """A picture of coarse blocks, seen `shift` pixels further to the right and `light` times as bright."""
    rng = np.random.default_rng(seed)
    tint = rng.uniform(0.2, 1.0, 3)
    blocks = (rng.integers(0, 255, (5, 14, 1)) * tint).astype(np.uint8)
    wide = np.asarray(Image.fromarray(blocks).resize((560, 200), Image.Resampling.BICUBIC), float)
    return np.clip(wide[:, shift : shift + 400] * light, 0, 255).astype(np.uint8)


def test_cuts_are_told_from_pans_and_changes_of_light() -> None:
    pan = [scene(1, 6 * k) for k in range(10)]
    assert shot_numbers(np.stack(pan)).tolist() == [0] * 10
    assert shot_numbers(np.stack([scene(1, 0, light) for light in (1, 0.9, 1.0, 0.8, 0.95)])).tolist() == [0] * 5
    cut = [scene(seed, 3 * k) for seed in (1, 2, 3) for k in range(3)]
    assert shot_numbers(np.stack(cut)).tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]


def test_a_cut_ends_every_track() -> None:
    boxes, times = np.tile([10.0, 10.0, 40.0, 100.0], (6, 1)), np.arange(6) / 8
    shots = np.array([0, 0, 0, 1, 1, 1])
    assert track(np.arange(6), boxes, np.full(6, 0.9), times, None, shots).tolist() == [1, 1, 1, 2, 2, 2]
    images = np.stack([scene(1 if k < 12 else 2) for k in range(24)])
    images[:, 20:165, 100:160] = (200, 30, 30)  # the same clothes
    people = estimate_pose(Frames(images, (np.arange(24) + 0.5) / 8, 1.0), Scripted(lambda k: [(100.0, 20.0, 0.9)]))
    assert people.tracks.tolist() == [1] * 12 + [2] * 12


def test_estimators_that_read_nothing_in_the_mirror_are_used_as_they_are() -> None:
    class Plain:
        def poses(self, frames: Frames) -> list[Skeletons]:
            return Scripted(standing_still).poses(frames)

    assert not isinstance(Plain(), MirroredReader) and isinstance(BLAZEPOSE, MirroredReader)
    assert len(estimate_pose(frames_of(8), Plain())) == 8


def test_the_embedded_estimator_reads_a_person_alike_in_the_mirror_and_a_wall_otherwise(shared: object) -> None:
    frames = read_frames(shared / "clips" / "hug.mp4", np.array([0.2, 0.4]), max_side=768)  # type: ignore[operator]
    boxes, _, keypoints = BLAZEPOSE.poses(frames)[0]
    assert len(boxes) == 2
    for box, points in zip(boxes, keypoints, strict=True):
        size = float(np.sqrt(np.prod(box[2:] - box[:2])))
        again, presence = BLAZEPOSE.read_mirrored(frames.images[0], points)
        assert presence > 0.85 and pose_distance(points, np.column_stack([again[:, :2], points[:, 2]]), size) < 0.09
        elsewhere = points - [box[0] - 20, 0, 0]
        assert BLAZEPOSE.read_mirrored(frames.images[0], elsewhere)[1] < 0.5
    assert all(MIRRORED[MIRRORED[k]] == k for k in range(17))
