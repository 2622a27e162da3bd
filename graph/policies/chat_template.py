"""The chat template of Qwen2.5-VL with tools: one text for vLLM, transformers and TRL.

Qwen2.5-VL ships without a tool section, so with its own template a model never sees the tools. Ours speaks the Hermes
form that Qwen2.5 was trained on. Whoever renders a conversation with it, at whatever length, gets the same bytes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from importlib.resources import files
from typing import Any, Protocol

from jinja2 import TemplateError, nodes
from jinja2.ext import Extension
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment


class _Templated(Protocol):
    chat_template: Any


@lru_cache(maxsize=1)
def chat_template() -> str:
    """The Jinja source, as `apply_chat_template` takes it and `vllm serve --chat-template` reads it from a file.

    Arguments of a call given as JSON text are written as they are: text by `json.dumps(args, ensure_ascii=False)`, as
    LangChain sends it, renders as the dict does. `<|` in any text becomes `< |`: what a user, a tool or a picture says
    cannot end a turn or stand for an image.
    """
    return (files(__package__) / "templates" / "qwen2_5_vl.jinja").read_text(encoding="utf-8")


def apply_to(processor: _Templated) -> None:
    """Set the template on a processor and on the tokenizer in it, which vLLM asks as soon as there are tools.

    Saved with `save_pretrained`, both come back with it.
    """
    processor.chat_template = chat_template()
    tokenizer: _Templated | None = getattr(processor, "tokenizer", None)
    if tokenizer is not None:
        tokenizer.chat_template = chat_template()


def render(chat: Sequence[Mapping[str, Any]], tools: Sequence[Mapping[str, Any]] = (), *, ask: bool) -> str:
    """The text a model reads, without transformers; byte for byte what `apply_chat_template` gives.

    Args:
        chat: Messages as `to_chat` gives them.
        tools: Schemas in OpenAI's form.
        ask: Whether the text ends with the opening of the turn that the model is to give.
    """
    text: str = _compiled().render(messages=chat, tools=list(tools) or None, add_generation_prompt=ask)
    return text


class _Generation(Extension):
    """`{% generation %}` marks what a model says, for training; in the text it is nothing."""

    tags = {"generation"}

    def parse(self, parser: Parser) -> list[nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


@lru_cache(maxsize=1)
def _compiled() -> Any:
    made = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[_Generation])
    made.filters["tojson"] = lambda value: json.dumps(value, ensure_ascii=False)
    made.globals["raise_exception"] = _refuse
    return made.from_string(chat_template())


def _refuse(why: str) -> None:
    raise TemplateError(why)


def to_chat(messages: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The messages of a record as the template, transformers and TRL take them.

    Args:
        messages: `messages` of a record (see `record.make`): role, content as text or blocks, tool_calls as
            {id, name, args}, and name and tool_call_id of a tool's reply.

    Returns:
        For each message its role, its content as a list of {"type": "text", "text": ...} and {"type": "image"}, in an
        assistant turn with calls its `tool_calls` in OpenAI's form with arguments as a dict, and in a tool turn `name`
        and `tool_call_id`. Images are places without pixels: the pictures, in order, are `picture_urls(messages)`.
    """
    return [_chat(message) for message in messages]


def picture_urls(messages: Sequence[Mapping[str, Any]]) -> list[str]:
    """The `media://` reference of each image in the messages of a record, in the order of the image parts."""
    return [
        block["url"]
        for message in messages
        for block in _blocks(message["content"])
        if isinstance(block, Mapping) and block["type"] == "image"
    ]


def _chat(message: Mapping[str, Any]) -> dict[str, Any]:
    kept: dict[str, Any] = {"role": message["role"], "content": [_part(b) for b in _blocks(message["content"])]}
    if message.get("tool_calls"):
        kept["tool_calls"] = [
            {"type": "function", "id": call["id"], "function": {"name": call["name"], "arguments": call["args"]}}
            for call in message["tool_calls"]
        ]
    return kept | {key: message[key] for key in ("name", "tool_call_id") if message.get(key) is not None}


def _blocks(content: Any) -> Sequence[Any]:
    if isinstance(content, str):
        return [content] if content else []
    return content or []


def _part(block: str | Mapping[str, Any]) -> dict[str, Any]:
    if isinstance(block, str):
        return {"type": "text", "text": block}
    return {"type": "text", "text": block["text"]} if block["type"] == "text" else {"type": block["type"]}
