"""A circuit breaker: what fails again and again is left alone for a while, so that nobody waits for it in vain."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from threading import Lock
from typing import Final

from ..errors import ToolResting

FAILURES: Final = 3
"""So many failures in a row, and a tool is left alone."""
REST: Final = 15.0
"""For so many seconds; then one call tries whether it works again."""


@dataclass
class Breaker:
    """How one tool has done of late."""

    tool: str
    """Its name, for the error."""
    failures: int = 0
    """In a row."""
    rests_until: float = 0.0
    """Of the monotonic clock."""
    tried: bool = False
    """Whether a call is out to try, after a rest, whether the tool works again."""
    guard: Lock = field(default_factory=Lock)

    def ask(self) -> None:
        """To be called before the tool is.

        Raises:
            ToolResting: It is to be left alone now.
        """
        with self.guard:
            left = self.rests_until - time.monotonic()
            if self.failures >= FAILURES and (left > 0 or self.tried):
                when = f"in {left:.0f} s" if left > 0 else "once the call that tries it is back"
                raise ToolResting(f"{self.tool} failed {self.failures} times in a row; it is asked again {when}")
            self.tried = self.failures >= FAILURES

    def heard(self, worked: bool | None) -> None:
        """To be called after it: whether it worked, None if the call does not tell."""
        with self.guard:
            self.tried = False
            if worked is not None:
                self.failures = 0 if worked else self.failures + 1
                self.rests_until = time.monotonic() + REST
