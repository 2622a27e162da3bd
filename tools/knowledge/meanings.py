"""What each entry means, as one vector: the mean of a few readings of it by a sentence encoder.

Those of all-MiniLM-L6-v2 ship with the package, as they take a minute to make; `python -m
video_star.tools.knowledge.meanings` makes them anew after entries were edited.
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
"""For each entry the digest of its readings, (entries,) uint64, and their mean, (entries, 384) float16."""
_MAKING: Final = Lock()


def readings(entry: Definition) -> tuple[str, ...]:
    """The texts by which an entry is known, each a view of its own; no one of them finds what all together find."""
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

    Those that ship are read, the others made, once in a process. A vector is shorter than 1 where the readings differ,
    so that its product with a text's vector is the mean of the cosines.
    """
    with _MAKING:
        return _meanings(name)


@cache
def _meanings(name: str) -> Array:
    reader = encoder(name)
    if reader is None:
        raise ValueError("words alone have no vectors")
    shipped = _shipped() if name == MINILM else {}
    known = [(entry, _digest(entry)) for entry in entries().values()]
    missing = [(entry, digest) for entry, digest in known if digest not in shipped]
    if missing:
        shipped |= dict(zip([digest for _, digest in missing], _made(reader, [e for e, _ in missing]), strict=True))
    return np.stack([shipped[digest] for _, digest in known])


def _digest(entry: Definition) -> int:
    return int.from_bytes(hashlib.sha256("\n".join(readings(entry)).encode()).digest()[:8], "big")


def _made(reader: Encoder, of: list[Definition]) -> Array:
    texts = [text for entry in of for text in readings(entry)]
    vectors = reader.embed(texts)
    return np.asarray(vectors.reshape(len(of), -1, vectors.shape[1]).mean(axis=1))


def _shipped() -> dict[int, NDArray[np.float32]]:
    path = Path(__file__).with_name(FILE)
    if not path.is_file():
        return {}
    with np.load(path) as file:
        return dict(zip(file["digests"].tolist(), file["vectors"].astype(np.float32), strict=True))


def main() -> int:
    """Write `FILE` from the entries as they are now."""
    try:
        reader = encoder(MINILM)
    except VideoStarError as error:
        print(error, file=sys.stderr)
        return 1
    assert reader is not None
    known = list(entries().values())
    digests = np.array([_digest(entry) for entry in known], np.uint64)
    buffer = BytesIO()
    np.savez_compressed(buffer, digests=digests, vectors=_made(reader, known).astype(np.float16))
    path = Path(__file__).with_name(FILE)
    path.write_bytes(buffer.getvalue())
    print(f"{path.name}: {len(known)} entries, {len(buffer.getvalue()) / 1e3:.0f} kB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
