"""A circuit breaker: a tool that keeps hanging is not called for a while, so that no run waits for it."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from threading import Lock
from typing import Final

from ..errors import ToolResting

MAX_FAILURES: Final = 3
"""Consecutive time-outs, or failures that took as long, that open the breaker."""
COOLDOWN: Final = 15.0
"""Seconds for which it stays open; then one trial call is let through."""


@dataclass
class CircuitBreaker:
    """The recent time-outs of one tool."""

    tool: str
    """Its name, for the error message."""
    failures: int = 0
    """Consecutive failures."""
    open_until: float = 0.0
    """Monotonic time."""
    trial: bool = False
    """Whether a trial call is under way."""
    lock: Lock = field(default_factory=Lock)

    def before_call(self) -> None:
        """Check whether the tool may be called.

        Raises:
            ToolResting: The breaker is open.
        """
        with self.lock:
            left = self.open_until - time.monotonic()
            if self.failures >= MAX_FAILURES and (left > 0 or self.trial):
                when = f"in {left:.0f} s" if left > 0 else "once the call that tries it is back"
                raise ToolResting(f"{self.tool} failed {self.failures} times in a row; it is asked again {when}")
            self.trial = self.failures >= MAX_FAILURES

    def after_call(self, succeeded: bool | None) -> None:
        """Record the outcome of a call; None if it does not show whether the tool works."""
        with self.lock:
            self.trial = False
            if succeeded is not None:
                self.failures = 0 if succeeded else self.failures + 1
                self.open_until = time.monotonic() + COOLDOWN
