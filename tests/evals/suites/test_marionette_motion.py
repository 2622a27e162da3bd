"""What is measured of Marionette's clips against what they show."""

from pathlib import Path

import numpy as np
import pytest

from video_star.evals.marionette.annotations import Annotations
from video_star.evals.marionette.dataset import Item, write
from video_star.evals.suites.marionette_motion import Tally, compare, motions, table, true_poses
from video_star.tools.motion.measure_motion import measure_motion
from video_star.tools.video.reader import Frames
from video_star.tools.vision.pose import Poses

pytestmark = pytest.mark.slow

LABELS = ("raise both arms", "sit down")


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """One clip of each of `LABELS`."""
    folder = tmp_path_factory.mktemp("marionette")
    for name in ("clips", "annotations"):
        (folder / name).mkdir()
    made = [write(folder, Item(f"{k}", label, "base_train", k, False)) for k, label in enumerate(LABELS)]
    return [folder / "clips" / f"{name}.mp4" for name in made]


def test_what_a_clip_shows_is_measured(clips: list[Path]) -> None:
    found, true = compare(clips[:1])
    for tally in (found, true):
        assert not tally.missed and set(tally.right) == {"hands_rise", "arms_overhead"}
    assert "arms_overhead" in table(found, true) and "kick" not in table(found, true)


def test_sitting_down_is_no_walk(clips: list[Path]) -> None:
    for motion in motions(clips[1]):
        found = motion.support
        assert found["sit_down"] > 0.5 and max(found["travel"], found["steps"], found["climb"]) < 0.5


def test_true_poses_are_the_annotated_people_in_the_picture(clips: list[Path]) -> None:
    truth = Annotations.load(clips[0].parent.parent / "annotations" / "0.npz")
    truth.boxes[3] = np.nan
    poses = true_poses(truth, np.array([0.0, 3 / truth.fps, 4 / truth.fps]), (640, 480))
    assert poses.frame.tolist() == [0, 2] and poses.tracks.tolist() == [1, 1]
    assert np.array_equal(poses.keypoints[1, :, :2], truth.keypoints[4, 0, :, :2])


def test_what_was_never_measured_has_no_precision() -> None:
    times = np.arange(3.0)
    nobody = measure_motion(Poses.empty(times, (64, 64)), Frames(np.zeros((3, 64, 64, 3), np.uint8), times, 1.0, ""))
    tally = Tally()
    tally.add(["kick"], nobody)
    precision, recall = tally.rates("kick")
    assert np.isnan(precision) and recall == 0
