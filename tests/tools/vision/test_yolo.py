"""YOLO11: what it is shown, where its boxes and joints lie, and what reading its weights may not do."""

import json
import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

from video_star.tools.errors import BadWeights
from video_star.tools.video.reader import Frames
from video_star.tools.vision.yolo import GREY, Letterbox, Yolo

pytestmark = pytest.mark.slow


def frames_of(image: np.ndarray, count: int = 1) -> Frames:
    return Frames(np.stack([image] * count), np.arange(count, dtype=np.float64), 1.0)


def test_a_letterbox_keeps_the_shape_and_the_middle() -> None:
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
def test_boxes_and_joints_lie_where_the_network_put_them(yolo_weights: Path, height: int, width: int) -> None:
    """A person in each square of 32x32 pixels of the input, which holds the picture in its middle."""
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


def test_many_frames_are_many_results_whatever_the_batch(yolo_weights: Path) -> None:
    engine = Yolo(yolo_weights / "tiles.pt", size=64)
    found = engine.people(frames_of(np.zeros((32, 64, 3), np.uint8), 35))
    assert [len(scores) for _, scores in found] == [2] * 35


def test_pictures_are_seen_as_large_as_in_training(yolo_weights: Path, tmp_path: Path) -> None:
    torch = import_module("torch")
    checkpoint = torch.load(yolo_weights / "tiles.pt", weights_only=False)
    torch.save(checkpoint | {"train_args": {"imgsz": 64}}, tmp_path / "small.pt")
    image = frames_of(np.zeros((32, 64, 3), np.uint8))
    assert len(Yolo(tmp_path / "small.pt").people(image)[0][1]) == 2
    assert len(Yolo(yolo_weights / "tiles.pt").people(image)[0][1]) == 200, "640 where nothing is said"
    assert len(Yolo(tmp_path / "small.pt", size=128).people(image)[0][1]) == 8


def test_people_are_those_ultralytics_itself_finds(yolo_weights: Path) -> None:
    image = np.random.default_rng(1).integers(0, 256, (96, 160, 3), np.uint8)
    theirs = (
        import_module("ultralytics")
        .YOLO(str(yolo_weights / "scattered.pt"))
        .predict([image[:, :, ::-1]], imgsz=160, conf=0.25, iou=0.7, classes=[0], max_det=1000, verbose=False)[0]
    )
    boxes, scores, keypoints = Yolo(yolo_weights / "scattered.pt", size=160).poses(frames_of(image))[0]
    assert len(scores) == len(theirs.boxes) > 10 and np.ptp(scores) > 0.1
    assert np.allclose(scores, theirs.boxes.conf.numpy(), atol=1e-3)
    assert np.allclose(boxes, theirs.boxes.xyxy.numpy(), atol=0.1)
    joints = keypoints[:, :, :2].clip(0, (160, 96))
    assert np.allclose(joints, theirs.keypoints.xy.numpy(), atol=0.1)
    assert np.allclose(keypoints[:, :, 2], theirs.keypoints.conf.numpy(), atol=1e-3)


@pytest.mark.parametrize("made", ["onnx_tiles", "openvino_tiles"])
def test_exports_answer_as_the_checkpoint_does(made: str, yolo_weights: Path, request: pytest.FixtureRequest) -> None:
    image = frames_of(np.zeros((70, 130, 3), np.uint8), 3)
    exported = Yolo(request.getfixturevalue(made)).poses(image)
    for mine, theirs in zip(exported, Yolo(yolo_weights / "tiles.pt").poses(image), strict=True):
        assert all(np.allclose(a, b, atol=0.05) for a, b in zip(mine, theirs, strict=True))


def test_a_checkpoint_cannot_run_anything(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    pytest.importorskip("ultralytics")
    mark, weights = tmp_path / "mark", tmp_path / "evil.pt"

    class Evil:
        def __reduce__(self) -> tuple[object, ...]:
            return os.mkdir, (str(mark),)

    torch.save({"model": Evil()}, weights)
    torch.load(weights, weights_only=False)
    assert mark.is_dir(), "the file is as harmful as it is meant to be"
    mark.rmdir()
    with pytest.raises(BadWeights, match="cannot be loaded"):
        Yolo(weights).people(frames_of(np.zeros((32, 32, 3), np.uint8)))
    assert not mark.exists()


@pytest.mark.parametrize("name", ["broken.pt", "broken.onnx"])
def test_a_file_that_is_no_model_is_said_to_be_none(name: str, tmp_path: Path) -> None:
    if name.endswith(".pt"):
        pytest.importorskip("ultralytics")
    (tmp_path / name).write_bytes(b"<html>not found</html>")
    with pytest.raises(BadWeights, match=name):
        Yolo(tmp_path / name).people(frames_of(np.zeros((32, 32, 3), np.uint8)))


def test_a_detector_is_not_asked_for_poses(tmp_path: Path) -> None:
    pytest.importorskip("ultralytics").YOLO("yolo11n.yaml").save(str(tmp_path / "detector.pt"))
    engine = Yolo(tmp_path / "detector.pt", size=64)
    image = frames_of(np.zeros((64, 64, 3), np.uint8))
    assert len(engine.people(image)) == 1
    with pytest.raises(BadWeights, match="give a pose model"):
        engine.poses(image)


WATCHED = """
import json, os, socket, sys
asked = []
def refuse(event, args):
    if event in ("socket.connect", "socket.getaddrinfo", "subprocess.Popen"):
        asked.append([event, str(args)])
sys.addaudithook(refuse)
import numpy as np
from pathlib import Path
from video_star.tools.video.reader import Frames
from video_star.tools.vision.yolo import Yolo
from PIL import Image
before, opener = dict(os.environ), Image.open
yolo = Yolo(Path(sys.argv[1]), size=64)
assert "torch" not in sys.modules and "ultralytics" not in sys.modules, "loaded before it was needed"
yolo.people(Frames(np.zeros((1, 64, 64, 3), np.uint8), np.zeros(1), 1.0))
import torch
names = ("YOLO_CONFIG_DIR", "YOLO_OFFLINE", "YOLO_AUTOINSTALL", "OMP_NUM_THREADS")
kept = all(os.environ.get(name) == before.get(name) for name in names) and Image.open is opener
from ultralytics.utils import AUTOINSTALL, ONLINE
print(json.dumps([asked, kept, torch.get_num_threads(), AUTOINSTALL, ONLINE]))
"""


def test_looking_reaches_for_no_network_no_installer_and_no_home(yolo_weights: Path, tmp_path: Path) -> None:
    user, ours, here = tmp_path / "user", tmp_path / "ours", tmp_path / "here"
    for folder in (user, here):
        folder.mkdir()
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("YOLO", "OMP", "PYTEST", "XDG"))}
    ended = subprocess.run(
        [sys.executable, "-c", WATCHED, str(yolo_weights / "tiles.pt")],
        env=clean | {"HOME": str(user), "VIDEO_STAR_HOME": str(ours)},
        cwd=here,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert ended.returncode == 0, ended.stderr
    asked, kept, threads, installs, online = json.loads(ended.stdout.splitlines()[-1])
    assert [event for event, _ in asked if event != "subprocess.Popen"] == []
    assert not any(word in arguments for _, arguments in asked for word in ("pip", "uv", "curl"))
    assert kept and not installs and not online
    assert threads > 1 or os.cpu_count() == 1, "ultralytics would hold torch to one thread"
    assert not list(user.rglob("*")) and not list(here.rglob("*")), "the user's folders stay as they were"
    assert (ours / "Ultralytics").is_dir()
