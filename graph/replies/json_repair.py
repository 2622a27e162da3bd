"""JSON repair: JSON as models write it, in code fences, with single quotes, comments, trailing commas or bare keys.

Nothing is evaluated, nothing but `ValueError` is raised, and the time is linear in the length of the text.
"""

from __future__ import annotations

import json
import re
from typing import Any, Final

MAX_DEPTH: Final = 60
"""Deeper nesting is rejected: no reply means it."""
MAX_STARTS: Final = 32
"""Number of brackets of a text that are tried as the start of a value: bounds the time on hostile text."""
_FENCE: Final = re.compile(r"```[\w-]*\s*(.*?)(?:```|\Z)", re.DOTALL)
_FENCE_START: Final = re.compile(r"\s*(?:```[\w-]*\s*)?")
_START: Final = re.compile(r"[{\[]")
_DECODER: Final = json.JSONDecoder(strict=False)
_GAP: Final = re.compile(r"(?:\s+|//[^\n]*|#[^\n]*|/\*.*?\*/)+", re.DOTALL)
_NUMBER: Final = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?(?=\s*(?:[,，}\]\"'\n#]|//|/\*))")
_BARE: Final = re.compile(r"(?:(?!\s//|\s#|/\*)[^,，{}\[\]\n\"])*")
_BARE_KEY: Final = re.compile(r"[^:：=,，{}\[\]\n\"']{1,200}")
_COLON: Final = re.compile(r"=>|[:：=]")
_ENDS_STRING: Final = re.compile(r"[ \t]*(?:[,，:：=}\]\n\r]|//|/\*|#|\Z)")
_QUOTES: Final = {'"': '"', "'": "'", "\u201c": "\u201d", "\u2018": "\u2019"}
_INSIDE: Final = {quote: re.compile(rf"[\\{quote}]") for quote in set(_QUOTES.values())}
_LITERALS: Final[dict[str, Any]] = {
    "true": True,
    "false": False,
    "null": None,
    "none": None,
    "undefined": None,
    "nan": float("nan"),
    "infinity": float("inf"),
    "+infinity": float("inf"),
    "-infinity": float("-inf"),
}
_ESCAPES: Final = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}


class _Unparsable(ValueError):
    """There is no value; parsing stopped at the character `at`."""

    def __init__(self, at: int) -> None:
        super().__init__(f"no JSON value at character {at}")
        self.at = at


def repair_json(text: str) -> Any:
    """The JSON value that `text` is, or else the first object or list in it.

    Repaired are code fences, text before and after, other kinds of quotes, unescaped quotes inside a string, comments,
    trailing and missing commas, unquoted keys and values, Python's literals, and missing closing brackets. A number or
    string cut off by the end of the text is not repaired: its rest is unknown.

    Raises:
        ValueError: There is no such value.
    """
    fenced = _FENCE.search(text)
    for part in (text, *([fenced.group(1)] if fenced else [])):
        try:
            return json.loads(part)
        except (ValueError, RecursionError):
            continue
    for part in (*([fenced.group(1)] if fenced else []), text):
        if found := find_json(part, limit=1):
            return found[0][2]
    raise ValueError("there is no JSON object or list")


def find_json(text: str, limit: int = MAX_STARTS) -> list[tuple[int, int, Any]]:
    """The first `limit` top-level objects and lists in `text`, repaired, as (start, end, value)."""
    found: list[tuple[int, int, Any]] = []
    at = 0
    for _ in range(MAX_STARTS):
        start = _START.search(text, at)
        if start is None or len(found) == limit:
            break
        try:
            value, at = _valid(text, start.start()) or _value(text, start.start(), 0)
            found.append((start.start(), at, value))
        except _Unparsable as broken:
            # An unterminated string would reach to the end of the text; a value may still follow its opening quote.
            at = max(start.end(), broken.at)
    return found


def json_prefix(text: str, at: int) -> int:
    """The end of the valid JSON objects and lists that start at `at`, fenced or not; `at` if there are none."""
    end = at
    while True:
        start = _FENCE_START.match(text, end)
        here = start.end() if start else end
        if text[here : here + 1] not in ("{", "["):
            return end
        try:
            end = _DECODER.raw_decode(text, here)[1]
        except (ValueError, RecursionError):
            return end


def replace_lone_surrogates(text: str) -> str:
    """The text with `?` for each lone surrogate: JSON can escape one, but UTF-8 cannot encode it."""
    return text.encode("utf-8", "replace").decode()


def is_shallow(value: Any) -> bool:
    """Whether a JSON value has at most `MAX_DEPTH` levels of nesting."""
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [
            inner
            for each in level
            for inner in (each.values() if isinstance(each, dict) else each if isinstance(each, list) else ())
        ]
        if not level:
            return True
    return False


def _valid(text: str, at: int) -> tuple[Any, int] | None:
    try:
        value, end = _DECODER.raw_decode(text, at)
    except (ValueError, RecursionError):
        return None
    return (value, end) if is_shallow(value) else None


def _value(text: str, at: int, depth: int) -> tuple[Any, int]:
    if depth > MAX_DEPTH:
        raise _Unparsable(at)
    first = text[at : at + 1]
    if first == "{":
        return _object(text, at + 1, depth)
    if first == "[":
        return _list(text, at + 1, depth)
    if first in _QUOTES:
        return _string(text, at)
    if number := _NUMBER.match(text, at):
        return _number(number.group()), number.end()
    return _bare(text, at)


def _object(text: str, at: int, depth: int) -> tuple[dict[str, Any], int]:
    found: dict[str, Any] = {}
    while True:
        at = _skip_commas(text, at)
        if at >= len(text):
            return found, at
        if text[at] == "}":
            return found, at + 1
        if text[at] == "]":
            raise _Unparsable(at)
        if text[at] in _QUOTES:
            key, after = _string(text, at)
        else:
            bare = _BARE_KEY.match(text, at)
            if bare is None:
                raise _Unparsable(at + 1)
            key, after = bare.group().strip(), bare.end()
        after = _skip_gap(text, after)
        colon = _COLON.match(text, after)
        if colon is None:
            raise _Unparsable(max(after, at + 1))
        found[key], at = _value(text, _skip_gap(text, colon.end()), depth + 1)


def _list(text: str, at: int, depth: int) -> tuple[list[Any], int]:
    found: list[Any] = []
    while True:
        at = _skip_commas(text, at)
        if at >= len(text):
            return found, at
        if text[at] == "]":
            return found, at + 1
        if text[at] == "}":
            raise _Unparsable(at)
        value, at = _value(text, at, depth + 1)
        found.append(value)


def _string(text: str, at: int) -> tuple[str, int]:
    """A string; a quote ends it only if what follows can follow a string."""
    quote = _QUOTES[text[at]]
    parts: list[str] = []
    here = at + 1
    while mark := _INSIDE[quote].search(text, here):
        parts.append(text[here : mark.start()])
        here = mark.end()
        if mark.group() == quote:
            if _ENDS_STRING.match(text, here):
                # Characters beyond the basic plane are escaped as surrogate pairs.
                whole = "".join(parts).encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")
                return whole, here
            parts.append(quote)
        else:
            part, here = _escape(text, here)
            parts.append(part)
    raise _Unparsable(at + 1)


def _escape(text: str, at: int) -> tuple[str, int]:
    letter = text[at : at + 1]
    length = {"u": 4, "x": 2, "U": 8}.get(letter)
    if length is None:
        return _ESCAPES.get(letter, letter), at + 1
    digits = text[at + 1 : at + 1 + length]
    try:
        return chr(int(digits, 16)), at + 1 + length
    except (ValueError, OverflowError):
        return letter, at + 1


def _bare(text: str, at: int) -> tuple[Any, int]:
    """A literal, or an unquoted string up to the end of the value."""
    match = _BARE.match(text, at)
    word = match.group() if match else ""
    end = at + len(word)
    if not word.strip() or end >= len(text):
        raise _Unparsable(max(end, at + 1))
    word = word.strip()
    return _LITERALS.get(word.casefold(), word), end


def _number(digits: str) -> float | int:
    if len(digits) <= 300 and digits.lstrip("+-").isdecimal():
        return int(digits)
    return float(digits)


def _skip_gap(text: str, at: int) -> int:
    gap = _GAP.match(text, at)
    return gap.end() if gap else at


def _skip_commas(text: str, at: int) -> int:
    at = _skip_gap(text, at)
    while text[at : at + 1] in (",", "，"):
        at = _skip_gap(text, at + 1)
    return at
