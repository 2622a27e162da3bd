"""The hierarchical reward (paper, equation 6): `R = R_acc + R_format + 1[R_acc > 0] (R_tool + R_sub)`.

Each term is a pure function of a record, so that it can be logged separately and recomputed from any trace. Replies are
judged as the policy wrote them: repairs by the graph are not rewarded.
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
    """R_sub: in [0, 1], before the gate."""

    @property
    def total(self) -> float:
        """R, in [0, 4]: tools and sub-actions count only if the answer is correct."""
        return self.accuracy + self.format + (self.tool + self.sub if self.accuracy > 0 else 0.0)


def reward(record: Record, truth: str) -> Reward:
    """All terms for a run whose correct label is `truth`."""
    return Reward(accuracy(record, truth), well_formed(record), tool_use(record), sub_actions(record, truth))


def accuracy(record: Record, truth: str) -> float:
    """R_acc: 1 if the answer is the correct label up to spelling (`normalize_label`), else 0."""
    answer = record["recognition"]["action"]
    return float(answer is not None and normalize_label(answer) == normalize_label(truth))


def well_formed(record: Record) -> float:
    """R_format: 1 if no turn was corrected and the last consists of reasoning, scores and answer only."""
    last = next((m for m in reversed(record["messages"]) if m.get("author") == "policy"), None)
    if last is None or last.get("node") != "score" or not isinstance(last["content"], str):
        return 0.0
    return float(_FORMAT.fullmatch(last["content"]) is not None and not was_corrected(record["messages"]))


def tool_use(record: Record) -> float:
    """R_tool: 1 if at least one tool called by the policy gave evidence (the paper's valid invocation)."""
    called = {
        call["name"]
        for message in record["messages"]
        if message.get("author") == "policy" and message.get("node") == "tool_select"
        for call in message.get("tool_calls", ())
    }
    return float(any(item["status"] == "ok" and item["tool"] in called for item in record["recognition"]["evidence"]))


def sub_actions(record: Record, truth: str) -> float:
    """R_sub: the weight of the correct sub-actions divided by the weight of all, `w_k = n - k + 1`; 0 without any.

    A sub-action is correct if its highest score is above zero and that of the correct label.
    """
    scored: Sequence[Mapping[str, Any]] = record["recognition"]["sub_actions"]
    total = sum(item["weight"] for item in scored)
    return sum(item["weight"] for item in scored if _is_correct(item["scores"], truth)) / total if total else 0.0


def _is_correct(scores: Mapping[str, float], truth: str) -> bool:
    correct = next((value for label, value in scores.items() if normalize_label(label) == normalize_label(truth)), 0.0)
    return correct > 0 and correct >= max(scores.values())
