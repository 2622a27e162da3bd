"""The candidate actions, checked before anything is decoded or asked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from ..tools.errors import BadActions
from .replies.parse import normal

MAX_ACTIONS: Final = 2000
MAX_LENGTH: Final = 300


def checked_actions(actions: Sequence[str] | None) -> list[str]:
    """The candidates with space at the ends removed.

    Raises:
        BadActions: None given, one empty, two alike (but for case, spaces, underscores, hyphens), too many or too long.
    """
    if not actions or isinstance(actions, str):
        raise BadActions('no candidate actions; give a list such as ["hug", "handshake"]')
    if len(actions) > MAX_ACTIONS:
        raise BadActions(f"{len(actions)} candidate actions; give at most {MAX_ACTIONS}")
    seen: dict[str, str] = {}
    for action in actions:
        if not isinstance(action, str):
            raise BadActions(f"candidate action {action!r} is no text; give strings")
        if not normal(action):
            raise BadActions(f"candidate action {action!r} is empty; remove it")
        if len(action) > MAX_LENGTH:
            raise BadActions(
                f"candidate action {action[:40]!r}... has {len(action)} characters; use at most {MAX_LENGTH}"
            )
        if (twin := seen.get(normal(action))) is not None:
            raise BadActions(f"candidate actions {twin!r} and {action.strip()!r} are the same; give each once")
        seen[normal(action)] = action.strip()
    return list(seen.values())
