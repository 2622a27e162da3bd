"""Conversion of messages, tool calls and usage to and from the format of DashScope's native API."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, cast

from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    BaseMessage,
    InvalidToolCall,
    SystemMessage,
    ToolCall,
    ToolMessage,
    UsageMetadata,
)
from langchain_core.messages.tool import ToolCallChunk, tool_call_chunk
from langchain_core.output_parsers.openai_tools import make_invalid_tool_call, parse_tool_call

from ..usage import token_count
from .completions import arguments_text


def to_tool_choice(choice: str, tools: Sequence[Mapping[str, Any]]) -> str | dict[str, Any]:
    """LangChain's `tool_choice` in DashScope's format; `any` and `required` only if there is one tool.

    Raises:
        ValueError: DashScope does not support this choice.
    """
    names = [tool["function"]["name"] for tool in tools]
    if choice in ("auto", "none"):
        return choice
    if choice in ("any", "required") and len(names) == 1:
        choice = names[0]
    if choice not in names:
        raise ValueError(
            f"DashScope does not support tool_choice {choice!r} with the tools {', '.join(names)}; name one tool"
        )
    return {"type": "function", "function": {"name": choice}}


def to_dashscope(message: BaseMessage) -> dict[str, Any]:
    """The message in DashScope's format: its content is a list of {"text": ...} and {"image": URL}.

    Raises:
        ValueError: A block is neither text nor image.
    """
    if isinstance(message, AIMessage):
        return _model_turn(message)
    parts = [_part(block) for block in (message.content if isinstance(message.content, list) else [message.content])]
    if isinstance(message, ToolMessage):
        return {"role": "tool", "content": parts, "tool_call_id": message.tool_call_id}
    return {"role": "system" if isinstance(message, SystemMessage) else "user", "content": parts}


def _model_turn(message: AIMessage) -> dict[str, Any]:
    calls = [
        {
            "id": call["id"],
            "type": "function",
            "function": {"name": call["name"], "arguments": json.dumps(call["args"], ensure_ascii=False)},
        }
        for call in message.tool_calls
    ]
    turn = {"role": "assistant", "content": [{"text": message.text}]}
    return {**turn, "tool_calls": calls} if calls else turn


def _part(block: str | Mapping[str, Any]) -> dict[str, str]:
    if isinstance(block, str):
        return {"text": block}
    if block.get("type") == "text":
        return {"text": block["text"]}
    if block.get("type") == "image" and block.get("base64"):
        return {"image": f"data:{block['mime_type']};base64,{block['base64']}"}
    if block.get("type") == "image" and block.get("url"):
        return {"image": block["url"]}
    if block.get("type") == "image_url":
        given = block["image_url"]
        return {"image": given["url"] if isinstance(given, Mapping) else given}
    raise ValueError(f"DashScope takes text and images here, not a block of type {block.get('type')!r}")


def to_message(message: Mapping[str, Any]) -> AIMessage:
    """The turn in a response that is not streamed."""
    calls: list[ToolCall] = []
    invalid: list[InvalidToolCall] = []
    for raw in message.get("tool_calls") or ():
        # A call without arguments has an empty string as arguments.
        text = arguments_text(raw["function"].get("arguments") or None)
        function = {"name": raw["function"]["name"], "arguments": text}
        try:
            calls.append(cast(ToolCall, parse_tool_call({**raw, "function": function}, return_id=True)))
        except ValueError as error:
            invalid.append(make_invalid_tool_call(raw, str(error)))
    return AIMessage(_text(message), tool_calls=calls, invalid_tool_calls=invalid)


def to_chunk(message: Mapping[str, Any]) -> AIMessageChunk:
    """The next chunk of a streamed turn."""
    return AIMessageChunk(
        content=_text(message), tool_call_chunks=[_call_chunk(raw) for raw in message.get("tool_calls") or ()]
    )


def _call_chunk(raw: Mapping[str, Any]) -> ToolCallChunk:
    # Later chunks of a call have empty strings as name and id.
    function = raw.get("function") or {}
    given = function.get("arguments") or ""
    return tool_call_chunk(
        name=function.get("name") or None,
        args=given if isinstance(given, str) else arguments_text(given),
        id=raw.get("id") or None,
        index=raw.get("index", 0),
    )


def _text(message: Mapping[str, Any]) -> str:
    content = message.get("content") or ""
    return content if isinstance(content, str) else "".join(part.get("text") or "" for part in content)


def to_usage(response: Any) -> UsageMetadata:
    """Token counts of a response: input and output, and of the input those of images and from the cache."""
    used = response.usage if isinstance(response.usage, Mapping) else {}
    read, written = token_count(used.get("input_tokens")) or 0, token_count(used.get("output_tokens")) or 0
    counts = {
        "image": _detail(used, "input_tokens_details", "image_tokens") or token_count(used.get("image_tokens")),
        "cache_read": _detail(used, "prompt_tokens_details", "cached_tokens"),
    }
    usage = UsageMetadata(input_tokens=read, output_tokens=written, total_tokens=read + written)
    known: Any = {name: count for name, count in counts.items() if count}
    return {**usage, "input_token_details": known} if known else usage


def _detail(used: Mapping[str, Any], group: str, name: str) -> int | None:
    details = used.get(group)
    return token_count(details.get(name)) if isinstance(details, Mapping) else None
