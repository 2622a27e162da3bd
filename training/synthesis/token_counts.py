"""How many tokens chains have, counted by a model's own processor; nothing is run."""

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
class Counted:
    """Tokens of some chains."""

    whole: float
    """Of a conversation with its pictures, mean."""
    pictures: float
    """Of its pictures, mean."""
    said: float
    """Of what the policy says, mean."""
    longest: int
    """Of the longest conversation."""


def lengths(records: Iterable[Mapping[str, Any]], store: MediaStore, processor: Any) -> Counted:
    """Count the tokens of chains as a model reads them through our template.

    Args:
        records: Records of runs.
        store: Where their pictures are.
        processor: As `load_processor` gives it.
    """
    rows = [_row(record, store, processor) for record in records]
    whole, pictures, said = zip(*rows, strict=True)
    return Counted(fmean(whole), fmean(pictures), fmean(said), max(whole))


def load_processor(name: str) -> Any:
    """The processor of a model of the Qwen2.5-VL family, by name or folder, with our template.

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


def _row(record: Mapping[str, Any], store: MediaStore, processor: Any) -> tuple[int, int, int]:
    """(whole, pictures, said) of one chain."""
    made = processor.tokenizer.apply_chat_template(
        to_chat(record["messages"]), tools=record["tools"], return_dict=True, return_assistant_tokens_mask=True
    )
    urls = image_urls(record["messages"])
    pictures = sum(_of_picture(store.get(url), processor.image_processor) for url in urls)
    return len(made["input_ids"]) - len(urls) + pictures, pictures, int(sum(made["assistant_masks"]))


def _of_picture(jpeg: bytes, images: Any) -> int:
    """Tokens of one picture: its patches, of which `merge_size` squared are one token."""
    from PIL import Image

    with Image.open(BytesIO(jpeg)) as picture:
        width, height = picture.size
    patches = images.get_number_of_image_patches(height, width)
    return int(patches // images.merge_size**2)
