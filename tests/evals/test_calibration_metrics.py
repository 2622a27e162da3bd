"""Calibration error and risk-coverage curve."""

import numpy as np
import pytest

from video_star.evals.calibration_metrics import calibration_error, calibration_error_by_chance, risk_coverage_area
from video_star.tools.errors import BadInput

RNG = np.random.default_rng(0)


def test_the_calibration_error_is_the_mean_gap_of_the_bins() -> None:
    # 0.9 for 4 of which 2 are right, 0.25 for 4 of which 1 is: gaps of 0.4 and 0 with equal weights.
    found = calibration_error([0.9] * 4 + [0.25] * 4, [True, True, False, False, True, False, False, False])
    assert found.value == pytest.approx(0.2) and found.low <= found.value <= found.high
    assert calibration_error([1.0, 0.0], [True, False]).value == 0
    assert calibration_error([0.6, 0.2], [False, False]).value == pytest.approx(0.4)


def test_exact_confidences_have_the_error_of_chance_and_wrong_ones_more() -> None:
    exact = RNG.random(600)
    right = (RNG.random(600) < exact).tolist()
    by_chance = calibration_error_by_chance(exact.tolist())
    assert 0 < by_chance < 0.06 and calibration_error(exact.tolist(), right).value < 2 * by_chance
    assert calibration_error((exact**0.3).tolist(), right).value > 3 * by_chance


def test_the_risk_coverage_area_rewards_order_and_is_the_error_rate_for_a_constant() -> None:
    right = [True, False, True, False]
    assert risk_coverage_area([0.5] * 4, right).value == pytest.approx(0.5)
    # Errors among the first 1, 2, 3, 4 answers: 0, 0, 1/3, 2/4; and reversed 1, 1, 2/3, 2/4.
    assert risk_coverage_area([0.9, 0.2, 0.8, 0.3], right).value == pytest.approx((1 / 3 + 1 / 2) / 4)
    assert risk_coverage_area([0.1, 0.8, 0.2, 0.7], right).value == pytest.approx((2 + 2 / 3 + 1 / 2) / 4)
    assert risk_coverage_area([0.7, 0.7, 0.1, 0.1], right).value == pytest.approx(0.5)


def test_nothing_to_score_is_refused() -> None:
    for metric in (calibration_error, risk_coverage_area):
        with pytest.raises(BadInput, match="no answers"):
            metric([], [])
