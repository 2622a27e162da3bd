"""How many people are found and invented, and under how many identities: `python -m video_star.evals.suites.people`.

People are compared with boxes marked by hand, on the marked frames alone. A marked person is found by a box with an
IoU of `SAME` or more. Any other box is invented, a second one on the same person too, except where most of it lies on
something marked as unclear (tiny, headless or blurred people, who are counted neither way).
"""

from __future__ import annotations

import csv
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Final

import numpy as np
import typer

from ...tools.errors import BadInput
from ...tools.video.clip import open_clip
from ...tools.vision.detections import box_areas, box_iou
from ...tools.vision.engines import engine
from ...tools.vision.people import People
from ...tools.vision.pose import estimate_pose
from ..marionette.annotations import Annotations

SAME: Final = 0.3
"""Smallest IoU of a box with a person that it finds: a skeleton's box has no hair, and a close-up's no trunk."""
UNCLEAR: Final = 0.5
"""Fraction of a box that must lie on something unclear for the box not to count."""
COLUMNS: Final = ("clip", "time", "person", "x0", "y0", "x1", "y1", "kind")
"""Of a file of labels: seconds, number of the person, box in percent of the picture's width and height, and `person`,
`unclear`, or `none` for a frame without people."""


@dataclass
class MarkedFrame:
    """The people in one frame."""

    people: dict[int, np.ndarray] = field(default_factory=dict)
    """Box (4,) by number: x0, y0, x1, y1 as fractions of the picture."""
    unclear: list[np.ndarray] = field(default_factory=list)
    """Boxes that count neither way."""


Marks = Mapping[float, MarkedFrame]
"""Marked frames of a clip by seconds."""


@dataclass
class Tally:
    """People of one clip or several."""

    found: int = 0
    missed: int = 0
    invented: int = 0
    identities: dict[tuple[str, int], set[int]] = field(default_factory=lambda: defaultdict(set))
    """Tracks by clip and person."""
    frames: int = 0
    """Analysed frames."""
    seconds: float = 0.0
    """Processor time of the analysis."""

    def add(self, clip: str, marks: Marks, people: People) -> None:
        """Count one clip."""
        for when, marked in marks.items():
            here = people.at(int(np.abs(people.times - when).argmin()))
            boxes = here.boxes / np.tile(np.array(people.size), 2)
            matched = _matched(boxes, marked.people)
            self.found += len(matched)
            self.missed += len(marked.people) - len(matched)
            self.invented += sum(
                i not in matched.values() and not _unclear(box, marked.unclear) for i, box in enumerate(boxes)
            )
            for person, i in matched.items():
                self.identities[clip, person].add(int(here.tracks[i]))

    def merge(self, other: Tally) -> None:
        """Add the counts of another tally."""
        self.found += other.found
        self.missed += other.missed
        self.invented += other.invented
        self.frames += other.frames
        self.seconds += other.seconds
        self.identities |= other.identities

    def line(self, name: str) -> str:
        """One line of the table."""
        tracks = [len(each) for each in self.identities.values()]
        each = f"{np.mean(tracks):9.2f}" if tracks else f"{'-':>9}"
        cost = f"{1000 * self.seconds / self.frames:9.0f}" if self.frames else f"{'-':>9}"
        return f"{name:<26}{self.found:>6} of {self.found + self.missed:>4}{self.invented:>10}{each}{cost}"


def read_marks(path: Path) -> dict[str, dict[float, MarkedFrame]]:
    """The marked frames of each clip, by file name.

    Raises:
        BadInput: The file has other columns.
    """
    marks: dict[str, dict[float, MarkedFrame]] = {}
    with path.open(encoding="utf-8", newline="") as file:
        rows = csv.DictReader(file)
        if tuple(rows.fieldnames or ()) != COLUMNS:
            raise BadInput(f"{path} has the columns {rows.fieldnames}; give a file with {','.join(COLUMNS)}")
        for row in rows:
            frame = marks.setdefault(row["clip"], {}).setdefault(float(row["time"]), MarkedFrame())
            if row["kind"] == "none":
                continue
            box = np.array([float(row[name]) for name in COLUMNS[3:7]]) / 100
            if row["kind"] == "person":
                frame.people[int(row["person"])] = box
            else:
                frame.unclear.append(box)
    return marks


def annotated(truth: Annotations, size: tuple[int, int], times: Sequence[float]) -> Marks:
    """The annotated people of a Marionette clip at these times."""
    frames: dict[float, MarkedFrame] = {}
    for when in times:
        boxes = truth.boxes[min(round(when * truth.fps), len(truth.boxes) - 1)] / np.tile(np.array(size), 2)
        frames[when] = MarkedFrame({n: box for n, box in enumerate(boxes, 1) if np.isfinite(box).all()})
    return frames


def _matched(boxes: np.ndarray, people: Mapping[int, np.ndarray]) -> dict[int, int]:
    """Index of the box that finds each person, highest IoU first, each box used once."""
    numbers = list(people)
    if not numbers or not len(boxes):
        return {}
    overlap = box_iou(np.stack([people[n] for n in numbers]), boxes)
    matched: dict[int, int] = {}
    for flat in np.argsort(-overlap, axis=None):
        person, i = divmod(int(flat), len(boxes))
        if overlap[person, i] >= SAME and numbers[person] not in matched and i not in matched.values():
            matched[numbers[person]] = i
    return matched


def _unclear(box: np.ndarray, unclear: Sequence[np.ndarray]) -> bool:
    common = [np.concatenate([np.maximum(box, u)[:2], np.minimum(box, u)[2:]]) for u in unclear]
    shared = float(box_areas(np.stack(common)).max()) if common else 0.0
    return shared >= UNCLEAR * float(box_areas(box[None])[0])


def measure(path: Path, marks: Marks | None) -> Tally:
    """What the configured engine finds in a clip; without marks, those of a Marionette clip's annotations."""
    clip = open_clip(str(path))
    frames = clip.frames()
    began = time.process_time()
    people = estimate_pose(frames, engine().estimator)
    tally = Tally(frames=len(frames.times), seconds=time.process_time() - began)
    if marks is None:
        truth = Annotations.load(path.parent.parent / "annotations" / f"{path.stem}.npz")
        marks = annotated(truth, people.size, frames.times.tolist())
    tally.add(path.name, marks, people)
    return tally


def main(
    labels: Annotated[
        Path | None, typer.Argument(help="A file of labels, such as tests/evals/people_boxes.csv.")
    ] = None,
    clips: Annotated[Path | None, typer.Argument(help="The folder of its clips.")] = None,
    marionette: Annotated[Path | None, typer.Option(help="Also the clips of a Marionette data set.")] = None,
) -> None:
    """Print the table: people found and invented, identities a person, and milliseconds a frame."""
    jobs: list[tuple[str, Path, Marks | None]] = []
    if labels and clips:
        jobs += [("marked by hand", clips / name, marks) for name, marks in read_marks(labels).items()]
    if marionette:
        jobs += [("Marionette", path, None) for path in sorted((marionette / "clips").iterdir())]
    print(f"{'':<26}{'found':>14}{'invented':>10}{'tracks':>9}{'ms/frame':>9}")
    totals: dict[str, Tally] = defaultdict(Tally)
    for kind, path, marks in jobs:
        tally = measure(path, marks)
        print(tally.line(path.name), flush=True)
        totals[kind].merge(tally)
    for kind, total in totals.items():
        print(total.line(f"all {kind}"))


if __name__ == "__main__":
    typer.run(main)
