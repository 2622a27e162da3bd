"""How often measured motion is right on clips whose motion is known: `python -m video_star.evals.suites.motion`.

Clips come from the Tabletop generator, half with a hand-held camera. Each is written as mp4 and read back by our own
reader. Rates come with 95 % Wilson intervals.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

import numpy as np
import typer

from ...tools.motion.measure_motion import measure_motion
from ...tools.motion.measurements import Measurements
from ...tools.motion.motion_result import Motion
from ...tools.registry import fine_frames, tool
from ...tools.video.clip import open_clip
from ...tools.vision.pose import Poses
from ..metrics import wilson
from ..tabletop.renderer import DIRECTIONS, render, write
from ..tabletop.scenarios import SCENARIOS
from . import run

TARGET: Final = 0.95
TARGETED: Final = ("direction", "order", "count")
"""Kinds that must reach the target; the rest is reported."""
_DIRECTIONS: Final = (*(f"thing_moves_{way}" for way in DIRECTIONS), "thing_nears", "thing_recedes")
_HANDLED: Final = ("thing_lifted", "thing_put_down", "thing_falls")
_LEAVES: Final = ("thing_opens", "thing_closes")
_CAMERA: Final = (*(f"camera_turns_{way}" for way in DIRECTIONS), "camera_nears", "camera_recedes")


@dataclass(frozen=True, slots=True)
class Outcome:
    """Ground truth and measurement of one clip."""

    kind: str
    held: bool
    """Whether the camera moved; in clips about the camera, whether a thing moved too."""
    seed: int
    truth: tuple[str, ...]
    found: tuple[str, ...]

    @property
    def right(self) -> bool:
        """Whether the measurement equals the truth."""
        return self.found == self.truth


def measure(kinds: Sequence[str], clips: int, seed: int, poses: bool = False) -> Iterator[Outcome]:
    """Make clips and measure them.

    Args:
        kinds: Names of `SCENARIOS`.
        clips: How many of each; the camera moves in every other one.
        seed: Clip k of a kind is drawn from seed + k.
        poses: Whether people are looked for too, as in use, which takes ten times as long; else nobody is there.
    """
    with tempfile.TemporaryDirectory() as folder:
        for kind in kinds:
            for k in range(clips):
                rng, held = np.random.default_rng((seed, k)), bool(k % 2)
                scene = SCENARIOS[kind](rng, held)
                path = Path(folder) / f"{kind}-{k}.mp4"
                write(path, render(scene, rng), scene.fps)
                measured = _motion(path, poses).measurements()
                path.unlink()
                yield Outcome(kind, held, k, scene.truth, _READ[kind](measured))


def _motion(path: Path, poses: bool) -> Motion:
    clip = open_clip(str(path))
    if poses:
        motion: Motion = tool("track_motion").run(clip, (), 0).result
        return motion
    frames = clip.frames()
    size = clip.info.width, clip.info.height
    return measure_motion(Poses.empty(frames.times, size), frames, fine_frames(clip))


def _clearest(names: Sequence[str]) -> Callable[[Measurements], tuple[str, ...]]:
    """The clearest of these primitives, if any was observed."""

    def read(observed: Measurements) -> tuple[str, ...]:
        seen = [name for name in names if name in observed.support]
        return (max(seen, key=lambda name: observed.support[name]),) if seen else ()

    return read


def _moves(observed: Measurements) -> tuple[str, ...]:
    """The clearest directions in which objects moved, in order of start."""
    names = [name for name, _ in observed.order if name in _DIRECTIONS[:4] and observed.support[name] >= 0.5]
    return tuple(dict.fromkeys(names))


def _times(observed: Measurements) -> tuple[str, ...]:
    return (f"{observed.repeated[0].times:g}" if observed.repeated else "0",)


_READ: Final[dict[str, Callable[[Measurements], tuple[str, ...]]]] = {
    "direction": _clearest(_DIRECTIONS),
    "order": _moves,
    "count": _times,
    "contact": _clearest(("things_meet",)),
    "handling": _clearest(_HANDLED),
    "opening": _clearest(_LEAVES),
    "camera": _clearest(_CAMERA),
}


def rate_line(name: str, outcomes: Sequence[Outcome]) -> str:
    """One line: how many, the part that is right in percent, and its interval."""
    right = sum(outcome.right for outcome in outcomes)
    rate = wilson(right, len(outcomes))
    return f"{name:<32} {right:>4} of {len(outcomes):>4}  {rate.value:6.1%} [{rate.low:6.1%}, {rate.high:6.1%}]"


def under_target(outcomes: Sequence[Outcome]) -> list[str]:
    """The targeted kinds below the target."""
    rights = {name: [o.right for o in outcomes if o.kind == name] for name in TARGETED}
    return [name for name, right in rights.items() if sum(right) < TARGET * len(right)]


def main(
    clips: Annotated[int, typer.Option(help="Clips of each kind.")] = 200,
    seed: Annotated[int, typer.Option(help="Thresholds were chosen on seeds 0 to 4.")] = 5,
    kind: Annotated[list[str] | None, typer.Option(help="Only these kinds.")] = None,
    poses: Annotated[bool, typer.Option(help="Look for people too, as in use.")] = False,
    misses: Annotated[bool, typer.Option(help="Print every miss.")] = False,
) -> None:
    """Print the rates; exit 1 where direction, order or count is under the target."""
    kinds = kind or list(SCENARIOS)
    done: list[Outcome] = []
    for name in kinds:
        of_kind = list(measure([name], clips, seed, poses))
        done += of_kind
        moving = "a thing moves too" if name == "camera" else "camera moves"
        still = "nothing else moves" if name == "camera" else "camera still"
        print(rate_line(name, of_kind), flush=True)
        for held, words in ((False, still), (True, moving)):
            if some := [outcome for outcome in of_kind if outcome.held == held]:
                print(rate_line(f"  {words}", some), flush=True)
        if misses:
            for miss in (outcome for outcome in of_kind if not outcome.right):
                wanted, found = " then ".join(miss.truth) or "nothing", " then ".join(miss.found) or "nothing"
                print(f"    miss {miss.seed}: wants {wanted}; found {found}")
    under = under_target(done)
    print(
        f"{'FAIL' if under else 'PASS'}  target {TARGET:.0%} of direction, order and count"
        + "".join(f" {n}" for n in under)
    )
    sys.exit(1 if under else 0)


if __name__ == "__main__":
    run(main)
