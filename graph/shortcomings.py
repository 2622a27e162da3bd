"""What an answer lacks: evidence, or a lead over the other candidates. The run is then `degraded` and says why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from langchain_core.messages import AIMessage

from ..tools.registry import watches
from .policies.base import NO_EVIDENCE
from .ranking import tied_for_first
from .state import State

MAX_NAMED: Final = 3
"""Most candidates of a tie that a note names."""


def shortcomings(state: State, reply: AIMessage, ranking: Sequence[Mapping[str, Any]]) -> list[str]:
    """Notes on what the answer lacks; empty if evidence supports it and no other candidate has its score.

    Args:
        state: The run, with all evidence.
        reply: The policy's last reply. A policy that had nothing to judge by says so in its `response_metadata`.
        ranking: The candidates with their scores.
    """
    reason = str(reply.response_metadata.get(NO_EVIDENCE) or "") or _nothing_seen(state)
    if reason:
        return [f"no evidence: {reason}; the answer is a guess"]
    first = tied_for_first(ranking)
    if first:
        return [f"{_listed(first)} tie for the first place, so the scores decide nothing between them"]
    return []


def _listed(labels: Sequence[str]) -> str:
    """Labels in a sentence; many as their number."""
    if len(labels) > MAX_NAMED:
        return f"{len(labels)} candidates"
    return f"{', '.join(map(repr, labels[:-1]))} and {labels[-1]!r}"


def _nothing_seen(state: State) -> str:
    """Why the policy knows nothing about the video; empty if it saw frames, or a tool examined the video."""
    if state["frames"] or any(item["status"] == "ok" and watches(item["tool"]) for item in state["evidence"]):
        return ""
    return "the policy saw no frames, and no tool examined the video"
