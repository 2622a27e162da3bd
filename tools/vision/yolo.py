"""YOLO11 and YOLO26 (Jocher and Qiu, ultralytics) as a `PersonDetector` and a `PoseEstimator`.

The format of the weights selects the runtime: torch for a .pt checkpoint, onnxruntime for an .onnx file, OpenVINO for
an exported folder. Preprocessing and postprocessing are the same for all three. Only .pt needs ultralytics, and only
its checkpoint reader: it installs, downloads and reports nothing.

A checkpoint is a pickle, which can execute code when it is loaded. Ultralytics' default loader would execute it; this
module uses its restricted reader, which builds known layers from plain data and refuses everything else.

The code and weights of ultralytics are AGPL-3.0; exports keep the licence of the weights.
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
from typing import Any, ClassVar

import numpy as np
import yaml
from PIL import Image

from ..errors import BadWeights, MissingExtra
from ..settings import home
from ..video.reader import Frames
from .batching import Batcher
from .detections import KEYPOINTS, Detections, NamedDetections, Skeletons, non_maximum_suppression
from .letterbox import Letterbox
from .onnx_model import THREADS, OnnxModel


@dataclass(frozen=True)
class Network:
    """A loaded model."""

    run: Callable[[np.ndarray], np.ndarray]
    """(n, 3, height, width) float32 RGB in 0..1 to one of two forms, in pixels of the input. YOLO11: (n, 4 + classes +
    3 * keypoints, anchors), box centre and size, a score per class, then x, y and visibility of each keypoint. YOLO26,
    which needs no suppression: (n, 300, 6 + 3 * keypoints), corners of the box, score, class, keypoints."""
    classes: Mapping[int, str]
    keypoints: int
    """0 for a detector."""
    size: int
    """Pixels of the longer side that it was trained on or exported for."""
    batch: int = 16
    """Largest batch, or the exact batch if `fixed`."""
    fixed: tuple[int, int] | None = None
    """Height and width of the input if they are fixed; None if any size is accepted."""

    @property
    def person(self) -> int:
        """The index of the class person: the one of that name, the only one, or the first of a model without names.

        Raises:
            BadWeights: None of the classes is a person.
        """
        for number, name in self.classes.items():
            if name.lower() in ("person", "0") or len(self.classes) == 1:
                return number
        classes = ", ".join(self.classes.values())[:200]
        raise BadWeights(f"the model has no class person (its classes: {classes}); give another one")


class Yolo:
    """One YOLO11 or YOLO26 model, loaded on first use. Thread-safe: concurrent calls share batches.

    Frames are scaled to the size of its training, 640 pixels for the published weights.

    Args:
        weights: A .pt or .onnx file, or the folder of an OpenVINO export.

    Raises:
        MissingExtra: The package that runs such weights is not installed.
        BadWeights: There are no such weights at that path.
    """

    MIN_SCORE: ClassVar[float] = 0.25
    MAX_IOU: ClassVar[float] = 0.7
    """Threshold of non-maximum suppression."""
    MAX_BOXES: ClassVar[int] = 1000
    """Boxes considered per frame, best first."""

    def __init__(self, weights: Path) -> None:
        if not weights.exists():
            raise BadWeights(f"{weights} does not exist; give the path of a .pt, .onnx or OpenVINO folder")
        self._load, package, install = _runtime(weights)
        if find_spec(package) is None:
            raise MissingExtra(f"{weights.name} needs the package {package}: pip install {install}")
        self._weights = weights
        self._lock = threading.Lock()
        self._network: Network | None = None

    def people(self, frames: Frames) -> list[Detections]:
        """The people of each frame, in pixels of `frames.images`, best score first."""
        return [(boxes, scores) for boxes, scores, _ in self._run(frames.images)]

    def objects(self, frames: Frames) -> list[NamedDetections]:
        """The objects of each frame that are not people, in pixels of `frames.images`, best score first."""
        network = self._loaded()
        others = sorted(network.classes.keys() - {network.person})
        named: list[NamedDetections] = []
        for output, letterbox in self._outputs(frames.images):
            found = [(self._decode(output, network, letterbox, number), network.classes[number]) for number in others]
            boxes = np.concatenate([np.zeros((0, 4), np.float32), *(each[0] for each, _ in found)])
            scores = np.concatenate([np.zeros(0, np.float32), *(each[1] for each, _ in found)])
            names = [name for each, name in found for _ in each[1]]
            best = np.argsort(-scores, kind="stable")
            named.append((boxes[best], scores[best], [names[k] for k in best]))
        return named

    def poses(self, frames: Frames) -> list[Skeletons]:
        """The people of each frame with their keypoints, in pixels of `frames.images`, best score first.

        Raises:
            BadWeights: The model finds no keypoints, or not the 17 of COCO.
        """
        if (found := self._loaded().keypoints) != len(KEYPOINTS):
            raise BadWeights(f"{self._weights.name} finds {found} keypoints, not the 17 of COCO; give a pose model")
        return self._run(frames.images)

    def _run(self, images: np.ndarray) -> list[Skeletons]:
        network = self._loaded()
        return [self._decode(output, network, letterbox, network.person) for output, letterbox in self._outputs(images)]

    def _outputs(self, images: np.ndarray) -> Iterator[tuple[np.ndarray, Letterbox]]:
        """The output for each image, and where the image lies in the input."""
        network = self._loaded()
        letterbox = Letterbox.fit(images.shape[1:3], network.fixed or network.size)
        for start in range(0, len(images), network.batch):
            batch = images[start : start + network.batch]
            inputs = np.stack([letterbox.apply(image) for image in batch])
            padding = network.batch - len(batch) if network.fixed else 0
            inputs = np.concatenate([inputs, np.zeros((padding, *inputs.shape[1:]), np.float32)])
            for output in network.run(inputs)[: len(batch)]:
                yield output, letterbox

    def _decode(self, output: np.ndarray, network: Network, letterbox: Letterbox, wanted: int) -> Skeletons:
        """The objects of the class `wanted` in one frame's output, as described at `Network.run`."""
        channels = 4 + len(network.classes) + 3 * network.keypoints
        if len(output) != channels and output.shape[1] == 6 + 3 * network.keypoints:
            corners, scores, points = self._without_suppression(output, wanted)
        else:
            corners, scores, points = self._suppressed(output, network, wanted)
        boxes = letterbox.invert(corners).clip(0, letterbox.picture).reshape(-1, 4)
        real = (boxes[:, 2:] > boxes[:, :2]).all(axis=1)
        points = points.reshape(len(boxes), network.keypoints, 3)
        keypoints = np.concatenate([letterbox.invert(points[:, :, :2]), points[:, :, 2:].clip(0, 1)], axis=2)
        return boxes[real].astype(np.float32), scores[real].clip(0, 1), keypoints[real].astype(np.float32)

    def _suppressed(
        self, output: np.ndarray, network: Network, wanted: int
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Corners (n, 2, 2), scores and keypoints from YOLO11's (4 + classes + 3 * keypoints, anchors)."""
        count = len(network.classes)
        if len(output) != 4 + count + 3 * network.keypoints:
            raise BadWeights(
                f"{self._weights.name} has outputs of another shape; export it from YOLO11 or YOLO26 with nms=False"
            )
        rows = output.T[np.isfinite(output).all(axis=0) & (output[2:4] > 0).all(axis=0)].astype(np.float32)
        scores = rows[:, 4 : 4 + count]
        own = np.flatnonzero((scores.argmax(axis=1) == wanted) & (scores.max(axis=1) >= self.MIN_SCORE))
        best = own[np.argsort(-scores[own, wanted], kind="stable")][: self.MAX_BOXES]
        rows, scores = rows[best], scores[best, wanted]
        corners = np.stack([rows[:, :2] - rows[:, 2:4] / 2, rows[:, :2] + rows[:, 2:4] / 2], axis=1)
        # YOLO does not find half bodies, so a box inside a better one is kept: it may be a child in front of an adult.
        kept = non_maximum_suppression(corners.reshape(-1, 4), scores, self.MAX_IOU, containment=None)
        return corners[kept], scores[kept], rows[kept, 4 + count :]

    def _without_suppression(self, output: np.ndarray, wanted: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Corners (n, 2, 2), scores and keypoints from YOLO26's (300, 6 + 3 * keypoints)."""
        rows = output[np.isfinite(output).all(axis=1)].astype(np.float32)
        rows = rows[(rows[:, 5].round() == wanted) & (rows[:, 4] >= self.MIN_SCORE)]
        rows = rows[np.argsort(-rows[:, 4], kind="stable")]
        return rows[:, :4].reshape(-1, 2, 2), rows[:, 4], rows[:, 6:]

    def _loaded(self) -> Network:
        with self._lock:
            if self._network is None:
                try:
                    network = self._load(self._weights)
                    # Frames of concurrent runs share batches.
                    self._network = replace(network, run=Batcher(network.run, network.batch))
                except (BadWeights, MissingExtra):
                    raise
                except Exception as error:
                    # Each runtime has its own exceptions for a file that it cannot load.
                    reason = " ".join(str(error).split())[:300]
                    raise BadWeights(
                        f"{self._weights} cannot be loaded as YOLO weights ({reason}); download or export them again"
                    ) from error
            return self._network


def _runtime(weights: Path) -> tuple[Callable[[Path], Network], str, str]:
    """The loader of such weights, the package it needs, and what to install for it."""
    if weights.suffix == ".pt":
        return _load_torch, "ultralytics", "'video-star[yolo]'"
    if weights.suffix == ".onnx":
        return _load_onnx, "onnxruntime", "video-star"
    if weights.is_dir():
        return _load_openvino, "openvino", "openvino"
    raise BadWeights(f"{weights} is not a known format; give a .pt file, an .onnx file or an OpenVINO folder")


def _load_torch(weights: Path) -> Network:
    torch = import_module("torch")
    with isolated_ultralytics():
        reader = import_module("ultralytics.nn.tasks").torch_safe_load
    checkpoint, _ = reader(str(weights), safe_only=True)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model = (checkpoint.get("ema") or checkpoint["model"]).float()
    if getattr(model.model[-1], "one2one_cv2", None) is not None:
        # YOLO26: the branch that needs no suppression.
        model.model[-1].end2end = True
    model = model.fuse(verbose=False).eval().to(device)

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
def isolated_ultralytics() -> Iterator[None]:
    """An environment in which importing ultralytics installs nothing, sends nothing and writes to our own folder only.

    Import torch first: ultralytics would limit a torch imported later to one thread. A program that has already
    imported ultralytics keeps its own settings; none of them matters here.
    """
    isolated = {
        "YOLO_CONFIG_DIR": str(home()),
        "YOLO_OFFLINE": "1",
        "YOLO_AUTOINSTALL": "false",
        "YOLO_VERBOSE": "false",
        "ULTRALYTICS_SAFE_LOAD": "1",
    }
    before = {name: os.environ.get(name) for name in (*isolated, "OMP_NUM_THREADS")}
    # It replaces Image.open by one that tries to install another package for files that are not images.
    opener = Image.open
    os.environ.update(isolated)
    try:
        yield
    finally:
        Image.open = opener
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _load_onnx(weights: Path) -> Network:
    model = OnnxModel(weights)
    about = model.session.get_modelmeta().custom_metadata_map
    known = {name: literal_eval(about[name]) for name in ("names", "kpt_shape", "imgsz") if name in about}
    return _network(lambda inputs: model(inputs)[0], known, model.shape)


def _load_openvino(weights: Path) -> Network:
    openvino = import_module("openvino")
    (model,) = weights.glob("*.xml")
    settings = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": THREADS, "INFERENCE_PRECISION_HINT": "f32"}
    compiled = openvino.Core().compile_model(str(model), "CPU", settings)

    def run(inputs: np.ndarray) -> np.ndarray:
        # A copy: OpenVINO reuses the output array for the next call.
        return np.array(compiled(inputs)[0])

    about = yaml.safe_load((weights / "metadata.yaml").read_text(encoding="utf-8"))
    shape = [side.get_length() if side.is_static else None for side in compiled.input(0).get_partial_shape()]
    return _network(run, about, shape)


def _network(run: Callable[[np.ndarray], np.ndarray], about: Mapping[str, Any], shape: Sequence[int | None]) -> Network:
    """A network, with the metadata of its checkpoint or export.

    Args:
        run: As in `Network`.
        about: `names`, and optionally `kpt_shape` and `imgsz`.
        shape: Of the input; None for sides of any length.
    """
    batch, _, height, width = shape
    sides = np.atleast_1d(about.get("imgsz") or 640)
    keypoints = int(about.get("kpt_shape", (0, 3))[0])
    fixed = (height, width) if height and width else None
    return Network(run, about["names"], keypoints, int(sides.max()), batch or 16, fixed)
