"""JSON as models write it: fenced, in single quotes, with comments, trailing commas, bare keys. Nothing is run."""

from __future__ import annotations

import json
import re
from typing import Any, Final

DEEPEST: Final = 60
"""Nesting beyond this is no value anybody meant."""
MOST_STARTS: Final = 32
"""How many brackets of one text are tried as the start of a value: bounds the time on hostile text."""
_FENCE: Final = re.compile(r"```[\w-]*\s*(.*?)(?:```|\Z)", re.DOTALL)
_FENCE_START: Final = re.compile(r"\s*(?:```[\w-]*\s*)?")
_START: Final = re.compile(r"[{\[]")
_DECODER: Final = json.JSONDecoder(strict=False)
_GAP: Final = re.compile(r"(?:\s+|//[^\n]*|#[^\n]*|/\*.*?\*/)+", re.DOTALL)
_NUMBER: Final = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?(?=\s*(?:[,，}\]\"'\n#]|//|/\*))")
_BARE: Final = re.compile(r"[^,，{}\[\]\n\"]*")
_BARE_KEY: Final = re.compile(r"[^:：=,，{}\[\]\n\"']{1,200}")
_COLON: Final = re.compile(r"=>|[:：=]")
_ENDS_STRING: Final = re.compile(r"[ \t]*(?:[,，:：=}\]\n\r]|//|/\*|#|\Z)")
_QUOTES: Final = {'"': '"', "'": "'", "\u201c": "\u201d", "\u2018": "\u2019"}
_INSIDE: Final = {quote: re.compile(rf"[\\{quote}]") for quote in set(_QUOTES.values())}
_WORDS: Final[dict[str, Any]] = {
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


class _Broken(ValueError):
    """No value; parsing got as far as `at`."""

    def __init__(self, at: int) -> None:
        super().__init__(f"no JSON value at character {at}")
        self.at = at


def lenient_json(text: str) -> Any:
    """The JSON value in `text`, or else the first object or list in it.

    Mended are code fences, words before and after, quotes of other kinds, unescaped quotes inside a string, comments,
    trailing and missing commas, keys and values without quotes, Python's words, and brackets missing at the end. A
    number or string that the end of the text cuts off is not mended: how it goes on is not stated.

    Raises:
        ValueError: There is no such value. Nothing else is raised, whatever the text; time grows with its length.
    """
    fenced = _FENCE.search(text)
    for part in (text, *([fenced.group(1)] if fenced else [])):
        try:
            return json.loads(part)
        except (ValueError, RecursionError):
            continue
    for part in (*([fenced.group(1)] if fenced else []), text):
        if found := lenient_values(part, most=1):
            return found[0][2]
    raise ValueError("there is no JSON object or list")


def lenient_values(text: str, most: int = MOST_STARTS) -> list[tuple[int, int, Any]]:
    """The first `most` objects and lists in `text`, not those inside others, as (start, end, value)."""
    found: list[tuple[int, int, Any]] = []
    at = 0
    for _ in range(MOST_STARTS):
        start = _START.search(text, at)
        if start is None or len(found) == most:
            break
        try:
            value, at = _exact(text, start.start()) or _value(text, start.start(), 0)
            found.append((start.start(), at, value))
        except _Broken as broken:
            # An unfinished string reaches to the end of the text; what follows its opening may still hold a value.
            at = max(start.end(), broken.at)
    return found


def json_prefix(text: str, at: int) -> int:
    """Where the exact JSON objects and lists end that stand at `at`, fenced or not; `at` itself if there are none."""
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


def is_shallow(value: Any) -> bool:
    """Whether a JSON value is nested at most `DEEPEST` deep."""
    level = [value]
    for _ in range(DEEPEST):
        level = [
            inner
            for each in level
            for inner in (each.values() if isinstance(each, dict) else each if isinstance(each, list) else ())
        ]
        if not level:
            return True
    return False


def _exact(text: str, at: int) -> tuple[Any, int] | None:
    try:
        value, end = _DECODER.raw_decode(text, at)
    except (ValueError, RecursionError):
        return None
    return (value, end) if is_shallow(value) else None


def _value(text: str, at: int, depth: int) -> tuple[Any, int]:
    if depth > DEEPEST:
        raise _Broken(at)
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
        at = _past_commas(text, at)
        if at >= len(text):
            return found, at
        if text[at] == "}":
            return found, at + 1
        if text[at] == "]":
            raise _Broken(at)
        if text[at] in _QUOTES:
            key, after = _string(text, at)
        else:
            bare = _BARE_KEY.match(text, at)
            if bare is None:
                raise _Broken(at + 1)
            key, after = bare.group().strip(), bare.end()
        after = _past_gap(text, after)
        colon = _COLON.match(text, after)
        if colon is None:
            raise _Broken(max(after, at + 1))
        found[key], at = _value(text, _past_gap(text, colon.end()), depth + 1)


def _list(text: str, at: int, depth: int) -> tuple[list[Any], int]:
    found: list[Any] = []
    while True:
        at = _past_commas(text, at)
        if at >= len(text):
            return found, at
        if text[at] == "]":
            return found, at + 1
        if text[at] == "}":
            raise _Broken(at)
        value, at = _value(text, at, depth + 1)
        found.append(value)


def _string(text: str, at: int) -> tuple[str, int]:
    """A string; a quote inside it counts as its end only where something follows that can follow a string."""
    quote = _QUOTES[text[at]]
    parts: list[str] = []
    here = at + 1
    while mark := _INSIDE[quote].search(text, here):
        parts.append(text[here : mark.start()])
        here = mark.end()
        if mark.group() == quote:
            if _ENDS_STRING.match(text, here):
                # Characters beyond 16 bits are escaped in two halves.
                whole = "".join(parts).encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")
                return whole, here
            parts.append(quote)
        else:
            part, here = _escape(text, here)
            parts.append(part)
    raise _Broken(at + 1)


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
    """A word, or a text without quotes, up to what ends a value."""
    match = _BARE.match(text, at)
    word = match.group() if match else ""
    word = re.split(r"\s//|\s#|/\*", word, maxsplit=1)[0]
    end = at + len(word)
    if not word.strip() or end >= len(text):
        raise _Broken(max(end, at + 1))
    word = word.strip()
    return _WORDS.get(word.casefold(), word), end


def _number(digits: str) -> float | int:
    if len(digits) <= 300 and digits.lstrip("+-").isdecimal():
        return int(digits)
    return float(digits)


def _past_gap(text: str, at: int) -> int:
    gap = _GAP.match(text, at)
    return gap.end() if gap else at


def _past_commas(text: str, at: int) -> int:
    at = _past_gap(text, at)
    while text[at : at + 1] in (",", "，"):
        at = _past_gap(text, at + 1)
    return at
