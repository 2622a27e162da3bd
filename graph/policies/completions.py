"""Chat completions as servers write them, brought to the form that OpenAI documents and its client requires."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ..usage import token_count


def documented(completion: Mapping[str, Any]) -> dict[str, Any]:
    """The completion, or the chunk of one, with the arguments of calls as JSON text and token counts as integers."""
    update: dict[str, Any] = {}
    if "usage" in completion:
        update["usage"] = _usage(completion["usage"])
    if isinstance(completion.get("choices"), list):
        update["choices"] = [_choice(choice) for choice in completion["choices"]]
    return {**completion, **update}


def arguments_text(given: Any) -> str:
    """The arguments of a call as the JSON text of an object; text that is not JSON is returned unchanged.

    A value that is no object becomes the only argument, `arguments`.
    """
    value = given
    if isinstance(given, str):
        try:
            value = json.loads(given)
        except (ValueError, RecursionError):
            return given
        if isinstance(value, dict):
            return given
        if isinstance(value, str):
            return arguments_text(value)
    if value is None:
        return "{}"
    return json.dumps(value if isinstance(value, dict) else {"arguments": value}, ensure_ascii=False)


def _choice(choice: Any) -> Any:
    if not isinstance(choice, dict):
        return choice
    update = {
        key: _turn(choice[key], key == "delta") for key in ("message", "delta") if isinstance(choice.get(key), dict)
    }
    return {**choice, **update}


def _turn(turn: Mapping[str, Any], is_part: bool) -> dict[str, Any]:
    calls = turn.get("tool_calls")
    return {**turn, "tool_calls": [_call(call, is_part) for call in calls]} if isinstance(calls, list) else dict(turn)


def _call(call: Any, is_part: bool) -> Any:
    function = call.get("function") if isinstance(call, dict) else None
    given = function.get("arguments") if isinstance(function, dict) else None
    # Text in a chunk may be any part of the JSON; None stands for no part of it, or for no arguments.
    if not isinstance(function, dict) or given is None or (is_part and isinstance(given, str)):
        return call
    return {**call, "function": {**function, "arguments": arguments_text(given)}}


def _usage(usage: Any) -> dict[str, Any] | None:
    """The usage with the counts that are numbers; None if it is no object."""
    if not isinstance(usage, dict):
        return None
    found: dict[str, Any] = {}
    for name, value in usage.items():
        if name.endswith("_details"):
            counts = {kind: token_count(count) for kind, count in value.items()} if isinstance(value, dict) else {}
            found[name] = {kind: count for kind, count in counts.items() if count is not None}
        else:
            found[name] = token_count(value) if name.endswith("_tokens") else value
    return found
