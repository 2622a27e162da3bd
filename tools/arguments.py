"""Arguments of tools in the forms in which chat models write them."""

from __future__ import annotations

import json
import re
from typing import Any, Final

_NONE: Final = {"", "none", "null", "nil", "undefined"}
_CLOCK: Final = re.compile(
    r"(?:(?:(\d{1,3}):)?(\d{1,3}):)?(\d{1,9}(?:\.\d{0,9})?|\.\d{1,9})\s*(?:s|secs?|seconds?)?", re.I
)


def seconds(given: Any) -> Any:
    """A time as seconds: `0:01`, `1:02:03.5`, `1s` and `"1.5"` are read, empty text and `null` are None.

    Anything else is returned unchanged, for the schema to accept or refuse.
    """
    if not isinstance(given, str):
        return given
    text = given.strip().strip("\"'").strip()
    if text.casefold() in _NONE:
        return None
    match = _CLOCK.fullmatch(text)
    if match is None:
        return given
    hours, minutes, rest = match.groups()
    return 3600 * int(hours or 0) + 60 * int(minutes or 0) + float(rest)


def names(given: Any) -> Any:
    """A list of names: JSON text is read, a single name is a list of one, empty text and `null` are an empty list.

    A text with commas stays one name, because names may contain commas.
    """
    if isinstance(given, str):
        given = _from_json(given.strip())
    if given is None:
        return []
    if isinstance(given, str):
        return [] if given.casefold() in _NONE else [given]
    if isinstance(given, list | tuple):
        return [name for name in given if name is not None and not (isinstance(name, str) and not name.strip())]
    return given


def yes_or_no(given: Any) -> Any:
    """A choice: empty text and `null` are no.

    Anything else is returned unchanged, for the schema to accept or refuse.
    """
    return False if given is None or (isinstance(given, str) and given.strip().casefold() in _NONE) else given


def listed_names(given: Any) -> Any:
    """As `names`, where no list of candidates tells whether a text with commas is one name.

    Raises:
        ValueError: It is a text with commas.
    """
    found = names(given)
    if isinstance(given, str) and found == [given.strip()] and re.search(r"[,;\n]", given):
        raise ValueError(f'it is one text, {given[:60]!r}; give a list such as ["hug", "handshake"]')
    return found


def _from_json(text: str) -> Any:
    """The list, text or null that a text of JSON contains; else the text."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return text
    return found if found is None or isinstance(found, list | str) else text
