"""Token-level policies, without re-tokenisation: the ids that a turn sampled are never converted back from text.

The prompt of a turn is the exact ids of the turn before, followed by the tokens of what was added since. So every turn
extends the one before, even if the text of a reply was repaired, and a run is a single sequence to train on.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final

from langchain_core.language_models.base import LangSmithParams
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    BaseMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult

from ...tools.errors import MissingMedia
from ...tools.execution.media_store import default_store
from ..records.content import content_blocks
from ..records.token_track import TOKEN_TRACK
from ..replies.tool_calls import parse_hermes
from .base import ChatPolicy, ToolSchemas, as_chunk

END: Final = "<|im_end|>"
PAD: Final = "<|image_pad|>"
VISION_TOKENS: Final = (PAD, "<|video_pad|>", "<|vision_start|>", "<|vision_end|>", "<|vision_pad|>")
"""Never sampled: they stand for pixels, which a completion does not have."""
SAMPLE: Final = "".join((END, *VISION_TOKENS)) + "Walking, бегать, 跳舞: 12345 times\n\n  naïvely <tool_call>"
"""A text whose ids tell vocabularies apart."""
_CALL: Final = "<tool_call>"
_PARTIAL_CALL: Final = re.compile(r"\s*(?:<(?:t(?:o(?:o(?:l(?:_(?:c(?:a(?:l(?:l)?)?)?)?)?)?)?)?)?)?\Z")
Render = Callable[..., str]
"""(chat, tools, ask=bool) -> text, as `chat_template.render`."""


@dataclass(frozen=True)
class Prompt:
    """What the model reads in one turn."""

    known_ids: tuple[int, ...]
    """Ids of the conversation up to the end of the last turn whose ids are known, image pads expanded."""
    added_text: str
    """The text after them, one pad for each image; all of the text if no ids are known."""
    images: list[str]
    """All images, base64, in order."""
    added_images: int
    """How many of them, the last ones, belong to `added_text`."""


@dataclass(frozen=True)
class TokenReply:
    """What the model sampled in one turn."""

    prompt_ids: Sequence[int]
    """The ids it read, image pads expanded."""
    ids: Sequence[int]
    logprobs: Sequence[float]
    """One for each id, or none at all."""
    text: str
    """The ids as text, control tokens included, without the end of the turn."""
    vocabulary: str
    """`fingerprint` of the vocabulary of the ids."""
    is_cut: bool = False
    """Whether it ended at the token limit."""


class TokenPolicy(ChatPolicy):
    """A chat model that reads and returns token ids."""

    temperature: float = 0.0
    max_new_tokens: int = 2048

    @property
    def takes_grammar(self) -> bool:
        """Whether the output of a turn can be constrained by a grammar."""
        return True

    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> LangSmithParams:
        params = super()._get_ls_params(stop, **kwargs)
        params.setdefault("ls_max_tokens", self.max_new_tokens)
        return params

    def _bound_options(
        self, tools: ToolSchemas, tool_choice: str | None, options: Mapping[str, Any]
    ) -> Mapping[str, Any]:
        """`grammar`, EBNF that constrains the output of the turn, where given; `tool_choice` is ignored."""
        return {"grammar": options["grammar"]} if options.get("grammar") is not None else {}


def fingerprint(ids: Sequence[int]) -> str:
    """The identity of the vocabulary that splits `SAMPLE` into these ids."""
    return sha256(array("q", ids).tobytes()).hexdigest()[:16]


def build_prompt(messages: Sequence[BaseMessage], tools: ToolSchemas, render: Render, vocabulary: str) -> Prompt:
    """The prompt of the next turn: known ids as far as a turn has a token track, and the text after them.

    Ids of another vocabulary, as in a thread that another model began, are not used: the run forks there.
    """
    chat, images = to_template(messages)
    text = render(chat, tools, ask=True)
    for number in range(len(messages) - 1, -1, -1):
        track = _track(messages[number])
        if track is None or track.get("vocabulary") != vocabulary:
            continue
        so_far = render(chat[: number + 1], tools, ask=False).rstrip("\n")
        # A template that rewrites earlier turns does not extend the text: the run forks, and the fork is counted.
        if not so_far.endswith(END) or not text.startswith(so_far):
            break
        added = sum(part["type"] == "image" for turn in chat[number + 1 :] for part in turn["content"])
        return Prompt((*track["prompt_ids"], *track["completion_ids"]), text[len(so_far) :], images, added)
    return Prompt((), text, images, len(images))


def with_end(ids: Sequence[int], end: int) -> tuple[int, ...]:
    """Known ids with the end of their last turn, which is missing if the turn was cut off at its limit."""
    return (*ids,) if not ids or ids[-1] == end else (*ids, end)


def to_template(messages: Sequence[BaseMessage]) -> tuple[list[dict[str, Any]], list[str]]:
    """Messages with inlined images as a chat template takes them, and the images as base64, in order.

    Raises:
        ValueError: A block is neither text nor an image, or an image is not inlined.
    """
    chat: list[dict[str, Any]] = []
    images: list[str] = []
    for message in messages:
        parts: list[dict[str, Any]] = []
        for block in content_blocks(message.content):
            if block["type"] == "text":
                parts.append({"type": "text", "text": block["text"]})
            elif block["type"] in ("image", "image_url"):
                images.append(_image(block))
                parts.append({"type": "image"})
            elif not isinstance(message, AIMessage):
                # Other blocks of a turn of the model repeat its calls or its reasoning.
                raise ValueError(f"this model takes text and images, not a block of type {block['type']!r}")
        turn: dict[str, Any] = {"role": _role(message), "content": parts}
        if isinstance(message, AIMessage) and message.tool_calls:
            turn["tool_calls"] = [
                {"type": "function", "function": {"name": call["name"], "arguments": call["args"]}}
                for call in message.tool_calls
            ]
        chat.append(turn)
    return chat, images


def _image(block: Mapping[str, Any]) -> str:
    """The image of a block, base64: in LangChain's form, or as a data URL in OpenAI's."""
    if block["type"] == "image" and block.get("base64"):
        return str(block["base64"])
    given = block.get("image_url", block.get("url"))
    head, _, data = str(given["url"] if isinstance(given, Mapping) else given).partition(";base64,")
    if not head.startswith("data:image/") or not data:
        raise ValueError("this model takes inlined images: base64, or a data URL")
    return data


def to_result(reply: TokenReply, model_name: str) -> ChatResult:
    """The turn as a message: its text, its calls, and its token track."""
    text, calls, invalid = parse_hermes(reply.text)
    read, sampled = len(reply.prompt_ids), len(reply.ids)
    message = AIMessage(
        text,
        tool_calls=calls,
        invalid_tool_calls=invalid,
        usage_metadata={"input_tokens": read, "output_tokens": sampled, "total_tokens": read + sampled},
        response_metadata={
            "model_name": model_name,
            **({"finish_reason": "length"} if reply.is_cut else {}),
            TOKEN_TRACK: {
                "prompt_ids": list(reply.prompt_ids),
                "completion_ids": list(reply.ids),
                "logprobs": list(reply.logprobs),
                "vocabulary": reply.vocabulary,
            },
        },
    )
    return ChatResult(generations=[ChatGeneration(message=message)])


class ReplyStream:
    """A turn with calls in its text, while it comes: its words are passed on at once, its calls at the end."""

    def __init__(self) -> None:
        self._text = ""
        self._emitted = 0

    def add(self, text: str) -> ChatGenerationChunk | None:
        """The next chunk of visible text after `text` has come; None if there is none."""
        self._text += text
        # What may be a call without tags is passed on only at the end, when it is known not to be one.
        if not self._text.strip() or self._text.lstrip()[0] in "{[`":
            return None
        call = self._text.find(_CALL)
        visible = self._text[: call if call >= 0 else len(self._text)]
        visible = _PARTIAL_CALL.sub("", visible)
        if len(visible) <= self._emitted:
            return None
        new, self._emitted = visible[self._emitted :], len(visible)
        return ChatGenerationChunk(message=AIMessageChunk(content=new))

    def end(self, result: ChatResult) -> ChatGenerationChunk:
        """The rest of the turn: its whole message without the text already passed on."""
        chunk = as_chunk(result)
        content, passed = str(chunk.message.content), self._text[: self._emitted]
        # White space before the text of a turn with calls is passed on, but is not in its message.
        known = next((text for text in (passed, passed.lstrip()) if content.startswith(text)), content)
        chunk.message.content = content[len(known) :]
        return chunk


def _track(message: BaseMessage) -> Mapping[str, Any] | None:
    """The token track of a turn: in the message itself, or in the store, to which the graph moves it."""
    given: Mapping[str, Any] | None = message.response_metadata.get(TOKEN_TRACK)
    reference = message.additional_kwargs.get("video_star", {}).get("tokens")
    if given is not None or reference is None:
        return given
    try:
        found: Mapping[str, Any] = default_store().get_json(reference)
    except MissingMedia:
        return None
    return found


def _role(message: BaseMessage) -> str:
    roles = {SystemMessage: "system", HumanMessage: "user", AIMessage: "assistant", ToolMessage: "tool"}
    return next(role for kind, role in roles.items() if isinstance(message, kind))
