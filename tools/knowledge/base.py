"""The knowledge base in use: the package's YAML files and those of VIDEO_STAR_KNOWLEDGE, checked and indexed.

Parsing them takes half a second, so entries and index are cached as JSON among the tool results, under a digest of the
YAML files and of the code that reads them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from .. import motion_primitives
from ..execution.result_cache import load_text, save_text
from ..settings import settings
from .entries import Definition, KnowledgeError, read_entries, words
from .index import Index, build_index


@dataclass(frozen=True)
class KnowledgeBase:
    """Entries by label, and their index."""

    entries: dict[str, Definition]
    index: Index


def entries() -> dict[str, Definition]:
    """All entries by label; see `knowledge_base`."""
    return knowledge_base().entries


def index() -> Index:
    """The search index; see `knowledge_base`."""
    return knowledge_base().index


@cache
def knowledge_base() -> KnowledgeBase:
    """The knowledge base, read once per process.

    Entries of the files that VIDEO_STAR_KNOWLEDGE names replace those of the same label, and their labels and synonyms
    are no longer synonyms of other entries.

    Raises:
        KnowledgeError: An entry is malformed, a label has two, or an additional file cannot be read.
    """
    own = sorted(files(__package__).iterdir(), key=lambda path: path.name)
    code = [path.read_bytes() for path in own if path.name.endswith(".py")]
    code.append(Path(motion_primitives.__file__).read_bytes())
    shipped = {path.name: path.read_bytes() for path in own if path.name.endswith(".yaml")}
    additional = {str(path): _read(path) for path in settings().knowledge}
    digests = [hashlib.sha256(text).hexdigest() for text in (*code, *shipped.values(), *additional.values())]
    key, adapter = ("knowledge", *digests), TypeAdapter(KnowledgeBase)
    try:
        return adapter.validate_json(load_text(key) or "")
    except ValidationError:  # Not there, or damaged.
        compiled = compile_base(shipped, additional)
        save_text(key, adapter.dump_json(compiled, exclude_defaults=True).decode())
        return compiled


def compile_base(shipped: Mapping[str, bytes], additional: Mapping[str, bytes]) -> KnowledgeBase:
    """The knowledge base from YAML in UTF-8 by file name.

    Raises:
        KnowledgeError: As in `knowledge_base`.
    """
    overlays = [read_entries(text.decode(), name) for name, text in additional.items()]
    found: dict[str, Definition] = {}
    for name, text in shipped.items():
        read = read_entries(text.decode(), name)
        if twice := found.keys() & read.keys():
            raise KnowledgeError(f"{name}: {', '.join(sorted(twice))} already has an entry in another file")
        found |= read
    for overlay in overlays:
        found = _overlaid(found, overlay)
    for entry in found.values():
        if unknown := entry.unlike.keys() - found.keys():
            raise KnowledgeError(f"label {entry.label!r}, field unlike: no entry for {', '.join(sorted(unknown))}")
    return KnowledgeBase(found, build_index(found))


def _read(path: Path) -> bytes:
    try:
        text = path.read_bytes()
        text.decode()
        return text
    except (OSError, UnicodeDecodeError) as error:
        raise KnowledgeError(
            f"VIDEO_STAR_KNOWLEDGE names {path}, which cannot be read ({error}); correct or unset it"
        ) from error


def _overlaid(found: Mapping[str, Definition], overlay: Mapping[str, Definition]) -> dict[str, Definition]:
    names = {"".join(words(name)) for entry in overlay.values() for name in (entry.label, *entry.synonyms)}
    remaining = {}
    for label, entry in found.items():
        synonyms = tuple(name for name in entry.synonyms if "".join(words(name)) not in names)
        remaining[label] = entry.model_copy(update={"synonyms": synonyms})
    return remaining | dict(overlay)
