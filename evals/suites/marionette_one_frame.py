"""How far one frame goes: nearest neighbours over all actions, by the pixels and by the true keypoints of one frame.

A benchmark of compositions should not be solved by a glance. Prints one line per figure with a 95 % interval from a
bootstrap over test clips, and beside them the same nearest neighbour given keypoints of the whole clip in order, the
oracle given the true primitives, and chance. Run as `python -m video_star.evals.suites.marionette_one_frame [--hard]`.
"""

from __future__ import annotations

from typing import Annotated, Final

import numpy as np
import typer
from PIL import Image

from ..marionette.actions import ACTIONS, oracle
from ..marionette.dataset import items
from ..marionette.film import Film, film
from ..runner import rate

SIDE: Final = 32
"""Pixels of a side to which a frame is scaled for comparison."""
MOMENTS: Final = 12
"""Frames that stand for the whole clip."""


def pixels(made: Film, frame: int) -> np.ndarray:
    """One frame as numbers (n,)."""
    return np.asarray(Image.fromarray(made.frames[frame]).resize((SIDE, SIDE)), np.float32).ravel()


def keypoints(made: Film, frames: np.ndarray) -> np.ndarray:
    """True keypoints of some frames as numbers (n,), without place and size in the picture; a missing person is 0."""
    boxes = made.boxes[frames]
    tall = max(1.0, float(np.nanmax(boxes[..., 3] - boxes[..., 1])))
    middle = np.nanmean((boxes[..., :2] + boxes[..., 2:]) / 2, (0, 1))
    both = np.zeros((len(frames), 2, 17, 2), np.float32)
    both[:, : boxes.shape[1]] = (made.keypoints[frames, ..., :2] - middle) / tall
    return both.ravel()


def nearest(train: np.ndarray, labels: np.ndarray, test: np.ndarray) -> np.ndarray:
    """The label of the training example (n, d) nearest to each test example (m, d), by Euclidean distance."""
    return labels[[int(((train - one) ** 2).sum(1).argmin()) for one in test]]


def measure(rounds: int, seed: int, hard: bool) -> dict[str, np.ndarray]:
    """Which test clips, the last quarter of `rounds` through the actions, each method gets right (n,) bool."""
    draw = np.random.default_rng(seed)
    seen: dict[str, list[np.ndarray]] = {"pixels of one frame": [], "keypoints of one frame": []}
    seen |= {f"keypoints of {MOMENTS} frames in order": []}
    labels, told = [], []
    for item in items(rounds * len(ACTIONS), seed, hard):
        made = film(item.label, item.seed, hard=hard)
        frame = int(draw.integers(len(made.frames)))
        whole = np.linspace(0, len(made.frames) - 1, MOMENTS).round().astype(int)
        views = (pixels(made, frame), keypoints(made, np.array([frame])), keypoints(made, whole))
        for view, kept in zip(views, seen.values(), strict=True):
            kept.append(view)
        labels.append(item.label)
        told.append(oracle(made.primitives))
    names, cut = np.array(labels), len(labels) * 3 // 4
    right = {
        name: nearest(np.array(views[:cut]), names[:cut], np.array(views[cut:])) == names[cut:]
        for name, views in seen.items()
    }
    return right | {"oracle, from true primitives": np.array(told[cut:]) == names[cut:]}


def main(
    rounds: Annotated[int, typer.Option(min=2, help="Clips of each action, a quarter of them for testing.")] = 16,
    seed: Annotated[int, typer.Option(min=0, help="Of the clips.")] = 11,
    hard: Annotated[bool, typer.Option(help="Hard clips.")] = False,
) -> None:
    """Print how often each method names the action."""
    found = measure(rounds, seed, hard)
    for name, right in found.items():
        print(f"{name:<36}{rate(right.tolist())}  n={len(right)}")
    print(f"{'chance':<36}{100 / len(ACTIONS):>5.1f} %")


if __name__ == "__main__":
    typer.run(main)
