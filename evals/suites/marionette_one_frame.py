"""How far a single frame goes: nearest neighbours over all actions, by the pixels or true keypoints of one frame.

A benchmark of compositions should not be solvable at a glance. Each accuracy has a 95 % confidence interval over the
test clips. For comparison: the same nearest neighbour given the keypoints of the whole clip in order, the oracle given
the true primitives, and chance. Run as `python -m video_star.evals.suites.marionette_one_frame [--hard]`.
"""

from __future__ import annotations

from typing import Annotated, Final

import numpy as np
import typer
from PIL import Image

from ..marionette.actions import ACTIONS, oracle
from ..marionette.clip_renderer import Film, film
from ..marionette.dataset import items
from ..metrics import accuracy
from . import run

SIDE: Final = 32
"""Frames are scaled to this many pixels a side for comparison."""
MOMENTS: Final = 12
"""Frames that represent a whole clip."""


def pixels(clip: Film, frame: int) -> np.ndarray:
    """One frame as a vector (n,)."""
    return np.asarray(Image.fromarray(clip.frames[frame]).resize((SIDE, SIDE)), np.float32).ravel()


def keypoints(clip: Film, frames: np.ndarray) -> np.ndarray:
    """True keypoints of some frames as a vector (n,), without position and size in the picture; 0 for nobody."""
    boxes = clip.boxes[frames]
    height = max(1.0, float(np.nanmax(boxes[..., 3] - boxes[..., 1])))
    centre = np.nanmean((boxes[..., :2] + boxes[..., 2:]) / 2, (0, 1))
    people = np.zeros((len(frames), 2, 17, 2), np.float32)
    people[:, : boxes.shape[1]] = (clip.keypoints[frames, ..., :2] - centre) / height
    return people.ravel()


def nearest(train: np.ndarray, labels: np.ndarray, test: np.ndarray) -> np.ndarray:
    """The label of the training example (n, d) nearest to each test example (m, d), by Euclidean distance."""
    return labels[[int(((train - one) ** 2).sum(1).argmin()) for one in test]]


def measure(rounds: int, seed: int, hard: bool) -> dict[str, np.ndarray]:
    """For each method, whether it is right on each test clip (n,); these are the last quarter of the rounds."""
    rng = np.random.default_rng(seed)
    features: dict[str, list[np.ndarray]] = {
        "pixels of one frame": [],
        "keypoints of one frame": [],
        f"keypoints of {MOMENTS} frames in order": [],
    }
    labels, by_oracle = [], []
    for item in items(rounds * len(ACTIONS), seed, hard):
        clip = film(item.label, item.seed, hard=hard)
        frame = int(rng.integers(len(clip.frames)))
        whole = np.linspace(0, len(clip.frames) - 1, MOMENTS).round().astype(int)
        vectors = pixels(clip, frame), keypoints(clip, np.array([frame])), keypoints(clip, whole)
        for vector, column in zip(vectors, features.values(), strict=True):
            column.append(vector)
        labels.append(item.label)
        by_oracle.append(oracle(clip.primitives))
    names, cut = np.array(labels), len(labels) * 3 // 4
    correct = {
        method: nearest(np.array(column[:cut]), names[:cut], np.array(column[cut:])) == names[cut:]
        for method, column in features.items()
    }
    return correct | {"oracle, from true primitives": np.array(by_oracle[cut:]) == names[cut:]}


def main(
    rounds: Annotated[int, typer.Option(min=2, help="Clips of each action; a quarter of them are for testing.")] = 16,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the clips.")] = 11,
    hard: Annotated[bool, typer.Option("--hard", help="Use hard clips.")] = False,
) -> None:
    """Print the accuracy of each method."""
    for method, correct in measure(rounds, seed, hard).items():
        print(f"{method:<36}{accuracy(correct.tolist())}  n={len(correct)}")
    print(f"{'chance':<36}{100 / len(ACTIONS):>5.1f} %")


if __name__ == "__main__":
    run(main)
