"""OpenPose (Cao et al. 2019) from an ONNX export: `VIDEO_STAR_VISION=openpose:/path/model.onnx`.

Bottom-up: the network gives a heat map for each body part and a part affinity field for each limb. Peaks of the maps
are connected along the fields, and connected limbs become people. Models with the 18 parts of COCO and with BODY_25 are
read, with maps and fields as two outputs or as one; tables as in `poseParameters.cpp` of the published code.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from ..errors import BadWeights
from ..execution.cancellation import check_cancelled
from ..video.reader import Frames
from .detections import Detections, Engine, Skeletons
from .letterbox import Letterbox
from .onnx_model import OnnxModel

SIZE: Final = 368
"""Pixels of the longer side of the input where the export accepts any size."""
MIN_PEAK: Final = 0.1
"""Height of a heat map from which a peak is a body part."""
SAMPLES: Final = 10
"""Points along a limb at which its field is read."""
MIN_ALONG: Final = 0.05
"""Component of the field along the limb that counts as agreement."""
MIN_AGREEING: Final = 0.8
"""Proportion of the samples that must agree."""
MIN_PARTS: Final = 4
"""Parts of a person who counts."""
MIN_SCORE: Final = 0.2
"""Mean height of the parts of a person who counts."""
LICENCE: Final = "OpenPose's published weights are for non-commercial research only"
MARGIN: Final = 0.1
"""Margin of a box around the keypoints, in its own width and height."""


@dataclass(frozen=True)
class Layout:
    """What the channels of a model mean."""

    parts: int
    limbs: tuple[tuple[int, int], ...]
    """Pairs of parts."""
    fields: tuple[int, ...]
    """For each limb the channel of the x component of its field; y is the next one."""
    coco: tuple[int, ...]
    """For each of the 17 keypoints of COCO, the part."""


COCO_18: Final = Layout(
    18,
    ((1, 2), (1, 5), (2, 3), (3, 4), (5, 6), (6, 7), (1, 8), (8, 9), (9, 10), (1, 11), (11, 12), (12, 13), (1, 0),
     (0, 14), (14, 16), (0, 15), (15, 17), (2, 16), (5, 17)),
    (12, 20, 14, 16, 22, 24, 0, 2, 4, 6, 8, 10, 28, 30, 34, 32, 36, 18, 26),
    (0, 15, 14, 17, 16, 5, 2, 6, 3, 7, 4, 11, 8, 12, 9, 13, 10),
)  # fmt: skip
BODY_25: Final = Layout(
    25,
    ((1, 8), (1, 2), (1, 5), (2, 3), (3, 4), (5, 6), (6, 7), (8, 9), (9, 10), (10, 11), (8, 12), (12, 13), (13, 14),
     (1, 0), (0, 15), (15, 17), (0, 16), (16, 18), (2, 17), (5, 18), (14, 19), (19, 20), (14, 21), (11, 22), (22, 23),
     (11, 24)),
    (0, 14, 22, 16, 18, 24, 26, 6, 2, 4, 8, 10, 12, 30, 32, 36, 34, 38, 20, 28, 40, 42, 44, 46, 48, 50),
    (0, 16, 15, 18, 17, 5, 2, 6, 3, 7, 4, 12, 9, 13, 10, 14, 11),
)  # fmt: skip


class OpenPose:
    """One exported model, loaded on first use."""

    def __init__(self, weights: Path) -> None:
        self._weights = weights
        self._model = OnnxModel(weights)

    def people(self, frames: Frames) -> list[Detections]:
        """The people of each frame, in pixels of `frames.images`, best score first."""
        return [(boxes, scores) for boxes, scores, _ in self.poses(frames)]

    def poses(self, frames: Frames) -> list[Skeletons]:
        """The people of each frame with their keypoints, in pixels of `frames.images`, best score first.

        Raises:
            BadWeights: The outputs are not those of an OpenPose body model.
        """
        found: list[Skeletons] = []
        height, width = self._model.shape[2:4]
        box = Letterbox.fit(frames.images.shape[1:3], (height, width) if height and width else SIZE)
        for image in frames.images:
            check_cancelled()
            # As in training: blue, green, red, from -0.5 to 0.5.
            inputs = (box.apply(image)[::-1] * (255 / 256) - 0.5).astype(np.float32)
            maps, fields, layout = self._split(self._model(inputs[None]))
            people = decode(maps, fields, layout)
            # A cell of the maps is as many pixels of the input as it is smaller.
            cell = box.outer[0] / maps.shape[2], box.outer[1] / maps.shape[1]
            people[:, :, :2] = box.invert((people[:, :, :2] + 0.5) * cell - 0.5)
            found.append(_skeletons(people[:, layout.coco], people, box.picture))
        return found

    def _split(self, outputs: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray, Layout]:
        """Heat maps (parts, h, w), fields (2 * limbs, h, w), and the layout."""
        every = [np.nan_to_num(each[0], nan=0, posinf=0, neginf=0) for each in outputs if each.ndim == 4]
        for layout in (COCO_18, BODY_25):
            counts = layout.parts + 1, 2 * len(layout.limbs)
            if [len(each) for each in every] == [sum(counts)]:
                return every[0][: layout.parts], every[0][counts[0] :], layout
            # The maps of the last stage come last.
            by_size = {len(each): each for each in every}
            if set(counts) <= by_size.keys():
                return by_size[counts[0]][: layout.parts], by_size[counts[1]], layout
        shapes = [each.shape for each in outputs]
        raise BadWeights(
            f"{self._weights.name} has outputs {shapes}, not those of an OpenPose body model with 18 or 25 parts; give "
            "another export"
        )


def decode(maps: np.ndarray, fields: np.ndarray, layout: Layout) -> np.ndarray:
    """Connect body parts to people.

    Args:
        maps: (parts, h, w) heat maps in [0, 1].
        fields: (2 * limbs, h, w) part affinity fields: x and y of the unit vector along a limb, 0 elsewhere.
        layout: What the channels mean.

    Returns:
        (people, parts, 3): x and y in cells of the maps, cell centres at integers, and the height of the map; all 0 for
        a part that was not found. Best score first.
    """
    peaks = [_peaks(each) for each in maps]
    people: list[dict[int, int]] = []
    for (one, other), channel in zip(layout.limbs, layout.fields, strict=True):
        for a, b in _connections(peaks[one], peaks[other], fields[channel : channel + 2]):
            _connect(people, (one, a), (other, b))
    found = np.zeros((len(people), layout.parts, 3))
    for row, person in zip(found, people, strict=True):
        for part, peak in person.items():
            row[part] = peaks[part][peak]
    counts = (found[:, :, 2] > 0).sum(axis=1)
    scores = found[:, :, 2].sum(axis=1) / np.maximum(counts, 1)
    kept = np.flatnonzero((counts >= MIN_PARTS) & (scores >= MIN_SCORE))
    return np.asarray(found[kept[np.argsort(-scores[kept], kind="stable")]])


def _peaks(heat: np.ndarray) -> np.ndarray:
    """(n, 3) x, y and height of the local maxima of a map, refined by a parabola through the neighbours."""
    padded = np.pad(heat, 1, constant_values=-np.inf)
    height, width = heat.shape
    around = [padded[1 + dy : 1 + dy + height, 1 + dx : 1 + dx + width] for dy, dx in ((0, 1), (1, 0))]
    before = [padded[1 + dy : 1 + dy + height, 1 + dx : 1 + dx + width] for dy, dx in ((0, -1), (-1, 0))]
    # Of two equal neighbours only one is a peak.
    top = (heat >= MIN_PEAK) & np.all([heat > each for each in before] + [heat >= each for each in around], axis=0)
    y, x = np.nonzero(top)
    refined = [
        (i + _vertex(padded[j + 1, i : i + 3]), j + _vertex(padded[j : j + 3, i + 1]), heat[j, i])
        for j, i in zip(y, x, strict=True)
    ]
    return np.array(refined).reshape(-1, 3)


def _vertex(three: np.ndarray) -> float:
    """Position of the vertex of a parabola through three heights, relative to the middle one: -0.5 to 0.5."""
    left, middle, right = three
    curve = left - 2 * middle + right
    if not np.isfinite(curve) or curve >= 0:
        return 0.0
    return float(np.clip(0.5 * (left - right) / curve, -0.5, 0.5))


def _connections(starts: np.ndarray, ends: np.ndarray, field: np.ndarray) -> list[tuple[int, int]]:
    """The pairs of peaks that the field connects, each peak at most once, best first."""
    if not len(starts) or not len(ends):
        return []
    along = ends[None, :, :2] - starts[:, None, :2]
    length = np.linalg.norm(along, axis=2)
    steps = np.linspace(0, 1, SAMPLES)[:, None, None, None]
    points = (starts[None, :, None, :2] + steps * along).round().astype(int)
    x, y = points[..., 0].clip(0, field.shape[2] - 1), points[..., 1].clip(0, field.shape[1] - 1)
    unit = along / np.maximum(length, 1e-6)[..., None]
    agreement = field[0][y, x] * unit[..., 0] + field[1][y, x] * unit[..., 1]
    # A limb longer than half of the image is unlikely.
    score = agreement.mean(axis=0) + np.minimum(0.5 * field.shape[1] / np.maximum(length, 1e-6) - 1, 0)
    good = ((agreement > MIN_ALONG).mean(axis=0) >= MIN_AGREEING) & (score > 0) & (length > 0)
    chosen: list[tuple[int, int]] = []
    for k in np.argsort(-score, axis=None, kind="stable"):
        a, b = divmod(int(k), len(ends))
        if good[a, b] and all(a != i and b != j for i, j in chosen):
            chosen.append((a, b))
    return chosen


def _connect(people: list[dict[int, int]], one: tuple[int, int], other: tuple[int, int]) -> None:
    """Add a limb, as two (part, peak), to the person it belongs to; it may join two, or begin a new one."""
    holders = [person for person in people if person.get(one[0]) == one[1] or person.get(other[0]) == other[1]]
    if not holders:
        people.append(dict((one, other)))
    elif len(holders) == 1:
        for part, peak in (one, other):
            holders[0].setdefault(part, peak)
    elif not holders[0].keys() & holders[1].keys():
        holders[0].update(holders[1])
        people.remove(holders[1])


def _skeletons(keypoints: np.ndarray, parts: np.ndarray, picture: tuple[int, int]) -> Skeletons:
    """Boxes around all parts, scores, and keypoints (people, 17, 3)."""
    seen = parts[:, :, 2:] > 0
    low = np.where(seen, parts[:, :, :2], np.inf).min(axis=1, initial=np.inf)
    high = np.where(seen, parts[:, :, :2], -np.inf).max(axis=1, initial=-np.inf)
    margin = MARGIN * (high - low)
    boxes = np.concatenate([np.clip(low - margin, 0, picture), np.clip(high + margin, 0, picture)], axis=1)
    kept = (boxes[:, 2:] > boxes[:, :2]).all(axis=1)
    scores = parts[:, :, 2].sum(axis=1) / np.maximum(seen[:, :, 0].sum(axis=1), 1)
    visible = np.where(keypoints[:, :, 2:] > 0, keypoints, 0).clip(0, (*picture, 1))
    return boxes[kept].astype(np.float32), scores[kept].clip(0, 1).astype(np.float32), visible[kept].astype(np.float32)


def engine(path: str) -> Engine:
    """The engine named by `openpose:PATH`."""
    return Engine("openpose-1", model := OpenPose(Path(path).expanduser().resolve()), model, LICENCE)
