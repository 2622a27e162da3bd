"""Conformance suite of all engines, and engine selection."""

import os
from pathlib import Path
from threading import Thread

import numpy as np
import pytest

from video_star.tools.drawing.annotators import PeopleAnnotator, PoseAnnotator
from video_star.tools.errors import BadWeights, MissingExtra
from video_star.tools.registry import tool
from video_star.tools.video.clip import open_clip
from video_star.tools.video.reader import Frames, read_frames
from video_star.tools.vision.checkpoints import digest
from video_star.tools.vision.engines import EMBEDDED, Engine, engine, engine_name
from video_star.tools.vision.people import People, detect_people
from video_star.tools.vision.pose import estimate_pose

pytestmark = pytest.mark.slow


def frames_of(*images: np.ndarray, scale: float = 1.0) -> Frames:
    return Frames(np.stack(images), np.arange(len(images), dtype=np.float64) / 8, scale)


ENGINES = ["embedded", "tiles.pt", "onnx_tiles", "openvino_tiles", "rtmpose", "my_vision"]


@pytest.fixture(params=ENGINES)
def any_engine(request: pytest.FixtureRequest, documented: Path, monkeypatch: pytest.MonkeyPatch) -> Engine:
    """Each engine, and the one of the documentation, selected by the environment variable."""
    monkeypatch.syspath_prepend(documented)
    match request.param:
        case "tiles.pt":
            choice = str(request.getfixturevalue("yolo_weights") / request.param)
        case "onnx_tiles" | "openvino_tiles":
            choice = str(request.getfixturevalue(request.param))
        case "rtmpose":
            choice = f"rtmpose:{request.getfixturevalue('rtmpose_onnx')}"
        case "my_vision":
            choice = "my_vision:40"
        case _:
            choice = ""
    monkeypatch.setenv("VIDEO_STAR_VISION", choice)
    return engine()


@pytest.fixture
def frames(walking_clip: Path, any_engine: Engine) -> Frames:
    """People walking; for the tile model, a strip that it divides into 20 tiles."""
    frames = read_frames(walking_clip, np.array([0.1, 0.2, 0.3]), max_side=768)
    if not any_engine.name.startswith("yolo"):
        return frames
    return Frames(np.ascontiguousarray(frames.images[:, 300:336]), frames.times, 0.5)


def test_results_have_the_documented_shapes_and_ranges(any_engine: Engine, frames: Frames) -> None:
    height, width = frames.images.shape[1:3]
    people, poses = any_engine.detector.people(frames), any_engine.estimator.poses(frames)
    assert len(people) == len(poses) == len(frames)
    assert all(len(boxes) for boxes, _ in people) and all(len(boxes) for boxes, _, _ in poses)
    without = [(boxes, scores, np.zeros((len(boxes), 17, 3), np.float32)) for boxes, scores in people]
    for boxes, scores, keypoints in [*without, *poses]:
        assert boxes.dtype == scores.dtype == keypoints.dtype == np.float32
        assert boxes.shape == (len(scores), 4) and keypoints.shape == (len(scores), 17, 3)
        assert (boxes[:, 2:] > boxes[:, :2]).all() and (boxes >= 0).all()
        assert (boxes[:, [0, 2]] <= width).all() and (boxes[:, [1, 3]] <= height).all()
        assert ((0 < scores) & (scores <= 1)).all()
        assert ((0 <= keypoints[:, :, 2]) & (keypoints[:, :, 2] <= 1)).all()


def test_results_are_in_pixels_of_the_original_frame(any_engine: Engine, frames: Frames) -> None:
    same = Frames(frames.images, frames.times, frames.scale / 2)
    pairs: list[tuple[People, People]] = [
        (detect_people(frames, any_engine.detector), detect_people(same, any_engine.detector)),
        (estimate_pose(frames, any_engine.estimator), estimate_pose(same, any_engine.estimator)),
    ]
    for found, twice in pairs:
        assert twice.size == (found.size[0] * 2, found.size[1] * 2)
        assert np.allclose(twice.boxes, found.boxes * 2, atol=0.1)


def test_results_can_be_summarised_and_drawn(any_engine: Engine, frames: Frames) -> None:
    poses = estimate_pose(frames, any_engine.estimator)
    assert poses.summary() and len(poses.times) == len(frames)
    for annotator in (PeopleAnnotator(), PoseAnnotator()):
        drawn = annotator.annotate(frames.images[0], poses, 0, frames.scale)
        assert drawn.shape == frames.images[0].shape and drawn.dtype == np.uint8
        assert (drawn != frames.images[0]).any()


def test_unusual_image_sizes_are_accepted(any_engine: Engine) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (7, 500, 3), np.uint8)
    for image in (np.zeros((1, 1, 3), np.uint8), np.full((300, 3, 3), 255, np.uint8), noise):
        people = detect_people(frames_of(image), any_engine.detector)
        poses = estimate_pose(frames_of(image, image), any_engine.estimator)
        assert people.size == (image.shape[1], image.shape[0]) and len(poses.times) == 2


def test_clips_of_different_sizes_may_follow_each_other(any_engine: Engine, frames: Frames) -> None:
    first = estimate_pose(frames, any_engine.estimator)
    estimate_pose(frames_of(np.zeros((90, 50, 3), np.uint8)), any_engine.estimator)
    again = estimate_pose(frames, any_engine.estimator)
    assert np.allclose(first.boxes, again.boxes, atol=0.01)


def test_threads_may_share_an_engine(any_engine: Engine, frames: Frames) -> None:
    results: list[np.ndarray] = []
    threads = [
        Thread(target=lambda: results.append(detect_people(frames, any_engine.detector).boxes)) for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 3 and all(np.allclose(each, results[0], atol=0.01) for each in results)


@pytest.mark.parametrize("weights", ["", "nobody.pt", "not_numbers.pt"])
def test_no_people_give_an_empty_result(
    weights: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    if weights:
        monkeypatch.setenv("VIDEO_STAR_VISION", str(request.getfixturevalue("yolo_weights") / weights))
    dark = frames_of(*np.random.default_rng(0).integers(0, 30, (2, 120, 160, 3), np.uint8))
    people, poses = detect_people(dark, engine().detector), estimate_pose(dark, engine().estimator)
    assert len(people) == len(poses) == 0 and people.size == (160, 120) and poses.keypoints.shape == (0, 17, 3)
    assert people.summary() == "No people found in 2 frames."


def test_the_embedded_engine_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    assert engine() is EMBEDDED
    monkeypatch.setenv("VIDEO_STAR_VISION", "embedded")
    assert engine() is EMBEDDED and tool("detect_people").engine == engine_name() == "embedded-2"


def test_results_of_different_engines_and_weights_are_cached_separately(
    yolo_weights: Path, walking_clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip = open_clip(str(walking_clip), 0, 0.3)
    embedded = tool("detect_people").run(clip, (), 0)
    own = tmp_path / "own.pt"
    monkeypatch.setenv("VIDEO_STAR_VISION", str(own))
    found: dict[str, str] = {}
    for name in ("tiles.pt", "nobody.pt"):
        own.write_bytes((yolo_weights / name).read_bytes())
        os.utime(own, (len(found), len(found)))
        found[name] = tool("detect_people").run(clip, (), 0).summary
        assert digest(own)[:16] in tool("detect_people").engine
    assert found["nobody.pt"].startswith("No people")
    assert len({embedded.summary, *found.values()}) == 3


@pytest.mark.parametrize(
    "choice, message",
    [
        ("yolo11n", "video-star models pull yolo11n"),
        ("yolo11x-pose", "video-star models pull yolo11x-pose"),
        ("yolo12", "embedded, yolo11n"),
        ("missing.pt", "existing .pt"),
        (".", "OpenVINO folder"),
        ("rtmpose:missing.onnx", "path of an exported model"),
        ("rtmpose:", "path of an exported model"),
        ("nowhere:x", "No module named 'nowhere'.*rtmpose:PATH.*or MODULE:ARGUMENT"),
        ("json:x", "no attribute 'engine'.*MODULE:ARGUMENT"),
        ("my_vision:forty", "invalid literal.*MODULE:ARGUMENT"),
        ("https://example.org/x.onnx", "MODULE:ARGUMENT"),
        ("returns_none:", "NoneType.*MODULE:ARGUMENT"),
    ],
)
def test_an_unusable_engine_is_reported_with_the_remedy(
    choice: str, message: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, walking_clip: Path, documented: Path
) -> None:
    (tmp_path / "returns_none.py").write_text("def engine(what):\n    return None\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.syspath_prepend(documented)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("VIDEO_STAR_VISION", choice)
    clip = open_clip(str(walking_clip), 0, 0.3)
    with pytest.raises(BadWeights, match=message):
        tool("estimate_pose").run(clip, (), 0)
    assert not list(tmp_path.rglob("*.pt"))


@pytest.mark.parametrize("name, package", [("own.pt", "ultralytics"), ("own_openvino_model", "openvino")])
def test_a_missing_package_is_reported_with_its_install_command(
    name: str, package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = tmp_path / name
    if weights.suffix:
        weights.touch()
    else:
        weights.mkdir()
        (weights / "own.xml").touch()
    monkeypatch.setitem(__import__("sys").modules, package, None)
    monkeypatch.setenv("VIDEO_STAR_VISION", str(weights))
    with pytest.raises(MissingExtra, match="pip install"):
        engine()


def test_an_engine_is_created_again_when_its_weights_change(
    rtmpose_onnx: Path, heat_maps_onnx: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = tmp_path / "own.onnx"
    monkeypatch.setenv("VIDEO_STAR_VISION", f"rtmpose:{own}")
    names = []
    for weights in (rtmpose_onnx, heat_maps_onnx):
        own.write_bytes(weights.read_bytes())
        assert engine() is engine()
        names.append(engine_name())
        assert names[-1] == f"rtmpose-1 {digest(weights)[:16]}"
    assert len(set(names)) == 2


def test_the_argument_of_an_engine_is_part_of_its_name(documented: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(documented)
    names = []
    for threshold in ("40", "250"):
        monkeypatch.setenv("VIDEO_STAR_VISION", f"my_vision:{threshold}")
        names.append(tool("detect_people").engine)
    assert names == ["moving-1 40", "moving-1 250"]


WRITTEN_FOR_0_1 = """
from pathlib import Path
from video_star.tools.engines import Engine
from video_star.tools.errors import BadWeights, MissingExtra
from video_star.tools.rtmpose import RtmPose

def engine(what: str) -> Engine:
    if not what:
        raise BadWeights("give the path of an exported model")
    model = RtmPose(Path(what))
    return Engine("old-1", model, model)
"""


def test_a_module_written_for_0_1_still_works(
    rtmpose_onnx: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "old_vision.py").write_text(WRITTEN_FOR_0_1)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("VIDEO_STAR_VISION", f"old_vision:{rtmpose_onnx}")
    assert isinstance(engine(), Engine) and engine_name().startswith("old-1 ")
    monkeypatch.setenv("VIDEO_STAR_VISION", "old_vision:")
    with pytest.raises(BadWeights, match="path of an exported model"):
        engine()
