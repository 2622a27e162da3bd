"""all-MiniLM-L6-v2 in numpy, from the published weights."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ..errors import BadWeights, MissingExtra
from .embedding import NO_TOKENIZERS, Array, unit_length

SHA256: Final = {
    "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    "tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
}
"""Digests of sentence-transformers/all-MiniLM-L6-v2 at revision 1110a243 (Apache-2.0). Only these files are read,
whichever package contains them."""
MAX_TOKENS: Final = 128
"""Tokens of a text that are read; the longest entry has about 120."""
_LAYERS: Final = 6
_HEADS: Final = 12
_WIDTH: Final = 384
_BATCH: Final = 32


class MiniLM:
    """all-MiniLM-L6-v2 (Wang et al. 2020; Reimers and Gurevych 2019), 384 dimensions.

    Args:
        folder: Contains `model.safetensors` and `tokenizer.json`.

    Raises:
        BadWeights: A file is missing or not the published one.
        MissingExtra: tokenizers or safetensors is not installed.
    """

    name = "all-MiniLM-L6-v2"
    words = 0.12
    near = 0.35

    def __init__(self, folder: Path) -> None:
        from ..vision.checkpoints import digest

        for file, published in SHA256.items():
            if not (folder / file).is_file() or digest(folder / file) != published:
                raise BadWeights(
                    f"{folder / file} is not the file published with {self.name}; reinstall the package it is in"
                )
        try:
            from safetensors.numpy import load_file
            from tokenizers import Tokenizer
        except ImportError as error:
            raise MissingExtra(NO_TOKENIZERS) from error
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(MAX_TOKENS)
        self._weights: dict[str, Any] = load_file(folder / "model.safetensors")
        for layer in range(_LAYERS):
            path = f"encoder.layer.{layer}.attention.self"
            for part in ("weight", "bias"):
                parts = [self._weights.pop(f"{path}.{name}.{part}") for name in ("query", "key", "value")]
                self._weights[f"{path}.{part}"] = np.concatenate(parts)

    def embed(self, texts: Sequence[str]) -> Array:
        """The mean of the last hidden states, scaled to length 1: (texts, 384) float32."""
        ids = [encoding.ids for encoding in self._tokenizer.encode_batch(list(texts))]
        by_length: dict[int, list[int]] = {}
        for number, tokens in enumerate(ids):
            by_length.setdefault(len(tokens), []).append(number)
        found = np.empty((len(ids), _WIDTH), np.float32)
        # Texts of equal length need no padding and no mask.
        for numbers in by_length.values():
            for start in range(0, len(numbers), _BATCH):
                batch = numbers[start : start + _BATCH]
                found[batch] = self._hidden(np.array([ids[n] for n in batch])).mean(axis=1)
        return unit_length(found)

    def _hidden(self, ids: NDArray[np.int64]) -> Array:
        """Hidden states (texts, tokens, 384) of ids (texts, tokens): BERT (Devlin et al. 2019)."""
        weights = self._weights
        state: Array = (
            weights["embeddings.word_embeddings.weight"][ids]
            + weights["embeddings.position_embeddings.weight"][: ids.shape[1]]
            + weights["embeddings.token_type_embeddings.weight"][0]
        )
        state = self._layer_norm(state, "embeddings.LayerNorm")
        for layer in range(_LAYERS):
            path = f"encoder.layer.{layer}"
            attended = self._dense(self._attention(state, path), f"{path}.attention.output.dense")
            state = self._layer_norm(state + attended, f"{path}.attention.output.LayerNorm")
            wide = _gelu(self._dense(state, f"{path}.intermediate.dense"))
            state = self._layer_norm(state + self._dense(wide, f"{path}.output.dense"), f"{path}.output.LayerNorm")
        return state

    def _attention(self, state: Array, path: str) -> Array:
        texts, tokens, width = state.shape
        parts = self._dense(state, f"{path}.attention.self").reshape(texts, tokens, 3, _HEADS, width // _HEADS)
        query, key, value = parts.transpose(2, 0, 3, 1, 4)
        scores = query @ key.swapaxes(-1, -2) / np.float32((width // _HEADS) ** 0.5)
        scores = np.exp(scores - scores.max(axis=-1, keepdims=True))
        attended = scores / scores.sum(axis=-1, keepdims=True) @ value
        return np.asarray(attended.swapaxes(1, 2).reshape(texts, tokens, width))

    def _dense(self, state: Array, path: str) -> Array:
        # One product of two axes: with three, numpy multiplies text by text.
        flat = state.reshape(-1, state.shape[-1]) @ self._weights[f"{path}.weight"].T + self._weights[f"{path}.bias"]
        return np.asarray(flat.reshape(*state.shape[:-1], -1))

    def _layer_norm(self, state: Array, path: str) -> Array:
        state = state - state.mean(axis=-1, keepdims=True)
        state /= np.sqrt((state * state).mean(axis=-1, keepdims=True) + np.float32(1e-12))
        return np.asarray(state * self._weights[f"{path}.weight"] + self._weights[f"{path}.bias"])


def _gelu(x: Array) -> Array:
    """GELU: x times the normal distribution function of x, with erf by formula 7.1.26 of Abramowitz and Stegun.

    The error of erf is at most 1.5e-7.
    """
    z = np.abs(x) * np.float32(0.5**0.5)
    t = 1 / (1 + np.float32(0.3275911) * z)
    series = np.float32(1.061405429) * t - np.float32(1.453152027)
    for coefficient in (1.421413741, -0.284496736, 0.254829592):
        series = series * t + np.float32(coefficient)
    erf = 1 - series * t * np.exp(-z * z)
    return np.asarray(x * (1 + np.copysign(erf, x)) / 2)
