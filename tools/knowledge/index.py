"""The search index of the knowledge base: names by words, and stems with their inverse document frequencies."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from math import log
from typing import Final

from .entries import Definition, KnowledgeError, words

_STOP_WORDS: Final = frozenset(
    "a an the of in on at to from with and or by for into onto one ones s his her their its is are it someone somebody "
    "something person people man woman while then each other another as that this".split()
)


@dataclass(frozen=True)
class Index:
    """The entries, prepared for look-up by label and for search."""

    by_words: dict[str, str]
    """Joined words of labels and synonyms, to label."""
    by_stems: dict[str, str]
    """Joined stems of labels and synonyms, to label."""
    names: dict[str, list[list[str]]]
    """Label to the stems of the label and of each synonym."""
    verbs: dict[str, list[str]]
    """Label to the stem of the verb in each of those."""
    text: dict[str, frozenset[str]]
    """Label to the stems of the whole entry."""
    name_idf: dict[str, float]
    """Stems of the names, to ln((N + 1) / n), where n of the N entries have the stem in a name."""
    text_idf: dict[str, float]
    """Stems of the entries, to their inverse document frequency likewise."""
    primitive_idf: dict[str, float]
    """Motion primitives, likewise."""
    max_idf: float
    """ln(N + 1), for what no entry has."""


def build_index(entries: Mapping[str, Definition]) -> Index:
    """The index of the entries.

    Raises:
        KnowledgeError: Two labels have the same name.
    """
    by_words: dict[str, str] = {}
    by_stems: dict[str, str] = {}
    for label, entry in entries.items():
        for name in (label, *entry.synonyms):
            other = by_words.setdefault("".join(words(name)), label)
            if other != label:
                raise KnowledgeError(f"label {label!r}, field synonyms: {name!r} is already a name of {other!r}")
    labels_first = [(label, label) for label in entries]
    for name, label in labels_first + [(name, e.label) for e in entries.values() for name in e.synonyms]:
        by_stems.setdefault("".join(stems(name)), label)
    names = {label: [stems(name) for name in (label, *entry.synonyms)] for label, entry in entries.items()}
    text = {label: frozenset(stems(_text(entry))) for label, entry in entries.items()}
    return Index(
        by_words=by_words,
        by_stems=by_stems,
        names=names,
        verbs={label: [verb(name) for name in (label, *entry.synonyms)] for label, entry in entries.items()},
        text=text,
        name_idf=_idf({stem for name in each for stem in name} for each in names.values()),
        text_idf=_idf(text.values()),
        primitive_idf=_idf(entry.primitives for entry in entries.values()),
        max_idf=log(len(entries) + 1),
    )


def stems(text: str) -> list[str]:
    """The stems of a text without its stop words; of all its words if there are only stop words."""
    found = words(text)
    return [_stem(word) for word in found if word not in _STOP_WORDS] or [_stem(word) for word in found]


def verb(text: str) -> str:
    """The stem of the verb of a label: its first word in -ing, else its first word."""
    found = stems(text)
    verbs = [_stem(word) for word in words(text) if word.endswith("ing") and len(word) > 4]
    return next((stem for stem in verbs if stem in found), found[0] if found else "")


@lru_cache(maxsize=8192)
def _stem(word: str) -> str:
    """The word without its most common endings, so that kick, kicks, kicked and kicking agree."""
    for ending in ("ing", "ed", "es", "s"):
        rest = word.removesuffix(ending)
        if rest == word or len(rest) < 2 or not re.search("[aeiouy]", rest) or word.endswith(("ss", "eed", "us")):
            continue
        if ending == "es" and not rest.endswith(("s", "x", "z", "ch", "sh")):
            continue
        if ending == "ed" and len(rest) < 3:
            continue
        doubled = len(rest) > 3 and rest[-1] == rest[-2] and rest[-1] not in "aeiouslz"
        word = rest[:-1] if doubled and ending in ("ing", "ed") else rest
        break
    if len(word) > 3 and word.endswith("e"):
        word = word[:-1]
    return word[:-1] + "i" if len(word) > 2 and word.endswith("y") else word


def _text(entry: Definition) -> str:
    parts = [entry.definition, *(" ".join((s.name, *s.body, *s.objects)) for s in entry.sub_actions)]
    return " ".join((entry.label, *entry.synonyms, *entry.related, *parts))


def _idf(documents: Iterable[Collection[str]]) -> dict[str, float]:
    held = list(documents)
    counts = Counter(item for items in held for item in items)
    return {item: log((len(held) + 1) / count) for item, count in counts.items()}
