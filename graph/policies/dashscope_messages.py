"""Messages, calls and usage in the form of DashScope's native API, there and back."""

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


def chosen(choice: str, tools: Sequence[Mapping[str, Any]]) -> str | dict[str, Any]:
    """What asks for a choice of tools, given as LangChain does.

    Raises:
        ValueError: DashScope knows no way to ask for it.
    """
    names = [tool["function"]["name"] for tool in tools]
    if choice in ("auto", "none"):
        return choice
    if choice in ("any", "required") and len(names) == 1:
        choice = names[0]
    if choice not in names:
        raise ValueError(f"DashScope cannot be told to choose {choice!r} of the tools {', '.join(names)}; name one")
    return {"type": "function", "function": {"name": choice}}


def written(message: BaseMessage) -> dict[str, Any]:
    """A message as DashScope takes it: its content is a list of parts, {"text": ...} or {"image": address}.

    Raises:
        ValueError: A part is neither text nor image.
    """
    parts = [_part(block) for block in (message.content if isinstance(message.content, list) else [message.content])]
    if isinstance(message, ToolMessage):
        return {"role": "tool", "content": parts, "tool_call_id": message.tool_call_id}
    if not isinstance(message, AIMessage):
        return {"role": "system" if isinstance(message, SystemMessage) else "user", "content": parts}
    calls = [
        {
            "id": call["id"],
            "type": "function",
            "function": {"name": call["name"], "arguments": json.dumps(call["args"], ensure_ascii=False)},
        }
        for call in message.tool_calls
    ]
    said = {"role": "assistant", "content": [{"text": message.text}]}
    return {**said, "tool_calls": calls} if calls else said


def _part(block: str | Mapping[str, Any]) -> dict[str, str]:
    if isinstance(block, str):
        return {"text": block}
    if block.get("type") == "text":
        return {"text": block["text"]}
    if block.get("type") == "image" and block.get("base64"):
        return {"image": f"data:{block['mime_type']};base64,{block['base64']}"}
    if block.get("type") == "image" and block.get("url"):
        return {"image": block["url"]}
    raise ValueError(f"DashScope is shown text and images here, not a block of type {block.get('type')!r}")


def whole(message: Mapping[str, Any]) -> AIMessage:
    """The turn that an answer in one piece is."""
    calls: list[ToolCall] = []
    invalid: list[InvalidToolCall] = []
    for raw in message.get("tool_calls") or ():
        # A call without arguments comes with an empty text for them.
        function = {"name": raw["function"]["name"], "arguments": raw["function"].get("arguments") or "{}"}
        try:
            calls.append(cast(ToolCall, parse_tool_call({**raw, "function": function}, return_id=True)))
        except ValueError as error:
            invalid.append(make_invalid_tool_call(raw, str(error)))
    return AIMessage(_text(message), tool_calls=calls, invalid_tool_calls=invalid)


def piece(message: Mapping[str, Any]) -> AIMessageChunk:
    """The turn's next piece, of an answer in a stream."""
    return AIMessageChunk(
        content=_text(message), tool_call_chunks=[_call_piece(raw) for raw in message.get("tool_calls") or ()]
    )


def _call_piece(raw: Mapping[str, Any]) -> ToolCallChunk:
    # Later pieces of a call repeat its name and id as empty texts.
    function = raw.get("function") or {}
    return tool_call_chunk(
        name=function.get("name") or None,
        args=function.get("arguments") or "",
        id=raw.get("id") or None,
        index=raw.get("index", 0),
    )


def _text(message: Mapping[str, Any]) -> str:
    content = message.get("content") or ""
    return content if isinstance(content, str) else "".join(part.get("text") or "" for part in content)


def usage_of(response: Any) -> UsageMetadata:
    """Tokens of a response: read, written, and of those read the ones of images and from the cache."""
    used = response.usage
    read, written = int(used.get("input_tokens") or 0), int(used.get("output_tokens") or 0)
    details = {"image": (used.get("input_tokens_details") or {}).get("image_tokens") or used.get("image_tokens")}
    details["cache_read"] = (used.get("prompt_tokens_details") or {}).get("cached_tokens")
    usage = UsageMetadata(input_tokens=read, output_tokens=written, total_tokens=read + written)
    known: Any = {name: int(number) for name, number in details.items() if number}
    return {**usage, "input_token_details": known} if known else usage
