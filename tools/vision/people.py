"""People in the frames of a clip: boxes, scores and who is who, found by a detector that ships with the package."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, ClassVar, Final, Protocol, Self, TypeVar

import numpy as np
from PIL import Image

from ..video.reader import Frames
from .tracking import areas, overlaps, renumber, track

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

WEIGHTS: Final = Path(__file__).parents[1] / "weights"
NAMED: Final = 12
"""Most people a summary describes one by one."""
FLEETING: Final = 0.6
"""Somebody seen in one frame only must score at least this to be believed."""

Detections = tuple[np.ndarray, np.ndarray]
"""Boxes (people, 4) float32 as x0, y0, x1, y1 in pixels of the picture looked at, and scores (people,) float32 0..1."""


@dataclass(frozen=True)
class People:
    """Everybody found in a clip: one detection is one person in one frame.

    Raises:
        ValueError: The arrays do not fit each other, or hold values that are not finite.
    """

    PER_DETECTION: ClassVar[tuple[str, ...]] = ("frame", "boxes", "scores", "tracks")

    times: np.ndarray
    """(frames,) float64, seconds of the video."""
    size: tuple[int, int]
    """Width and height in pixels of the original picture."""
    frame: np.ndarray
    """(detections,) int64, index into `times`, never decreasing."""
    boxes: np.ndarray
    """(detections, 4) float32: x0, y0, x1, y1 in pixels of the original picture."""
    scores: np.ndarray
    """(detections,) float32, 0..1."""
    tracks: np.ndarray
    """(detections,) int64: the person's identity across frames, from 1 in order of first appearance."""

    def __post_init__(self) -> None:
        count = len(self.frame)
        for name, shape in {"frame": (), "boxes": (4,), "scores": (), "tracks": ()}.items():
            check_array(name, getattr(self, name), (count, *shape))
        check_array("times", self.times, (len(self.times),))
        if count and not (0 <= self.frame.min() and self.frame.max() < len(self.times)):
            raise ValueError(f"frame holds an index outside 0..{len(self.times) - 1}; index into times")
        if (np.diff(self.frame) < 0).any():
            raise ValueError("frame must not decrease; sort the detections by frame")
        if count and self.tracks.min() < 1:
            raise ValueError("tracks are numbered from 1; 0 names nobody")

    @classmethod
    def empty(cls, times: np.ndarray, size: tuple[int, int]) -> Self:
        """Nobody at any of these times."""
        none = np.zeros(0, np.int64)
        return cls(times, size, none, np.zeros((0, 4), np.float32), np.zeros(0, np.float32), none)

    def __len__(self) -> int:
        return len(self.frame)

    def where(self, mask: np.ndarray) -> Self:
        """The detections that `mask` ((detections,) bool) keeps."""
        return replace(self, **{name: getattr(self, name)[mask] for name in self.PER_DETECTION})

    def at(self, frame_index: int) -> Self:
        """The detections of one frame."""
        return self.where(self.frame == frame_index)

    def of(self, track: int) -> Self:
        """The detections of one person."""
        return self.where(self.tracks == track)

    def most_present(self, most: int) -> list[Self]:
        """One result per person of the `most` seen in most frames, in order of their numbers."""
        numbers, counts = np.unique(self.tracks, return_counts=True)
        chosen = np.lexsort((numbers, -counts))[:most]
        return [self.of(int(number)) for number in np.sort(numbers[chosen])]

    def summary(self) -> str:
        """Who is there, when, where and how large, in words and with times in seconds."""
        if not len(self):
            return f"No people found in {len(self.times)} frames."
        count, together = len(np.unique(self.tracks)), int(np.bincount(self.frame).max())
        lines = ["1 person." if count == 1 else f"{count} people, at most {together} at once."]
        lines += [person.whereabouts() for person in self.most_present(NAMED)]
        if count > NAMED:
            lines.append(f"{count - NAMED} more, seen more briefly.")
        return " ".join(lines)

    def whereabouts(self) -> str:
        """One person's sentence: when they are seen, where in the picture, how large. Takes the result of `of`."""
        places = [_place(box, self.size) for box in self.boxes[[0, -1]]]
        where = places[0] if places[0] == places[1] else f"from {places[0]} to {places[1]}"
        height = float(np.median(self.boxes[:, 3] - self.boxes[:, 1])) / self.size[1]
        first, last = self.times[self.frame[[0, -1]]]
        when = f"{first:.1f} to {last:.1f} s" if len(self) > 1 else f"only at {first:.1f} s"
        return f"Person {self.tracks[0]}: {when}, {where}, about {min(height, 1):.0%} of the picture's height."


P = TypeVar("P", bound=People)


class PersonDetector(Protocol):
    """What finds people; an adapter for another model is one of these."""

    def people(self, frames: Frames) -> Sequence[Detections]:
        """The people of each frame, in pixels of `frames.images`."""
        ...


class SsdLite:
    """SSDLite person detector on onnxruntime, 300x300 input; large pictures with small people are seen in tiles too.

    Safe to share between threads; the model is read at first use.
    """

    LEAST_SCORE: Final = 0.4
    TILE: Final = 0.6
    """Side of a tile as a part of the picture's: four overlap by a fifth, so that most people fit whole in one."""
    LARGE: Final = 400
    """Pixels of the short side from which on tiles show more than the whole picture shrunk to 300 pixels."""

    def __init__(self, weights: Path = WEIGHTS / "ssdlite_person.onnx") -> None:
        self._weights = weights
        self._lock = Lock()
        self._session: InferenceSession | None = None

    def people(self, frames: Frames) -> list[Detections]:
        """The people of each frame, in pixels of `frames.images`."""
        return [self.look(Image.fromarray(image)) for image in frames.images]

    def look(self, picture: Image.Image) -> Detections:
        """The people of one picture, best score first."""
        boxes, scores = self._look_at(picture, (0.0, 0.0, picture.width, picture.height))
        tallest = float((boxes[:, 3] - boxes[:, 1]).max(initial=0))
        if min(picture.size) >= self.LARGE and tallest < picture.height / 2:
            parts = [self._look_at(picture, tile) for tile in _tiles(picture.size, self.TILE)]
            boxes = np.concatenate([boxes, *(part[0] for part in parts)])
            scores = np.concatenate([scores, *(part[1] for part in parts)])
        kept = suppress(boxes, scores)
        return boxes[kept], scores[kept]

    def _look_at(self, picture: Image.Image, part: tuple[float, float, float, float]) -> Detections:
        pixels = np.asarray(picture.resize((300, 300), Image.Resampling.BILINEAR, box=part))
        _, found, scores, classes = self._loaded().run(None, {"image_tensor:0": pixels[None]})
        kept = (scores[0] >= self.LEAST_SCORE) & (classes[0] == 1)
        corners = np.clip(found[0][kept][:, [1, 0, 3, 2]], 0, 1)
        x0, y0, x1, y1 = part
        boxes = corners * [x1 - x0, y1 - y0, x1 - x0, y1 - y0] + [x0, y0, x0, y0]
        whole = ~_cut(corners, part, picture.size)
        return boxes[whole].astype(np.float32), scores[0][kept][whole].astype(np.float32)

    def _loaded(self) -> InferenceSession:
        with self._lock:
            if self._session is None:
                import onnxruntime

                options = onnxruntime.SessionOptions()
                # One, as in `blazepose`: calls at once use the other cores.
                options.intra_op_num_threads = 1
                self._session = onnxruntime.InferenceSession(
                    str(self._weights), options, providers=["CPUExecutionProvider"]
                )
            return self._session


SSDLITE: Final = SsdLite()
"""The embedded detector, one per process."""


def detect_people(frames: Frames, detector: PersonDetector | None = None) -> People:
    """Find the people of every frame and follow them through the clip.

    Args:
        frames: The frames to look at; boxes come back in pixels of the original, `frames.scale` undone.
        detector: The model that looks; that of `engines.engine` by default.
    """
    from .engines import engine

    found = (detector or engine().detector).people(frames)
    boxes = np.concatenate([np.zeros((0, 4), np.float32), *(boxes for boxes, _ in found)])
    return follow(
        People(
            times=frames.times,
            size=original_size(frames),
            frame=np.repeat(np.arange(len(found)), [len(scores) for _, scores in found]),
            boxes=boxes / np.float32(frames.scale),
            scores=np.concatenate([np.zeros(0, np.float32), *(scores for _, scores in found)]),
            tracks=np.ones(len(boxes), np.int64),
        )
    )


def follow(people: P, keypoints: np.ndarray | None = None) -> P:
    """The same detections with identities, without the people glimpsed in a single frame at a doubtful score."""
    tracks = track(people.frame, people.boxes, people.scores, people.times, keypoints)
    fleeting = (np.bincount(tracks)[tracks] == 1) & (people.scores < FLEETING) & (len(people.times) > 4)
    return replace(replace(people, tracks=tracks).where(~fleeting), tracks=renumber(tracks[~fleeting]))


def suppress(boxes: np.ndarray, scores: np.ndarray, overlap: float = 0.5, inside: float = 0.8) -> np.ndarray:
    """Non-maximum suppression: the indices to keep, best score first.

    Args:
        boxes: (n, 4) x0, y0, x1, y1.
        scores: (n,).
        overlap: A box goes when its intersection over union with a better one reaches this.
        inside: A box goes when a better one and it share this part of the smaller of the two: half a person found
            beside the whole, as tiles and close-ups give.
    """
    union = overlaps(boxes, boxes)
    size = areas(boxes)
    shared = union / (1 + union) * (size[:, None] + size[None])
    rival = (union >= overlap) | (shared >= inside * np.minimum(size[:, None], size[None]))
    kept: list[int] = []
    for i in np.argsort(-scores, kind="stable"):
        if not rival[i, kept].any():
            kept.append(int(i))
    return np.array(kept, np.int64)


def original_size(frames: Frames) -> tuple[int, int]:
    """Width and height in pixels of the picture before `frames.scale` shrank it."""
    height, width = frames.images.shape[1:3]
    return round(width / frames.scale), round(height / frames.scale)


def check_array(name: str, array: np.ndarray, shape: tuple[int, ...]) -> None:
    """Raise `ValueError` unless the array has this shape and holds finite numbers only."""
    if array.shape != shape:
        raise ValueError(f"{name} has shape {array.shape}; the other arrays call for {shape}")
    if not np.isfinite(array).all():
        raise ValueError(f"{name} holds values that are not finite; leave such detections out")


def _place(box: np.ndarray, size: tuple[int, int]) -> str:
    """Where in the picture a box lies, in words; upper and lower are named only away from the middle."""
    x, y = (box[:2] + box[2:]) / 2 / size
    across = ("far left", "left of centre", "centre", "right of centre", "far right")[int(np.clip(x * 5, 0, 4))]
    return across if 0.3 <= y <= 0.7 else f"{across}, {'upper' if y < 0.3 else 'lower'} part"


def _tiles(size: tuple[int, int], part: float) -> list[tuple[float, float, float, float]]:
    """Four overlapping tiles, one in each corner, `part` of the picture wide and high: x0, y0, x1, y1."""
    (width, height), rest = size, 1 - part
    return [
        (x * rest * width, y * rest * height, (x * rest + part) * width, (y * rest + part) * height)
        for y in (0, 1)
        for x in (0, 1)
    ]


def _cut(corners: np.ndarray, part: tuple[float, float, float, float], size: tuple[int, int]) -> np.ndarray:
    """Which boxes (n, 4; 0..1 of the tile) touch an edge of the tile that is no edge of the picture: (n,) bool."""
    inner = np.array([part[0] > 0, part[1] > 0, part[2] < size[0] - 1, part[3] < size[1] - 1])
    near = np.concatenate([corners[:, :2] < 0.02, corners[:, 2:] > 0.98], axis=1)
    return np.asarray((near & inner).any(axis=1))
