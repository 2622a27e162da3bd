"""The fit of the embedded policy's confidence."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from video_star.evals.calibration_metrics import calibration_error
from video_star.evals.marionette.actions import ACTIONS
from video_star.evals.suites.calibration import Case, answered, fit, line, lists_of
from video_star.graph.policies.kinematic.confidence import Calibration, Support
from video_star.tools.motion.measurements import Measurements, Observation

TRUE = Calibration(temper=2.0, margin=1.0, shown=0.5, explained=0.4, observed=9)


def drawn(count: int, seed: int) -> Iterator[Case]:
    """Answers that are right as often as `TRUE` says."""
    rng = np.random.default_rng(seed)
    for _ in range(count):
        n = int(rng.choice([2, 5, 10, 32]))
        belief, margin = float(rng.uniform(1 / n, 0.95)), float(rng.uniform(0, 0.6))
        in_view, shown, explained = (float(value) for value in rng.uniform(0.4, 1, 3))
        support = Support(n, belief, margin, in_view, shown, explained, observed=int(rng.integers(3, 12)))
        yield Case(support, bool(rng.random() < TRUE.confidence(support)))


def test_the_fit_is_calibrated_on_other_answers() -> None:
    fitted = fit(list(drawn(2000, 0)))
    others = list(drawn(2000, 1))
    right = [case.correct for case in others]
    error = calibration_error([fitted.confidence(case.support) for case in others], right)
    untempered = replace(fitted, temper=3 * fitted.temper)
    worse = calibration_error([untempered.confidence(case.support) for case in others], right)
    assert error.value < 0.04 < worse.low


def test_every_list_holds_the_label_and_is_the_same_for_the_same_clip() -> None:
    pool = [f"label {k}" for k in range(40)]
    lists = list(lists_of("wave", pool, "clip"))
    assert lists == list(lists_of("wave", pool, "clip")) != list(lists_of("wave", pool, "other"))
    assert all(actions.count("wave") == 1 and len(set(actions)) == len(actions) for actions in lists)
    assert lists[0] == [label for label, action in ACTIONS.items() if action.split == "base"]
    assert {len(actions) for actions in lists} >= {2, 10, 30}


@pytest.mark.parametrize("way", ["sub_actions", "whole_actions"])
def test_an_answer_is_asked_for_as_the_graph_asks(way: str) -> None:
    rows = {name: Observation(0.9, 0.0, 2.0, "person 1") for name in ("steps", "travel", "upright")}
    observed = Measurements(rows, ("wave", "kick", "jump"), in_view=0.8)
    answer, support = answered(observed, ["wave", "walk", "kick"], way)  # type: ignore[arg-type]
    assert answer == "walk" and support.candidates == 3 and support.belief > 0.5 and support.explained > 0.5


def test_a_row_of_the_table_has_the_figures() -> None:
    row = line("static", [(0.75, True), (0.75, True), (0.75, True), (0.75, False)]).split()
    assert row[:4] == ["static", "4", "0.750", "0.750"] and row[4] == "0.000" and row[-1] == "0.250"
