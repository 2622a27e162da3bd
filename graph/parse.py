"""From the policy's text to typed values. Pure functions: whatever the text, they return or raise `Malformed`."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from langchain_core.messages import AIMessage

MAX_SUB_ACTIONS: Final = 8
_SCORES: Final = re.compile(r"<scores>(.*?)</scores>", re.DOTALL | re.IGNORECASE)
_ANSWER: Final = re.compile(r"<answer>((?:(?!<answer>).)*)</answer>", re.DOTALL | re.IGNORECASE)
_FENCE: Final = re.compile(r"^\s*```[a-z]*\s*|\s*```\s*$", re.IGNORECASE)


class Malformed(Exception):
    """The policy's turn does not say what it must; the text says what is wrong, to the policy."""


@dataclass(frozen=True)
class Scored:
    """A parsed score turn."""

    scores: dict[int, dict[str, float]]
    """Sub-action number (from 1; 0 is the action as a whole) to candidate to 0..10."""
    answer: str
    """One of the candidates, as the user wrote it."""


def normal(label: str) -> str:
    """A label without what does not tell labels apart: case, spaces, underscores, hyphens, quotes at the ends."""
    return re.sub(r"[\s_\-]+", " ", label.strip(" \t\r\n\"'`*.").casefold()).strip()


def match_label(text: str, actions: Iterable[str]) -> str | None:
    """The candidate that `text` names, or None."""
    wanted = normal(text)
    return next((action for action in actions if normal(action) == wanted), None)


def tool_calls(message: AIMessage, offered: Sequence[str]) -> list[dict[str, Any]]:
    """The turn's calls as {id, name, args}.

    Raises:
        Malformed: A call that is not JSON, or names a tool that is not on offer.
    """
    if message.invalid_tool_calls:
        raise Malformed(f"the call of {message.invalid_tool_calls[0].get('name') or 'a tool'} is not valid JSON")
    for call in message.tool_calls:
        if call["name"] not in offered:
            raise Malformed(f"there is no tool {call['name'][:60]!r}; the tools are {', '.join(offered)}")
    return [{"id": call["id"], "name": call["name"], "args": call["args"]} for call in message.tool_calls]


def parse_sub_actions(message: AIMessage, actions: Sequence[str]) -> list[dict[str, Any]]:
    """The ranked sub-actions of a `decompose` call as {name, candidates}, with candidates of the user's list only.

    Raises:
        Malformed: No call, another tool's call, or no named sub-action in it.
    """
    calls = tool_calls(message, ["decompose"])
    if not calls:
        raise Malformed("call the tool decompose with a list of sub-actions")
    items = calls[0]["args"].get("sub_actions")
    if not isinstance(items, list):
        raise Malformed("decompose needs sub_actions, a list of objects with a name")
    found: list[dict[str, Any]] = []
    for item in items:
        name = item.get("name") if isinstance(item, dict) else item
        if not isinstance(name, str) or not name.strip() or any(normal(name) == normal(f["name"]) for f in found):
            continue
        named = item.get("candidates") if isinstance(item, dict) else None
        matched = [match_label(c, actions) for c in named if isinstance(c, str)] if isinstance(named, list) else []
        found.append({"name": " ".join(name.split())[:200], "candidates": list(dict.fromkeys(m for m in matched if m))})
    if not found:
        raise Malformed("decompose was called without a single named sub-action")
    return found[:MAX_SUB_ACTIONS]


def parse_score_turn(text: str, actions: Sequence[str], sub_actions: Sequence[str]) -> Scored:
    """Scores and answer of the last turn.

    Args:
        text: The policy's turn: `<think>`, `<scores>` with a JSON object, `<answer>` with a candidate.
        actions: The candidates.
        sub_actions: Names by rank; scores may be keyed by number from 1 or by name. Empty in the mode without
            sub-actions, where the object maps candidates to scores directly.

    Raises:
        Malformed: The scores or the answer are missing, no JSON, or name nothing known.
    """
    scores = _scores(text, actions, sub_actions)
    answers = _ANSWER.findall(text)
    if not answers:
        raise Malformed("there is no <answer>...</answer>")
    answer = match_label(answers[-1], actions)
    if answer is None:
        raise Malformed(f"the answer {answers[-1].strip()[:80]!r} is not one of the candidate actions")
    return Scored(scores, answer)


def partial_score_turn(text: str, actions: Sequence[str], sub_actions: Sequence[str]) -> Scored | None:
    """What can be saved of a malformed turn: a known answer, or else the best-scored candidate; None if neither."""
    try:
        scores = _scores(text, actions, sub_actions)
    except Malformed:
        scores = {}
    answers = [found for raw in reversed(_ANSWER.findall(text)) if (found := match_label(raw, actions))]
    if answers:
        return Scored(scores, answers[0])
    totals = weigh(scores, len(sub_actions))
    return Scored(scores, max(totals, key=totals.__getitem__)) if totals else None


def weigh(scores: Mapping[int, Mapping[str, float]], n: int) -> dict[str, float]:
    """Score in 0..1 of each scored candidate: sub-action k of n weighs `n - k + 1` (the paper's w_k), unscored is 0."""
    weights = {k: (n - k + 1 if n else 1) for k in (range(1, n + 1) if n else (0,))}
    totals: dict[str, float] = {}
    for k, row in scores.items():
        for candidate, value in row.items():
            totals[candidate] = totals.get(candidate, 0.0) + weights.get(k, 0) * value
    whole = 10 * sum(weights.values())
    return {candidate: total / whole for candidate, total in totals.items()}


def rank(actions: Sequence[str], totals: Mapping[str, float], answer: str | None = None) -> list[dict[str, Any]]:
    """Every candidate with its score, best first; ties keep the user's order; the answer, where given, leads."""
    order = sorted(range(len(actions)), key=lambda i: (actions[i] != answer, -totals.get(actions[i], 0.0), i))
    return [{"action": actions[i], "score": round(totals.get(actions[i], 0.0), 4)} for i in order]


def _scores(text: str, actions: Sequence[str], sub_actions: Sequence[str]) -> dict[int, dict[str, float]]:
    blocks = _SCORES.findall(text)
    if not blocks:
        raise Malformed("there is no <scores>...</scores>")
    try:
        raw = json.loads(_FENCE.sub("", blocks[-1]))
    except (ValueError, RecursionError):
        raise Malformed("the text in <scores> is not a JSON object") from None
    if not isinstance(raw, dict):
        raise Malformed("the text in <scores> is not a JSON object")
    rows = {0: raw} if not sub_actions else {_number(key, sub_actions): row for key, row in raw.items()}
    rows.pop(-1, None)
    found = {k: _row(row, actions) for k, row in rows.items() if isinstance(row, dict)}
    found = {k: row for k, row in found.items() if row}
    if not found:
        raise Malformed("the scores name no known sub-action with a known candidate and a number from 0 to 10")
    return found


def _number(key: str, sub_actions: Sequence[str]) -> int:
    """The rank a key of the scores object stands for, -1 if none."""
    digits = re.fullmatch(r"\s*(?:sub-action\s*)?(\d{1,3})\.?\s*", key, re.IGNORECASE)
    if digits and 1 <= int(digits.group(1)) <= len(sub_actions):
        return int(digits.group(1))
    return next((k for k, name in enumerate(sub_actions, 1) if normal(name) == normal(key)), -1)


def _row(row: Mapping[str, Any], actions: Sequence[str]) -> dict[str, float]:
    found: dict[str, float] = {}
    for key, value in row.items():
        label = match_label(key, actions)
        if (
            label is not None
            and isinstance(value, int | float)
            and not isinstance(value, bool)
            and math.isfinite(value)
        ):
            found[label] = float(min(10.0, max(0.0, value)))
    return found
