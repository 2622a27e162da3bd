"""The hierarchical reward (paper, equation 6): `R = R_acc + R_format + 1[R_acc > 0] (R_tool + R_sub)`.

Each term is a pure function of a record, so that it can be logged apart and computed again from any trace. The policy's
answer and its words are judged as it gave them: what the graph mended is not rewarded.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from ..graph.candidates import normalize_label
from ..graph.prompts import was_corrected

_FORMAT: Final = re.compile(r"\s*<think>.*?</think>\s*<scores>.*?</scores>\s*<answer>[^<]*</answer>\s*", re.DOTALL)
Record = Mapping[str, Any]


@dataclass(frozen=True)
class Reward:
    """The terms of one run's reward."""

    accuracy: float
    """R_acc: 0 or 1."""
    format: float
    """R_format: 0 or 1."""
    tool: float
    """R_tool: 0 or 1, before the gate."""
    sub: float
    """R_sub: 0..1, before the gate."""

    @property
    def total(self) -> float:
        """R, 0..4: tools and sub-actions count only where the answer is right."""
        return self.accuracy + self.format + (self.tool + self.sub if self.accuracy > 0 else 0.0)


def reward(record: Record, truth: str) -> Reward:
    """All terms of a run whose right answer is `truth`."""
    return Reward(accuracy(record, truth), well_formed(record), tool_use(record), sub_actions(record, truth))


def accuracy(record: Record, truth: str) -> float:
    """R_acc: 1 when the answer is the right label, spelt however; 0 for any other answer, or none."""
    answer = record["recognition"]["action"]
    return float(answer is not None and normalize_label(answer) == normalize_label(truth))


def well_formed(record: Record) -> float:
    """R_format: 1 when no turn had to be corrected and the last is thought, scores and answer, and no more."""
    last = next((m for m in reversed(record["messages"]) if m.get("author") == "policy"), None)
    if last is None or last.get("node") != "score" or not isinstance(last["content"], str):
        return 0.0
    return float(_FORMAT.fullmatch(last["content"]) is not None and not was_corrected(record["messages"]))


def tool_use(record: Record) -> float:
    """R_tool: 1 when at least one tool that the policy itself called gave evidence (the paper's valid invocation)."""
    called = {
        call["name"]
        for message in record["messages"]
        if message.get("author") == "policy" and message.get("node") == "tool_select"
        for call in message.get("tool_calls", ())
    }
    return float(any(item["status"] == "ok" and item["tool"] in called for item in record["recognition"]["evidence"]))


def sub_actions(record: Record, truth: str) -> float:
    """R_sub: the weight of the sub-actions that hit over the weight of all, `w_k = n - k + 1`; 0 without sub-actions.

    A sub-action hits when, of its candidates, it scores the right label highest, and above zero.
    """
    listed: Sequence[Mapping[str, Any]] = record["recognition"]["sub_actions"]
    whole = sum(item["weight"] for item in listed)
    return sum(item["weight"] for item in listed if _hits(item["scores"], truth)) / whole if whole else 0.0


def _hits(scores: Mapping[str, float], truth: str) -> bool:
    right = next((value for label, value in scores.items() if normalize_label(label) == normalize_label(truth)), 0.0)
    return right > 0 and right >= max(scores.values())
