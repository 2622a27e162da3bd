"""The candidates' total scores from the scores of sub-actions, and their ranking."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def weights(n: int) -> list[int]:
    """The weights of `n` sub-actions, most discriminative first: `w_k = n - k + 1` for rank k (the paper's w_k)."""
    return list(range(n, 0, -1))


def weigh(scores: Mapping[int, Mapping[str, float]], n: int) -> dict[str, float]:
    """The weighted mean score of each scored candidate, in [0, 1]; a candidate without a score counts as 0.

    Args:
        scores: Rank of the sub-action (from 1; 0 is the action as a whole) to candidate to score in [0, 10].
        n: How many sub-actions there are; 0 where the actions are scored as wholes.
    """
    by_rank = dict(enumerate(weights(n), 1)) or {0: 1}
    totals: dict[str, float] = {}
    for k, row in scores.items():
        for candidate, value in row.items():
            totals[candidate] = totals.get(candidate, 0.0) + by_rank.get(k, 0) * value
    whole = 10 * sum(by_rank.values())
    return {candidate: total / whole for candidate, total in totals.items()}


def rank(actions: Sequence[str], totals: Mapping[str, float], answer: str | None = None) -> list[dict[str, Any]]:
    """Every candidate as {action, score}, best first, `answer`, if given, before all others.

    Ties are in alphabetical order: the order in which the user listed the candidates decides nothing.
    """
    scores = {action: round(totals.get(action, 0.0), 4) for action in actions}
    order = sorted(scores, key=lambda action: (action != answer, -scores[action], action))
    return [{"action": action, "score": scores[action]} for action in order]


def tied_for_first(ranking: Sequence[Mapping[str, Any]]) -> list[str]:
    """The candidates that share the best score of a ranking; empty if one is ahead of all others."""
    best = max((item["score"] for item in ranking), default=0.0)
    first = [str(item["action"]) for item in ranking if item["score"] == best]
    return first if len(first) > 1 else []
