"""RTMPose and other top-down models: the crop of each person, and the mapping of keypoints back to the frame."""

from pathlib import Path

import numpy as np
import pytest

from video_star.tools.errors import BadWeights
from video_star.tools.video.reader import Frames
from video_star.tools.vision.detections import Detections
from video_star.tools.vision.engines import engine
from video_star.tools.vision.pose import estimate_pose
from video_star.tools.vision.rtmpose import RtmPose

from .top_down import painted, save

SPOTS = np.stack(np.meshgrid(np.linspace(0.1, 0.9, 5), np.linspace(0.1, 0.9, 4)), axis=-1).reshape(-1, 2)[:17]
"""Positions of the 17 painted spots, relative to the box."""


class Known:
    """A detector that returns given boxes."""

    def __init__(self, *boxes: tuple[float, float, float, float]) -> None:
        self.boxes = np.array(boxes, np.float32).reshape(-1, 4)

    def people(self, frames: Frames) -> list[Detections]:
        return [(self.boxes, np.full(len(self.boxes), 0.9, np.float32)) for _ in frames.images]


def spots_in(box: tuple[float, float, float, float]) -> np.ndarray:
    return np.asarray(np.array(box[:2]) + SPOTS * np.subtract(box[2:], box[:2]))


def one(picture: np.ndarray) -> Frames:
    return Frames(picture[None], np.zeros(1), 1.0)


@pytest.mark.parametrize(
    "made, size, box",
    [
        ("rtmpose", (640, 480), (200, 100, 360, 420)),
        ("rtmpose", (640, 480), (50, 200, 600, 330)),
        ("rtmpose", (300, 500), (0, 0, 150, 400)),
        ("rtmpose", (100, 80), (20, 10, 60, 70)),
        ("heat_maps", (640, 480), (200, 100, 360, 420)),
    ],
    ids=["tall", "wide", "in the corner", "small", "heat maps"],
)
def test_keypoints_are_mapped_back_to_the_frame(
    made: str,
    size: tuple[int, int],
    box: tuple[float, float, float, float],
    documented: Path,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.syspath_prepend(documented)
    monkeypatch.setenv("VIDEO_STAR_VISION", f"{made}:{request.getfixturevalue(made + '_onnx')}")
    estimator = engine().estimator
    assert isinstance(estimator, RtmPose)
    monkeypatch.setattr(estimator, "people", Known(box).people)
    spots, pixel = spots_in(box), 1.25 * max((box[2] - box[0]) / 192, (box[3] - box[1]) / 256)
    picture = painted(size, spots, min((box[2] - box[0]) / 12, (box[3] - box[1]) / 10))
    ((boxes, scores, keypoints),) = estimator.poses(one(picture))
    assert boxes.tolist() == [list(box)] and scores.tolist() == [np.float32(0.9)]
    # Half a pixel of the input, or of a heat map, which may miss the centre of a spot.
    tolerance, min_visibility = (0.6, 0.8) if made == "rtmpose" else (2.5, 0.3)
    assert np.abs(keypoints[0, :, :2] - spots).max() < tolerance * max(pixel, 1)
    assert keypoints[0, :, 2].min() > min_visibility, "colours match only if they are normalised as published"


def test_each_person_is_cropped_with_a_margin_of_a_quarter(rtmpose_onnx: Path) -> None:
    left, right = (40.0, 100.0, 140.0, 300.0), (400.0, 60.0, 560.0, 380.0)
    both = np.maximum(painted((640, 480), spots_in(left), 6), painted((640, 480), spots_in(right), 9))
    ((_, _, keypoints),) = RtmPose(rtmpose_onnx, Known(left, right)).poses(one(both))
    assert np.abs(keypoints[0, :, :2] - spots_in(left)).max() < 1
    assert np.abs(keypoints[1, :, :2] - spots_in(right)).max() < 1.5
    # 200 high and 150 wide in the shape of the input, with the margin 187.5 wide: x = 90 +- 93.75.
    for x, visible in ((178, True), (192, False)):
        spots = spots_in(left)
        spots[4] = x, 200
        ((_, _, keypoints),) = RtmPose(rtmpose_onnx, Known(left)).poses(one(painted((640, 480), spots, 4)))
        assert (keypoints[0, 4, 2] > 0.5) == visible and keypoints[0, 3, 2] > 0.8


@pytest.mark.parametrize("keypoints", [26, 133])
def test_models_with_more_keypoints_give_the_17_of_coco(keypoints: int, tmp_path: Path) -> None:
    box = (20.0, 10.0, 180.0, 240.0)
    spots = np.concatenate([spots_in(box), np.full((keypoints - 17, 2), 500.0)])
    model = RtmPose(save(tmp_path / "more.onnx", keypoints, size=(96, 128)), Known(box))
    ((_, _, found),) = model.poses(one(painted((200, 250), spots, 12)))
    assert found.shape == (1, 17, 3)
    # Some of 133 hues are similar, but the first 17 are not close to each other's positions.
    assert np.median(np.abs(found[0, :, :2] - spots[:17])) < 3


def test_nan_outputs_give_invisible_keypoints(tmp_path: Path) -> None:
    model = RtmPose(save(tmp_path / "nan.onnx", output="nan"), Known((10, 10, 60, 90)))
    poses = estimate_pose(one(np.full((100, 100, 3), 90, np.uint8)), model)
    assert len(poses) == 1 and not poses.keypoints[:, :, 2].any() and np.isfinite(poses.keypoints).all()


def test_other_models_are_rejected(heat_maps_onnx: Path, tmp_path: Path) -> None:
    picture = one(np.zeros((100, 100, 3), np.uint8))
    for weights in (heat_maps_onnx, save(tmp_path / "hands.onnx", 21, size=(48, 64))):
        with pytest.raises(BadWeights, match="give another export"):
            RtmPose(weights, Known((10, 10, 60, 90))).poses(picture)
    (tmp_path / "page.onnx").write_bytes(b"<html>not found</html>")
    with pytest.raises(BadWeights, match="page.onnx cannot be loaded"):
        RtmPose(tmp_path / "page.onnx", Known((10, 10, 60, 90))).poses(picture)
