"""Accuracy and its 95 % confidence intervals. Needs scipy: `pip install 'video-star[evals]'`.

`accuracy` and `harmonic_mean` resample clips, `wilson` is for a bare count. All intervals are the same in every run.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from ..tools.errors import BadInput, MissingExtra

try:
    from scipy import stats
except ImportError:
    raise MissingExtra("confidence intervals need scipy: pip install 'video-star[evals]'") from None

RESAMPLES: Final = 2000


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure in [0, 1] with its 95 % confidence interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{100 * self.value:5.1f} % [{100 * self.low:.1f}, {100 * self.high:.1f}]"


def accuracy(correct: Sequence[bool]) -> Estimate:
    """The proportion of correct answers, one per clip.

    Raises:
        BadInput: There are no answers.
    """
    return _bootstrap(np.mean, correct)


def harmonic_mean(base: Sequence[bool], novel: Sequence[bool]) -> Estimate:
    """The harmonic mean of two accuracies, the usual summary of base-to-novel results; 0 if either is 0.

    Raises:
        BadInput: There are no answers.
    """

    def statistic(base: np.ndarray, novel: np.ndarray, axis: int = -1) -> np.ndarray:
        a, b = base.mean(axis), novel.mean(axis)
        return np.asarray(2 * a * b / np.where(a + b > 0, a + b, 1))

    return _bootstrap(statistic, base, novel)


def wilson(correct: int, trials: int) -> Estimate:
    """A proportion with its Wilson score interval (Wilson 1927).

    Raises:
        BadInput: There are no trials.
    """
    if not trials:
        raise BadInput("there are no answers to score")
    interval = stats.binomtest(correct, trials).proportion_ci(0.95, method="wilson")
    return Estimate(correct / trials, float(interval.low), float(interval.high))


def _bootstrap(statistic: Any, *samples: Sequence[bool]) -> Estimate:
    """`statistic` of the samples, with the percentile interval of a seeded bootstrap."""
    if not all(samples):
        raise BadInput("there are no answers to score")
    arrays = [np.asarray(sample, float) for sample in samples]
    # scipy refuses a sample of one; repeating its only value changes neither the figure nor the interval.
    resampled = [array if len(array) > 1 else array.repeat(2) for array in arrays]
    interval = stats.bootstrap(
        resampled, statistic, n_resamples=RESAMPLES, vectorized=True, method="percentile", rng=np.random.default_rng(0)
    ).confidence_interval
    return Estimate(float(statistic(*arrays, axis=-1)), float(interval.low), float(interval.high))
