"""Causes of refusals: each has one remedy, whichever backend reports it."""

import pytest

from video_star.graph.policies.errors import CAUSES, Backend, policy_failure, refusal
from video_star.tools.errors import PolicyBusy, PolicyUnavailable

BACKEND = Backend("'tiny'", "TINY_KEY", "check its /v1")


class Refused(Exception):
    def __init__(self, status_code: int, message: str = "no") -> None:
        super().__init__(message)
        self.status_code = status_code


def test_the_last_cause_applies_to_everything() -> None:
    assert CAUSES[-1].pattern.pattern == "" and all(cause.pattern.pattern for cause in CAUSES[:-1])


@pytest.mark.parametrize(
    ("status", "message", "transient", "remedy"),
    [
        (402, "Payment required", False, "unpaid bills"),
        (429, "You exceeded your current quota: insufficient_quota", False, "quota of the model is used up"),
        (429, "Too many tokens, please wait before trying again.", True, "too many requests or tokens"),
        (400, "The response was stopped by the content management policy.", False, "content filter"),
        (400, "This model's maximum context length is 4096 tokens.", False, "lower frames or pixels"),
        (413, "Payload too large", False, "lower frames or pixels"),
        (401, "no", False, "set TINY_KEY"),
        (400, "API key not valid. Please pass a valid API key.", False, "set TINY_KEY"),
        (403, "no", False, "may not use 'tiny'"),
        (404, "The model `tiny` does not exist.", False, "does not serve 'tiny'; see its list"),
        (404, "Not Found", False, "check its /v1"),
        (422, "tools are not supported", False, "tools=prompted"),
        (400, "no", False, "accepts images"),
        *((status, "no", True, "try again later") for status in (200, 408, 409, 425, 500, 502, 503, 504, 529)),
    ],
)
def test_a_refusal_names_its_remedy(status: int, message: str, transient: bool, remedy: str) -> None:
    error = refusal("http://host/v1", BACKEND, status, message)
    assert type(error) is (PolicyBusy if transient else PolicyUnavailable)
    assert str(error).startswith(f"http://host/v1 answered status {status}: ") and remedy in str(error)


def test_a_failure_of_any_client_is_typed_and_names_its_remedy() -> None:
    error = ValueError("later")
    error.__cause__ = Refused(503)
    busy = policy_failure(error, "score")
    assert type(busy) is PolicyBusy and "the policy failed in score: ValueError: later; " in str(busy)
    refused = policy_failure(Refused(401), "score")
    assert type(refused) is PolicyUnavailable and "set the key of the provider" in str(refused)
    assert type(policy_failure(ConnectionError("gone"), "score")) is PolicyBusy
    assert str(policy_failure(KeyError("x"), "score")) == "the policy failed in score: KeyError: 'x'"


def test_a_long_message_is_shortened_and_costs_no_time() -> None:
    error = refusal("http://host/v1", BACKEND, 400, "model " * 1_000_000)
    assert len(str(error)) < 600
