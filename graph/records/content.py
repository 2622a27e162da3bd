"""The content of a message: a string, or a list of strings and of blocks such as {"type": "text", "text": ...}."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

Block = Mapping[str, Any]


def content_blocks(content: str | Sequence[str | Block] | None) -> list[Block]:
    """The content as blocks, with strings as text blocks; none for an empty or missing content."""
    parts = [content] if isinstance(content, str) and content else content or ()
    return [{"type": "text", "text": part} if isinstance(part, str) else part for part in parts]


def content_text(content: str | Sequence[str | Block] | None, image: Callable[[Block], str] | None = None) -> str:
    """The text of the content, one block a line; other blocks are formatted by `image`, or omitted."""
    blocks = content_blocks(content)
    lines = [block["text"] if block.get("type") == "text" else image(block) if image else None for block in blocks]
    return "\n".join(line for line in lines if line is not None)


def image_urls(messages: Sequence[Mapping[str, Any]]) -> list[str]:
    """The `media://` URL of each image in the messages of a record, in order."""
    return [
        block["url"]
        for message in messages
        for block in content_blocks(message["content"])
        if block.get("type") == "image"
    ]
