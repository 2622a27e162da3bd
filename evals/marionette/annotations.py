"""The ground truth of a clip, in memory and on disk."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

Performed = tuple[int, str, float, float]
"""Person, primitive, start and end in seconds."""


@dataclass(frozen=True)
class Truth:
    """What happens in a clip of T frames of P people, and where."""

    label: str
    fps: float
    keypoints: np.ndarray
    """(T, P, 17, 3) float32: x, y in pixels, COCO's order, the person's own left and right; then 0 out of the picture
    (x and y 0), 1 hidden, 2 visible."""
    boxes: np.ndarray
    """(T, P, 4) float32: x0, y0, x1, y1 in pixels, of the whole person, hidden parts too, cut to the picture."""
    primitives: tuple[Performed, ...]
    """(person, name, start, end), seconds, in the order of the script."""
    objects: dict[str, np.ndarray]
    """Name to (T, 4) float32 boxes as above, NaN while it is not in the picture. Those of the action only."""

    def save(self, path: Path) -> None:
        """Write it as .npz without pickles: arrays, and `about`, a JSON text of the rest."""
        about = {"label": self.label, "fps": self.fps, "primitives": self.primitives, "objects": list(self.objects)}
        arrays = {f"object_{k}": boxes for k, boxes in enumerate(self.objects.values())}
        with path.open("wb") as file:
            arrays |= {"about": np.array(json.dumps(about)), "keypoints": self.keypoints, "boxes": self.boxes}
            np.savez_compressed(file, allow_pickle=False, **arrays)

    @classmethod
    def load(cls, path: Path) -> Truth:
        """Read what `save` wrote."""
        with np.load(path, allow_pickle=False) as file:
            about = json.loads(str(file["about"]))
            objects = {name: file[f"object_{k}"] for k, name in enumerate(about["objects"])}
            primitives = tuple((int(who), str(what), float(t0), float(t1)) for who, what, t0, t1 in about["primitives"])
            return cls(about["label"], about["fps"], file["keypoints"], file["boxes"], primitives, objects)
