"""The vector of each entry: the mean of a sentence encoder's vectors of a few texts about it.

Those of all-MiniLM-L6-v2 are part of the package because they take a minute to compute; run
`python -m video_star.tools.knowledge.meanings` after editing entries.
"""

from __future__ import annotations

import hashlib
import sys
from functools import cache
from io import BytesIO
from pathlib import Path
from threading import Lock
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ..errors import VideoStarError
from .base import entries
from .embedding import Array, Encoder
from .encoders import MINILM, encoder
from .entries import Definition

FILE: Final = "meanings.npz"
"""For each entry the digest of its texts, (entries,) uint64, and their mean vector, (entries, 384) float16."""
_computing: Final = Lock()


def entry_texts(entry: Definition) -> tuple[str, ...]:
    """Texts about an entry, from different angles; all of them together retrieve more than any one."""
    names = ", ".join((entry.label, *entry.synonyms))
    objects = " ".join(sorted({thing for part in entry.sub_actions for thing in part.objects}))
    return (
        f"{names}. {entry.definition} {objects}",
        f"{names}. {entry.definition} {'. '.join(part.name for part in entry.sub_actions)}",
        f"{entry.label}: {entry.definition}",
        f"{entry.label}: {', '.join(entry.related or entry.synonyms)}",
        entry.related[0] if entry.related else entry.label,
    )


def meanings(name: str) -> Array:
    """The entries' vectors by the encoder of that name, (entries, dimensions) float32, in the order of `entries()`.

    Those in the package are loaded, the others computed, once per process. Their length is at most 1, so that the
    product with a text's vector is the mean of the cosine similarities.
    """
    with _computing:
        return _meanings(name)


@cache
def _meanings(name: str) -> Array:
    model = encoder(name)
    if model is None:
        raise ValueError("search by words has no vectors")
    shipped = _shipped() if name == MINILM else {}
    known = [(entry, _digest(entry)) for entry in entries().values()]
    missing = [(entry, digest) for entry, digest in known if digest not in shipped]
    if missing:
        shipped |= dict(zip([digest for _, digest in missing], _compute(model, [e for e, _ in missing]), strict=True))
    return np.stack([shipped[digest] for _, digest in known])


def _digest(entry: Definition) -> int:
    return int.from_bytes(hashlib.sha256("\n".join(entry_texts(entry)).encode()).digest()[:8], "big")


def _compute(model: Encoder, entries: list[Definition]) -> Array:
    texts = [text for entry in entries for text in entry_texts(entry)]
    vectors = model.embed(texts)
    return np.asarray(vectors.reshape(len(entries), -1, vectors.shape[1]).mean(axis=1))


def _shipped() -> dict[int, NDArray[np.float32]]:
    path = Path(__file__).with_name(FILE)
    if not path.is_file():
        return {}
    with np.load(path) as file:
        return dict(zip(file["digests"].tolist(), file["vectors"].astype(np.float32), strict=True))


def main() -> int:
    """Write `FILE` from the current entries."""
    try:
        model = encoder(MINILM)
    except VideoStarError as error:
        print(error, file=sys.stderr)
        return 1
    assert model is not None
    known = list(entries().values())
    digests = np.array([_digest(entry) for entry in known], np.uint64)
    buffer = BytesIO()
    np.savez_compressed(buffer, digests=digests, vectors=_compute(model, known).astype(np.float16))
    path = Path(__file__).with_name(FILE)
    path.write_bytes(buffer.getvalue())
    print(f"{path.name}: {len(known)} entries, {len(buffer.getvalue()) / 1e3:.0f} kB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
