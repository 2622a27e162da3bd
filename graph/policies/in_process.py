"""A Qwen2.5-VL-like model in this process as a policy: token in, token out.

What a turn sampled is never tokenised again: the next turn's prompt is the very ids of the last, and the tokens of what
was added since. So every turn extends the one before, whatever the model wrote.
"""

from __future__ import annotations

import asyncio
import base64
import io
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from threading import Lock
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel, LanguageModelInput
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.runnables import Runnable
from langchain_core.tools import BaseTool
from langchain_core.utils.function_calling import convert_to_openai_tool
from PIL import Image
from pydantic import Field

from ...tools.errors import UnknownPolicy
from ..template import chat_template
from ..turn import TOKEN_TRACK
from .engine import Completion, Engine, Request, require_local
from .prompted import parse_hermes

if TYPE_CHECKING:
    import torch

REMEMBERED: Final = 512
"""Turns whose ids are kept for the turn that follows."""
VISION_TOKENS: Final = ("<|image_pad|>", "<|video_pad|>", "<|vision_start|>", "<|vision_end|>", "<|vision_pad|>")
Forced = Callable[[Sequence[BaseMessage]], str | None]
"""From the conversation to the text a turn must have, or None to sample it."""


@dataclass(frozen=True)
class Loaded:
    """A model with its processor, ready to generate."""

    engine: Engine
    processor: Any

    @property
    def tokenizer(self) -> Any:
        """The processor's tokenizer."""
        return self.processor.tokenizer


_loading = Lock()


def load(path: str) -> Loaded:
    """Load a checkpoint, once for all runs of this process: bfloat16 on a GPU, float32 on the CPU.

    Args:
        path: A folder, or a name on the Hugging Face hub.

    Raises:
        MissingExtra: torch or transformers are not installed.
        UnknownPolicy: There is no such checkpoint, or it is of another kind.
    """
    require_local()
    # Runs that begin together ask together, and must not load it several times.
    with _loading:
        return _loaded(path)


@lru_cache(maxsize=2)
def _loaded(path: str) -> Loaded:
    import torch
    from transformers import AutoModelForImageTextToText, AutoProcessor

    cuda = torch.cuda.is_available()
    try:
        processor = AutoProcessor.from_pretrained(path)  # type: ignore[no-untyped-call]
        model: Any = AutoModelForImageTextToText.from_pretrained(path, dtype=torch.bfloat16 if cuda else torch.float32)
    except (OSError, ValueError) as error:
        raise UnknownPolicy(f"the checkpoint {path!r} cannot be loaded: {str(error)[:300]}") from error
    return around(model.to(torch.device("cuda" if cuda else "cpu")).eval(), processor)


def around(model: Any, processor: Any) -> Loaded:
    """An engine around a model that is there already, such as the one being trained."""
    tokenizer = processor.tokenizer
    special = {
        token: tokenizer.convert_tokens_to_ids(token) for token in (*VISION_TOKENS, "<|im_end|>", "<|endoftext|>")
    }
    engine = Engine(
        model,
        end=special["<|im_end|>"],
        pad=special["<|endoftext|>"],
        image=special["<|image_pad|>"],
        never=[special[token] for token in VISION_TOKENS if special[token] is not None],
    )
    return Loaded(engine, processor)


class _Memory:
    """The ids of the last turns, by the mark their messages carry."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._ids: OrderedDict[str, tuple[int, ...]] = OrderedDict()

    def keep(self, ids: tuple[int, ...]) -> str:
        mark = uuid4().hex
        with self._lock:
            self._ids[mark] = ids
            while len(self._ids) > REMEMBERED:
                self._ids.popitem(last=False)
        return mark

    def ids(self, mark: str) -> tuple[int, ...] | None:
        with self._lock:
            return self._ids.get(mark)


_memory = _Memory()


class TransformersPolicy(BaseChatModel):
    """A checkpoint in this process; runs that ask at the same time are generated together."""

    path: str
    """A folder, or a name on the Hugging Face hub."""
    temperature: float = 0.0
    max_new_tokens: int = 1024
    loaded: Any = Field(default=None, exclude=True)
    """A model that is there already (`around`), used instead of the one at `path`."""
    forced: Forced | None = None
    """For tests and for scoring given texts: what a turn must say."""

    @property
    def _llm_type(self) -> str:
        return "transformers"

    def bind_tools(
        self,
        tools: Sequence[dict[str, Any] | type | Callable[..., Any] | BaseTool],
        *,
        tool_choice: str | None = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """Offer tools, as any LangChain chat model takes them."""
        return self.bind(tools=[convert_to_openai_tool(tool) for tool in tools])

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        loaded = self.loaded or load(self.path)
        request = self._request(loaded, messages, kwargs.get("tools"))
        return self._result(loaded, request, loaded.engine.submit(request).result())

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        loaded = self.loaded or await asyncio.to_thread(load, self.path)
        request = await asyncio.to_thread(self._request, loaded, messages, kwargs.get("tools"))
        done = await asyncio.wrap_future(loaded.engine.submit(request))
        return self._result(loaded, request, done)

    def _request(
        self, loaded: Loaded, messages: Sequence[BaseMessage], tools: Sequence[Mapping[str, Any]] | None
    ) -> Request:
        chat, images = to_template(messages)
        known, before = _last_known(messages)
        text = _render(loaded, chat, tools, prompt=True)
        if known is not None:
            so_far = _render(loaded, chat[:before], tools, prompt=False).rstrip("\n")
            added, seen = text[len(so_far) :], sum(_pictures(message) for message in chat[:before])
            ids = (*known, *_encode(loaded, added, images[seen:]))
        else:
            ids = _encode(loaded, text, images)
        pixels, grid = _pixels(loaded, images)
        wanted = self.forced(messages) if self.forced is not None else None
        forced = (
            None if wanted is None else (*loaded.tokenizer.encode(wanted, add_special_tokens=False), loaded.engine.end)
        )
        return Request(ids, pixels, grid, self.temperature, self.max_new_tokens, forced)

    def _result(self, loaded: Loaded, request: Request, done: Completion) -> ChatResult:
        ids = done.ids[:-1] if done.ids and done.ids[-1] == loaded.engine.end else done.ids
        text, calls, invalid = parse_hermes(loaded.tokenizer.decode(ids, skip_special_tokens=False))
        # A turn cut off at its limit has no end of its own; what follows must still be a turn.
        whole = (*request.ids, *done.ids) if len(ids) < len(done.ids) else (*request.ids, *done.ids, loaded.engine.end)
        reply = AIMessage(
            text,
            tool_calls=calls,
            invalid_tool_calls=invalid,
            usage_metadata={
                "input_tokens": len(request.ids),
                "output_tokens": len(done.ids),
                "total_tokens": len(request.ids) + len(done.ids),
            },
            response_metadata={
                "turn": _memory.keep(whole),
                TOKEN_TRACK: {
                    "prompt_ids": list(request.ids),
                    "completion_ids": list(done.ids),
                    "logprobs": list(done.logprobs),
                },
            },
        )
        return ChatResult(generations=[ChatGeneration(message=reply)])


def to_template(messages: Sequence[BaseMessage]) -> tuple[list[dict[str, Any]], list[Image.Image]]:
    """Messages with inlined pictures as the chat template takes them, and the pictures in order."""
    chat: list[dict[str, Any]] = []
    images: list[Image.Image] = []
    for message in messages:
        parts: list[dict[str, Any]] = []
        for block in [message.content] if isinstance(message.content, str) else message.content:
            if isinstance(block, dict) and block.get("type") == "image":
                images.append(Image.open(io.BytesIO(base64.b64decode(block["base64"]))).convert("RGB"))
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
    return chat, images


def _role(message: BaseMessage) -> str:
    kinds = {SystemMessage: "system", HumanMessage: "user", AIMessage: "assistant", ToolMessage: "tool"}
    return next(role for kind, role in kinds.items() if isinstance(message, kind))


def _last_known(messages: Sequence[BaseMessage]) -> tuple[tuple[int, ...] | None, int]:
    """The ids up to the end of the last turn that this process sampled, and how many messages they cover."""
    for number in range(len(messages) - 1, -1, -1):
        mark = messages[number].response_metadata.get("turn")
        if mark is not None and (ids := _memory.ids(mark)) is not None:
            return ids, number + 1
    return None, 0


def _render(
    loaded: Loaded, chat: Sequence[Mapping[str, Any]], tools: Sequence[Mapping[str, Any]] | None, *, prompt: bool
) -> str:
    text: str = loaded.tokenizer.apply_chat_template(
        list(chat), tools=tools, tokenize=False, add_generation_prompt=prompt, chat_template=chat_template()
    )
    return text


def _pictures(message: Mapping[str, Any]) -> int:
    return sum(part["type"] == "image" for part in message["content"])


def _encode(loaded: Loaded, text: str, images: Sequence[Image.Image]) -> tuple[int, ...]:
    """Ids of a text, each image pad repeated as often as its picture has features."""
    found = loaded.processor(text=[text], images=list(images) or None)
    return tuple(int(i) for i in found["input_ids"][0])


def _pixels(loaded: Loaded, images: Sequence[Image.Image]) -> tuple[torch.Tensor | None, torch.Tensor | None]:
    if not images:
        return None, None
    found = loaded.processor.image_processor(images=list(images), return_tensors="pt")
    return found["pixel_values"], found["image_grid_thw"]
