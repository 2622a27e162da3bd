"""Policies that speak in tokens: what a turn sampled is never made tokens again.

The next turn's prompt is the very ids of the last turn, and the tokens of what was added since. So every turn extends
the one before, whatever the model wrote and however the text of it was mended, and a run is one sequence to train on.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final

from langchain_core.language_models import BaseChatModel, LanguageModelInput
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    BaseMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.runnables import Runnable
from langchain_core.tools import BaseTool
from langchain_core.utils.function_calling import convert_to_openai_tool

from ...tools.execution.media_store import default_store
from ..records.token_track import TOKEN_TRACK
from ..replies.tool_calls import parse_hermes

END: Final = "<|im_end|>"
PAD: Final = "<|image_pad|>"
VISION_TOKENS: Final = (PAD, "<|video_pad|>", "<|vision_start|>", "<|vision_end|>", "<|vision_pad|>")
"""Never sampled: they stand for pixels, which a completion does not have."""
SAMPLE: Final = "".join((END, *VISION_TOKENS)) + "Walking, бегать, 跳舞: 12345 times\n\n  naïvely <tool_call>"
"""A text whose ids tell vocabularies apart."""
_CALL: Final = "<tool_call>"
_MAYBE_CALL: Final = re.compile(r"\s*(?:<(?:t(?:o(?:o(?:l(?:_(?:c(?:a(?:l(?:l)?)?)?)?)?)?)?)?)?)?\Z")
Tools = Sequence[Mapping[str, Any]]
Render = Callable[..., str]
"""(chat, tools, ask=bool) -> text, as `template.render`."""


@dataclass(frozen=True)
class Prompt:
    """What a turn reads."""

    known: tuple[int, ...]
    """Ids of the conversation up to the end of the last turn whose ids are known, image pads expanded."""
    added: str
    """The text after them, one pad for each picture; all of the text if no ids are known."""
    pictures: list[str]
    """All pictures, base64, in the order of reading."""
    new: int
    """How many of them, the last ones, are in `added`."""


@dataclass(frozen=True)
class Spoken:
    """What a turn sampled."""

    prompt_ids: Sequence[int]
    """What was read, image pads expanded."""
    ids: Sequence[int]
    logprobs: Sequence[float]
    """One for each id, or none at all."""
    text: str
    """The ids as text, control tokens included, without the end of the turn."""
    vocabulary: str
    """Whose ids these are: `fingerprint`."""


class TokenPolicy(BaseChatModel):
    """A model that takes and gives tokens; what is not about tokens is as in any LangChain chat model."""

    temperature: float = 0.0
    max_new_tokens: int = 2048

    @property
    def takes_grammar(self) -> bool:
        """Whether a turn can be held to a grammar."""
        return True

    def bind_tools(
        self,
        tools: Sequence[dict[str, Any] | type | Callable[..., Any] | BaseTool],
        *,
        tool_choice: str | None = None,
        grammar: str | None = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """Offer tools, as any LangChain chat model takes them; `grammar` is EBNF that the turn must keep to."""
        held = {} if grammar is None else {"grammar": grammar}
        return self.bind(tools=[convert_to_openai_tool(tool) for tool in tools], **held)


def fingerprint(ids: Sequence[int]) -> str:
    """The name of the vocabulary that splits `SAMPLE` into these ids."""
    return sha256(array("q", ids).tobytes()).hexdigest()[:16]


def prompt(messages: Sequence[BaseMessage], tools: Tools, render: Render, vocabulary: str) -> Prompt:
    """What the next turn reads: known ids where a turn's track is at hand, and the text after them.

    Ids of another vocabulary, as in a thread that another model began, are not known: the run forks there.
    """
    chat, pictures = to_template(messages)
    text = render(chat, tools, ask=True)
    for number in range(len(messages) - 1, -1, -1):
        track = _track(messages[number])
        if track is None or track.get("vocabulary") != vocabulary:
            continue
        so_far = render(chat[: number + 1], tools, ask=False).rstrip("\n")
        # Not so with a template that writes history anew: there the run forks, and the fork is counted.
        if not so_far.endswith(END) or not text.startswith(so_far):
            break
        new = sum(part["type"] == "image" for turn in chat[number + 1 :] for part in turn["content"])
        return Prompt((*track["prompt_ids"], *track["completion_ids"]), text[len(so_far) :], pictures, new)
    return Prompt((), text, pictures, len(pictures))


def whole(known: Sequence[int], end: int) -> tuple[int, ...]:
    """Known ids with the end of the last turn, which a turn cut off at its limit lacks."""
    return (*known,) if not known or known[-1] == end else (*known, end)


def to_template(messages: Sequence[BaseMessage]) -> tuple[list[dict[str, Any]], list[str]]:
    """Messages with inlined pictures as a chat template takes them, and the pictures as base64, in order."""
    chat: list[dict[str, Any]] = []
    pictures: list[str] = []
    for message in messages:
        parts: list[dict[str, Any]] = []
        for block in [message.content] if isinstance(message.content, str) else message.content:
            if isinstance(block, dict) and block.get("type") == "image":
                pictures.append(block["base64"])
                parts.append({"type": "image"})
            else:
                parts.append({"type": "text", "text": block if isinstance(block, str) else block["text"]})
        turn: dict[str, Any] = {"role": _role(message), "content": parts}
        if isinstance(message, AIMessage) and message.tool_calls:
            turn["tool_calls"] = [
                {"type": "function", "function": {"name": call["name"], "arguments": call["args"]}}
                for call in message.tool_calls
            ]
        chat.append(turn)
    return chat, pictures


def heard(spoken: Spoken) -> ChatResult:
    """The turn as a message: what is said, its calls, and its token track."""
    said, calls, invalid = parse_hermes(spoken.text)
    read, sampled = len(spoken.prompt_ids), len(spoken.ids)
    message = AIMessage(
        said,
        tool_calls=calls,
        invalid_tool_calls=invalid,
        usage_metadata={"input_tokens": read, "output_tokens": sampled, "total_tokens": read + sampled},
        response_metadata={
            TOKEN_TRACK: {
                "prompt_ids": list(spoken.prompt_ids),
                "completion_ids": list(spoken.ids),
                "logprobs": list(spoken.logprobs),
                "vocabulary": spoken.vocabulary,
            },
        },
    )
    return ChatResult(generations=[ChatGeneration(message=message)])


class Stream:
    """A turn as it is sampled: what is said goes out at once, calls when they are whole."""

    def __init__(self) -> None:
        self._text = ""
        self._shown = 0

    def add(self, text: str) -> ChatGenerationChunk | None:
        """What can be shown now that `text` has come; None if that is nothing."""
        self._text += text
        # What may be a call without tags is shown when its end tells what it is.
        if not self._text.strip() or self._text.lstrip()[0] in "{[`":
            return None
        call = self._text.find(_CALL)
        said = self._text[: call if call >= 0 else len(self._text)]
        said = _MAYBE_CALL.sub("", said)
        if len(said) <= self._shown:
            return None
        shown, self._shown = said[self._shown :], len(said)
        return ChatGenerationChunk(message=AIMessageChunk(content=shown))

    def end(self, spoken: Spoken) -> ChatGenerationChunk:
        """The rest of the turn: `heard`, less what was shown."""
        chunk = as_chunk(heard(spoken))
        chunk.message.content = str(chunk.message.content)[self._shown :]
        return chunk


def as_chunk(result: ChatResult) -> ChatGenerationChunk:
    """A whole turn as the last chunk of a stream."""
    message = result.generations[0].message
    return ChatGenerationChunk(message=AIMessageChunk(**message.model_dump(exclude={"type"}), chunk_position="last"))


def _track(message: BaseMessage) -> Mapping[str, Any] | None:
    """The ids of a turn: in the message itself, or in the store, where the graph has put them."""
    given: Mapping[str, Any] | None = message.response_metadata.get(TOKEN_TRACK)
    kept = message.additional_kwargs.get("video_star", {}).get("tokens")
    if given is not None or kept is None:
        return given
    try:
        found: Mapping[str, Any] = default_store().get_json(kept)
    except KeyError:
        return None
    return found


def _role(message: BaseMessage) -> str:
    kinds = {SystemMessage: "system", HumanMessage: "user", AIMessage: "assistant", ToolMessage: "tool"}
    return next(role for kind, role in kinds.items() if isinstance(message, kind))
