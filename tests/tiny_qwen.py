"""A real Qwen2.5-VL of a few million random weights, with the real vocabulary and the real processor."""

from __future__ import annotations

import base64
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from video_star.graph.policies.chat_template import apply_to

if TYPE_CHECKING:
    from transformers import Qwen2_5_VLProcessor
    from transformers.models.qwen2 import Qwen2Tokenizer

SPECIAL = (
    "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|object_ref_start|>", "<|object_ref_end|>", "<|box_start|>",
    "<|box_end|>", "<|quad_start|>", "<|quad_end|>", "<|vision_start|>", "<|vision_end|>", "<|vision_pad|>",
    "<|image_pad|>", "<|video_pad|>",
)  # fmt: skip
"""Control tokens from 151643 on, left out of decoded text on request."""
PLAIN = (
    "<tool_call>", "</tool_call>", "<|fim_prefix|>", "<|fim_middle|>", "<|fim_suffix|>", "<|fim_pad|>",
    "<|repo_name|>", "<|file_sep|>",
)  # fmt: skip
"""Single tokens after those that stay in decoded text: a parser of calls reads them."""
MIN_PIXELS, MAX_PIXELS = 4 * 28 * 28, 16 * 28 * 28
"""4 to 16 image tokens per picture."""


def save(folder: Path) -> Path:
    """Write the checkpoint into `folder`: seeded float32 weights, processor, template, generation settings."""
    import torch
    from transformers import GenerationConfig, Qwen2_5_VLForConditionalGeneration

    made = processor()
    made.save_pretrained(folder)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = Qwen2_5_VLForConditionalGeneration(_config())
    ends = made.tokenizer.convert_tokens_to_ids(["<|im_end|>", "<|endoftext|>"])
    model.generation_config = GenerationConfig(  # type: ignore[no-untyped-call]
        bos_token_id=ends[1], eos_token_id=ends[0], pad_token_id=ends[1], do_sample=True, temperature=1.0
    )
    model.save_pretrained(folder)
    return folder


def save_qwen3_vl(folder: Path) -> Path:
    """Write a tiny Qwen3-VL into `folder`, with the chat template of its own that TRL carries."""
    import torch
    from transformers import (
        GenerationConfig,
        Qwen2VLImageProcessor,
        Qwen3VLConfig,
        Qwen3VLForConditionalGeneration,
        Qwen3VLProcessor,
        Qwen3VLVideoProcessor,
    )

    limits: dict[str, Any] = {"patch_size": 16, "min_pixels": 4 * 32 * 32, "max_pixels": 16 * 32 * 32}
    template = (files("trl") / "chat_templates" / "qwen3_vl.jinja").read_text()
    made: Any = Qwen3VLProcessor(  # type: ignore[no-untyped-call]
        Qwen2VLImageProcessor(**limits), tokenizer(), Qwen3VLVideoProcessor(), chat_template=template
    )
    made.save_pretrained(folder)
    text = _text_config(128)
    text |= {"head_dim": 32, "rope_parameters": {**text["rope_parameters"], "mrope_interleaved": True}}
    vision = {
        "depth": 2,
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_heads": 2,
        "patch_size": 16,
        "out_hidden_size": 128,
        "deepstack_visual_indexes": [0],
        "num_position_embeddings": 256,
    }
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = Qwen3VLForConditionalGeneration(
            Qwen3VLConfig(text_config=text, vision_config=vision, tie_word_embeddings=True)
        )
    model.generation_config = GenerationConfig(eos_token_id=151645, pad_token_id=151643)  # type: ignore[no-untyped-call]
    model.save_pretrained(folder)
    return folder


def tokenizer() -> Qwen2Tokenizer:
    """Qwen's tokenizer, from the vocabulary file that the dashscope package carries."""
    from transformers import AddedToken
    from transformers.models.qwen2 import Qwen2Tokenizer

    lines = (files("dashscope") / "resources" / "qwen.tiktoken").read_bytes().splitlines()
    ranks = {base64.b64decode(token): int(rank) for token, rank in (line.split() for line in lines if line)}
    written = _letters()
    text = {token: "".join(written[byte] for byte in token) for token in ranks}
    names = [*((name, True) for name in SPECIAL), *((name, False) for name in PLAIN)]
    settings: dict[str, Any] = {
        "vocab": {text[token]: rank for token, rank in ranks.items()},
        "merges": [(text[left], text[right]) for left, right in _merges(ranks)],
        "eos_token": "<|im_end|>",
        "pad_token": "<|endoftext|>",
        "unk_token": None,
        "model_max_length": 32768,
        "clean_up_tokenization_spaces": False,
        # By number: else the tokens named above come first, and every number after them is another than Qwen's.
        "added_tokens_decoder": {
            number: AddedToken(name, normalized=False, special=special)
            for number, (name, special) in enumerate(names, len(ranks))
        },
    }
    return Qwen2Tokenizer(**settings)


def processor() -> Qwen2_5_VLProcessor:
    """The real processor, for pictures of few tokens, with our template."""
    from transformers import Qwen2_5_VLProcessor, Qwen2VLImageProcessor, Qwen2VLVideoProcessor

    limits: dict[str, Any] = {"min_pixels": MIN_PIXELS, "max_pixels": MAX_PIXELS}
    parts = Qwen2VLImageProcessor(**limits), tokenizer(), Qwen2VLVideoProcessor(**limits)
    made = Qwen2_5_VLProcessor(*parts)  # type: ignore[no-untyped-call]
    apply_to(made)
    return made


def _config() -> Any:
    from transformers import Qwen2_5_VLConfig

    width = 128
    return Qwen2_5_VLConfig(
        text_config=_text_config(width),
        vision_config={
            "depth": 2,
            "hidden_size": 64,
            "intermediate_size": 128,
            "num_heads": 2,
            "patch_size": 14,
            "spatial_merge_size": 2,
            "temporal_patch_size": 2,
            "window_size": 112,
            "fullatt_block_indexes": [1],
            "out_hidden_size": width,
        },
        tie_word_embeddings=True,
        dtype="float32",
    )


def _text_config(width: int) -> dict[str, Any]:
    return {
        "vocab_size": 151936,
        "hidden_size": width,
        "intermediate_size": 256,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 32768,
        "rms_norm_eps": 1e-6,
        "rope_parameters": {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [4, 6, 6]},
        "bos_token_id": 151643,
        "eos_token_id": 151645,
    }


def _letters() -> dict[int, str]:
    """The visible letter that stands for each byte in a byte-level vocabulary."""
    visible = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    hidden = [byte for byte in range(256) if byte not in visible]
    return {byte: chr(byte) for byte in visible} | {byte: chr(256 + i) for i, byte in enumerate(hidden)}


def _merges(ranks: dict[bytes, int]) -> list[tuple[bytes, bytes]]:
    """For each token of several bytes, in order of rank, the two tokens it is merged from last."""
    return [_parts(token, ranks, rank) for token, rank in ranks.items() if len(token) > 1]


def _parts(token: bytes, ranks: dict[bytes, int], limit: int) -> tuple[bytes, bytes]:
    if len(token) == 2:
        return token[:1], token[1:]
    parts = [token[i : i + 1] for i in range(len(token))]
    while len(parts) > 2:
        rank, first = min((ranks.get(parts[i] + parts[i + 1], limit), i) for i in range(len(parts) - 1))
        if rank >= limit:
            raise ValueError(f"no merges of lower rank lead to {token!r}")
        parts[first : first + 2] = [parts[first] + parts[first + 1]]
    return parts[0], parts[1]
