"""Messages as they are sent to a chat model: with the images themselves, and without stale tool calls."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any, Final

from langchain_core.messages import AIMessage, AnyMessage, BaseMessage

from ..tools.execution.media_store import SCHEME, MediaStore

_CALL_BLOCKS: Final = {"tool_use", "tool_call", "function_call"}
"""Types of content blocks that repeat a tool call of the message."""
_RAW_CALLS: Final = {"tool_calls", "function_call"}
"""Keys under which clients keep the tool calls as the server wrote them."""


def as_sent(messages: Sequence[AnyMessage], store: MediaStore) -> list[BaseMessage]:
    """Copies of the messages with every `media://` reference replaced by the image, and without stale tool calls.

    Some clients keep the tool calls of a reply a second time, as content blocks or as the server wrote them. After a
    correction, or after several calls were merged, they would send calls that have no result, which servers reject.

    Raises:
        KeyError: The store does not hold an image.
    """
    return [_sent(message, store) for message in messages]


def _sent(message: BaseMessage, store: MediaStore) -> BaseMessage:
    update: dict[str, Any] = {}
    if isinstance(message.content, list):
        update["content"] = [_block(block, store) for block in message.content if not _stale(block, message)]
    if isinstance(message, AIMessage) and _RAW_CALLS & message.additional_kwargs.keys():
        update["additional_kwargs"] = {k: v for k, v in message.additional_kwargs.items() if k not in _RAW_CALLS}
    return message.model_copy(update=update) if update else message


def _stale(block: Any, message: BaseMessage) -> bool:
    """Whether a block of the policy's reply is a tool call that the reply no longer makes."""
    if not isinstance(message, AIMessage) or not isinstance(block, dict) or block.get("type") not in _CALL_BLOCKS:
        return False
    return block.get("call_id", block.get("id")) not in [call["id"] for call in message.tool_calls]


def _block(block: Any, store: MediaStore) -> Any:
    if isinstance(block, dict) and block.get("type") == "image" and str(block.get("url", "")).startswith(SCHEME):
        data = base64.b64encode(store.get(block["url"])).decode()
        return {"type": "image", "base64": data, "mime_type": "image/jpeg"}
    return block
