"""How measured motion agrees with what clips show: `python -m video_star.evals.suites.marionette_motion DATA`.

Prints precision and recall of each primitive that the clips' scripts name, a support of 0.5 or more counting as
measured, from the poses that the engine finds and, beside them, from the true keypoints: what fails on both is in the
measures, what fails on the first alone is in the poses. A script names what it is about, not all that its movements
show on the way (who kneels to a box sits down, too), so that a low precision may be right and a low recall is not.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Final

import numpy as np
import typer

from ...tools.motion.measure_motion import measure_motion
from ...tools.motion.motion_result import Motion
from ...tools.motion_primitives import PRIMITIVES
from ...tools.registry import fine_frames
from ...tools.video.clip import open_clip
from ...tools.vision.engines import engine
from ...tools.vision.pose import Poses, estimate_pose
from ..marionette.annotations import Annotations
from ..marionette.dataset import listing
from ..marionette.knowledge import visible_primitives
from . import run

MEASURED: Final = 0.5
"""Support from which a primitive counts as measured."""


@dataclass
class Tally:
    """Clips by primitive: what they show and what was measured."""

    right: Counter[str] = field(default_factory=Counter)
    """Shown and measured."""
    missed: Counter[str] = field(default_factory=Counter)
    """Shown and not measured."""
    other: Counter[str] = field(default_factory=Counter)
    """Measured where the script does not name it."""

    def add(self, shows: Iterable[str], motion: Motion) -> None:
        """Count one clip."""
        truth = set(shows)
        found = {p.name for p in motion.primitives if p.support >= MEASURED}
        self.right.update(truth & found)
        self.missed.update(truth - found)
        self.other.update(found - truth)

    def shown(self, name: str) -> int:
        """In how many clips the script names it."""
        return self.right[name] + self.missed[name]

    def rates(self, name: str) -> tuple[float, float]:
        """Precision and recall, 0..1; NaN where it was never measured, or is never shown."""
        right = self.right[name]
        measured, named = right + self.other[name], self.shown(name)
        return right / measured if measured else float("nan"), right / named if named else float("nan")


def true_poses(truth: Annotations, times: np.ndarray, size: tuple[int, int]) -> Poses:
    """The annotated people at these times, as if a model had found all of them that is in the picture.

    Args:
        truth: Of the clip.
        times: (frames,) seconds.
        size: Width and height of the picture.
    """
    at = np.clip(np.round(times * truth.fps).astype(int), 0, len(truth.keypoints) - 1)
    frame, person = np.nonzero(np.isfinite(truth.boxes[at]).all(axis=2))
    keypoints = truth.keypoints[at][frame, person]
    keypoints[:, :, 2] = keypoints[:, :, 2] > 0
    return Poses(
        times=times,
        size=size,
        frame=frame,
        boxes=truth.boxes[at][frame, person],
        scores=np.ones(len(frame), np.float32),
        tracks=person + 1,
        keypoints=keypoints,
    )


def motions(clip: Path) -> tuple[Motion, Motion]:
    """What is measured in `<data set>/clips/<id>.mp4`, from the poses that the engine finds and from the true ones."""
    span = open_clip(str(clip))
    frames, fine = span.frames(), fine_frames(span)
    found = estimate_pose(frames, engine().estimator)
    truth = Annotations.load(clip.parent.parent / "annotations" / f"{clip.stem}.npz")
    poses = found, true_poses(truth, frames.times, found.size)
    embedded, true = (measure_motion(one, frames, fine) for one in poses)
    return embedded, true


def compare(clips: Iterable[Path]) -> tuple[Tally, Tally]:
    """Tallies from the poses that the engine finds, and from the true ones."""
    tallies = Tally(), Tally()
    for clip in clips:
        for tally, motion in zip(tallies, motions(clip), strict=True):
            tally.add(visible_primitives(clip), motion)
    return tallies


def table(found: Tally, true: Tally) -> str:
    """A line for each primitive that is shown: its clips, then precision and recall in percent by either poses."""
    lines = [f"{'':<18}{'clips':>6}   {'poses found':>16}   {'true keypoints':>16}"]
    lines.append(f"{'primitive':<18}{'':>6}   {'precision recall':>16}   {'precision recall':>16}")
    for name in (name for name in PRIMITIVES if found.shown(name)):
        sides = "".join(
            "   " + "".join(f"{100 * rate:>8.0f}" if np.isfinite(rate) else f"{'-':>8}" for rate in tally.rates(name))
            for tally in (found, true)
        )
        lines.append(f"{name:<18}{found.shown(name):>6}{sides}")
    return "\n".join(lines)


def main(
    data: Annotated[Path, typer.Argument(help="A data set that `marionette make` wrote.")],
    split: Annotated[str, typer.Option(help="A listing under splits/lists/.")] = "base_train",
    clips: Annotated[int, typer.Option(min=0, help="Only so many, the first ones; 0 is all.")] = 0,
) -> None:
    """Print the table."""
    lines = listing(data, split).read_text(encoding="utf-8").splitlines()
    paths = [data / line.rsplit(maxsplit=1)[0] for line in lines]
    print(table(*compare(paths[: clips or None])))


if __name__ == "__main__":
    run(main)
