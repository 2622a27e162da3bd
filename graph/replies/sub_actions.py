"""The sub-actions of a decompose turn."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from langchain_core.messages import AIMessage

from ..candidates import Candidates, normalize_label
from .errors import MalformedReply
from .json_repair import find_json, repair_json, replace_lone_surrogates
from .labels import label_texts
from .sections import one_turn, without_thoughts
from .tool_calls import normalize_calls, validated_calls

MAX_SUB_ACTIONS: Final = 8
MAX_CALL_LENGTH: Final = 8000
"""Characters of a `decompose` call up to which it stays in the conversation as the model wrote it."""
_LISTS: Final = ("sub_actions", "subactions", "actions", "steps", "list", "items")
_NAMES: Final = ("name", "sub_action", "subaction", "action", "description", "text", "title", "step")
_CANDIDATES: Final = ("candidates", "candidate_actions", "candidate", "labels", "actions")
_WRAPPERS: Final = ("arguments", "parameters", "args", "input", "decompose", "properties")
_LINE: Final = re.compile(r"^\s*(?:[-*\u2022]|\d{1,2}[.):])?\s*(.*\S)\s*$", re.MULTILINE)


def normalize_decompose(message: AIMessage, candidates: Candidates) -> AIMessage:
    """The turn with a single structured `decompose` call, if it makes one in any format.

    Several such calls are merged, and other calls are dropped. A turn with exactly one well-formed call is returned
    itself, so that the conversation keeps the model's own text.
    """
    turn = normalize_calls(message, ["decompose"])
    calls = [call for call in turn.tool_calls if call["name"] == "decompose"]
    if not calls and not turn.tool_calls and not turn.invalid_tool_calls:
        visible = without_thoughts(one_turn(turn.text))
        listed = [(start, value) for start, _, value in find_json(visible) if _is_decomposition(value, candidates)]
        if not listed:
            return turn
        start, value = listed[-1]
        call: Any = {"name": "decompose", "args": {"sub_actions": value}, "id": None, "type": "tool_call"}
        with_call = turn.model_copy(update={"content": turn.text[:start].strip(), "tool_calls": [call]})
        return normalize_decompose(with_call, candidates)
    if not calls:
        return turn
    if len(calls) == len(turn.tool_calls) == 1 and len(str(calls[0]["args"])) <= MAX_CALL_LENGTH:
        return turn
    found = _distinct(item for call in calls for item in _items(call["args"], candidates))
    one = {**calls[0], "args": {"sub_actions": found}}
    return turn.model_copy(update={"tool_calls": [one], "invalid_tool_calls": []})


def parse_sub_actions(message: AIMessage, candidates: Candidates) -> list[dict[str, Any]]:
    """The sub-actions of a `decompose` call as {name, candidates}, in the model's order, without unknown candidates.

    Raises:
        MalformedReply: There is no call, a call of another tool, or no sub-action with a name.
    """
    calls = validated_calls(message, ["decompose"])
    if not calls:
        raise MalformedReply("call the tool decompose with a list of sub-actions")
    found = _distinct(_items(calls[0]["args"], candidates))
    if not found:
        raise MalformedReply("decompose needs sub_actions, a list of objects, each with the name of a sub-action")
    return found


def _is_decomposition(value: Any, candidates: Candidates) -> bool:
    """Whether a JSON value outside a call is a list of sub-actions rather than one of candidates."""
    if isinstance(value, dict):
        return any(key in value for key in _LISTS[:2])
    found = list(_items({"sub_actions": value}, candidates))
    return bool(found) and not all(candidates.match(item["name"]) for item in found)


def _distinct(items: Iterator[dict[str, Any]]) -> list[dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for item in items:
        found.setdefault(normalize_label(item["name"]), item)
        if len(found) == MAX_SUB_ACTIONS:
            break
    return list(found.values())


def _items(given: Any, candidates: Candidates, depth: int = 0) -> Iterator[dict[str, Any]]:
    """The sub-actions in the arguments of a call, for every shape in which models write the list."""
    if isinstance(given, str) and depth:
        try:
            given = repair_json(given)
        except ValueError:
            given = _LINE.findall(given[:MAX_CALL_LENGTH])
    if isinstance(given, dict):
        inner = next((given[key] for key in (*_LISTS, *_WRAPPERS) if given.get(key) and key != "actions"), None)
        if inner is not None and depth < 4 and not isinstance(inner, int | float):
            yield from _items(inner, candidates, depth + 1)
            return
        if depth and not any(isinstance(given.get(key), str) for key in _NAMES):
            given = list(_keyed(given))
        elif depth:
            given = [given]
    for item in given if isinstance(given, list) else ():
        name = next((item[k] for k in _NAMES if isinstance(item.get(k), str)), None) if isinstance(item, dict) else item
        if isinstance(name, str) and re.search(r"\w", name):
            names = next((item[key] for key in _CANDIDATES if key in item), ()) if isinstance(item, dict) else ()
            labels = dict.fromkeys(filter(None, (candidates.match(c) for c in label_texts(names, candidates))))
            yield {"name": replace_lone_surrogates(" ".join(name.split())[:200]), "candidates": list(labels)}


def _keyed(given: Mapping[Any, Any]) -> Iterator[Any]:
    """The items of an object that maps ranks to sub-actions, or names to candidates."""
    ranked = all(re.fullmatch(r"\D{0,20}\d{1,3}\D?", str(key)) for key in given)
    if ranked:
        order = sorted(given, key=lambda key: int(re.findall(r"\d+", str(key))[0]))
        yield from (given[key] for key in order)
    else:
        yield from ({"name": key, "candidates": value} for key, value in given.items() if isinstance(value, list | str))
