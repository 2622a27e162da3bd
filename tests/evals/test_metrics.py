"""Accuracies and their confidence intervals."""

import random
import sys

import pytest

from video_star.evals import metrics
from video_star.evals.metrics import accuracy, harmonic_mean, wilson
from video_star.tools.errors import BadInput, MissingExtra

DRAW = random.Random(1)
BASE = [DRAW.random() < 0.7 for _ in range(320)]
NOVEL = [DRAW.random() < 0.55 for _ in range(160)]


def test_intervals_equal_those_of_earlier_reports() -> None:
    """Computed before scipy took over, from the same 2,000 seeded resamples."""
    found = accuracy(BASE)
    assert (found.value, found.low, found.high) == pytest.approx((0.7, 0.646875, 0.75), abs=1e-12)
    found = harmonic_mean(BASE, NOVEL)
    expected = (0.6080808080808081, 0.5532902525651144, 0.6578643123446563)
    assert (found.value, found.low, found.high) == pytest.approx(expected, abs=1e-12)


def test_accuracy_prints_in_percent() -> None:
    assert str(accuracy([True] * 4)) == str(accuracy([True])) == "100.0 % [100.0, 100.0]"
    assert str(accuracy([True, False] * 50)) == " 50.0 % [40.0, 60.0]"


def test_harmonic_mean_is_zero_if_either_accuracy_is() -> None:
    both = harmonic_mean([True] * 9 + [False], [True, True, False, False, False])
    assert both.value == pytest.approx(2 * 0.9 * 0.4 / 1.3) and both.low < both.value < both.high
    assert harmonic_mean([True], [False]).value == harmonic_mean([False] * 3, [False] * 2).value == 0


def test_wilson_interval_has_its_tabled_bounds() -> None:
    for correct, trials, low, high in ((8, 10, 0.4902, 0.9433), (0, 10, 0.0, 0.2775), (10, 10, 0.7225, 1.0)):
        found = wilson(correct, trials)
        assert found.value == correct / trials and (found.low, found.high) == pytest.approx((low, high), abs=1e-4)


def test_nothing_to_score_is_refused() -> None:
    with pytest.raises(BadInput, match="no answers"):
        accuracy([])
    with pytest.raises(BadInput, match="no answers"):
        harmonic_mean([True], [])
    with pytest.raises(BadInput, match="no answers"):
        wilson(0, 0)


def test_a_missing_scipy_is_named_with_its_install_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, metrics.__name__)
    monkeypatch.setitem(sys.modules, "scipy", None)
    with pytest.raises(MissingExtra, match=r"pip install 'video-star\[evals\]'"):
        __import__(metrics.__name__, fromlist=["accuracy"])
