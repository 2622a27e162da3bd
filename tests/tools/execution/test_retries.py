"""Retries of one request: how often, and after which delay."""

from types import SimpleNamespace

import pytest

from video_star.tools.errors import PolicyBusy, PolicyDisconnected, PolicyUnavailable, PolicyUnreachable
from video_star.tools.execution.model_failures import model_failure
from video_star.tools.execution.retries import MAX_BACKOFF, Retries, asked_delay


class Refused(Exception):
    def __init__(self, text: str, status: int, retry_after: str = "") -> None:
        super().__init__(text)
        self.response = SimpleNamespace(status_code=status, headers={"retry-after": retry_after} if retry_after else {})


def attempts(error: PolicyUnavailable) -> int:
    retries, made = Retries(), 1
    while retries.delay(error) is not None:
        made += 1
    return made


def test_a_broken_connection_is_retried_more_often_than_a_busy_server_and_other_failures_never() -> None:
    assert attempts(PolicyDisconnected("gone")) == 10 and attempts(PolicyBusy("later")) == 3
    assert attempts(PolicyUnavailable("no")) == attempts(PolicyUnreachable("refused")) == 1


def test_failures_of_one_kind_do_not_use_up_the_retries_of_another() -> None:
    retries = Retries()
    assert all(retries.delay(PolicyDisconnected("gone")) is not None for _ in range(9))
    assert retries.delay(PolicyBusy("later")) is not None and retries.delay(PolicyDisconnected("gone")) is None


def test_delays_vary_at_random_and_are_bounded() -> None:
    first = [Retries().delay(PolicyDisconnected("gone")) for _ in range(20)]
    assert len(set(first)) > 10 and all(delay is not None and 0 < delay < 0.2 for delay in first)
    retries = Retries()
    assert all((retries.delay(PolicyDisconnected("gone")) or 0) <= 1.5 * MAX_BACKOFF for _ in range(7))


@pytest.mark.parametrize(
    ("error", "delay"),
    [
        (Refused("slow down", 429, "7"), 7.0),
        (Refused("Please try again in 300ms.", 429), 0.3),
        (Refused("retry after 2.5 s", 503), 2.5),
        (Refused("slow down", 429), 0.0),
    ],
)
def test_the_delay_that_a_server_asks_for_is_kept_to(error: Exception, delay: float) -> None:
    cause = RuntimeError("the client failed")
    cause.__cause__ = error
    for failure in (model_failure(error), model_failure(cause)):
        assert asked_delay(failure) == delay
        waited = Retries().delay(failure)
        assert waited is not None and waited >= delay


def test_a_server_that_asks_for_a_long_delay_is_not_asked_again() -> None:
    for error in (Refused("slow down", 429, "3600"), Refused("try again in 20s", 429)):
        assert Retries().delay(model_failure(error)) is None
