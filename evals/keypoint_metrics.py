"""COCO metrics of person detection and pose estimation: IoU, object keypoint similarity, mean average precision."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from ..tools.vision.detections import Skeletons, box_areas, box_iou

SIGMAS: Final = np.array([26, 25, 25, 35, 35, 79, 79, 72, 72, 62, 62, 107, 107, 87, 87, 89, 89]) / 1000
"""Standard deviation of COCO's annotators by keypoint, relative to a person's size (cocoeval.py, `kpt_oks_sigmas`)."""
BODY: Final = 0.53
"""Mean fraction of a box that the body fills in COCO; ultralytics uses it where only boxes are known."""
THRESHOLDS: Final = np.linspace(0.5, 0.95, 10)
"""The thresholds that COCO averages over."""


@dataclass(frozen=True)
class GroundTruth:
    """The people in one picture of whom at least one keypoint is labelled."""

    boxes: np.ndarray
    """(people, 4): x0, y0, x1, y1 in pixels."""
    keypoints: np.ndarray
    """(people, 17, 3): x, y in pixels and COCO's visibility: 0 not labelled, 1 hidden, 2 visible."""


@dataclass(frozen=True)
class Accuracy:
    """Accuracy of one engine on a set of pictures; all values in [0, 1]."""

    box_map: float
    """Mean average precision of the boxes at an IoU of 0.5 to 0.95."""
    oks_map: float
    """Mean average precision of the keypoints at an OKS of 0.5 to 0.95."""
    recall: float
    """Fraction of the people with a predicted box of at least 0.5 IoU."""
    mean_iou: float
    """Over the recalled people."""
    mean_oks: float
    """Over the recalled people."""


def oks(predicted: np.ndarray, true: np.ndarray, areas: np.ndarray) -> np.ndarray:
    """Object keypoint similarity of every predicted with every true person: (n, m) in [0, 1].

    OKS is the mean over labelled keypoints of exp(-d^2 / (2 s^2 k^2)) with k = 2 sigma and s^2 the person's area
    (Ronchi and Perona, "Benchmarking and error diagnosis in multi-instance pose estimation", 2017).

    Args:
        predicted: (n, 17, at least 2) x and y in pixels.
        true: (m, 17, 3) x, y and visibility. Unlabelled keypoints do not count; without any label the OKS is 0.
        areas: (m,) area of each true person in square pixels.
    """
    squared = ((predicted[:, None, :, :2] - true[None, :, :, :2]) ** 2).sum(axis=3)
    similarity = np.exp(-squared / (2 * np.maximum(areas, 1e-9)[:, None] * (2 * SIGMAS) ** 2))
    labelled = true[:, :, 2] > 0
    return np.asarray((similarity * labelled).sum(axis=2) / np.maximum(labelled.sum(axis=1), 1))


def average_precision(pictures: Sequence[tuple[np.ndarray, np.ndarray]], threshold: float) -> float:
    """COCO's average precision at one threshold: the mean of the interpolated precision at 101 recalls.

    Args:
        pictures: For each, scores (n,) of the predictions and their similarity (n, m) with the true people.
        threshold: The least similarity of a match. In order of score, each prediction takes the best unmatched person.
    """
    people = sum(similarity.shape[1] for _, similarity in pictures)
    matches = [match for scores, similarity in pictures for match in _matched(scores, similarity, threshold)]
    if not people or not matches:
        return 0.0
    hits = np.cumsum([hit for _, hit in sorted(matches, key=lambda match: -match[0])])
    recall, precision = hits / people, hits / np.arange(1, len(hits) + 1)
    interpolated = np.append(np.maximum.accumulate(precision[::-1])[::-1], 0)
    return float(interpolated[np.searchsorted(recall, np.linspace(0, 1, 101))].mean())


def _matched(scores: np.ndarray, similarity: np.ndarray, threshold: float) -> list[tuple[float, bool]]:
    """The score of each prediction in one picture, and whether it matches a true person."""
    unmatched, matches = np.ones(similarity.shape[1], bool), []
    for i in np.argsort(-scores, kind="stable"):
        candidates = np.where(unmatched, similarity[i], -1)
        best = int(candidates.argmax()) if len(candidates) else -1
        hit = best >= 0 and candidates[best] >= threshold
        if hit:
            unmatched[best] = False
        matches.append((float(scores[i]), bool(hit)))
    return matches


def measure(predictions: Sequence[Skeletons], truths: Sequence[GroundTruth]) -> Accuracy:
    """Accuracy of an engine's predictions, one per picture."""
    ious, similarities, best_iou, best_oks = [], [], [0.0], [0.0]
    for (boxes, _, keypoints), truth in zip(predictions, truths, strict=True):
        ious.append(box_iou(boxes, truth.boxes))
        similarities.append(oks(keypoints, truth.keypoints, BODY * box_areas(truth.boxes)))
        # For each true person the box with the best IoU, whatever else was predicted.
        for person, best in enumerate(ious[-1].argmax(axis=0) if len(boxes) else ()):
            best_iou.append(ious[-1][best, person])
            best_oks.append(similarities[-1][best, person])
    recalled = np.array(best_iou) >= 0.5
    scores = [each for _, each, _ in predictions]

    def mean_average_precision(similarity: list[np.ndarray]) -> float:
        pictures = list(zip(scores, similarity, strict=True))
        return float(np.mean([average_precision(pictures, threshold) for threshold in THRESHOLDS]))

    return Accuracy(
        box_map=mean_average_precision(ious),
        oks_map=mean_average_precision(similarities),
        recall=float(recalled.sum() / max(sum(len(truth.boxes) for truth in truths), 1)),
        mean_iou=float(np.mean(best_iou, where=recalled)) if recalled.any() else 0.0,
        mean_oks=float(np.mean(best_oks, where=recalled)) if recalled.any() else 0.0,
    )
