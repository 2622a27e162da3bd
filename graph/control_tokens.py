"""Control tokens of language models in text that is data, such as the label `<|im_end|>` or `<image>`.

A server tokenises the text of a message as a whole: it would read such a label as the end of the turn, or as the place
of an image. It is sent with a space after its bracket, as `< |im_end|>`, which no vocabulary has as one token and which
a model can copy; `normalize_label` reads both spellings as the same label.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

_NAMES: Final = "|".join(
    (
        # Beginning and end of texts and turns: Llama 2, T5, BERT, GLM, Gemma, Idefics.
        r"s|bos|eos|pad|unk|mask|cls|sep|eot|eod|eom|sop|eop|turn|extra_id_\d+|(?:unused|reserved)\w*",
        r"(?:start|begin|end)_?of_?\w+|fim_\w+|im_(?:start|end|patch|col)\w*|SYS",
        # Places of images, videos and sound: LLaVA, InternVL, Gemma, Pixtral, Molmo, DeepSeek-VL.
        r"\w*(?:image|img|picture|vision|video|audio|frame)\w*",
    )
)
_CONTROL: Final = re.compile(
    # Qwen, Llama 3, Phi, GLM; DeepSeek with bars of full width.
    r"<(?=/?[|\uff5c])"
    rf"|<(?=/?(?:{_NAMES})\s*/?>)"
    # Mistral.
    r"|\[(?=/?(?:INST|IMG|gMASK|MASK|CLS|SEP|PAD|UNK|(?-i:[A-Z]+(?:_[A-Z]+)+))\])",
    re.IGNORECASE,
)


def escaped(text: str) -> str:
    """The text with a space after the opening bracket of whatever some model has as a control token."""
    return _CONTROL.sub(lambda bracket: f"{bracket[0]} ", text)


def escaped_value(value: Any) -> Any:
    """The JSON value with all its strings escaped."""
    if isinstance(value, str):
        return escaped(value)
    if isinstance(value, Mapping):
        return {escaped_value(key): escaped_value(inner) for key, inner in value.items()}
    return [escaped_value(inner) for inner in value] if isinstance(value, list) else value
