"""YOLO11n-pose trained on Marionette: accurate boxes and keypoints with torch, ONNX and OpenVINO alike."""

import shutil
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from video_star import recognize
from video_star.evals.keypoint_metrics import GroundTruth, measure
from video_star.evals.marionette import film
from video_star.tools.registry import poses_of
from video_star.tools.video.clip import open_clip
from video_star.tools.video.reader import Frames
from video_star.tools.video.writer import write_video
from video_star.tools.vision.detections import Skeletons
from video_star.tools.vision.engines import engine_name
from video_star.tools.vision.yolo import Yolo
from video_star.training.train_pose_detector import HELD_OUT, NAME, pictures

pytestmark = pytest.mark.slow

WEIGHTS = Path(__file__).parents[2] / "weights" / NAME
FILMS = 16
"""With seeds that were used neither for training nor for model selection."""


@pytest.fixture(scope="module")
def seen() -> list[tuple[np.ndarray, GroundTruth]]:
    return list(pictures(FILMS, HELD_OUT + 100_000))


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Path]]:
    """The weights in every format whose packages are installed, by suffix."""
    for package in ("ultralytics", "onnx"):
        pytest.importorskip(package, reason=f"needs {package}; install the extra yolo and the group dev")
    from .yolo_weights import export

    own = tmp_path_factory.mktemp("figures") / NAME
    shutil.copyfile(WEIGHTS, own)
    made = {".pt": own, ".onnx": export(own, "onnx")}
    if find_spec("openvino"):
        made["_openvino_model"] = export(own, "openvino")
    yield made


def look(weights: Path, seen: list[tuple[np.ndarray, GroundTruth]]) -> list[Skeletons]:
    engine = Yolo(weights)
    return [engine.poses(Frames(image[None], np.zeros(1), 1.0))[0] for image, _ in seen]


@pytest.fixture(scope="module")
def by_torch(exported: dict[str, Path], seen: list[tuple[np.ndarray, GroundTruth]]) -> list[Skeletons]:
    return look(exported[".pt"], seen)


def test_unseen_figures_are_found(by_torch: list[Skeletons], seen: list[tuple[np.ndarray, GroundTruth]]) -> None:
    got = measure(by_torch, [truth for _, truth in seen])
    # Measured: 0.97, 0.86, 0.67, 0.67 and 0.37.
    assert got.recall > 0.9 and got.mean_iou > 0.78 and got.mean_oks > 0.55, got
    assert got.box_map > 0.5 and got.oks_map > 0.2, got


@pytest.mark.parametrize("ending", [".onnx", "_openvino_model"])
def test_every_format_gives_the_same_results(
    ending: str, exported: dict[str, Path], by_torch: list[Skeletons], seen: list[tuple[np.ndarray, GroundTruth]]
) -> None:
    if ending not in exported:
        pytest.skip("needs openvino")
    for mine, theirs in zip(look(exported[ending], seen), by_torch, strict=True):
        assert len(mine[1]) == len(theirs[1])
        assert all(np.allclose(a, b, atol=0.1) for a, b in zip(mine[:1], theirs[:1], strict=True))
        assert np.allclose(mine[1], theirs[1], atol=0.002) and np.allclose(mine[2], theirs[2], atol=0.1)


def test_the_graph_uses_the_engine(exported: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shot = film("wave", HELD_OUT + 200_000)
    write_video(tmp_path / "clip.mp4", ((1 / shot.fps, image) for image in shot.frames))
    monkeypatch.setenv("VIDEO_STAR_VISION", str(exported[".onnx"]))
    tools = ["detect_people", "estimate_pose", "track_motion"]
    found = recognize(tmp_path / "clip.mp4", ["wave", "jump"], mode="static", tools=tools)
    assert {each.tool: each.status for each in found.evidence} == dict.fromkeys(tools, "ok")
    told = {each.tool: each.summary for each in found.evidence}
    assert told["detect_people"].startswith("One person is seen.")
    assert told["estimate_pose"].startswith("One person is seen.")
    assert "Person 1" in told["track_motion"]
    poses = poses_of(open_clip(str(tmp_path / "clip.mp4"), None, None))
    assert engine_name().startswith("yolo-2") and set(poses.tracks) == {1}
    moments = np.clip(np.round(poses.times * shot.fps).astype(int), 0, len(shot.frames) - 1)
    looked = [(each.boxes, each.scores, each.keypoints) for each in map(poses.at, range(len(poses.times)))]
    got = measure(looked, [GroundTruth(shot.boxes[i], shot.keypoints[i]) for i in moments])
    assert got.recall > 0.9 and got.mean_iou > 0.75 and got.mean_oks > 0.5, got
