"""The annotations of a clip, in memory and on disk."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

Segment = tuple[int, str, float, float]
"""Person, primitive, start and end in seconds."""


@dataclass(frozen=True)
class Annotations:
    """Ground truth of a clip of T frames with P people."""

    label: str
    fps: float
    keypoints: np.ndarray
    """(T, P, 17, 3) float32 in COCO order, left and right as the person's own: x, y in pixels, then 0 outside the
    picture (x and y are 0), 1 hidden, 2 visible."""
    boxes: np.ndarray
    """(T, P, 4) float32: x0, y0, x1, y1 in pixels; the whole person, hidden parts included, clipped to the picture."""
    primitives: tuple[Segment, ...]
    """(person, name, start, end) in seconds, in script order."""
    objects: dict[str, np.ndarray]
    """Name to (T, 4) float32 boxes, NaN while outside the picture. Only objects that the action involves."""

    def save(self, path: Path) -> None:
        """Write as .npz without pickles: the arrays, and the rest as JSON text in `about`."""
        about = {"label": self.label, "fps": self.fps, "primitives": self.primitives, "objects": list(self.objects)}
        arrays = {f"object_{k}": boxes for k, boxes in enumerate(self.objects.values())}
        with path.open("wb") as file:
            arrays |= {"about": np.array(json.dumps(about)), "keypoints": self.keypoints, "boxes": self.boxes}
            np.savez_compressed(file, allow_pickle=False, **arrays)

    @classmethod
    def load(cls, path: Path) -> Annotations:
        """Read a file written by `save`."""
        with np.load(path, allow_pickle=False) as file:
            about = json.loads(str(file["about"]))
            objects = {name: file[f"object_{k}"] for k, name in enumerate(about["objects"])}
            primitives = tuple((int(who), str(what), float(t0), float(t1)) for who, what, t0, t1 in about["primitives"])
            return cls(about["label"], about["fps"], file["keypoints"], file["boxes"], primitives, objects)
