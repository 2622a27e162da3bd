"""The forms of the conversation, for policies made of rules: how their turns are written, how the graph's are read."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import uuid4

from langchain_core.messages import AIMessage, BaseMessage, ToolCall, ToolMessage

from ...prompts import SHORTLISTS
from ...replies.json_repair import find_json


def call(name: str, **args: Any) -> ToolCall:
    """A tool call."""
    return ToolCall(name=name, args=args, id=f"call_{uuid4().hex[:12]}")


def last_turn(think: str, scores: Mapping[str, Any], answer: str) -> AIMessage:
    """Thought, scores and answer; the thought's angle brackets become round ones, so that it holds no tag."""
    plain = think.replace("<", "(").replace(">", ")")
    written = json.dumps(scores, ensure_ascii=False)
    return AIMessage(f"<think>{plain}</think>\n<scores>{written}</scores>\n<answer>{answer}</answer>")


def shortlists(messages: Sequence[BaseMessage]) -> Mapping[str, Mapping[str, Any]]:
    """The candidates of each sub-action, as the graph wrote them last; empty where there are none."""
    for message in reversed(messages):
        if isinstance(message, ToolMessage) and SHORTLISTS in message.text:
            return dict(json_after(SHORTLISTS, message.text) or {})
    return {}


def json_after(mark: str, text: str) -> Any:
    """The JSON value that stands after `mark`, None if there is none."""
    at = text.find(mark)
    found = find_json(text[at + len(mark) :], limit=1) if at >= 0 else []
    return found[0][2] if found else None
