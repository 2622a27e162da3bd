"""Measured motion is right on a handful of drawn clips of each targeted kind, and the rates are told as they are."""

from contextlib import redirect_stdout
from io import StringIO

import pytest

from video_star.evals.suites.motion import TARGETED, Outcome, main, measure, rate_line, under_target

pytestmark = pytest.mark.slow


def outcomes(kind: str, right: int, wrong: int) -> list[Outcome]:
    found = [("thing_moves_left",)] * right + [()] * wrong
    return [Outcome(kind, False, k, ("thing_moves_left",), each) for k, each in enumerate(found)]


@pytest.mark.parametrize("kind", TARGETED)
def test_a_handful_of_clips_is_measured_right(kind: str) -> None:
    done = list(measure([kind], 3, 0))
    assert [(outcome.truth, outcome.held) for outcome in done if not outcome.right] == []
    assert [outcome.held for outcome in done] == [False, True, False]


def test_the_rate_is_told_with_its_interval_and_success_with_the_exit_code() -> None:
    printed = StringIO()
    with redirect_stdout(printed), pytest.raises(SystemExit) as end:
        main(clips=1, seed=0, kind=["count"], misses=True)
    lines = printed.getvalue().splitlines()
    assert lines[0].split() == ["count", "1", "of", "1", "100.0%", "[", "20.7%,", "100.0%]"]
    assert end.value.code == 0 and lines[-1].startswith("PASS") and "miss" not in printed.getvalue()


def test_a_rate_line_counts_what_is_right() -> None:
    line = rate_line("direction", outcomes("direction", 9, 1))
    assert line.split()[:5] == ["direction", "9", "of", "10", "90.0%"] and "59.6%" in line and "98.2%" in line


def test_only_targeted_kinds_can_be_under_the_target() -> None:
    done = outcomes("direction", 94, 6) + outcomes("order", 95, 5) + outcomes("opening", 0, 9)
    assert under_target(done) == ["direction"] and under_target([]) == []
