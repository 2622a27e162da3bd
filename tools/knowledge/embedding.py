"""What sentence encoders have in common."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

NO_TOKENIZERS: Final = "search by meaning needs tokenizers and safetensors: pip install tokenizers safetensors"

Array = NDArray[np.float32]


class Encoder(Protocol):
    """A sentence encoder."""

    name: str
    words: float
    """Weight of the score by words relative to the cosine similarity; tuned on `evals/suites/paraphrases.yaml`."""
    near: float
    """Least score of an entry that a definition is composed from; tuned there too."""

    def embed(self, texts: Sequence[str]) -> Array:
        """Vectors of length 1, (texts, dimensions) float32. Thread-safe."""
        ...


def unit_length(vectors: Array) -> Array:
    """The vectors (n, dimensions) scaled to length 1; zeros stay zeros."""
    return np.asarray(vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), np.float32(1e-12)))
