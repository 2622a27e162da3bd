"""The formats in which models write tool calls into text: Hermes tags, XML tags, JSON, ReAct and Python calls."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any, Final

from ..candidates import normalize_words
from .json_repair import find_json, is_shallow, json_prefix, repair_json
from .sections import without_thoughts

_TAG: Final = re.compile(r"<(/?)(?:tool_call|function_call)>", re.IGNORECASE)
_FENCE: Final = re.compile(r"```[a-zA-Z_]*[ \t]*\n?(.*?)```", re.DOTALL)
_QUOTED_NAME: Final = re.compile(r"""["']name["']\s*:\s*["']([\w.-]{1,64})["']""")
_TAGGED: Final = re.compile(
    r"<(function|invoke)(?:=|\s+name=)[\"']?([\w.\-]{1,80})[\"']?\s*>(.*?)(?:</\1>|(?=<\1[=\s])|\Z)",
    re.DOTALL | re.IGNORECASE,
)
_PARAMETER: Final = re.compile(
    r"<parameter(?:=|\s+name=)[\"']?(\w{1,80})[\"']?\s*>\s*(.*?)\s*</parameter>", re.DOTALL | re.IGNORECASE
)
_ACTION_TAG: Final = re.compile(r"<(action|tool)>\s*([\w .\-]{1,80}?)\s*</\1>", re.IGNORECASE)
_REACT: Final = re.compile(
    r"^[ \t*]*(?:Action|Tool)[ \t*]*:[ \t*`]*([\w.\-]{1,80})[`* \t]*(?:\n+"
    r"[ \t*]*(?:Action|Tool)[ \t]+Input[ \t*]*:[ \t]*([^\n]*(?:\n(?!"
    r"[ \t*]*(?:Action|Tool|Observation|Thought|Final)\b)[^\n]*)*))?$",
    re.MULTILINE | re.IGNORECASE,
)
_PYTHON: Final = re.compile(
    r"^[ \t>*\-`\d.\[]{0,12}(?:print\(|await )?((?:\w{1,40}\.){0,3}\w{1,60})\(([^\n]{0,2000}?)\)[ \t`;.,)\]]{0,8}$",
    re.MULTILINE,
)
_NAME_KEYS: Final = ("name", "tool", "tool_name", "function", "function_name", "action")
_ARGUMENT_KEYS: Final = ("arguments", "args", "parameters", "params", "action_input", "tool_input", "input", "kwargs")
_MAX_CALLS: Final = 600

Call = tuple[str, dict[str, Any] | None]
"""Name and arguments; None for arguments that cannot be parsed."""
Found = tuple[int, str, dict[str, Any] | None]
"""Where the call starts in the text, its name and its arguments."""


def find_calls(text: str, offered: Sequence[str]) -> tuple[int, list[Call]]:
    """Where the first call of a text starts, and its calls; calls in reasoning do not count.

    Formats: `<tool_call>` and similar tags, JSON as in OpenAI's API, ReAct's `Action:` and `Action Input:`, and lines
    that are a Python call. The first format of this order that occurs is taken as the format of the text.
    """
    text = without_thoughts(text)
    for calls_in in (_hermes, _tagged, _json, _react, _python):
        found = [call for call, _ in zip(calls_in(text, offered), range(_MAX_CALLS), strict=False)]
        if found:
            return found[0][0], [(name, args) for _, name, args in found]
    return len(text), []


def tagged_blocks(text: str) -> list[tuple[int, int, str]]:
    """(start, end, body) of each pair of tags; closing tags may be missing.

    An empty pair beside others is not a call: usually it is an opening tag in place of the closing tag of the call
    before it. If all pairs are empty, the first one stands for a call that cannot be parsed.
    """
    pairs: list[tuple[int, int, str]] = []
    tags = list(_TAG.finditer(text))
    at = 0
    while at < len(tags):
        opening = tags[at]
        at += 1
        if opening.group(1):
            continue
        json_end = json_prefix(text, opening.end())
        while at < len(tags) and tags[at].start() < json_end:
            # The tag is inside a string of the call.
            at += 1
        following = tags[at] if at < len(tags) else None
        if following is not None and following.group(1):
            inner, end = following.start(), following.end()
            at += 1
        elif json_end > opening.end():
            inner = end = json_end
        else:
            inner = end = following.start() if following is not None else len(text)
        pairs.append((opening.start(), end, text[opening.end() : inner].strip()))
    if pairs and not any(body for _, _, body in pairs):
        start, end, _ = pairs[0]
        pairs[0] = (start, end, text[start:end])
    return pairs


def bare_blocks(text: str) -> list[tuple[int, int, str]]:
    """As `tagged_blocks`, for calls without tags: the whole text or whole code fences that are only JSON calls."""
    whole = text.strip()
    if whole[:1] in ("{", "[") and whole[-1:] in ("}", "]") and _is_call(whole):
        return [(0, len(text), whole)]
    return [(match.start(), match.end(), match[1]) for match in _FENCE.finditer(text) if _is_call(match[1])]


def _is_call(text: str) -> bool:
    items = [item for _, _, value in find_json(text) for item in (value if isinstance(value, list) else [value])]
    return bool(items) and all(_named(item, ()) for item in items)


def calls_in_block(body: str, offered: Sequence[str]) -> list[Call]:
    """The calls in the body of a pair of tags, mostly JSON; an empty body has none."""
    calls: list[Call] = []
    for _, end, value in find_json(body):
        for item in value if isinstance(value, list) else [value]:
            # A trailing comma means that arguments were to follow.
            alone = isinstance(item, dict) and item.keys() == {"name"} and not body[:end].rstrip().endswith(",")
            calls += _named(item, (*offered, item["name"]) if alone and isinstance(item["name"], str) else offered)
    for calls_in in (_tagged, _react, _python):
        calls = calls or [(name, args) for _, name, args in calls_in(body, offered)]
    quoted = _QUOTED_NAME.search(body)
    return calls or ([(quoted[1] if quoted else "", None)] if body else [])


def _hermes(text: str, offered: Sequence[str]) -> Iterator[Found]:
    for start, _, body in tagged_blocks(text):
        yield from ((start, name, args) for name, args in calls_in_block(body, offered))


def _tagged(text: str, offered: Sequence[str]) -> Iterator[Found]:
    for match in _TAGGED.finditer(text):
        parameters = {key: _value(value) for key, value in _PARAMETER.findall(match.group(3))}
        yield match.start(), match.group(2), parameters or parse_arguments(match.group(3))
    for match in _ACTION_TAG.finditer(text):
        if canonical_name(match.group(2), offered) in offered:
            yield match.start(), match.group(2), {}


def _json(text: str, offered: Sequence[str]) -> Iterator[Found]:
    for start, _, value in find_json(text):
        for item in value if isinstance(value, list) else [value]:
            for name, args in _named(item, offered):
                yield start, name, args


def _react(text: str, offered: Sequence[str]) -> Iterator[Found]:
    for match in _REACT.finditer(text):
        name, given = match.groups()
        if given is not None or canonical_name(name, offered) in offered:
            yield match.start(), name, parse_arguments(given)


def _python(text: str, offered: Sequence[str]) -> Iterator[Found]:
    for match in _PYTHON.finditer(text):
        name, inside = match.group(1), match.group(2).strip().rstrip(",")
        known = canonical_name(name, offered) in offered
        if known or re.match(r"\w+\s*=", inside):
            arguments = inside if inside.startswith("{") or not inside else f"{{{inside}}}"
            yield match.start(), name, parse_arguments(arguments)


def _named(item: Any, offered: Sequence[str]) -> list[Call]:
    """The calls in a JSON value: {name, arguments} under any of their usual keys, or {tool: arguments}."""
    if not isinstance(item, dict):
        return []
    nested = item.get("tool_calls")
    if isinstance(nested, list):
        return [call for inner in nested for call in _named(inner, offered)]
    if isinstance(item.get("function"), dict):
        return _named(item["function"], offered)
    given = next((key for key in _ARGUMENT_KEYS if key in item), None)
    for key in _NAME_KEYS:
        name = item.get(key)
        if isinstance(name, str) and name and (given is not None or canonical_name(name, offered) in offered):
            rest = {k: v for k, v in item.items() if k not in (key, "id", "type")}
            return [(name, parse_arguments(item[given]) if given is not None else rest)]
    if item and all(canonical_name(key, offered) in offered for key in item):
        return [(key, parse_arguments(value)) for key, value in item.items()]
    return []


def parse_arguments(given: Any) -> dict[str, Any] | None:
    """Arguments as an object, parsed from JSON text and without redundant wrappers; None if they cannot be."""
    if isinstance(given, str) and given.strip():
        try:
            given = repair_json(given)
            given = repair_json(given) if isinstance(given, str) else given
        except ValueError:
            return None
    if given is None or isinstance(given, str):
        return {}
    if not isinstance(given, dict) or not is_shallow(given):
        return None
    keys = set(given)
    wrapper = next((key for key in _ARGUMENT_KEYS if key in given), None)
    if wrapper is not None and keys <= {wrapper, "name", "type", "id"} and isinstance(given[wrapper], dict | str):
        return parse_arguments(given[wrapper])
    return given


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def canonical_name(name: str, offered: Sequence[str]) -> str:
    """The offered tool that differs from `name` only in case, punctuation or namespace; else `name`."""
    last = normalize_words(re.split(r"[.:/]", name.strip().removesuffix("()"))[-1])
    return next((tool for tool in offered if normalize_words(tool) == last), name)
