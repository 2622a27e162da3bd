"""How far confidences are from how often answers are right, with 95 % confidence intervals over resampled clips."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np

from ..tools.errors import BadInput
from .metrics import RESAMPLES, Estimate

BINS: Final = 10

Statistic = Callable[[np.ndarray, np.ndarray], float]
"""Of confidences and of whether each answer is right."""


def calibration_error(confidences: Sequence[float], correct: Sequence[bool]) -> Estimate:
    """Expected calibration error (Naeini et al. 2015) over 10 bins of equal width.

    Raises:
        BadInput: There are no answers.
    """
    return _bootstrap(_calibration_error, confidences, correct)


def calibration_error_by_chance(confidences: Sequence[float]) -> float:
    """The mean expected calibration error that exactly calibrated confidences would have on as many clips."""
    rng, given = np.random.default_rng(0), np.asarray(confidences, float)
    return float(np.mean([_calibration_error(given, rng.random(len(given)) < given) for _ in range(RESAMPLES // 4)]))


def risk_coverage_area(confidences: Sequence[float], correct: Sequence[bool]) -> Estimate:
    """Area under the risk-coverage curve (Geifman and El-Yaniv 2017): the mean error rate of the surest answers.

    A constant confidence has the error rate of all answers.

    Raises:
        BadInput: There are no answers.
    """
    return _bootstrap(_risk_coverage_area, confidences, correct)


def _calibration_error(confidences: np.ndarray, correct: np.ndarray) -> float:
    bins = np.minimum((confidences * BINS).astype(int), BINS - 1)
    gaps = np.bincount(bins, confidences - correct, BINS)
    return float(np.abs(gaps).sum() / len(confidences))


def _risk_coverage_area(confidences: np.ndarray, correct: np.ndarray) -> float:
    _, ties = np.unique(confidences, return_inverse=True)
    # Among equally sure answers the order is arbitrary, and each counts as right as often as all of them.
    wrong = 1 - (np.bincount(ties, correct) / np.bincount(ties))[ties]
    surest_first = wrong[np.argsort(-confidences, kind="stable")]
    return float(np.mean(np.cumsum(surest_first) / np.arange(1, len(wrong) + 1)))


def _bootstrap(statistic: Statistic, confidences: Sequence[float], correct: Sequence[bool]) -> Estimate:
    if not correct:
        raise BadInput("there are no answers to score")
    given, right, rng = np.asarray(confidences, float), np.asarray(correct, float), np.random.default_rng(0)
    samples = rng.integers(0, len(right), (RESAMPLES, len(right)))
    low, high = np.percentile([statistic(given[sample], right[sample]) for sample in samples], [2.5, 97.5])
    return Estimate(statistic(given, right), float(low), float(high))
