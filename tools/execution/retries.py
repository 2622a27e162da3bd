"""Retries of one request to a model server: how often, and after which delay."""

from __future__ import annotations

import asyncio
import random
import re
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from ..errors import PolicyBusy, PolicyDisconnected, PolicyUnavailable

T = TypeVar("T")
_LIMITS: Final[tuple[tuple[type[PolicyBusy], int, float], ...]] = (
    # With 30 % of the connections dropped, one request in 170,000 fails.
    (PolicyDisconnected, 10, 0.1),
    (PolicyBusy, 3, 0.5),
)
"""Class of error, attempts in all, seconds before the second one. The delay doubles with each further attempt."""
MAX_BACKOFF: Final = 2.0
"""Longest delay in seconds that a server did not ask for."""
MAX_RETRY_DELAY: Final = 10.0
"""A request is not repeated if the server asks for a delay of this many seconds or more."""
_RETRY_AFTER: Final = re.compile(r"(\d+(?:\.\d+)?)()")
_TRY_AGAIN_IN: Final = re.compile(r"\b(?:re)?try(?: again)?(?: in| after) (\d+(?:\.\d+)?) ?(ms|s)\b", re.IGNORECASE)
"""As in the error messages of OpenAI and Google."""


class Retries:
    """The failed attempts of one request."""

    def __init__(self) -> None:
        self._failed: Counter[type[PolicyBusy]] = Counter()

    def delay(self, error: PolicyUnavailable) -> float | None:
        """Seconds to wait before the next attempt, after one that failed with `error`; None if there should be none.

        The delay varies at random, so that requests that failed together are not repeated together.
        """
        found = next((limits for limits in _LIMITS if isinstance(error, limits[0])), None)
        if found is None:
            return None
        kind, attempts, first = found
        self._failed[kind] += 1
        asked = asked_delay(error)
        if self._failed[kind] >= attempts or asked >= MAX_RETRY_DELAY:
            return None
        backoff = min(MAX_BACKOFF, first * 2 ** (self._failed[kind] - 1))
        return random.uniform(1, 1.2) * asked if asked else random.uniform(0.5, 1.5) * backoff


async def retried(attempt: Callable[[], Awaitable[T]]) -> T:
    """The result of the first attempt that succeeds.

    Raises:
        PolicyUnavailable: An attempt failed, and another would not help.
    """
    retries = Retries()
    while True:
        try:
            return await attempt()
        except PolicyUnavailable as error:
            delay = retries.delay(error)
            if delay is None:
                raise
        await asyncio.sleep(delay)


def asked_delay(error: BaseException | None) -> float:
    """The seconds after which the server asks to try again, in its headers or its message; 0 if it does not ask."""
    while error is not None:
        headers = getattr(getattr(error, "response", None), "headers", None) or getattr(error, "headers", None)
        told = str((headers or {}).get("retry-after", ""))
        given = _RETRY_AFTER.fullmatch(told) or _TRY_AGAIN_IN.search(str(error)[:10_000])
        if given:
            return float(given[1]) / (1000 if given[2] == "ms" else 1)
        error = error.__cause__
    return 0.0
