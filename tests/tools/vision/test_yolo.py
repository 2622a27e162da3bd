"""YOLO11: preprocessing, positions of boxes and keypoints, and safe loading of weights."""

import json
import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from video_star.tools.errors import BadWeights
from video_star.tools.video.reader import Frames
from video_star.tools.vision.letterbox import GREY, Letterbox
from video_star.tools.vision.yolo import Yolo

from .yolo_weights import export, save, scattered_26, trained_at

pytestmark = pytest.mark.slow


def frames_of(image: np.ndarray, count: int = 1) -> Frames:
    return Frames(np.stack([image] * count), np.arange(count, dtype=np.float64), 1.0)


def test_a_letterbox_keeps_the_aspect_ratio_and_centres_the_image() -> None:
    image = np.zeros((100, 200, 3), np.uint8)
    image[20:40, 50:60] = (255, 0, 0)
    box = Letterbox.fit((100, 200), 640)
    seen = box.apply(image)
    assert seen.shape == (3, 320, 640) and seen.dtype == np.float32
    ys, xs = np.nonzero(seen[0] > 0.5)
    assert np.allclose(box.invert(np.array([xs.min(), ys.min()])), (50, 20), atol=0.5)
    assert np.allclose(box.invert(np.array([xs.max() + 1, ys.max() + 1])), (60, 40), atol=0.5)
    assert seen[1:, ys, xs].max() < 0.5, "red comes first"
    square = Letterbox.fit((100, 200), (640, 640))
    assert square.apply(image).shape == (3, 640, 640) and square.corner == (0, 160)
    assert np.allclose(square.apply(image)[:, 0, 0], GREY / 255)
    assert np.allclose(square.invert(np.array([320.0, 320.0])), (100, 50))


@pytest.mark.parametrize("height, width", [(320, 640), (100, 200), (33, 640), (640, 31)])
def test_boxes_and_keypoints_are_mapped_back_to_the_image(yolo_weights: Path, height: int, width: int) -> None:
    """The network finds a person in each square of 32x32 pixels of the input, in which the image is centred."""
    engine = Yolo(yolo_weights / "tiles.pt")
    boxes, scores, keypoints = engine.poses(frames_of(np.zeros((height, width, 3), np.uint8)))[0]
    scale = 640 / max(height, width)
    inner = np.array([round(width * scale), round(height * scale)])
    outer = -(-inner // 32) * 32
    corners = np.stack(np.meshgrid(*(np.arange(0, side, 32) for side in outer), indexing="ij"), axis=-1).reshape(-1, 2)
    left = (corners - (outer - inner) // 2) / scale
    wanted = np.concatenate([left, left + 32 / scale], axis=1).clip(0, [width, height] * 2)
    middles = left + 16 / scale

    def ordered(rows: np.ndarray) -> np.ndarray:
        return np.asarray(rows[np.lexsort(rows.round(1).T)])

    joined = np.concatenate([boxes, keypoints[:, 0, :2]], axis=1)
    assert np.allclose(ordered(joined), ordered(np.concatenate([wanted, middles], axis=1)), atol=0.05)
    assert np.allclose(keypoints, keypoints[:, :1], atol=0.01) and np.allclose(scores, 1 / (1 + np.exp(-2)), atol=0.001)
    assert np.allclose(keypoints[:, :, 2], 1 / (1 + np.exp(-2)), atol=0.001)


def test_every_frame_has_a_result_whatever_the_batch_size(yolo_weights: Path, tmp_path: Path) -> None:
    engine = Yolo(trained_at(64, yolo_weights / "tiles.pt", tmp_path / "small.pt"))
    found = engine.people(frames_of(np.zeros((32, 64, 3), np.uint8), 35))
    assert [len(scores) for _, scores in found] == [2] * 35


def test_images_are_scaled_to_the_size_of_training(yolo_weights: Path, tmp_path: Path) -> None:
    image = frames_of(np.zeros((32, 64, 3), np.uint8))
    assert len(Yolo(yolo_weights / "tiles.pt").people(image)[0][1]) == 200, "640 by default"
    for size, tiles in ((64, 2), (128, 8)):
        weights = trained_at(size, yolo_weights / "tiles.pt", tmp_path / f"{size}.pt")
        assert len(Yolo(weights).people(image)[0][1]) == tiles


def test_results_equal_those_of_ultralytics(yolo_weights: Path, tmp_path: Path) -> None:
    image = np.random.default_rng(1).integers(0, 256, (96, 160, 3), np.uint8)
    theirs = (
        import_module("ultralytics")
        .YOLO(str(yolo_weights / "scattered.pt"))
        .predict([image[:, :, ::-1]], imgsz=160, conf=0.25, iou=0.7, classes=[0], max_det=1000, verbose=False)[0]
    )
    weights = trained_at(160, yolo_weights / "scattered.pt", tmp_path / "small.pt")
    boxes, scores, keypoints = Yolo(weights).poses(frames_of(image))[0]
    assert len(scores) == len(theirs.boxes) > 10 and np.ptp(scores) > 0.1
    assert np.allclose(scores, theirs.boxes.conf.numpy(), atol=1e-3)
    assert np.allclose(boxes, theirs.boxes.xyxy.numpy(), atol=0.1)
    joints = keypoints[:, :, :2].clip(0, (160, 96))
    assert np.allclose(joints, theirs.keypoints.xy.numpy(), atol=0.1)
    assert np.allclose(keypoints[:, :, 2], theirs.keypoints.conf.numpy(), atol=1e-3)


def test_yolo26_results_equal_those_of_ultralytics_and_of_its_export(tmp_path: Path) -> None:
    pytest.importorskip("onnx", reason="exports the model")
    checkpoint = save(tmp_path / "yolo26.pt", scattered_26, "yolo26n-pose")
    image = np.random.default_rng(1).integers(0, 256, (96, 160, 3), np.uint8)
    theirs = (
        import_module("ultralytics")
        .YOLO(str(checkpoint))
        .predict([image[:, :, ::-1]], imgsz=160, conf=0.25, classes=[0], nms=False, max_det=300, verbose=False)[0]
    )
    weights = trained_at(160, checkpoint, tmp_path / "small.pt")
    boxes, scores, keypoints = Yolo(weights).poses(frames_of(image))[0]
    corners = theirs.boxes.xyxy.numpy()
    real = (corners[:, 2:] > corners[:, :2]).all(axis=1)
    assert len(scores) == real.sum() > 100 and np.ptp(scores) > 0.05
    assert np.allclose(scores, theirs.boxes.conf.numpy()[real], atol=1e-3)
    # Scores that are nearly equal may be in another order.
    joints = keypoints[:, :, :2].clip(0, (160, 96)).reshape(-1, 34)
    mine = np.concatenate([boxes, joints], axis=1)
    others = np.concatenate([corners, theirs.keypoints.xy.numpy().reshape(-1, 34)], axis=1)[real]
    apart = np.abs(mine[:, None] - others[None]).max(axis=2)
    assert apart.min(axis=0).max() < 0.1 and apart.min(axis=1).max() < 0.1
    large = frames_of(np.zeros((640, 640, 3), np.uint8))
    exported = Yolo(export(checkpoint, "onnx", nms=False))
    (boxes, scores, _), (same, equal, _) = Yolo(checkpoint).poses(large)[0], exported.poses(large)[0]
    assert len(boxes) == len(same) > 100 and np.allclose(scores, equal, atol=1e-3)
    assert np.abs(boxes[:, None] - same[None]).max(axis=2).min(axis=0).max() < 0.1


@pytest.mark.parametrize("made", ["onnx_tiles", "openvino_tiles"])
def test_exports_give_the_results_of_the_checkpoint(
    made: str, yolo_weights: Path, request: pytest.FixtureRequest
) -> None:
    image = frames_of(np.zeros((70, 130, 3), np.uint8), 3)
    exported = Yolo(request.getfixturevalue(made)).poses(image)
    for mine, theirs in zip(exported, Yolo(yolo_weights / "tiles.pt").poses(image), strict=True):
        assert all(np.allclose(a, b, atol=0.05) for a, b in zip(mine, theirs, strict=True))


def test_a_checkpoint_cannot_execute_code(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    pytest.importorskip("ultralytics")
    mark, weights = tmp_path / "mark", tmp_path / "evil.pt"

    class Evil:
        def __reduce__(self) -> tuple[object, ...]:
            return os.mkdir, (str(mark),)

    torch.save({"model": Evil()}, weights)
    torch.load(weights, weights_only=False)
    assert mark.is_dir(), "the file must execute code when unpickled"
    mark.rmdir()
    with pytest.raises(BadWeights, match="cannot be loaded"):
        Yolo(weights).people(frames_of(np.zeros((32, 32, 3), np.uint8)))
    assert not mark.exists()


@pytest.mark.parametrize("name", ["broken.pt", "broken.onnx"])
def test_a_file_that_is_not_a_model_is_rejected(name: str, tmp_path: Path) -> None:
    if name.endswith(".pt"):
        pytest.importorskip("ultralytics")
    (tmp_path / name).write_bytes(b"<html>not found</html>")
    with pytest.raises(BadWeights, match=name):
        Yolo(tmp_path / name).people(frames_of(np.zeros((32, 32, 3), np.uint8)))


def test_objects_of_other_classes_equal_those_of_ultralytics(tmp_path: Path) -> None:
    def balls_and_people(head: Any) -> None:
        for level in range(3):
            head.cv3[level][-1].weight.mul_(0.1)
            head.cv3[level][-1].bias.fill_(-8)
            head.cv3[level][-1].bias[0] = head.cv3[level][-1].bias[32] = -0.5

    checkpoint = save(tmp_path / "balls.pt", balls_and_people, "yolo11n")
    image = np.random.default_rng(1).integers(0, 256, (96, 160, 3), np.uint8)
    theirs = (
        import_module("ultralytics")
        .YOLO(str(checkpoint))
        .predict([image[:, :, ::-1]], imgsz=160, conf=0.25, iou=0.7, classes=[32], max_det=1000, verbose=False)[0]
    )
    engine = Yolo(trained_at(160, checkpoint, tmp_path / "small.pt"))
    boxes, scores, names = engine.objects(frames_of(image))[0]
    own = np.array(names) == "32"
    assert "0" not in names and (np.diff(scores) <= 0).all() and len(theirs.boxes) > 50
    apart = np.abs(boxes[own, None] - theirs.boxes.xyxy.numpy()[None]).max(axis=2)
    # Theirs shifts each class by thousands of pixels before suppression, which rounds overlaps close to the limit.
    assert (apart.min(axis=0) < 0.1).mean() > 0.95 and (apart.min(axis=1) < 0.1).mean() > 0.95


def test_a_detector_cannot_estimate_poses(tmp_path: Path) -> None:
    pytest.importorskip("ultralytics").YOLO("yolo11n.yaml").save(str(tmp_path / "detector.pt"))
    engine = Yolo(trained_at(64, tmp_path / "detector.pt", tmp_path / "small.pt"))
    image = frames_of(np.zeros((64, 64, 3), np.uint8))
    assert len(engine.people(image)) == 1
    with pytest.raises(BadWeights, match="give a pose model"):
        engine.poses(image)


WATCHED = """
import json, os, socket, sys
events = []
def refuse(event, args):
    if event in ("socket.connect", "socket.getaddrinfo", "subprocess.Popen"):
        events.append([event, str(args)])
sys.addaudithook(refuse)
import numpy as np
from pathlib import Path
from video_star.tools.video.reader import Frames
from video_star.tools.vision.yolo import Yolo
from PIL import Image
before, opener = dict(os.environ), Image.open
yolo = Yolo(Path(sys.argv[1]))
assert "torch" not in sys.modules and "ultralytics" not in sys.modules, "imported before first use"
yolo.people(Frames(np.zeros((1, 64, 64, 3), np.uint8), np.zeros(1), 1.0))
import torch
names = ("YOLO_CONFIG_DIR", "YOLO_OFFLINE", "YOLO_AUTOINSTALL", "OMP_NUM_THREADS")
kept = all(os.environ.get(name) == before.get(name) for name in names) and Image.open is opener
from ultralytics.utils import AUTOINSTALL, ONLINE
print(json.dumps([events, kept, torch.get_num_threads(), AUTOINSTALL, ONLINE]))
"""


def test_inference_uses_no_network_no_installer_and_no_home_folder(yolo_weights: Path, tmp_path: Path) -> None:
    user, ours, here = tmp_path / "user", tmp_path / "ours", tmp_path / "here"
    for folder in (user, here):
        folder.mkdir()
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("YOLO", "OMP", "PYTEST", "XDG"))}
    ended = subprocess.run(
        [sys.executable, "-c", WATCHED, str(trained_at(64, yolo_weights / "tiles.pt", tmp_path / "small.pt"))],
        env=clean | {"HOME": str(user), "VIDEO_STAR_HOME": str(ours)},
        cwd=here,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert ended.returncode == 0, ended.stderr
    events, kept, threads, installs, online = json.loads(ended.stdout.splitlines()[-1])
    assert [event for event, _ in events if event != "subprocess.Popen"] == []
    assert not any(word in arguments for _, arguments in events for word in ("pip", "uv", "curl"))
    assert kept and not installs and not online
    assert threads > 1 or os.cpu_count() == 1, "ultralytics would limit torch to one thread"
    assert not list(user.rglob("*")) and not list(here.rglob("*")), "the user's folders must not change"
    assert (ours / "Ultralytics").is_dir()
