"""What the models of MediaPipe share: running on ai-edge-litert, letterboxed inputs, anchors, crops by affine maps."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from ..execution.cancellation import check_cancelled

if TYPE_CHECKING:
    from ai_edge_litert.interpreter import Interpreter


class LiteRtModel:
    """One TFLite model, loaded on first use; an interpreter serves one thread, so concurrent calls get their own."""

    def __init__(self, weights: Path) -> None:
        self._weights = weights
        self._idle: list[Interpreter] = []

    def __call__(self, inputs: np.ndarray) -> dict[str, np.ndarray]:
        """Outputs by name for one input; input and outputs without the batch axis."""
        check_cancelled()
        try:
            model = self._idle.pop()
        except IndexError:
            model = self._read()
        model.set_tensor(model.get_input_details()[0]["index"], inputs[None])
        model.invoke()
        outputs = {each["name"]: model.get_tensor(each["index"])[0] for each in model.get_output_details()}
        self._idle.append(model)
        return outputs

    def _read(self) -> Interpreter:
        from ai_edge_litert.interpreter import Interpreter

        # A second thread costs 40 % more processor time and saves less than 10 % of the latency; concurrent calls,
        # which the executor admits, use the other cores.
        model = Interpreter(model_path=str(self._weights), num_threads=1)
        model.allocate_tensors()
        return model


@dataclass(frozen=True, eq=False)
class Square:
    """A part of an image scaled into the middle of a square on black, as detectors read it."""

    pixels: np.ndarray
    """(side, side, 3) float32 in [0, 255]."""
    scale: float
    """Pixels of the square per pixel of the image."""
    corner: np.ndarray
    """(2,) where the image's origin lies in the square, in its pixels."""

    @classmethod
    def of(cls, picture: Image.Image, side: int, box: np.ndarray | None = None) -> Square:
        """The square of an image, or of a box (4,) x0, y0, x1, y1 within it."""
        x0, y0, x1, y1 = (0.0, 0.0, *map(float, picture.size)) if box is None else box.tolist()
        scale = side / max(x1 - x0, y1 - y0)
        width, height = max(1, round((x1 - x0) * scale)), max(1, round((y1 - y0) * scale))
        small = picture.resize((width, height), Image.Resampling.BILINEAR, box=(x0, y0, x1, y1))
        square = Image.new("RGB", (side, side))
        left, top = (side - width) // 2, (side - height) // 2
        square.paste(small, (left, top))
        return cls(np.asarray(square, np.float32), scale, np.array([left - x0 * scale, top - y0 * scale]))

    def invert(self, points: np.ndarray) -> np.ndarray:
        """Points (..., 2) of the square, converted to pixels of the image."""
        return np.asarray((points - self.corner) / self.scale)


def anchors(side: int, layers: tuple[tuple[int, int], ...]) -> np.ndarray:
    """Centres of a detector's anchors: (anchors, 2), x and y in pixels of its input.

    Args:
        side: Pixels of the square input.
        layers: Stride in pixels and anchors per cell of each layer.
    """
    centres = []
    for stride, per_cell in layers:
        cells = side // stride
        y, x = np.mgrid[:cells, :cells].reshape(2, -1)
        centres.append(np.repeat((np.column_stack([x, y]) + 0.5) * (side / cells), per_cell, axis=0))
    return np.concatenate(centres)


def crop_affine(centre: np.ndarray, up: np.ndarray, side: int) -> np.ndarray:
    """(2, 3) matrix from the pixels of a rotated square crop to the image.

    Args:
        centre: (2,) of the crop, in pixels of the image.
        up: (2,) from there to the middle of the crop's upper edge.
        side: Pixels of the crop.
    """
    half = side / 2
    matrix = np.array([[-up[1], -up[0]], [up[0], -up[1]]]) / half
    return np.column_stack([matrix, centre - matrix @ [half, half]])


def warp(picture: Image.Image, affine: np.ndarray, side: int) -> Image.Image:
    """A square of an image; `affine` (2, 3) maps from its pixels to the image, and pixels outside are black."""
    coefficients = affine.ravel().tolist()
    return picture.transform((side, side), Image.Transform.AFFINE, coefficients, Image.Resampling.BILINEAR)


def sigmoid(logits: np.ndarray) -> np.ndarray:
    """The logistic function, without overflow."""
    return np.asarray(1 / (1 + np.exp(-np.clip(logits, -80, 80))))
