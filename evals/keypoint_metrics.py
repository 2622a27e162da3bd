"""How well people and their keypoints are found, by COCO's measures.

These are intersection over union (IoU), object keypoint similarity (OKS), and mean average precision by either.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from ..tools.vision.detections import Skeletons, box_areas, box_iou

SIGMAS: Final = np.array([26, 25, 25, 35, 35, 79, 79, 72, 72, 62, 62, 107, 107, 87, 87, 89, 89]) / 1000
"""How far annotators of COCO place each keypoint apart, in parts of a person's size (cocoeval.py, `kpt_oks_sigmas`)."""
BODY: Final = 0.53
"""Part of a box that a body fills, on average over COCO; ultralytics takes it where there are boxes only."""
THRESHOLDS: Final = np.linspace(0.5, 0.95, 10)
"""At which COCO averages, 0.5 to 0.95."""


@dataclass(frozen=True)
class Truth:
    """Who is in one picture: those of whom at least one keypoint is labelled."""

    boxes: np.ndarray
    """(people, 4): x0, y0, x1, y1 in pixels."""
    keypoints: np.ndarray
    """(people, 17, 3): x, y in pixels and COCO's visibility: 0 not labelled, 1 hidden, 2 seen."""


@dataclass(frozen=True)
class Accuracy:
    """How well one engine does on a set of pictures; all 0..1."""

    box_map: float
    """Mean average precision of boxes at an IoU of 0.5 to 0.95."""
    oks_map: float
    """The same of keypoints, by OKS."""
    found: float
    """Part of the people of whom there is a box with an IoU of at least 0.5."""
    mean_iou: float
    """Of the found."""
    mean_oks: float
    """Of the found."""


def oks(found: np.ndarray, true: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Object keypoint similarity of every found person with every true one: (n, m) in 0..1.

    OKS is the mean over labelled keypoints of exp(-d^2 / (2 s^2 k^2)) with k = 2 sigma and s^2 the person's area
    (Ronchi and Perona, "Benchmarking and error diagnosis in multi-instance pose estimation", 2017).

    Args:
        found: (n, 17, at least 2) x and y in pixels.
        true: (m, 17, 3) x, y and visibility; what is not labelled does not count, and of a person without labels
            the similarity is 0.
        sizes: (m,) area of each true person in square pixels.
    """
    apart = ((found[:, None, :, :2] - true[None, :, :, :2]) ** 2).sum(axis=3)
    near = np.exp(-apart / (2 * np.maximum(sizes, 1e-9)[:, None] * (2 * SIGMAS) ** 2))
    labelled = true[:, :, 2] > 0
    return np.asarray((near * labelled).sum(axis=2) / np.maximum(labelled.sum(axis=1), 1))


def average_precision(pictures: Sequence[tuple[np.ndarray, np.ndarray]], threshold: float) -> float:
    """COCO's average precision at one threshold: the mean of the best precision at 101 recalls.

    Args:
        pictures: For each, scores (n,) of what was found and its similarity (n, m) with what is there.
        threshold: The least similarity of a match. Best score first, each takes the most similar that is free.
    """
    there = sum(likeness.shape[1] for _, likeness in pictures)
    marks = [mark for scores, likeness in pictures for mark in _matched(scores, likeness, threshold)]
    if not there or not marks:
        return 0.0
    hits = np.cumsum([hit for _, hit in sorted(marks, key=lambda mark: -mark[0])])
    recall, precision = hits / there, hits / np.arange(1, len(hits) + 1)
    best_after = np.append(np.maximum.accumulate(precision[::-1])[::-1], 0)
    return float(best_after[np.searchsorted(recall, np.linspace(0, 1, 101))].mean())


def _matched(scores: np.ndarray, likeness: np.ndarray, threshold: float) -> list[tuple[float, bool]]:
    """The score of each person found in one picture, and whether it is somebody who is there."""
    free, marks = np.ones(likeness.shape[1], bool), []
    for i in np.argsort(-scores, kind="stable"):
        open_to = np.where(free, likeness[i], -1)
        best = int(open_to.argmax()) if len(open_to) else -1
        hit = best >= 0 and open_to[best] >= threshold
        if hit:
            free[best] = False
        marks.append((float(scores[i]), bool(hit)))
    return marks


def measure(found: Sequence[Skeletons], truths: Sequence[Truth]) -> Accuracy:
    """How well what an engine found in each picture fits who is there."""
    unions, alike, iou, likeness = [], [], [0.0], [0.0]
    for (boxes, _, keypoints), truth in zip(found, truths, strict=True):
        unions.append(box_iou(boxes, truth.boxes))
        alike.append(oks(keypoints, truth.keypoints, BODY * box_areas(truth.boxes)))
        # Of each true person the box that fits best, whatever else is found.
        for person, best in enumerate(unions[-1].argmax(axis=0) if len(boxes) else ()):
            iou.append(unions[-1][best, person])
            likeness.append(alike[-1][best, person])
    hits = np.array(iou) >= 0.5
    scores = [each for _, each, _ in found]

    def mean_average_precision(similarities: list[np.ndarray]) -> float:
        pictures = list(zip(scores, similarities, strict=True))
        return float(np.mean([average_precision(pictures, threshold) for threshold in THRESHOLDS]))

    return Accuracy(
        box_map=mean_average_precision(unions),
        oks_map=mean_average_precision(alike),
        found=float(hits.sum() / max(sum(len(truth.boxes) for truth in truths), 1)),
        mean_iou=float(np.mean(iou, where=hits)) if hits.any() else 0.0,
        mean_oks=float(np.mean(likeness, where=hits)) if hits.any() else 0.0,
    )
