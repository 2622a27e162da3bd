"""The chat template of Qwen2.5-VL with tools: one source for vLLM, transformers and TRL.

The template that Qwen2.5-VL ships with has no tool section. This one writes tools and calls in the Hermes format that
Qwen2.5 was trained on, and renders a conversation to the same bytes wherever it is used: each turn depends on its own
message only, so that the text of a longer conversation begins with that of a shorter one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Protocol

from jinja2 import TemplateError, nodes
from jinja2.ext import Extension
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

from ..control_tokens import escaped
from ..records.content import content_blocks
from .families import QWEN2_5_VL


class _Templated(Protocol):
    chat_template: Any


@lru_cache(maxsize=1)
def chat_template() -> str:
    """The Jinja source, for `apply_chat_template` and, as a file, for `vllm serve --chat-template`.

    Arguments of a call given as JSON text are written unchanged: `json.dumps(args, ensure_ascii=False)` renders like
    the dict. `<|` in any text becomes `< |`, so that no text of a user, a tool or a model is a control token.
    """
    assert QWEN2_5_VL.template_path is not None
    return QWEN2_5_VL.template_path.read_text(encoding="utf-8")


def apply_to(processor: _Templated) -> None:
    """Set the template on a processor and on its tokenizer, whose template vLLM uses when there are tools.

    `save_pretrained` saves it with both.
    """
    processor.chat_template = chat_template()
    tokenizer: _Templated | None = getattr(processor, "tokenizer", None)
    if tokenizer is not None:
        tokenizer.chat_template = chat_template()


def render(chat: Sequence[Mapping[str, Any]], tools: Sequence[Mapping[str, Any]] = (), *, ask: bool) -> str:
    """The text that the model reads, without transformers; byte for byte the result of `apply_chat_template`.

    Args:
        chat: Messages as returned by `to_chat`.
        tools: Schemas in OpenAI's format.
        ask: Whether to end the text with the generation prompt, the opening of the next assistant turn.
    """
    text: str = _compiled().render(messages=chat, tools=list(tools) or None, add_generation_prompt=ask)
    return text


class _Generation(Extension):
    """`{% generation %}` marks the completion, for training; it renders to nothing."""

    tags = {"generation"}

    def parse(self, parser: Parser) -> list[nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


@lru_cache(maxsize=1)
def _compiled() -> Any:
    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[_Generation])
    environment.filters["tojson"] = lambda value: json.dumps(value, ensure_ascii=False)
    environment.globals["raise_exception"] = _raise_exception
    return environment.from_string(chat_template())


def _raise_exception(why: str) -> None:
    raise TemplateError(why)


def to_chat(messages: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The messages of a record as the template, transformers and TRL take them.

    Args:
        messages: `messages` of a record (see `records.trace.make`): role, content as text or blocks, tool_calls as
            {id, name, args}, and name and tool_call_id of a tool's result.

    Returns:
        For each message its role, its content as a list of {"type": "text", "text": ...} and {"type": "image"}, in an
        assistant turn with calls its `tool_calls` in OpenAI's format with arguments as a dict, and in a tool turn
        `name` and `tool_call_id`. Image parts are placeholders: the images, in order, are `image_urls(messages)`.
    """
    return [_chat(message) for message in messages]


def _chat(message: Mapping[str, Any]) -> dict[str, Any]:
    turn: dict[str, Any] = {
        "role": message["role"],
        "content": [_part(block, message["role"]) for block in content_blocks(message["content"])],
    }
    if message.get("tool_calls"):
        turn["tool_calls"] = [
            {"type": "function", "id": call["id"], "function": {"name": call["name"], "arguments": call["args"]}}
            for call in message["tool_calls"]
        ]
    return turn | {key: message[key] for key in ("name", "tool_call_id") if message.get(key) is not None}


def _part(block: Mapping[str, Any], role: str) -> dict[str, Any]:
    if block["type"] != "text":
        return {"type": block["type"]}
    # What was sent to the model was escaped; what it wrote itself stays as it is.
    return {"type": "text", "text": block["text"] if role == "assistant" else escaped(block["text"])}
