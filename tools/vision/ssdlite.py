"""The embedded person detector: SSDLite on onnxruntime; NOTICE says where the weights come from."""

from __future__ import annotations

from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Final

import numpy as np
from PIL import Image

from ..execution.cancellation import check_cancelled
from ..video.reader import Frames
from .detections import Detections, non_maximum_suppression

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

WEIGHTS: Final = Path(__file__).parents[1] / "weights"
"""The folder of the bundled weights."""


class SsdLite:
    """A `PersonDetector` with an input of 300x300 pixels. Large frames with small people are also read in tiles.

    Thread-safe; the weights are loaded on first use.
    """

    MIN_SCORE: Final = 0.4
    TILE: Final = 0.6
    """Side of a tile as a fraction of the frame's: the four tiles overlap by a fifth, so most people fit in one."""
    LARGE: Final = 480
    """Pixels of the long side from which tiles show more than the whole frame scaled down to 300 pixels."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._loaded: InferenceSession | None = None

    def people(self, frames: Frames) -> list[Detections]:
        """The people of each frame, in pixels of `frames.images`."""
        return [self.detect(Image.fromarray(image)) for image in frames.images]

    def detect(self, picture: Image.Image, min_score: float = MIN_SCORE, tiled: bool = True) -> Detections:
        """The people in one image, best score first.

        Args:
            picture: The image.
            min_score: Smallest score.
            tiled: Whether tiles are read, too, if the image is large and the people in it are small.
        """
        boxes, scores = self._detect_in(picture, (0.0, 0.0, picture.width, picture.height), min_score)
        tallest = float((boxes[:, 3] - boxes[:, 1])[scores >= self.MIN_SCORE].max(initial=0))
        if tiled and max(picture.size) >= self.LARGE and tallest < picture.height / 2:
            parts = [self._detect_in(picture, tile, min_score) for tile in _tiles(picture.size, self.TILE)]
            boxes = np.concatenate([boxes, *(part[0] for part in parts)])
            scores = np.concatenate([scores, *(part[1] for part in parts)])
        kept = non_maximum_suppression(boxes, scores)
        return boxes[kept], scores[kept]

    def _detect_in(
        self, picture: Image.Image, region: tuple[float, float, float, float], min_score: float
    ) -> Detections:
        """The people in one region of an image (x0, y0, x1, y1), without those cut off by its inner edges."""
        check_cancelled()
        pixels = np.asarray(picture.resize((300, 300), Image.Resampling.BILINEAR, box=region))
        _, found, scores, classes = self._session().run(None, {"image_tensor:0": pixels[None]})
        kept = (scores[0] >= min_score) & (classes[0] == 1)
        corners = np.clip(found[0][kept][:, [1, 0, 3, 2]], 0, 1)
        x0, y0, x1, y1 = region
        boxes = corners * [x1 - x0, y1 - y0, x1 - x0, y1 - y0] + [x0, y0, x0, y0]
        whole = ~_truncated(corners, region, picture.size)
        return boxes[whole].astype(np.float32), scores[0][kept][whole].astype(np.float32)

    def _session(self) -> InferenceSession:
        with self._lock:
            if self._loaded is None:
                import onnxruntime

                options = onnxruntime.SessionOptions()
                # One thread, as in `blazepose`: concurrent calls use the other cores.
                options.intra_op_num_threads = 1
                self._loaded = onnxruntime.InferenceSession(
                    str(WEIGHTS / "ssdlite_person.onnx"), options, providers=["CPUExecutionProvider"]
                )
            return self._loaded


SSDLITE: Final = SsdLite()
"""The embedded detector, one per process."""


def _tiles(size: tuple[int, int], side: float) -> list[tuple[float, float, float, float]]:
    """Four overlapping tiles (x0, y0, x1, y1), one per corner, `side` times the image's width and height."""
    (width, height), rest = size, 1 - side
    return [
        (x * rest * width, y * rest * height, (x * rest + side) * width, (y * rest + side) * height)
        for y in (0, 1)
        for x in (0, 1)
    ]


def _truncated(corners: np.ndarray, region: tuple[float, float, float, float], size: tuple[int, int]) -> np.ndarray:
    """Which boxes (n, 4; 0..1 of the region) touch an edge of the region that is no edge of the image: (n,) bool."""
    inner = np.array([region[0] > 0, region[1] > 0, region[2] < size[0] - 1, region[3] < size[1] - 1])
    near = np.concatenate([corners[:, :2] < 0.02, corners[:, 2:] > 0.98], axis=1)
    return np.asarray((near & inner).any(axis=1))
