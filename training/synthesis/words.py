"""The forms that turns of a policy have, written."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import uuid4

from langchain_core.messages import AIMessage, BaseMessage, ToolCall, ToolMessage

from ...graph.conversation import SHORTLISTS


def call(name: str, **args: Any) -> ToolCall:
    """A tool call."""
    return ToolCall(name=name, args=args, id=f"call_{uuid4().hex[:12]}")


def turn(think: str, scores: Mapping[str, Any], answer: str) -> AIMessage:
    """The last turn."""
    written = json.dumps(scores, ensure_ascii=False)
    return AIMessage(f"<think>{think}</think>\n<scores>{written}</scores>\n<answer>{answer}</answer>")


def shortlists(messages: Sequence[BaseMessage]) -> Mapping[str, Mapping[str, Any]]:
    """The candidates of each sub-action, as the graph wrote them last; empty where there are none."""
    for message in reversed(messages):
        if isinstance(message, ToolMessage) and SHORTLISTS in message.text:
            after = message.text.partition(SHORTLISTS)[2].lstrip()
            found: dict[str, dict[str, Any]] = json.JSONDecoder().raw_decode(after)[0]
            return found
    return {}
