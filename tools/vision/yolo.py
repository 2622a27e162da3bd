"""YOLO11 (Jocher and Qiu 2024, ultralytics) as a `PersonDetector` and a `PoseEstimator`.

Three ways to run it, by what the weights are: a .pt checkpoint by torch, an .onnx file by onnxruntime, a folder of
OpenVINO's. Pictures are prepared and boxes read here, the same way for all three. Only the first needs ultralytics
itself, and of it only the reader of checkpoints: nothing is installed, downloaded or reported by it.

A checkpoint is a pickle, which may run anything when it is read. Ultralytics' own loading runs it; here it is read with
the restricted reader, which builds known layers from plain data and refuses all else.

Ultralytics' code and weights are AGPL-3.0; exports keep the licence of the weights.
"""

from __future__ import annotations

import os
import threading
from ast import literal_eval
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar, Final

import numpy as np
import yaml
from PIL import Image

from ..errors import BadWeights, MissingExtra
from ..video.reader import Frames
from ..video.source import home
from .batching import Batches
from .blazepose import Skeletons
from .onnx_model import THREADS, OnnxModel
from .people import Detections, suppress

JOINTS: Final = 17
STRIDE: Final = 32
"""Width and height of the network's input are multiples of this."""
GREY: Final = 114
"""What surrounds a picture in the network's input, as in training."""


@dataclass(frozen=True)
class Network:
    """A loaded model."""

    run: Callable[[np.ndarray], np.ndarray]
    """(n, 3, height, width) float32 RGB in 0..1 to (n, 4 + classes + 3 * keypoints, places) float: box centre and size,
    a score per class, then x, y and visibility, in pixels of the input."""
    classes: Mapping[int, str]
    keypoints: int
    """0 of a detector."""
    size: int
    """Pixels of the longer side of what it was trained on, or exported for."""
    batch: int = 16
    """Pictures looked at together at most, or always where `fixed`."""
    fixed: tuple[int, int] | None = None
    """Height and width of the only input it takes; None where it takes any."""

    @property
    def person(self) -> int:
        """Which class is a person: the one of that name, or the only one, or the first of a model without names."""
        for number, name in self.classes.items():
            if name.lower() in ("person", "0") or len(self.classes) == 1:
                return number
        raise BadWeights(f"the model knows {', '.join(self.classes.values())[:200]}, but no person; give another one")


class Yolo:
    """One YOLO11 model, read at first use. Safe to share between threads: what they ask at once is one batch.

    Args:
        weights: A .pt or .onnx file, or the folder of an OpenVINO export.
        size: Pixels of the longer side of what the network sees; by default that of its training, which is 640 of the
            published ones. 320 is four times as fast, and blind to small people.

    Raises:
        MissingExtra: The package that runs such weights is not installed.
        BadWeights: There are none of that kind at that path.
    """

    LEAST_SCORE: ClassVar[float] = 0.25
    OVERLAP: ClassVar[float] = 0.7
    """Of two boxes that share this part of their union one goes."""
    MOST: ClassVar[int] = 1000
    """Boxes considered per picture, best first."""

    def __init__(self, weights: Path, size: int | None = None) -> None:
        if not weights.exists():
            raise BadWeights(f"{weights} does not exist; give the path of a .pt, .onnx or OpenVINO folder")
        self._load, package, install = _reader(weights)
        if find_spec(package) is None:
            raise MissingExtra(f"{weights.name} needs the package {package}: pip install {install}")
        self._weights = weights
        self._size = size
        self._lock = threading.Lock()
        self._network: Network | None = None

    def people(self, frames: Frames) -> list[Detections]:
        """The people of each frame, in pixels of `frames.images`, best score first."""
        return [(boxes, scores) for boxes, scores, _ in self._found(frames.images)]

    def poses(self, frames: Frames) -> list[Skeletons]:
        """The people of each frame with their keypoints, in pixels of `frames.images`, best score first.

        Raises:
            BadWeights: The model finds no keypoints, or other ones than COCO's 17.
        """
        if (found := self._loaded().keypoints) != JOINTS:
            raise BadWeights(f"{self._weights.name} finds {found} keypoints, not COCO's {JOINTS}; give a pose model")
        return self._found(frames.images)

    def _found(self, images: np.ndarray) -> list[Skeletons]:
        network = self._loaded()
        letterbox = Letterbox.fit(images.shape[1:3], network.fixed or self._size or network.size)
        found: list[Skeletons] = []
        for start in range(0, len(images), network.batch):
            some = images[start : start + network.batch]
            inputs = np.stack([letterbox.put(image) for image in some])
            short = network.batch - len(some) if network.fixed else 0
            inputs = np.concatenate([inputs, np.zeros((short, *inputs.shape[1:]), np.float32)])
            outputs = network.run(inputs)
            found += [self._read(output, network, letterbox) for output in outputs[: len(some)]]
        return found

    def _read(self, output: np.ndarray, network: Network, letterbox: Letterbox) -> Skeletons:
        """The people in one picture's output (4 + classes + 3 * keypoints, places)."""
        count = len(network.classes)
        if len(output) != 4 + count + 3 * network.keypoints:
            raise BadWeights(f"{self._weights.name} answers in another form; export it from YOLO11, with nms=False")
        rows = output.T[np.isfinite(output).all(axis=0) & (output[2:4] > 0).all(axis=0)].astype(np.float32)
        scores = rows[:, 4 : 4 + count]
        sure = np.flatnonzero((scores.argmax(axis=1) == network.person) & (scores.max(axis=1) >= self.LEAST_SCORE))
        best = sure[np.argsort(-scores[sure, network.person], kind="stable")][: self.MOST]
        rows, likely = rows[best], scores[best, network.person]
        corners = np.stack([rows[:, :2] - rows[:, 2:4] / 2, rows[:, :2] + rows[:, 2:4] / 2], axis=1)
        # No box goes for lying inside a better one, as a child before an adult does: half bodies are not found here.
        kept = suppress(corners.reshape(-1, 4), likely, self.OVERLAP, inside=1.01)
        boxes = letterbox.back(corners).clip(0, letterbox.picture).reshape(-1, 4)
        kept = kept[(boxes[kept, 2:] > boxes[kept, :2]).all(axis=1)]
        points = rows[kept, 4 + count :].reshape(len(kept), network.keypoints, 3)
        keypoints = np.concatenate([letterbox.back(points[:, :, :2]), points[:, :, 2:].clip(0, 1)], axis=2)
        return boxes[kept].astype(np.float32), likely[kept].clip(0, 1), keypoints.astype(np.float32)

    def _loaded(self) -> Network:
        with self._lock:
            if self._network is None:
                try:
                    network = self._load(self._weights)
                    # Pictures of different runs go through the network together.
                    self._network = replace(network, run=Batches(network.run, network.batch))
                except (BadWeights, MissingExtra):
                    raise
                except Exception as error:
                    # Each runtime has its own exceptions for a file it cannot read.
                    reason = " ".join(str(error).split())[:300]
                    raise BadWeights(
                        f"{self._weights} cannot be read as YOLO weights ({reason}); fetch or export them anew"
                    ) from error
            return self._network


@dataclass(frozen=True)
class Letterbox:
    """How a picture lies in the network's input: shrunk or enlarged, in the middle, grey around it."""

    picture: tuple[int, int]
    """Width and height in pixels."""
    inner: tuple[int, int]
    """Width and height of the picture in the input."""
    outer: tuple[int, int]
    """Width and height of the input."""

    @classmethod
    def fit(cls, picture: tuple[int, ...], into: int | tuple[int, int]) -> Letterbox:
        """The letterbox for one size of pictures.

        Args:
            picture: Height and width in pixels.
            into: The longer side of the input, which is then as small as holds the picture; or its height and width.
        """
        height, width = picture
        rows, columns = into if isinstance(into, tuple) else (into, into)
        scale = min(rows / height, columns / width)
        inner = max(round(width * scale), 1), max(round(height * scale), 1)
        outer = (columns, rows) if isinstance(into, tuple) else (_multiple(inner[0]), _multiple(inner[1]))
        return cls((width, height), inner, outer)

    @property
    def corner(self) -> tuple[int, int]:
        """Where the picture's upper left corner lies, x and y."""
        # The odd pixel of the margin goes right and below, as in training.
        return (self.outer[0] - self.inner[0]) // 2, (self.outer[1] - self.inner[1]) // 2

    def put(self, image: np.ndarray) -> np.ndarray:
        """A picture (height, width, 3) uint8 as the network takes it: (3, height, width) float32 in 0..1."""
        seen = Image.new("RGB", self.outer, (GREY, GREY, GREY))
        seen.paste(Image.fromarray(image).resize(self.inner, Image.Resampling.BILINEAR), self.corner)
        return np.asarray(seen).transpose(2, 0, 1).astype(np.float32) / 255

    def back(self, points: np.ndarray) -> np.ndarray:
        """Points (..., 2) of the input, x and y, in pixels of the picture."""
        return np.asarray((points - self.corner) * np.divide(self.picture, self.inner))


def _multiple(pixels: int) -> int:
    return -(-pixels // STRIDE) * STRIDE


def _reader(weights: Path) -> tuple[Callable[[Path], Network], str, str]:
    """What reads such weights, the package it takes, and what to install for it."""
    if weights.suffix == ".pt":
        return _torch, "ultralytics", "'video-star[yolo]'"
    if weights.suffix == ".onnx":
        return _onnx, "onnxruntime", "video-star"
    if weights.is_dir():
        return _openvino, "openvino", "openvino"
    raise BadWeights(f"{weights} is of no kind that is known; give a .pt, an .onnx or the folder of an OpenVINO export")


def _torch(weights: Path) -> Network:
    torch = import_module("torch")
    with to_itself():
        reader = import_module("ultralytics.nn.tasks").torch_safe_load
    checkpoint, _ = reader(str(weights), safe_only=True)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model = (checkpoint.get("ema") or checkpoint["model"]).float().fuse(verbose=False).eval().to(device)

    def run(inputs: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            output = model(torch.from_numpy(inputs).to(device))
        return np.asarray((output[0] if isinstance(output, tuple) else output).float().cpu().numpy())

    about = {
        "names": dict(model.names),
        "kpt_shape": getattr(model.model[-1], "kpt_shape", (0, 3)),
        "imgsz": (checkpoint.get("train_args") or {}).get("imgsz"),
    }
    return _network(run, about, (64 if device.type == "cuda" else 16, 3, None, None))


@contextmanager
def to_itself() -> Iterator[None]:
    """What ultralytics reads of the environment at its import: a folder of ours, nothing installed, nothing sent.

    Torch is imported before: ultralytics would hold a torch imported after it to one thread. A program that has
    imported ultralytics itself keeps its own settings; none of them matters to what is used here.
    """
    ours = {
        "YOLO_CONFIG_DIR": str(home()),
        "YOLO_OFFLINE": "1",
        "YOLO_AUTOINSTALL": "false",
        "YOLO_VERBOSE": "false",
        "ULTRALYTICS_SAFE_LOAD": "1",
    }
    before = {name: os.environ.get(name) for name in (*ours, "OMP_NUM_THREADS")}
    # It puts an opener of pictures in Pillow that wants to install another package for what is no picture.
    opener = Image.open
    os.environ.update(ours)
    try:
        yield
    finally:
        Image.open = opener
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _onnx(weights: Path) -> Network:
    model = OnnxModel(weights)
    about = model.session.get_modelmeta().custom_metadata_map
    known = {name: literal_eval(about[name]) for name in ("names", "kpt_shape", "imgsz") if name in about}
    return _network(lambda inputs: model(inputs)[0], known, model.shape)


def _openvino(weights: Path) -> Network:
    openvino = import_module("openvino")
    (model,) = weights.glob("*.xml")
    settings = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": THREADS, "INFERENCE_PRECISION_HINT": "f32"}
    compiled = openvino.Core().compile_model(str(model), "CPU", settings)

    def run(inputs: np.ndarray) -> np.ndarray:
        # A copy: the array of the answer is written over by the next one.
        return np.array(compiled(inputs)[0])

    about = yaml.safe_load((weights / "metadata.yaml").read_text(encoding="utf-8"))
    shape = [side.get_length() if side.is_static else None for side in compiled.input(0).get_partial_shape()]
    return _network(run, about, shape)


def _network(run: Callable[[np.ndarray], np.ndarray], about: Mapping[str, Any], shape: Sequence[int | None]) -> Network:
    """A network as a checkpoint or an export tells of it.

    Args:
        run: As in `Network`.
        about: `names`, and `kpt_shape` and `imgsz` where it says so.
        shape: Of its input, None for sides that may have any length.
    """
    batch, _, height, width = shape
    sides = np.atleast_1d(about.get("imgsz") or 640)
    keypoints = int(about.get("kpt_shape", (0, 3))[0])
    fixed = (height, width) if height and width else None
    return Network(run, about["names"], keypoints, int(sides.max()), batch or 16, fixed)
