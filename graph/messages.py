"""Messages as they are sent to a chat model: with images, without stale tool calls, control tokens escaped."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any, Final

from langchain_core.messages import AIMessage, AnyMessage, BaseMessage

from ..tools.errors import BadEdit
from ..tools.execution.media_store import SCHEME, MediaStore
from .control_tokens import escaped, escaped_value

_CALL_BLOCKS: Final = {"tool_use", "tool_call", "function_call"}
"""Types of content blocks that repeat a tool call of the message."""
_FETCHED: Final = frozenset(
    (
        "image",
        "image_url",
        "input_image",
        "video",
        "video_url",
        "audio",
        "input_audio",
        "file",
        "input_file",
        "document",
    )
) | {"media", "url", "file_id", "file_uri", "source"}
"""Types and keys of content blocks whose content a client or a server may fetch."""
_READ: Final = {"text", "input", "args", "arguments"}
"""Keys of a content block whose values the model reads as text."""
_RAW_CALLS: Final = {"tool_calls", "function_call"}
"""Keys under which clients keep the tool calls as the server wrote them."""


def as_sent(messages: Sequence[AnyMessage], store: MediaStore) -> list[BaseMessage]:
    """Copies of the messages with every `media://` reference replaced by the image, and without stale tool calls.

    Control tokens in any text, such as the label `<|im_end|>`, are escaped: they are data.
    Some clients keep the tool calls of a reply a second time, as content blocks or as the server wrote them. After a
    correction, or after several calls were merged, they would send calls that have no result, which servers reject.

    Raises:
        MissingMedia: The store does not hold an image.
        BadEdit: A message refers to an image elsewhere, or holds what is neither text nor image.
    """
    return [_sent(message, store) for message in messages]


def _sent(message: BaseMessage, store: MediaStore) -> BaseMessage:
    update: dict[str, Any] = {}
    if isinstance(message.content, str):
        update["content"] = escaped(message.content)
    else:
        kept = [block for block in message.content if not _stale(block, message)]
        update["content"] = [_block(block, store, isinstance(message, AIMessage)) for block in kept]
    if isinstance(message, AIMessage) and message.tool_calls:
        update["tool_calls"] = [{**call, "args": escaped_value(call["args"])} for call in message.tool_calls]
    if isinstance(message, AIMessage) and _RAW_CALLS & message.additional_kwargs.keys():
        update["additional_kwargs"] = {k: v for k, v in message.additional_kwargs.items() if k not in _RAW_CALLS}
    return message.model_copy(update=update)


def _stale(block: Any, message: BaseMessage) -> bool:
    """Whether a block of the policy's reply is a tool call that the reply no longer makes."""
    if not isinstance(message, AIMessage) or not isinstance(block, dict) or block.get("type") not in _CALL_BLOCKS:
        return False
    return block.get("call_id", block.get("id")) not in [call["id"] for call in message.tool_calls]


def _block(block: Any, store: MediaStore, by_model: bool) -> Any:
    """A block with its image. Others than those of the graph come from whoever edited the run."""
    if isinstance(block, str):
        return escaped(block)
    if block.get("type") == "text" or (by_model and not _FETCHED & {str(block.get("type")), *block}):
        return {key: escaped_value(value) if key in _READ else value for key, value in block.items()}
    if block.get("type") != "image" or not str(block.get("url")).startswith(SCHEME):
        # A client or a server would fetch an address, or read a file, for whoever wrote it there.
        raise BadEdit(
            f"a message holds a block of the type {str(block.get('type'))[:40]!r}; only text, and images of the media "
            "store, are sent to a model"
        )
    data = base64.b64encode(store.get(block["url"])).decode()
    return {"type": "image", "base64": data, "mime_type": "image/jpeg"}
