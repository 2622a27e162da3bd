"""Training of the pose model for tests: its labels, its evaluation, and resuming."""

from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from video_star.tools.video.reader import Frames
from video_star.tools.vision.detections import KEYPOINTS, Skeletons
from video_star.tools.vision.yolo import Yolo
from video_star.training import train_pose_detector
from video_star.training.train_pose_detector import FLIPPED, HELD_OUT, NAME, compare, pictures, train, write_dataset

pytestmark = pytest.mark.slow


def test_labels_say_where_people_are(tmp_path: Path) -> None:
    config = yaml.safe_load(write_dataset(tmp_path, 20).read_text())
    assert config["names"] == {0: "person"} and config["kpt_shape"] == [17, 3]
    paths = sorted((tmp_path / "images" / "train").glob("*.png"))
    assert len(paths) == 20 and len(list((tmp_path / "images" / "val").glob("*.png"))) == 2
    for path, (image, truth) in zip(paths, pictures(10, 0), strict=True):
        assert (np.asarray(Image.open(path)) == image).all(), "the same seeds give the same pictures"
        height, width = image.shape[:2]
        lines = (tmp_path / "labels" / "train" / f"{path.stem}.txt").read_text().splitlines()
        rows = np.array([line.split() for line in lines], float).reshape(-1, 56)
        assert (
            len(rows) == len(truth.boxes)
            and (rows[:, 0] == 0).all()
            and ((rows[:, 1:5] >= 0) & (rows[:, 1:5] <= 1)).all()
        )
        corners = np.concatenate([rows[:, 1:3] - rows[:, 3:5] / 2, rows[:, 1:3] + rows[:, 3:5] / 2], axis=1)
        assert np.allclose(corners * (width, height, width, height), truth.boxes, atol=0.01)
        joints = rows[:, 5:].reshape(-1, 17, 3)
        known = truth.keypoints[:, :, 2] > 0
        assert (joints[:, :, 2] == truth.keypoints[:, :, 2]).all() and not joints[~known].any()
        assert np.allclose((joints * (width, height, 1))[known], truth.keypoints[known], atol=0.01)
        assert (joints[:, :, :2] <= 1).all() and (joints >= 0).all()


def test_flipping_swaps_left_and_right() -> None:
    swapped = [name.replace("left", "L").replace("right", "left").replace("L", "right") for name in KEYPOINTS]
    assert [KEYPOINTS[k] for k in FLIPPED] == swapped


def test_a_perfect_engine_scores_one_and_a_blind_one_zero() -> None:
    truths = iter([truth for _, truth in pictures(3, HELD_OUT)])

    class Perfect:
        def poses(self, frames: Frames) -> list[Skeletons]:
            truth = next(truths)
            return [(truth.boxes, np.ones(len(truth.boxes), np.float32), truth.keypoints)]

    class Blind:
        def poses(self, frames: Frames) -> list[Skeletons]:
            return [(np.zeros((0, 4)), np.zeros(0), np.zeros((0, 17, 3)))]

    accuracy = compare({"perfect": Perfect()}, 3)["perfect"]
    assert min(
        accuracy.box_map, accuracy.oks_map, accuracy.recall, accuracy.mean_iou, accuracy.mean_oks
    ) == pytest.approx(1)
    assert compare({"blind": Blind()}, 3)["blind"].recall == 0


def test_an_interrupted_training_is_resumed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = pytest.importorskip("ultralytics.engine.trainer", reason="needs the extra yolo")
    save = engine.BaseTrainer.save_model

    def save_and_stop(trainer: object) -> None:
        save(trainer)
        raise KeyboardInterrupt

    monkeypatch.setattr(train_pose_detector, "SIZE", 64)
    with monkeypatch.context() as patch:
        patch.setattr(engine.BaseTrainer, "save_model", save_and_stop)
        with pytest.raises(KeyboardInterrupt):
            train(tmp_path, epochs=2, count=20, threads=1)
    weights = train(tmp_path, epochs=2, count=20, threads=1)
    epochs = [line.split(",")[0] for line in (tmp_path / "run" / "results.csv").read_text().splitlines()[1:]]
    assert epochs == ["1", "2"] and weights == tmp_path / NAME and weights.stat().st_size < 8e6
    ((boxes, _, keypoints),) = Yolo(weights).poses(Frames(np.zeros((1, 90, 120, 3), np.uint8), np.zeros(1), 1.0))
    assert boxes.shape[1:] == (4,) and keypoints.shape[1:] == (17, 3)
