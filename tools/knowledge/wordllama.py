"""The static token vectors of wordllama, in numpy."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np

from ..errors import BadWeights, MissingExtra
from .embedding import NO_TOKENIZERS, Array, unit_length

MAX_TOKENS: Final = 256


class WordLlama:
    """The static token vectors of wordllama (Miller 2024, MIT), 256 dimensions: a text is the mean of its tokens.

    Args:
        folder: The folder of the package.

    Raises:
        BadWeights: It contains no such vectors.
        MissingExtra: tokenizers or safetensors is not installed.
    """

    name = "wordllama"
    words = 0.3
    near = 0.34

    def __init__(self, folder: Path) -> None:
        weights = folder / "weights" / "l2_supercat_256.safetensors"
        tokenizer = folder / "tokenizers" / "l2_supercat_tokenizer_config.json"
        if not (weights.is_file() and tokenizer.is_file()):
            raise BadWeights(f"{folder} contains no token vectors; pip install --force-reinstall wordllama")
        try:
            from safetensors.numpy import load_file
            from tokenizers import Tokenizer
        except ImportError as error:
            raise MissingExtra(NO_TOKENIZERS) from error
        self._tokenizer = Tokenizer.from_file(str(tokenizer))
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(MAX_TOKENS)
        self._vectors: Array = load_file(weights)["embedding.weight"].astype(np.float32)

    def embed(self, texts: Sequence[str]) -> Array:
        """The mean of the tokens' vectors, scaled to length 1: (texts, 256) float32; zeros if there are no tokens."""
        found = np.zeros((len(texts), self._vectors.shape[1]), np.float32)
        encodings = self._tokenizer.encode_batch(list(texts), add_special_tokens=False)
        for number, encoding in enumerate(encodings):
            if encoding.ids:
                found[number] = self._vectors[encoding.ids].mean(axis=0)
        return unit_length(found)
