"""A Qwen2.5-VL-like model in this process as a policy."""

from __future__ import annotations

import asyncio
import base64
import io
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from threading import Lock
from typing import TYPE_CHECKING, Any, Final, Literal

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.messages import BaseMessage
from langchain_core.outputs import ChatGenerationChunk, ChatResult
from PIL import Image
from pydantic import Field

from ...tools.errors import MissingExtra, UnknownPolicy
from . import chat_template as template
from .local_batching import Completion, Engine, Request, require_local
from .token_policy import (
    END,
    PAD,
    SAMPLE,
    VISION_TOKENS,
    Spoken,
    Stream,
    TokenPolicy,
    Tools,
    fingerprint,
    heard,
    prompt,
    whole,
)

if TYPE_CHECKING:
    import torch

PICTURES: Final = 256
"""Pictures whose pixels are kept for the turns that follow: about 0.6 GB at most, at 128 patches of 28x28."""
Forced = Callable[[Sequence[BaseMessage]], str | None]
"""From the conversation to the text a turn must have, or None to sample it."""
Quantize = Literal["4bit", "8bit"]


class Pictures:
    """What the image processor makes of pictures, each processed once."""

    def __init__(self, image_processor: Any) -> None:
        self._process = image_processor
        self._kept: OrderedDict[str, tuple[torch.Tensor, torch.Tensor]] = OrderedDict()
        self._lock = Lock()

    def of(self, picture: str) -> tuple[torch.Tensor, torch.Tensor]:
        """(patches, values) and the (1, 3) grid of a base64 picture."""
        with self._lock:
            if picture in self._kept:
                self._kept.move_to_end(picture)
                return self._kept[picture]
        image = Image.open(io.BytesIO(base64.b64decode(picture))).convert("RGB")
        found = self._process(images=[image], return_tensors="pt")
        made = found["pixel_values"], found["image_grid_thw"]
        with self._lock:
            self._kept[picture] = made
            while len(self._kept) > PICTURES:
                self._kept.popitem(last=False)
        return made

    def pads(self, picture: str) -> int:
        """Features of the picture: how many pads stand for it."""
        return int(self.of(picture)[1].prod()) // int(self._process.merge_size) ** 2


@dataclass(frozen=True)
class Loaded:
    """A model with its processor, ready to generate."""

    engine: Engine
    processor: Any
    render: Callable[..., str]
    """Its chat template: (chat, tools, ask=bool) -> text."""
    pictures: Pictures
    pad: int
    """The id of an image pad."""
    vocabulary: str
    """The name of its vocabulary."""

    @property
    def tokenizer(self) -> Any:
        """The processor's tokenizer."""
        return self.processor.tokenizer

    def encode(self, text: str, pictures: Sequence[str]) -> tuple[int, ...]:
        """Ids of a text, each image pad repeated as often as its picture has features."""
        pads = iter(pictures)
        return tuple(
            again
            for token in self.tokenizer.encode(text, add_special_tokens=False)
            for again in ([token] * self.pictures.pads(next(pads)) if token == self.pad else [token])
        )

    def pixels(self, pictures: Sequence[str]) -> tuple[torch.Tensor | None, torch.Tensor | None]:
        """(patches, values) of all pictures and their (pictures, 3) grids."""
        if not pictures:
            return None, None
        import torch

        found = [self.pictures.of(picture) for picture in pictures]
        return torch.cat([pixels for pixels, _ in found]), torch.cat([grid for _, grid in found])


_loading = Lock()


def load(path: str, quantize: Quantize | None = None) -> Loaded:
    """Load a checkpoint, once for all runs of this process: bfloat16 on a GPU, float32 on the CPU.

    Args:
        path: A folder, or a name on the Hugging Face hub.
        quantize: Weights of 4 or 8 bits, by bitsandbytes.

    Raises:
        MissingExtra: torch or transformers, or bitsandbytes where it is asked for, are not installed.
        UnknownPolicy: There is no such checkpoint, or it is of another kind.
    """
    require_local()
    # Runs that begin together ask together, and must not load it several times.
    with _loading:
        return _loaded(path, quantize)


@lru_cache(maxsize=2)
def _loaded(path: str, quantize: Quantize | None) -> Loaded:
    import torch
    from transformers import AutoModelForImageTextToText, AutoProcessor

    device = "cuda" if torch.cuda.is_available() else "cpu"
    how: dict[str, Any] = {"dtype": torch.bfloat16 if device == "cuda" else torch.float32, "device_map": device}
    if quantize is not None:
        how["quantization_config"] = _quantized(quantize)
    try:
        processor = AutoProcessor.from_pretrained(path)  # type: ignore[no-untyped-call]
        model: Any = AutoModelForImageTextToText.from_pretrained(path, **how)
    except (OSError, ValueError) as error:
        raise UnknownPolicy(f"the checkpoint {path!r} cannot be loaded: {str(error)[:300]}") from error
    return around(model.eval(), processor)


def _quantized(quantize: Quantize) -> Any:
    from transformers import BitsAndBytesConfig

    if find_spec("bitsandbytes") is None:
        raise MissingExtra(f"weights of {quantize} need bitsandbytes; install it: pip install 'video-star[quantized]'")
    return BitsAndBytesConfig(load_in_4bit=quantize == "4bit", load_in_8bit=quantize == "8bit")  # type: ignore[no-untyped-call]


def around(model: Any, processor: Any) -> Loaded:
    """An engine around a model that is there already, such as the one being trained.

    Qwen2.5-VL speaks by this package's chat template, because its own knows no tools; any other model by its own.
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
    ours = model.config.model_type == "qwen2_5_vl"
    render = template.render if ours else _own_template(processor)
    vocabulary = fingerprint(tokenizer.encode(SAMPLE, add_special_tokens=False))
    return Loaded(engine, processor, render, Pictures(processor.image_processor), special[PAD], vocabulary)


def _own_template(processor: Any) -> Callable[..., str]:
    def render(chat: Sequence[Any], tools: Tools = (), *, ask: bool) -> str:
        text: str = processor.apply_chat_template(
            [_set_apart(turn) for turn in chat], tools=list(tools) or None, tokenize=False, add_generation_prompt=ask
        )
        return text

    return render


def _set_apart(turn: Mapping[str, Any]) -> dict[str, Any]:
    """The turn with `<|` in its words set apart, as this package's template does: no text is a control token."""
    parts = [
        {**part, "text": part["text"].replace("<|", "< |")} if part["type"] == "text" else part
        for part in turn["content"]
    ]
    return {**turn, "content": parts}


class TransformersPolicy(TokenPolicy):
    """A checkpoint in this process; runs that ask at the same time are generated together."""

    path: str
    """A folder, or a name on the Hugging Face hub."""
    quantize: Quantize | None = None
    """Weights of 4 or 8 bits, by bitsandbytes."""
    loaded: Any = Field(default=None, exclude=True)
    """A model that is there already (`around`), used instead of the one at `path`."""
    forced: Forced | None = None
    """For tests and for scoring given texts: what a turn must say."""

    @property
    def _llm_type(self) -> str:
        return "transformers"

    @property
    def takes_grammar(self) -> bool:
        """Whether xgrammar, which holds a turn to its grammar, is installed."""
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
        return heard(_spoken(loaded, request, loaded.engine.submit(request).result()))

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        loaded = await asyncio.to_thread(self._load)
        request = await asyncio.to_thread(self._request, loaded, messages, **kwargs)
        return heard(_spoken(loaded, request, await asyncio.wrap_future(loaded.engine.submit(request))))

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        loaded = await asyncio.to_thread(self._load)
        loop, sampled = asyncio.get_running_loop(), asyncio.Queue[int | None]()

        def tell(token: int | None) -> None:
            loop.call_soon_threadsafe(sampled.put_nowait, token)

        request = await asyncio.to_thread(self._request, loaded, messages, on_token=tell, **kwargs)
        future = loaded.engine.submit(request)
        future.add_done_callback(lambda _: tell(None))
        stream, ids, told = Stream(), list[int](), ""
        try:
            while (token := await sampled.get()) is not None:
                if token == loaded.engine.end:
                    continue
                ids.append(token)
                text = loaded.tokenizer.decode(ids, skip_special_tokens=False)
                # A character of several tokens is shown when it is whole.
                if text.endswith("\ufffd"):
                    continue
                chunk, told = stream.add(text[len(told) :]), text
                if chunk is not None:
                    yield chunk
        finally:
            future.cancel()
        yield stream.end(_spoken(loaded, request, future.result()))

    def _load(self) -> Loaded:
        return self.loaded or load(self.path, self.quantize)

    def _request(
        self,
        loaded: Loaded,
        messages: Sequence[BaseMessage],
        tools: Tools = (),
        grammar: str | None = None,
        on_token: Callable[[int], None] | None = None,
        **_: Any,
    ) -> Request:
        asked = prompt(messages, tools, loaded.render, loaded.vocabulary)
        added = loaded.encode(asked.added, asked.pictures[len(asked.pictures) - asked.new :])
        wanted = self.forced(messages) if self.forced is not None else None
        forced = None if wanted is None else (*loaded.encode(wanted, ()), loaded.engine.end)
        return Request(
            (*whole(asked.known, loaded.engine.end), *added),
            *loaded.pixels(asked.pictures),
            self.temperature,
            self.max_new_tokens,
            forced,
            grammar=grammar,
            on_token=on_token,
        )


def _spoken(loaded: Loaded, request: Request, done: Completion) -> Spoken:
    ids = done.ids[:-1] if done.ids and done.ids[-1] == loaded.engine.end else done.ids
    text = loaded.tokenizer.decode(ids, skip_special_tokens=False)
    return Spoken(request.ids, done.ids, done.logprobs, text, loaded.vocabulary)
