"""The scores and the answer of a score turn."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from ..candidates import Candidates
from ..ranking import weigh
from .errors import MalformedReply
from .json_repair import find_json, repair_json
from .labels import stated_label
from .markup import masked, unmasked
from .scores import Rows, ScaleError, read_scores
from .sections import blocks, one_turn, without_thoughts

_ANSWER_KEYS: Final = ("answer", "final_answer", "action", "label", "prediction")
_ANSWER_LINE: Final = re.compile(
    r"^[^\w\n]{0,8}(?:(?:so|therefore|thus|hence)\W{1,3})?(?:(?:the|my)\s)?"
    r"(?:(?:final|correct|best|most likely|predicted)\s)?(?:answer|action|prediction)\b[^\n]{1,300}$"
    r"|^[^\w\n]{0,8}(?:最终)?(?:答案|动作)[^\n]{1,300}$",
    re.MULTILINE | re.IGNORECASE,
)
_BOXED: Final = re.compile(r"\\boxed\s*\{[^\n]{1,300}\}")


@dataclass(frozen=True)
class Scored:
    """The content of a score turn."""

    scores: Rows
    answer: str
    """One of the candidates, spelled as by the user."""


def parse_score_turn(text: str, candidates: Candidates, sub_actions: Sequence[str]) -> Scored:
    """Scores and answer of the last turn.

    Args:
        text: The model's turn: `<think>`, `<scores>` with a JSON object, `<answer>` with a candidate; or another format
            with the same content (see `read_scores` and `stated_label`).
        candidates: The candidates.
        sub_actions: Names by rank; scores may be keyed by rank (from 1) or by name. Empty without sub-actions: then
            the object maps candidates to scores.

    Raises:
        MalformedReply: The scores or the answer are missing, unreadable, or name no candidate.
    """
    text, candidates = masked(text, candidates)
    scores = _scores(text, candidates, sub_actions)
    answers = _answers(text, candidates)
    if not answers:
        raise MalformedReply("there is no <answer>...</answer>")
    answer = stated_label(answers[-1], candidates)
    if answer is None:
        given = unmasked(answers[-1].strip()[:80], candidates)
        raise MalformedReply(f"the answer {given!r} is not one of the candidate actions")
    return Scored(scores, answer)


def partial_score_turn(text: str, candidates: Candidates, sub_actions: Sequence[str]) -> Scored | None:
    """What a malformed turn still states: its answer, or else its best-scored candidate; None if it states neither."""
    text, candidates = masked(text, candidates)
    try:
        scores = _scores(text, candidates, sub_actions)
    except MalformedReply:
        scores = {}
    for text_of_answer in reversed(_answers(text, candidates)):
        if answer := stated_label(text_of_answer, candidates):
            return Scored(scores, answer)
    totals = weigh(scores, len(sub_actions))
    return Scored(scores, max(totals, key=totals.__getitem__)) if totals else None


def _answers(text: str, candidates: Candidates) -> list[str]:
    """The texts given as the answer, in order: in tags, else in JSON, else in a line or box marked as the answer."""
    visible = without_thoughts(one_turn(text))
    if tagged := blocks(visible, "answer"):
        return tagged[-20:]
    for _, _, value in reversed(find_json(visible)):
        for key in _ANSWER_KEYS if isinstance(value, dict) else ():
            if isinstance(value.get(key), str):
                return [value[key]]
    if lines := [match.group() for match in _ANSWER_LINE.finditer(visible)] or _BOXED.findall(visible):
        return lines[-20:]
    last = re.split(r"</scores?>", visible, flags=re.IGNORECASE)[-1].strip()
    return [last] if candidates.match(last[:400]) else []


def _scores(text: str, candidates: Candidates, sub_actions: Sequence[str]) -> Rows:
    whole = one_turn(text)
    tagged = blocks(without_thoughts(whole), "scores") or blocks(whole, "scores")
    try:
        for part in (*reversed(tagged[-20:]), without_thoughts(whole), whole):
            if rows := read_scores(part, candidates, sub_actions):
                return rows
    except ScaleError:
        raise MalformedReply("the scores must be from 0 to 10") from None
    if not tagged:
        raise MalformedReply("there is no <scores>...</scores>")
    try:
        read = repair_json(tagged[-1])
    except ValueError:
        read = None
    if not read or not isinstance(read, dict):
        raise MalformedReply("the text in <scores> is not a JSON object")
    raise MalformedReply("the scores name no known sub-action with a known candidate and a number from 0 to 10")
