"""Search in the knowledge base, and definitions of any label: its entry, or a composition of the nearest entries."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from functools import cache, lru_cache
from itertools import zip_longest
from typing import Final

from .base import entries, index
from .encoders import WORDS, encoder, encoder_in_use, vectors
from .entries import LABEL_LENGTH, MOST_SUB_ACTIONS, Definition, SubAction, one_line, words
from .index import stems, verb
from .meanings import meanings

ENCODED: Final = 80
"""Characters up to which a label is encoded. Longer ones are compared by words only: they are no names of actions, and
encoding takes 100 times as long, half a second of processor time for ten of them."""
ENCODED_TOGETHER: Final = 16_000
"""Characters up to which the labels of one list that have no entry are encoded: 700 labels of usual length. Those of
longer lists are compared by words only, as encoding takes about 0.2 s of processor time for 1,000 characters."""
NEAR: Final = 0.42
"""Least score, by words only, of an entry that a definition is composed from: about half the words, the verb counted
twice."""
NEAR_BEST: Final = 0.94
"""Least score of an entry, as a share of the best one's, to be composed with it."""
SYNONYM: Final = 0.9
"""Weight of similarity to a synonym, relative to the label itself."""
OTHER_VERB: Final = 0.8
"""Weight of similarity to a name with another verb."""
MIN_DICE: Final = 0.6
"""Least Dice coefficient of trigrams at which two stems count as spellings of one."""


def labels() -> tuple[str, ...]:
    """The labels that have an entry."""
    return tuple(entries())


def has_entry(label: str) -> bool:
    """Whether a label has exactly the words of an entry, or of a synonym."""
    return "".join(words(label[:LABEL_LENGTH])) in index().by_words


def search(text: str, k: int = 5, by: str | None = None) -> list[tuple[str, float]]:
    """The labels most similar to a text, best first.

    Args:
        text: Any text; its first `LABEL_LENGTH` characters are used.
        k: Most labels returned; labels that share nothing with the text are omitted.
        by: The sentence encoder used besides the words, or `encoders.WORDS` for words only; default:
            `encoders.encoder_in_use()`. It is loaded at the first call.

    Returns:
        Labels with similarity in [0, 1]; 1 for a label or synonym itself. Without an encoder it is the score by words;
        with one, the mean of that and the cosine similarity, the words weighted by `Encoder.words`.

    Raises:
        VideoStarError: The encoder cannot be used.
    """
    found, model = _by_words(text), encoder(by or encoder_in_use())
    if model is not None and words(text[:LABEL_LENGTH]):
        (vector,) = vectors(model.name, [one_line(text[:LABEL_LENGTH])])
        cosines = meanings(model.name) @ vector
        found = {
            label: (cosine + model.words * found[label]) / (1 + model.words)
            for label, cosine in zip(entries(), cosines.tolist(), strict=True)
        }
    exact = _exact(text)
    if exact:
        found[exact] = 1.0
    hits = ((label, min(1.0, value)) for label, value in found.items() if value > 0)
    return sorted(hits, key=lambda hit: (hit[0] != exact, -hit[1]))[:k]


def define(label: str, by: str | None = None) -> Definition:
    """The definition of an action.

    Args:
        label: Any text.
        by: As in `search`; labels of more than `ENCODED` characters are compared by words only.

    Returns:
        The entry with this label or synonym; else one composed from the nearest entries, which `composed_from` names;
        else, if none is near, a single sub-action that repeats the label, without primitives.
    """
    label = one_line(label)
    exact = _exact(label)
    return entries()[exact] if exact else _composed(label, (by or encoder_in_use()) if len(label) <= ENCODED else WORDS)


def define_all(labels: Sequence[str]) -> dict[str, Definition]:
    """The definitions of several actions by label, as `define` gives them, but encoded in one batch."""
    by = encode_ahead(labels)
    return {label: define(label, by) for label in labels}


def encode_ahead(labels: Sequence[str]) -> str:
    """Encode the labels without an entry in one batch, and return by what to `define` them.

    `WORDS` if they are longer than `ENCODED_TOGETHER`, or all have an entry: then no encoder is loaded.
    """
    unknown = _unknown(tuple(labels))
    if not 0 < sum(map(len, unknown)) <= ENCODED_TOGETHER:
        return WORDS
    by = encoder_in_use()
    _encode(unknown, by)
    return by


@lru_cache(maxsize=64)
def _unknown(labels: tuple[str, ...]) -> tuple[str, ...]:
    """The labels without an entry that are encoded, as the encoder reads them."""
    lines = dict.fromkeys(line for label in labels if len(line := one_line(label)) <= ENCODED)
    return tuple(label for label in lines if words(label) and not _exact(label))


@lru_cache(maxsize=64)
def _encode(labels: tuple[str, ...], by: str) -> None:
    if encoder(by) is not None:
        vectors(by, labels)


def _exact(text: str) -> str | None:
    """The label of which a text is the label or a synonym."""
    text = text[:LABEL_LENGTH]
    return index().by_words.get("".join(words(text))) or index().by_stems.get("".join(stems(text)))


@lru_cache(maxsize=4096)
def _composed(label: str, by: str) -> Definition:
    model, hits = encoder(by), search(label, 3, by)
    least = model.near if model else NEAR
    near = [entries()[hit] for hit, value in hits if value >= max(least, NEAR_BEST * hits[0][1])]
    if not near:
        name = " ".join(re.sub(r"[\[\];]", " ", label).split()) or "an action without a name"
        text = "no entry of its own and none near; to be judged by the words of the label alone."
        return Definition(label=label, definition=text, sub_actions=(SubAction(name=name),))
    return Definition(
        label=label,
        definition=f"no entry of its own; nearest: {', '.join(e.label for e in near)}. {near[0].definition}",
        sub_actions=_merged(near),
        never=tuple(p for p in near[0].never if all(p in e.never for e in near)),
        composed_from=tuple(entry.label for entry in near),
    )


def _merged(entries: Sequence[Definition]) -> tuple[SubAction, ...]:
    """Their sub-actions by rank, without repeating a set of primitives."""
    merged: dict[object, SubAction] = {}
    for rank in zip_longest(*(entry.sub_actions for entry in entries)):
        for sub_action in rank:
            if sub_action is not None:
                merged.setdefault(frozenset(sub_action.primitives) or sub_action.name, sub_action)
    return tuple(merged.values())[:MOST_SUB_ACTIONS]


def _by_words(text: str) -> dict[str, float]:
    """The similarity of every label to a text by their words, 0 to 1."""
    query = _query(text)
    query_verb = verb(text[:LABEL_LENGTH])
    matches: dict[str, list[tuple[int, float]]] = {}
    for number, (stem, _) in enumerate(query):
        for other, value in _spellings(stem).items():
            matches.setdefault(other, []).append((number, value))
    return {label: _similarity(query, matches, query_verb, label) for label in index().names}


def _query(text: str) -> list[tuple[str, float]]:
    """Stems of the text with their weights; the verb counts twice.

    A word that is in no name of an entry is most often a noun of the scene, and counts half.
    """
    idf, unknown = index().name_idf, index().max_idf
    found, query_verb = stems(text[:LABEL_LENGTH]), verb(text[:LABEL_LENGTH])
    weights = {stem: idf.get(stem, unknown / 2) for stem in found}
    return list((weights | {query_verb: 2 * idf.get(query_verb, unknown)}).items()) if found else []


def _similarity(
    query: list[tuple[str, float]], matches: Mapping[str, Sequence[tuple[int, float]]], query_verb: str, label: str
) -> float:
    """The similarity of a query to an entry, 0 to 1.

    Args:
        query: Stems and weights.
        matches: Every stem that may be a spelling of one in the query, to its number there and their similarity.
        query_verb: The stem of the query's verb.
        label: The label of the entry.
    """
    likeness: dict[int, float] = {}
    for stem in index().text[label] & matches.keys():
        for number, value in matches[stem]:
            likeness[number] = max(value, likeness.get(number, 0.0))
    if not likeness:
        return 0.0
    mentioned = sum(query[number][1] * value for number, value in likeness.items())
    best = 0.0
    for rank, (name, name_verb) in enumerate(zip(index().names[label], index().verbs[label], strict=True)):
        if not matches.keys().isdisjoint(name):
            same = 1.0 if name_verb in _spellings(query_verb) else OTHER_VERB
            best = max(best, _coverage(query, name) * same * (SYNONYM if rank else 1.0))
    return 0.8 * best + 0.2 * mentioned / sum(weight for _, weight in query)


def _coverage(query: list[tuple[str, float]], name: Collection[str]) -> float:
    """How well a query and a name cover each other, 0 to 1: the harmonic mean of the weighted shares covered."""
    idf = index().name_idf
    total = sum(weight for _, weight in query)
    of_query = sum(weight * max(_spellings(stem).get(n, 0.0) for n in name) for stem, weight in query)
    of_name = sum(idf[n] * max(_spellings(stem).get(n, 0.0) for stem, _ in query) for n in name)
    return 2 / (total / of_query + sum(idf[n] for n in name) / of_name) if of_query and of_name else 0.0


@lru_cache(maxsize=8192)
def _spellings(stem: str) -> dict[str, float]:
    """Stems of names that this one may be a spelling of, with their Dice coefficient: itself, or similar ones."""
    if stem in index().text_idf:
        return {stem: 1.0}
    grams = _trigrams(stem)
    dice = {other: 2 * len(grams & theirs) / (len(grams) + len(theirs)) for other, theirs in _name_trigrams().items()}
    return {other: value for other, value in dice.items() if value >= MIN_DICE}


@cache
def _name_trigrams() -> dict[str, frozenset[str]]:
    return {stem: _trigrams(stem) for stem in index().name_idf}


def _trigrams(stem: str) -> frozenset[str]:
    padded = f"^{stem}$"
    return frozenset(padded[i : i + 3] for i in range(len(padded) - 2))
