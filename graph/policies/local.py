"""A model in this process as a policy, by transformers: Qwen2.5-VL and models of the same architecture."""

from __future__ import annotations

import asyncio
import base64
import io
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, Final, Literal

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.messages import BaseMessage
from langchain_core.outputs import ChatGenerationChunk, ChatResult
from PIL import Image
from pydantic import Field

from ...tools.errors import MissingExtra, UnknownPolicy
from ...tools.execution.cancellation import ended
from ..control_tokens import escaped
from . import chat_template
from .base import ToolSchemas
from .families import family_of_type
from .local_batching import Engine, require_local
from .local_sampling import Completion, Request
from .token_policy import (
    END,
    PAD,
    SAMPLE,
    VISION_TOKENS,
    ReplyStream,
    TokenPolicy,
    TokenReply,
    build_prompt,
    fingerprint,
    to_result,
    with_end,
)

if TYPE_CHECKING:
    import torch

MAX_CACHED_IMAGES: Final = 256
"""Images whose pixels are kept for later turns: at most about 0.6 GB, at 128 patches of 28x28."""
Forced = Callable[[Sequence[BaseMessage]], str | None]
"""From the conversation to the text of the turn, or None to sample it."""
Quantize = Literal["4bit", "8bit"]


class ImageCache:
    """The image processor with a cache, so that each image is processed once."""

    def __init__(self, image_processor: Any) -> None:
        self._process = image_processor
        self._cached: OrderedDict[str, tuple[torch.Tensor, torch.Tensor]] = OrderedDict()
        self._lock = Lock()

    def pixels(self, image: str) -> tuple[torch.Tensor, torch.Tensor]:
        """Pixel values (patches, values) and grid (1, 3) of a base64 image."""
        with self._lock:
            if image in self._cached:
                self._cached.move_to_end(image)
                return self._cached[image]
        decoded = Image.open(io.BytesIO(base64.b64decode(image))).convert("RGB")
        found = self._process(images=[decoded], return_tensors="pt")
        result = found["pixel_values"], found["image_grid_thw"]
        with self._lock:
            self._cached[image] = result
            while len(self._cached) > MAX_CACHED_IMAGES:
                self._cached.popitem(last=False)
        return result

    def pads(self, image: str) -> int:
        """Number of features of the image, and of the pads that stand for it."""
        return int(self.pixels(image)[1].prod()) // int(self._process.merge_size) ** 2


@dataclass(frozen=True)
class Loaded:
    """A model with its engine, processor and chat template."""

    engine: Engine
    processor: Any
    render: Callable[..., str]
    """Its chat template: (chat, tools, ask=bool) -> text."""
    images: ImageCache
    pad: int
    """The id of an image pad."""
    vocabulary: str
    """`fingerprint` of its vocabulary."""

    @property
    def tokenizer(self) -> Any:
        """The processor's tokenizer."""
        return self.processor.tokenizer

    def encode(self, text: str, images: Sequence[str]) -> tuple[int, ...]:
        """Ids of a text, each image pad repeated once for each feature of its image."""
        padded = iter(images)
        return tuple(
            again
            for token in self.tokenizer.encode(text, add_special_tokens=False)
            for again in ([token] * self.images.pads(next(padded)) if token == self.pad else [token])
        )

    def pixels(self, images: Sequence[str]) -> tuple[torch.Tensor | None, torch.Tensor | None]:
        """Pixel values (patches, values) and grids (images, 3) of all images; None without images."""
        if not images:
            return None, None
        import torch

        found = [self.images.pixels(image) for image in images]
        return torch.cat([pixels for pixels, _ in found]), torch.cat([grid for _, grid in found])


_loading = Lock()


def load(path: str, quantize: Quantize | None = None) -> Loaded:
    """Load a checkpoint, once for all runs of this process: bfloat16 on a GPU, float32 on the CPU.

    Args:
        path: A folder, or a name on the Hugging Face hub.
        quantize: Quantise the weights to 4 or 8 bits with bitsandbytes.

    Raises:
        MissingExtra: torch or transformers, or bitsandbytes if `quantize` is given, is not installed.
        UnknownPolicy: The checkpoint does not exist or cannot be loaded.
    """
    require_local()
    # Concurrent runs must not load it several times.
    with _loading:
        return _loaded(path, quantize)


@lru_cache(maxsize=2)
def _loaded(path: str, quantize: Quantize | None) -> Loaded:
    import torch
    from transformers import AutoModelForImageTextToText, AutoProcessor

    device = "cuda" if torch.cuda.is_available() else "cpu"
    options: dict[str, Any] = {"dtype": torch.bfloat16 if device == "cuda" else torch.float32, "device_map": device}
    if quantize is not None:
        options["quantization_config"] = _quantized(quantize)
    try:
        processor = AutoProcessor.from_pretrained(path)  # type: ignore[no-untyped-call]
        model: Any = AutoModelForImageTextToText.from_pretrained(path, **options)
    except (OSError, ValueError) as error:
        raise UnknownPolicy(f"the checkpoint {path!r} cannot be loaded: {str(error)[:300]}") from error
    return around(model.eval(), processor)


def _quantized(quantize: Quantize) -> Any:
    from transformers import BitsAndBytesConfig

    if find_spec("bitsandbytes") is None:
        raise MissingExtra(f"{quantize} weights need bitsandbytes; install it: pip install 'video-star[quantized]'")
    return BitsAndBytesConfig(load_in_4bit=quantize == "4bit", load_in_8bit=quantize == "8bit")  # type: ignore[no-untyped-call]


def around(model: Any, processor: Any) -> Loaded:
    """A loaded model with an engine, such as the model being trained.

    The chat template is this package's if the model's family has one (see `families`), else the model's own.
    """
    tokenizer = processor.tokenizer
    special = {token: tokenizer.convert_tokens_to_ids(token) for token in (*VISION_TOKENS, END, "<|endoftext|>")}
    engine = Engine(
        model,
        end=special[END],
        pad=special["<|endoftext|>"],
        image=special[PAD],
        never=[special[token] for token in VISION_TOKENS if special[token] is not None],
        tokenizer=tokenizer,
    )
    ours = family_of_type(model.config.model_type).template
    render = chat_template.render if ours else _own_template(processor)
    vocabulary = fingerprint(tokenizer.encode(SAMPLE, add_special_tokens=False))
    return Loaded(engine, processor, render, ImageCache(processor.image_processor), special[PAD], vocabulary)


def _own_template(processor: Any) -> Callable[..., str]:
    def render(chat: Sequence[Any], tools: ToolSchemas = (), *, ask: bool) -> str:
        text: str = processor.apply_chat_template(
            [_escaped(turn) for turn in chat],
            tools=list(tools) or None,
            tokenize=False,
            add_generation_prompt=ask,
        )
        return text

    return render


def _escaped(turn: Mapping[str, Any]) -> dict[str, Any]:
    """The turn without control tokens in its text, which this package's template escapes by itself."""
    parts = [{**part, "text": escaped(part["text"])} if part["type"] == "text" else part for part in turn["content"]]
    return {**turn, "content": parts}


class TransformersPolicy(TokenPolicy):
    """A checkpoint in this process; turns requested at the same time are generated as one batch."""

    path: str
    """A folder, or a name on the Hugging Face hub."""
    quantize: Quantize | None = None
    """Quantise the weights to 4 or 8 bits with bitsandbytes."""
    loaded: Any = Field(default=None, exclude=True)
    """A model that is already loaded (see `around`), used instead of the one at `path`."""
    forced: Forced | None = None
    """The text of a turn, for tests and for scoring given texts."""

    @property
    def _llm_type(self) -> str:
        return "transformers"

    @property
    def model_name(self) -> str:
        """The name of the checkpoint, without its folder."""
        return Path(self.path).name

    @property
    def takes_grammar(self) -> bool:
        """Whether xgrammar, which constrains the output by the grammar, is installed."""
        return find_spec("xgrammar") is not None

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        loaded = self._load()
        request = self._request(loaded, messages, **kwargs)
        future = loaded.engine.submit(request)
        try:
            return to_result(_reply(loaded, request, ended(future).result()), self.model_name)
        finally:
            future.cancel()

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        loaded = await asyncio.to_thread(self._load)
        request = await asyncio.to_thread(self._request, loaded, messages, **kwargs)
        done = await asyncio.wrap_future(loaded.engine.submit(request))
        return to_result(_reply(loaded, request, done), self.model_name)

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        loaded = await asyncio.to_thread(self._load)
        loop, sampled = asyncio.get_running_loop(), asyncio.Queue[int | None]()

        def emit(token: int | None) -> None:
            loop.call_soon_threadsafe(sampled.put_nowait, token)

        request = await asyncio.to_thread(self._request, loaded, messages, on_token=emit, **kwargs)
        future = loaded.engine.submit(request)
        future.add_done_callback(lambda _: emit(None))
        stream, ids, decoded = ReplyStream(), list[int](), ""
        try:
            while (token := await sampled.get()) is not None:
                if token == loaded.engine.end:
                    continue
                ids.append(token)
                text = loaded.tokenizer.decode(ids, skip_special_tokens=False)
                # The character is incomplete: its remaining tokens follow.
                if text.endswith("\ufffd"):
                    continue
                chunk, decoded = stream.add(text[len(decoded) :]), text
                if chunk is not None:
                    yield chunk
        finally:
            future.cancel()
        yield stream.end(to_result(_reply(loaded, request, future.result()), self.model_name))

    def _load(self) -> Loaded:
        return self.loaded or load(self.path, self.quantize)

    def _request(
        self,
        loaded: Loaded,
        messages: Sequence[BaseMessage],
        tools: ToolSchemas = (),
        grammar: str | None = None,
        on_token: Callable[[int], None] | None = None,
        **_: Any,
    ) -> Request:
        prompt = build_prompt(messages, tools, loaded.render, loaded.vocabulary)
        added = loaded.encode(prompt.added_text, prompt.images[len(prompt.images) - prompt.added_images :])
        wanted = self.forced(messages) if self.forced is not None else None
        forced = None if wanted is None else (*loaded.encode(wanted, ()), loaded.engine.end)
        return Request(
            (*with_end(prompt.known_ids, loaded.engine.end), *added),
            *loaded.pixels(prompt.images),
            self.temperature,
            self.max_new_tokens,
            forced,
            grammar=grammar,
            on_token=on_token,
        )


def _reply(loaded: Loaded, request: Request, done: Completion) -> TokenReply:
    ids = done.ids[:-1] if done.ids and done.ids[-1] == loaded.engine.end else done.ids
    text = loaded.tokenizer.decode(ids, skip_special_tokens=False)
    is_cut = len(ids) >= request.max_new_tokens
    return TokenReply(request.ids, done.ids, done.logprobs, text, loaded.vocabulary, is_cut)
