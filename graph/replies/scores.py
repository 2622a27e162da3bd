"""Scores as models write them: JSON in several shapes, or lines of prose. Unknown names are ignored."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from itertools import islice
from typing import Any, Final

from ..candidates import Candidates, normalize_label, normalize_words
from .json_repair import find_json, repair_json

Rows = dict[int, dict[str, float]]
"""Rank of the sub-action (from 1; 0 is the action as a whole) to candidate to score in [0, 10]."""

_KEY: Final = re.compile(
    r"^\W*(?:(?:sub[\s_-]*action|action|step|rank|no|sa|s|k)[\s_.:#-]*)?(\d{1,3})(?![\d%])(?!\s*/)\W*(.*)$",
    re.IGNORECASE | re.DOTALL,
)
_NAMED_BY: Final = ("sub_action", "subaction", "sub-action", "rank", "number", "id", "name", "index")
_LABELLED_BY: Final = ("candidate", "label", "action", "name", "candidate_action")
_INNER: Final = ("scores", "candidates", "candidate_scores", "ratings")
_WRAPPERS: Final = ("scores", "sub_actions", "sub-actions", "subactions", "sub_action_scores", "ratings")
_VALUE: Final = re.compile(
    r"^\W*(?:score\W*)?(-?\d{1,6}(?:\.\d{1,9})?)\s*(?:(?:/|out of|of)\s*(\d{1,4}(?:\.0)?)|(%))?(?![\w.])", re.IGNORECASE
)
_SCORE: Final = re.compile(
    r"(?<![\w.])(-?\d{1,4}(?:\.\d{1,6})?)(?![\d.]*\d)(?:\s{0,3}((?:/|out of)\s{0,3}\d{1,4}|%)|(?!\s{0,3}[\w/]))",
    re.IGNORECASE,
)
_BEFORE: Final = re.compile(r"\b(?:score|rating|rated|scores)\b(?:\W{0,3}(?:of|is)\b)?", re.IGNORECASE)
_SEGMENTS: Final = re.compile(r"([,;，；]|\s\|\s|\band\b)")
_SUFFIX: Final = re.compile(r"(?<=\w\w\w)(?:ing|ed|es|e|s)$")
_TAG: Final = re.compile(r"</?[A-Za-z][^<>]{0,80}>")
_STOP_WORDS: Final = {"a", "an", "the", "of", "in", "to", "is", "are", "and", "while", "with", "s"}
_MAX_LINES: Final = 400
_MAX_SEPARATORS: Final = 6
_MAX_LINE_LENGTH: Final = 1000


class ScaleError(ValueError):
    """The scores are not on the scale from 0 to 10."""


def read_scores(text: str, candidates: Candidates, sub_actions: Sequence[str]) -> Rows:
    """The scores of the last JSON value in a text that contains any, else those of its lines; empty if there are none.

    Raises:
        ScaleError: Several scores are above 10, so that clipping them to 10 would lose their order.
    """
    try:
        values = [repair_json(text)]
    except ValueError:
        values = []
    for value in (*values, *(value for _, _, value in reversed(find_json(text)))):
        if rows := rows_of(value, candidates, sub_actions):
            return rows
    return _clipped(_of_lines(text, candidates, sub_actions))


def rows_of(value: Any, candidates: Candidates, sub_actions: Sequence[str]) -> Rows:
    """The scores in a JSON value, clipped to [0, 10]; empty if there are none.

    Raises:
        ScaleError: As `read_scores`.
    """
    if isinstance(value, str):
        try:
            value = repair_json(value)
        except ValueError:
            return {}
    if isinstance(value, dict) and (inner := _under(value, _WRAPPERS)) is not None:
        if inner_rows := rows_of(inner, candidates, sub_actions):
            return inner_rows
    if not sub_actions:
        return _clipped({0: _row(value, candidates)})
    rows: Rows = {}
    for key, row in _keyed(value, candidates, sub_actions):
        number = sub_action_number(key, sub_actions)
        if number > 0:
            rows.setdefault(number, {}).update(_row(row, candidates))
    return _clipped(rows)


def sub_action_number(key: Any, sub_actions: Sequence[str]) -> int:
    """The rank that a key names by number, by name, or by a slight variation of the name; -1 if none or ambiguous."""
    text = str(key)[:500]
    for k, name in enumerate(sub_actions, 1):
        if normalize_label(name) == normalize_label(text):
            return k
    match = _KEY.match(text)
    if match is None or not 1 <= int(match.group(1)) <= len(sub_actions) or match.group(2)[:1].isdigit():
        return _named(text, sub_actions)
    number, rest = int(match.group(1)), match.group(2)
    named = _named(rest, sub_actions) if rest.strip() else number
    return number if named in (number, -1) else -1


def _named(text: str, sub_actions: Sequence[str]) -> int:
    """The only sub-action whose words, without endings and stop words, equal or include those of `text`; else -1."""
    wanted = _stems(text)
    if not wanted:
        return -1
    stems = [_stems(name) for name in sub_actions]
    equal = [k for k, stem in enumerate(stems, 1) if stem == wanted]
    including = [k for k, stem in enumerate(stems, 1) if len(wanted) > 1 and set(wanted) < set(stem)]
    return next((found[0] for found in (equal, including) if len(found) == 1), -1)


def _stems(text: str) -> list[str]:
    kept = [word for word in normalize_words(text[:500]).split() if word not in _STOP_WORDS]
    return [_SUFFIX.sub("", word) if len(word) > 4 or (len(word) == 4 and word[-1] == "s") else word for word in kept]


def _under(value: Mapping[str, Any], keys: Iterable[str]) -> Any:
    lower = {str(key).casefold(): inner for key, inner in value.items()}
    return next(
        (lower[key] for key in keys if isinstance(lower.get(key), dict | list) or _is_json(lower.get(key))), None
    )


def _is_json(value: Any) -> bool:
    return isinstance(value, str) and value.lstrip()[:1] in ("{", "[")


def _first(value: Mapping[str, Any], keys: Iterable[str]) -> Any:
    lower = {str(key).casefold().replace(" ", "_"): inner for key, inner in value.items()}
    return next((lower[key] for key in keys if isinstance(lower.get(key), str | int)), None)


def _keyed(value: Any, candidates: Candidates, sub_actions: Sequence[str]) -> list[tuple[Any, Any]]:
    """(sub-action, row) pairs of a value keyed by sub-action, by candidate, or by position."""
    if isinstance(value, dict):
        pairs = list(value.items())
        by_candidate = [(key, row) for key, row in pairs if isinstance(row, dict) and candidates.match(str(key))]
        if by_candidate and not any(sub_action_number(key, sub_actions) > 0 for key, _ in pairs):
            return [(number, {key: score}) for key, row in by_candidate for number, score in row.items()]
        return pairs
    if not isinstance(value, list):
        return []
    items = [item for item in value if isinstance(item, dict)]
    named = [(_first(item, _NAMED_BY), item) for item in items]
    if items and all(key is not None and sub_action_number(key, sub_actions) > 0 for key, _ in named):
        return named
    nested = [pair for item in items if len(item) == 1 for pair in item.items() if isinstance(pair[1], dict | list)]
    if nested and len(nested) == len(items):
        return nested
    # By position only if each item is a whole row: in a list of candidates, each item has a single score.
    whole = all(len(_row(item, candidates)) > 1 for item in items)
    return list(enumerate(items, 1)) if whole and len(items) == len(value) == len(sub_actions) else []


def _row(row: Any, candidates: Candidates) -> dict[str, float]:
    """Candidate to score, not clipped."""
    found: dict[str, float] = {}
    if isinstance(row, list):
        for item in row:
            found |= _row(item, candidates)
    if not isinstance(row, dict):
        return found
    labelled, single = _first(row, _LABELLED_BY), row.get("score", row.get("rating"))
    if isinstance(labelled, str) and single is not None:
        row = {labelled: single}
    elif (inner := _under(row, _INNER)) is not None:
        found |= _row(inner, candidates)
    for key, value in row.items():
        label = candidates.match(str(key))
        number = _number(value.get("score") if isinstance(value, dict) else value)
        if label is not None and number is not None:
            found[label] = number
    return found


def _number(value: Any) -> float | None:
    """A score as a number; "9/10", "90%" and "4 out of 5" are converted to the scale of 10."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        try:
            number = float(value)
        except OverflowError:
            return None
        return number if math.isfinite(number) else None
    match = _VALUE.match(value) if isinstance(value, str) else None
    if match is None:
        return None
    number, whole = float(match.group(1)), float(match.group(2) or (100 if match.group(3) else 10))
    return number * 10 / whole if whole else None


def _of_lines(text: str, candidates: Candidates, sub_actions: Sequence[str]) -> Rows:
    """Scores of lines such as "Golf: 9/10, Hit 6/10"; with sub-actions, of lines that begin with one or follow it.

    A line that begins with just a number and contains one score may belong to a numbered list of candidates, so it is
    ignored.
    """
    rows: Rows = {}
    current = -1 if sub_actions else 0
    for line in text.splitlines()[:_MAX_LINES]:
        line = " ".join(_TAG.sub(" ", line[:_MAX_LINE_LENGTH]).split())
        head, rest, bare = _head(line, sub_actions)
        pairs, others = _pairs(rest if head > 0 else line, candidates)
        if head > 0:
            current = head if not bare or len(pairs) > 1 else -1
        elif sub_actions and line and (others or not pairs):
            current = -1
        if current >= 0 and pairs:
            rows.setdefault(current, {}).update(pairs)
    return rows


def _head(line: str, sub_actions: Sequence[str]) -> tuple[int, str, bool]:
    """The rank of the sub-action a line begins with, the rest of the line, and whether only a number names it."""
    cuts = [len(line), *(match.start() for match in islice(re.finditer(r"[:：|→–—]|\s-\s|->", line), 8))]
    for cut in sorted(cuts, reverse=True) if sub_actions else ():
        match = _KEY.match(line[:cut])
        rest = match.group(2).strip() if match else line[:cut]
        if match and not rest and 1 <= int(match.group(1)) <= len(sub_actions):
            return int(match.group(1)), line[cut:], "action" not in line[:cut].casefold()
        if rest and (number := _named(rest, sub_actions)) > 0 and sub_action_number(line[:cut], sub_actions) == number:
            return number, line[cut:], False
    return -1, line, False


def _pairs(line: str, candidates: Candidates) -> tuple[dict[str, float], bool]:
    """Candidate to score of the segments of a line, and whether other words precede the first of them."""
    found: dict[str, float] = {}
    others, at = False, 0
    parts = _SEGMENTS.split(line)[:200]
    while at < len(parts):
        # A label may contain what separates segments.
        ends = range(at + 1, min(len(parts), at + 2 * _separators(candidates.labels) + 1) + 1, 2)
        pairs = ((end, *_pair("".join(parts[at:end]), candidates)) for end in ends)
        end, label, number = next((pair for pair in pairs if pair[1] is not None), (at + 1, None, None))
        if label is None:
            others = others or (not found and bool(normalize_words(parts[at])))
        elif number is not None:
            found[label] = number
        at = end + 1
    return found, others


@lru_cache(maxsize=64)
def _separators(labels: tuple[str, ...]) -> int:
    """The most separators of segments that one label contains, up to `_MAX_SEPARATORS`."""
    return min(_MAX_SEPARATORS, max((len(_SEGMENTS.findall(label)) for label in labels), default=0))


def _pair(part: str, candidates: Candidates) -> tuple[str | None, float | None]:
    """The candidate and its score, as in "Golf: [Score: 9/10]"; a bare number needs a separator after the label."""
    for figure in islice(_SCORE.finditer(part), 4):
        before = _BEFORE.sub(" ", part[: figure.start()]).rstrip()
        unit = figure.group(2) or ""
        if (unit or not before[-1:].isalnum()) and (label := candidates.match(before[:400])):
            return label, _number(figure.group(1) + unit)
    return None, None


def _clipped(rows: Rows) -> Rows:
    """Rows with scores clipped to [0, 10]; empty rows are dropped."""
    if sum(value > 10 for row in rows.values() for value in row.values()) > 1:
        raise ScaleError
    cut = {k: {label: min(10.0, max(0.0, value)) for label, value in row.items()} for k, row in rows.items()}
    return {k: row for k, row in cut.items() if row}
