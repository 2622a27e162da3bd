"""The tool calls of a reply: normalized to structured calls, then validated."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final
from uuid import uuid4

from langchain_core.messages import AIMessage, InvalidToolCall, ToolCall
from langchain_core.messages.tool import invalid_tool_call, tool_call

from .call_formats import bare_blocks, calls_in_block, canonical_name, find_calls, parse_arguments, tagged_blocks
from .errors import MalformedReply
from .json_repair import replace_lone_surrogates
from .sections import without_thoughts

MAX_CALLS: Final = 12
"""Tool calls of one turn: there are five tools, and each may be called for several spans."""
_EMPTY_FENCE: Final = re.compile(r"```[a-zA-Z_]*\s*```")


def validated_calls(message: AIMessage, offered: Sequence[str]) -> list[dict[str, Any]]:
    """The calls of a turn as {id, name, args}.

    Raises:
        MalformedReply: A call is not JSON or names a tool that is not in `offered`, or there are more than `MAX_CALLS`.
    """
    if message.invalid_tool_calls:
        name = str(message.invalid_tool_calls[0].get("name") or "a tool")[:60]
        raise MalformedReply(f"the call of {name} is not valid JSON with named arguments")
    for call in message.tool_calls:
        if call["name"] not in offered:
            raise MalformedReply(f"there is no tool {call['name'][:60]!r}; the tools are {', '.join(offered)}")
    if len(message.tool_calls) > MAX_CALLS:
        raise MalformedReply(f"{len(message.tool_calls)} calls are too many; make at most {MAX_CALLS} in one turn")
    return [{"id": call["id"], "name": call["name"], "args": call["args"]} for call in message.tool_calls]


def normalize_calls(message: AIMessage, offered: Sequence[str]) -> AIMessage:
    """The turn with all its calls as structured calls that can be answered.

    Broken JSON of calls is repaired. If there are no structured calls, those in the text are taken, and the content
    becomes the text before them. A name that differs from one in `offered` only in case, punctuation or namespace is
    replaced by it, duplicate calls are dropped, and every call gets a unique id. Calls that cannot be parsed remain in
    `invalid_tool_calls`. A turn that needs no change is returned itself.
    """
    content: Any = message.content
    calls = [(call["name"], call["args"], call["id"]) for call in message.tool_calls]
    invalid: list[InvalidToolCall] = []
    for bad in message.invalid_tool_calls:
        args = parse_arguments(bad.get("args"))
        if bad.get("name") and args is not None:
            calls.append((str(bad["name"]), args, bad.get("id")))
        else:
            invalid.append(bad)
    if not calls and not invalid:
        start, found = find_calls(message.text, offered)
        calls = [(name, args, None) for name, args in found if args is not None]
        invalid = [
            InvalidToolCall(name=name, args="", id=None, error="no arguments", type="invalid_tool_call")
            for name, args in found
            if args is None
        ]
        content = message.text[:start].strip() if found else content
    structured = _structured(calls, offered)
    if (structured, invalid, content) == (message.tool_calls, message.invalid_tool_calls, message.content):
        return message
    return message.model_copy(update={"content": content, "tool_calls": structured, "invalid_tool_calls": invalid})


def parse_hermes(text: str) -> tuple[str, list[ToolCall], list[InvalidToolCall]]:
    """The text without its calls, the calls, and those that cannot be parsed. Never raises.

    Without any `<tool_call>`, JSON with a name and arguments that is the whole text, or all of a code fence, is also a
    call. A text without calls is returned unchanged.
    """
    visible = without_thoughts(text)
    rest, at = "", 0
    calls: list[ToolCall] = []
    invalid: list[InvalidToolCall] = []
    for start, end, body in tagged_blocks(visible) or bare_blocks(visible):
        rest, at = rest + text[at:start], end
        for name, args in calls_in_block(body, ()):
            if args is None:
                error = "no JSON object with a name and arguments"
                invalid.append(invalid_tool_call(name=name or None, args=body, id=_new_id(), error=error))
            else:
                calls.append(tool_call(name=_encodable(name), args=_encodable(args), id=_new_id()))
    if not calls and not invalid:
        return text, [], []
    return _EMPTY_FENCE.sub("", rest + text[at:]).strip(), calls, invalid


def _structured(calls: Sequence[tuple[str, Any, str | None]], offered: Sequence[str]) -> list[ToolCall]:
    structured: list[ToolCall] = []
    ids: set[str] = set()
    seen: set[str] = set()
    for name, given, given_id in calls:
        args = _encodable(parse_arguments(given) or {})
        name = _encodable(canonical_name(name, offered))
        key = f"{name} {json.dumps(args, sort_keys=True, default=str)}"
        if key in seen:
            continue
        seen.add(key)
        call_id = given_id if given_id and given_id not in ids else _new_id()
        ids.add(call_id)
        structured.append(ToolCall(name=name, args=args, id=call_id, type="tool_call"))
    return structured


def _encodable(value: Any) -> Any:
    """The JSON value with lone surrogates replaced in all its strings."""
    if isinstance(value, str):
        return replace_lone_surrogates(value)
    if isinstance(value, Mapping):
        return {_encodable(key): _encodable(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_encodable(inner) for inner in value]
    return value


def _new_id() -> str:
    return f"call_{uuid4().hex[:12]}"
