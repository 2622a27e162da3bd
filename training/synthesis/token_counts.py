"""Number of tokens in traces, counted by a model's processor without running the model."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from io import BytesIO
from statistics import fmean
from typing import Any

from ...graph.policies.chat_template import apply_to, to_chat
from ...graph.records.content import image_urls
from ...tools.errors import BadInput, MissingExtra
from ...tools.execution.media_store import MediaStore


@dataclass(frozen=True)
class TokenCounts:
    """Tokens per trace."""

    conversation: float
    """Of the conversation including images, mean."""
    images: float
    """Of the images, mean."""
    policy: float
    """Of the policy's turns, mean."""
    longest: int
    """Of the longest conversation."""


def count_tokens(records: Iterable[Mapping[str, Any]], store: MediaStore, processor: Any) -> TokenCounts:
    """Count the tokens of traces as a model reads them through our chat template.

    Args:
        records: Records of runs.
        store: Holds their images.
        processor: See `load_processor`.
    """
    rows = [_count(record, store, processor) for record in records]
    conversation, images, policy = zip(*rows, strict=True)
    return TokenCounts(fmean(conversation), fmean(images), fmean(policy), max(conversation))


def load_processor(name: str) -> Any:
    """The processor of a model of the Qwen2.5-VL family, by name or folder, with our chat template.

    Raises:
        MissingExtra: transformers is not installed.
        BadInput: It cannot be loaded.
    """
    try:
        from transformers import AutoProcessor
    except ImportError:
        raise MissingExtra("counting tokens needs transformers: pip install 'video-star[local]'") from None
    try:
        processor = AutoProcessor.from_pretrained(name)  # type: ignore[no-untyped-call]
    except (OSError, ValueError) as error:
        raise BadInput(f"no processor {name!r}: {' '.join(str(error).split())[:200]}") from None
    apply_to(processor)
    return processor


def _count(record: Mapping[str, Any], store: MediaStore, processor: Any) -> tuple[int, int, int]:
    """Tokens of the conversation, its images and the policy's turns."""
    encoded = processor.tokenizer.apply_chat_template(
        to_chat(record["messages"]), tools=record["tools"], return_dict=True, return_assistant_tokens_mask=True
    )
    urls = image_urls(record["messages"])
    images = sum(_image_tokens(store.get(url), processor.image_processor) for url in urls)
    # The template has one placeholder token per image.
    return len(encoded["input_ids"]) - len(urls) + images, images, int(sum(encoded["assistant_masks"]))


def _image_tokens(jpeg: bytes, image_processor: Any) -> int:
    """Tokens of one image: `merge_size` squared patches make one token."""
    from PIL import Image

    with Image.open(BytesIO(jpeg)) as image:
        width, height = image.size
    patches = image_processor.get_number_of_image_patches(height, width)
    return int(patches // image_processor.merge_size**2)
