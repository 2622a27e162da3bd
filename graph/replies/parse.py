"""From the policy's text to typed values. Pure functions: whatever the text, they return or raise `Malformed`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from langchain_core.messages import AIMessage

from .json_repair import lenient_json, lenient_values
from .labels import match_label, normal, stated_label
from .scores import OffTheScale, Rows, read_scores
from .sections import blocks, one_turn, without_thoughts
from .tool_calls import whole_text, with_calls

__all__ = [
    "Malformed",
    "Scored",
    "as_decompose",
    "match_label",
    "normal",
    "parse_score_turn",
    "parse_sub_actions",
    "partial_score_turn",
    "rank",
    "tool_calls",
    "weigh",
    "with_calls",
]

MAX_SUB_ACTIONS: Final = 8
MAX_CALLS: Final = 12
"""Tool calls of one turn; there are five tools, each of which may look at a few spans."""
LONGEST_CALL: Final = 8000
"""Characters of a `decompose` call up to which it is kept in its own words."""
_LISTS: Final = ("sub_actions", "subactions", "actions", "steps", "list", "items")
_NAMES: Final = ("name", "sub_action", "subaction", "action", "description", "text", "title", "step")
_CANDIDATES: Final = ("candidates", "candidate_actions", "candidate", "labels", "actions")
_WRAPPERS: Final = ("arguments", "parameters", "args", "input", "decompose", "properties")
_LINE: Final = re.compile(r"^\s*(?:[-*\u2022]|\d{1,2}[.):])?\s*(.*\S)\s*$", re.MULTILINE)
_ANSWER_KEYS: Final = ("answer", "final_answer", "action", "label", "prediction")
_ANSWER_LINE: Final = re.compile(
    r"^[^\w\n]{0,8}(?:(?:so|therefore|thus|hence)\W{1,3})?(?:(?:the|my)\s)?"
    r"(?:(?:final|correct|best|most likely|predicted)\s)?(?:answer|action|prediction)\b[^\n]{1,300}$"
    r"|^[^\w\n]{0,8}(?:最终)?(?:答案|动作)[^\n]{1,300}$",
    re.MULTILINE | re.IGNORECASE,
)
_BOXED: Final = re.compile(r"\\boxed\s*\{[^\n]{1,300}\}")


class Malformed(Exception):
    """The policy's turn does not say what it must; the text says what is wrong, to the policy."""

    def __init__(self, wrong: str) -> None:
        """The text may quote the policy, whose half characters no text can hold."""
        super().__init__(whole_text(wrong))


@dataclass(frozen=True)
class Scored:
    """A parsed score turn."""

    scores: dict[int, dict[str, float]]
    """Sub-action number (from 1; 0 is the action as a whole) to candidate to 0..10."""
    answer: str
    """One of the candidates, as the user wrote it."""


def tool_calls(message: AIMessage, offered: Sequence[str]) -> list[dict[str, Any]]:
    """The turn's calls as {id, name, args}.

    Raises:
        Malformed: A call that is not JSON, or names a tool that is not on offer.
    """
    if message.invalid_tool_calls:
        name = str(message.invalid_tool_calls[0].get("name") or "a tool")[:60]
        raise Malformed(f"the call of {name} is not valid JSON with named arguments")
    for call in message.tool_calls:
        if call["name"] not in offered:
            raise Malformed(f"there is no tool {call['name'][:60]!r}; the tools are {', '.join(offered)}")
    if len(message.tool_calls) > MAX_CALLS:
        raise Malformed(f"{len(message.tool_calls)} calls are too many; make at most {MAX_CALLS} in one turn")
    return [{"id": call["id"], "name": call["name"], "args": call["args"]} for call in message.tool_calls]


def as_decompose(message: AIMessage, actions: Sequence[str]) -> AIMessage:
    """The turn with its one `decompose` call, if it makes one in any form; several are one, other calls are dropped.

    A turn of one proper call is returned as it is, so that the conversation keeps the policy's own words.
    """
    turn = with_calls(message, ["decompose"])
    calls = [call for call in turn.tool_calls if call["name"] == "decompose"]
    if not calls and not turn.tool_calls and not turn.invalid_tool_calls:
        spoken = without_thoughts(one_turn(turn.text))
        listed = [(start, value) for start, _, value in lenient_values(spoken) if _is_decomposition(value, actions)]
        if not listed:
            return turn
        start, value = listed[-1]
        call: Any = {"name": "decompose", "args": {"sub_actions": value}, "id": None, "type": "tool_call"}
        return as_decompose(
            turn.model_copy(update={"content": turn.text[:start].strip(), "tool_calls": [call]}), actions
        )
    if not calls:
        return turn
    if len(calls) == len(turn.tool_calls) == 1 and len(str(calls[0]["args"])) <= LONGEST_CALL:
        return turn
    found = _distinct(item for call in calls for item in _items(call["args"], actions))
    one = {**calls[0], "args": {"sub_actions": found}}
    return turn.model_copy(update={"tool_calls": [one], "invalid_tool_calls": []})


def parse_sub_actions(message: AIMessage, actions: Sequence[str]) -> list[dict[str, Any]]:
    """The ranked sub-actions of a `decompose` call as {name, candidates}, with candidates of the user's list only.

    Raises:
        Malformed: No call, another tool's call, or no named sub-action in it.
    """
    calls = tool_calls(message, ["decompose"])
    if not calls:
        raise Malformed("call the tool decompose with a list of sub-actions")
    found = _distinct(_items(calls[0]["args"], actions))
    if not found:
        raise Malformed("decompose needs sub_actions, a list of objects, each with the name of a sub-action")
    return found


def _is_decomposition(value: Any, actions: Sequence[str]) -> bool:
    """Whether a JSON value outside of a call is a list of sub-actions, not one of candidates."""
    if isinstance(value, dict):
        return any(key in value for key in _LISTS[:2])
    found = list(_items({"sub_actions": value}, actions))
    return bool(found) and not all(match_label(item["name"], actions) for item in found)


def _distinct(items: Iterator[dict[str, Any]]) -> list[dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for item in items:
        found.setdefault(normal(item["name"]), item)
        if len(found) == MAX_SUB_ACTIONS:
            break
    return list(found.values())


def _items(given: Any, actions: Sequence[str], depth: int = 0) -> Iterator[dict[str, Any]]:
    """Sub-actions in the arguments of a call, in whatever shape the list has."""
    if isinstance(given, str) and depth:
        try:
            given = lenient_json(given)
        except ValueError:
            given = _LINE.findall(given[:LONGEST_CALL])
    if isinstance(given, dict):
        inner = next((given[key] for key in (*_LISTS, *_WRAPPERS) if given.get(key) and key != "actions"), None)
        if inner is not None and depth < 4 and not isinstance(inner, int | float):
            yield from _items(inner, actions, depth + 1)
            return
        if depth and not any(isinstance(given.get(key), str) for key in _NAMES):
            given = list(_keyed(given))
        elif depth:
            given = [given]
    for item in given if isinstance(given, list) else ():
        name = next((item[k] for k in _NAMES if isinstance(item.get(k), str)), None) if isinstance(item, dict) else item
        if isinstance(name, str) and re.search(r"\w", name):
            named = next((item[key] for key in _CANDIDATES if key in item), ()) if isinstance(item, dict) else ()
            labels = dict.fromkeys(filter(None, (match_label(c, actions) for c in _texts(named, actions))))
            yield {"name": whole_text(" ".join(name.split())[:200]), "candidates": list(labels)}


def _keyed(given: Mapping[Any, Any]) -> Iterator[Any]:
    """Sub-actions keyed by rank, or names mapped to candidates."""
    ranked = all(re.fullmatch(r"\D{0,20}\d{1,3}\D?", str(key)) for key in given)
    if ranked:
        order = sorted(given, key=lambda key: int(re.findall(r"\d+", str(key))[0]))
        yield from (given[key] for key in order)
    else:
        yield from ({"name": key, "candidates": value} for key, value in given.items() if isinstance(value, list | str))


def _texts(named: Any, actions: Sequence[str]) -> list[str]:
    if isinstance(named, str):
        return [named] if match_label(named, actions) else re.split(r"[,;/|]|\bor\b|\band\b", named[:1000])
    held = (
        [next(iter(c.values()), None) if isinstance(c, dict) else c for c in named] if isinstance(named, list) else []
    )
    return [text for text in held if isinstance(text, str)]


def parse_score_turn(text: str, actions: Sequence[str], sub_actions: Sequence[str]) -> Scored:
    """Scores and answer of the last turn.

    Args:
        text: The policy's turn: `<think>`, `<scores>` with a JSON object, `<answer>` with a candidate; or another form
            that states the same (see `read_scores` and `stated_label`).
        actions: The candidates.
        sub_actions: Names by rank; scores may be keyed by number from 1 or by name. Empty in the mode without
            sub-actions, where the object maps candidates to scores directly.

    Raises:
        Malformed: The scores or the answer are missing, cannot be read, or name nothing known.
    """
    scores = _scores(text, actions, sub_actions)
    answers = _answers(text, actions)
    if not answers:
        raise Malformed("there is no <answer>...</answer>")
    answer = stated_label(answers[-1], actions)
    if answer is None:
        raise Malformed(f"the answer {answers[-1].strip()[:80]!r} is not one of the candidate actions")
    return Scored(scores, answer)


def partial_score_turn(text: str, actions: Sequence[str], sub_actions: Sequence[str]) -> Scored | None:
    """What can be saved of a malformed turn: a known answer, or else the best-scored candidate; None if neither."""
    try:
        scores = _scores(text, actions, sub_actions)
    except Malformed:
        scores = {}
    for said in reversed(_answers(text, actions)):
        if answer := stated_label(said, actions):
            return Scored(scores, answer)
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


def _answers(text: str, actions: Sequence[str]) -> list[str]:
    """What the turn says its answer is, in order: in tags, else in JSON, else in a line or box that says so."""
    spoken = without_thoughts(one_turn(text))
    if tagged := blocks(spoken, "answer"):
        return tagged[-20:]
    for _, _, value in reversed(lenient_values(spoken)):
        held = (
            [value[key] for key in _ANSWER_KEYS if isinstance(value.get(key), str)] if isinstance(value, dict) else []
        )
        if held:
            return held[:1]
    if lines := [match.group() for match in _ANSWER_LINE.finditer(spoken)] or _BOXED.findall(spoken):
        return lines[-20:]
    last = re.split(r"</scores?>", spoken, flags=re.IGNORECASE)[-1].strip()
    return [last] if match_label(last[:400], actions) else []


def _scores(text: str, actions: Sequence[str], sub_actions: Sequence[str]) -> Rows:
    whole = one_turn(text)
    tagged = blocks(without_thoughts(whole), "scores") or blocks(whole, "scores")
    try:
        for part in (*reversed(tagged[-20:]), without_thoughts(whole), whole):
            if rows := read_scores(part, actions, sub_actions):
                return rows
    except OffTheScale:
        raise Malformed("the scores must be from 0 to 10") from None
    if not tagged:
        raise Malformed("there is no <scores>...</scores>")
    try:
        read = lenient_json(tagged[-1])
    except ValueError:
        read = None
    if not read or not isinstance(read, dict):
        raise Malformed("the text in <scores> is not a JSON object")
    raise Malformed("the scores name no known sub-action with a known candidate and a number from 0 to 10")
