"""The sections of a reply: reasoning, visible text, and the `<scores>` and `<answer>` blocks."""

from __future__ import annotations

import html
import re
from typing import Final

_THINK: Final = re.compile(r"<(/?)think(?:ing)?\s*>", re.IGNORECASE)
_MARK: Final = re.compile(r"<\s*(/?)\s*(think(?:ing)?|scores?|(?:final_)?answer)\b[^<>]{0,80}>", re.IGNORECASE)
_TURN_END: Final = re.compile(r"<\|(?:im_end|endoftext|eot_id|end|im_start)\|>|</s>|<end_of_turn>")
_TURN_START: Final = re.compile(r"\s*(?:<\|im_start\|>\s*)?(?:assistant\s*\n)?")


def one_turn(text: str) -> str:
    """The text up to the end of the turn: some models continue with turns of the user."""
    text = text[match.end() :] if (match := _TURN_START.match(text)) else text
    return _TURN_END.split(text, maxsplit=1)[0]


def without_thoughts(text: str) -> str:
    """The text with each `<think>` section replaced by as many spaces; an unclosed `<think>` hides nothing.

    If the server's template opened the reasoning, it ends at a `</think>` without an opening tag.
    """
    visible: list[str] = []
    at, opened, depth, seen = 0, -1, 0, False
    for tag in _THINK.finditer(text):
        if not tag.group(1):
            opened, depth, seen = (tag.start() if opened < 0 else opened), depth + 1, True
            continue
        depth -= 1
        if opened >= 0:
            visible += [text[at:opened], " " * (tag.end() - opened)]
        elif (depth >= 0 or not seen) and text[tag.end() :].strip():
            visible = [" " * tag.end()]
        else:
            continue
        at, opened, seen = tag.end(), -1, True
    return "".join([*visible, text[at:]])


def blocks(text: str, name: str) -> list[str]:
    """The content of each `<name>`, up to the next known tag or the end of the text: closing tags may be missing.

    Args:
        text: Any text.
        name: `scores` or `answer`; case and attributes are ignored; `final_answer` and `score` are accepted too.
    """
    if "<" not in text and "&lt;" in text:
        text = html.unescape(text)
    found: list[str] = []
    start = -1
    for tag in _MARK.finditer(text):
        if start >= 0:
            found.append(text[start : tag.start()])
        start = tag.end() if not tag.group(1) and name.rstrip("s") in tag.group(2).lower() else -1
    return [block for block in (*found, *([text[start:]] if start >= 0 else [])) if block.strip()]
