"""Finding and composing definitions: by label, by words and meaning, and for a sub-action among candidates."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from itertools import zip_longest
from math import log, sqrt
from typing import Final

from ..primitives import PRIMITIVES
from .encoders import chosen, encoder, vectors
from .entries import LABEL_LENGTH, Definition, KnowledgeError, SubAction, entries, one_line, words
from .meanings import meanings

NEAR: Final = 0.42
"""Score by words alone from which an entry may stand in for a label that has none: about half of them, the verb twice.
"""
NEAR_BEST: Final = 0.94
"""Entries at least this share as similar as the nearest one are composed with it."""
SYNONYM: Final = 0.9
"""What likeness to a synonym counts against likeness to the label itself."""
OTHER_VERB: Final = 0.8
"""What likeness to a name counts that says something else is done."""
MOST_SUB_ACTIONS: Final = 6
_STOP: Final = frozenset(
    "a an the of in on at to from with and or by for into onto one ones s his her their its is are it someone somebody "
    "something person people man woman while then each other another as that this".split()
)


@lru_cache(maxsize=8192)
def _stem(word: str) -> str:
    """The word without its commonest endings, so that kick, kicks, kicked and kicking agree."""
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


def _stems(text: str) -> list[str]:
    spelt = words(text)
    return [_stem(word) for word in spelt if word not in _STOP] or [_stem(word) for word in spelt]


@dataclass(frozen=True)
class _Index:
    """The entries prepared for look-up and retrieval."""

    by_words: dict[str, str]
    """Joined words of labels and synonyms, to label."""
    by_stems: dict[str, str]
    forms: dict[str, list[list[str]]]
    """Label to the stems of the label and of each synonym."""
    verbs: dict[str, list[str]]
    """Label to what is done in each of those."""
    text: dict[str, frozenset[str]]
    """Label to the stems of everything its entry says."""
    trigrams: dict[str, frozenset[str]]
    """Stems of the forms, to their character trigrams."""
    naming: dict[str, float]
    """Stems of the forms, to ln((N + 1) / n): how few of the N entries are named with it."""
    telling: dict[str, float]
    """Stems of the text, to ln((N + 1) / n) likewise."""
    showing: dict[str, float]
    """Motion primitives, likewise."""
    strange: float
    """ln(N + 1): the most that any of these can be."""


def _prose(entry: Definition) -> str:
    parts = [entry.definition, *(" ".join((s.name, *s.body, *s.objects)) for s in entry.sub_actions)]
    return " ".join((entry.label, *entry.synonyms, *entry.related, *parts))


@cache
def _index() -> _Index:
    by_words: dict[str, str] = {}
    by_stems: dict[str, str] = {}
    known = entries()
    for label, entry in known.items():
        for form in (label, *entry.synonyms):
            other = by_words.setdefault("".join(words(form)), label)
            if other != label:
                raise KnowledgeError(f"label {label!r}, field synonyms: {form!r} already names {other!r}")
    for forms in ([(label, label) for label in known], [(s, e.label) for e in known.values() for s in e.synonyms]):
        for form, label in forms:
            by_stems.setdefault("".join(_stems(form)), label)
    text = {label: frozenset(_stems(_prose(entry))) for label, entry in known.items()}
    forms_of = {label: [_stems(form) for form in (label, *entry.synonyms)] for label, entry in known.items()}
    naming = _rarity({stem for form in forms for stem in form} for forms in forms_of.values())
    return _Index(
        by_words=by_words,
        by_stems=by_stems,
        forms=forms_of,
        verbs={label: [_verb(form) for form in (label, *entry.synonyms)] for label, entry in known.items()},
        text=text,
        trigrams={stem: _trigrams(stem) for stem in naming},
        naming=naming,
        telling=_rarity(text.values()),
        showing=_rarity({p for s in entry.sub_actions for p in s.primitives} for entry in known.values()),
        strange=log(len(known) + 1),
    )


def _rarity(holders: Iterable[Collection[str]]) -> dict[str, float]:
    held = list(holders)
    counts = Counter(item for items in held for item in items)
    return {item: log((len(held) + 1) / count) for item, count in counts.items()}


def _trigrams(stem: str) -> frozenset[str]:
    padded = f"^{stem}$"
    return frozenset(padded[i : i + 3] for i in range(len(padded) - 2))


@lru_cache(maxsize=8192)
def _alike(stem: str) -> dict[str, float]:
    """Stems of labels that this one may stand for, with their likeness: itself, or the misspelt and the compounded."""
    index = _index()
    if stem in index.telling:
        return {stem: 1.0}
    grams = _trigrams(stem)
    dice = {other: 2 * len(grams & theirs) / (len(grams) + len(theirs)) for other, theirs in index.trigrams.items()}
    return {other: value for other, value in dice.items() if value >= 0.6}


def _verb(text: str) -> str:
    """The stem of what is done: the first word in -ing, else the first word."""
    stems = _stems(text)
    verbs = [_stem(word) for word in words(text) if word.endswith("ing") and len(word) > 4]
    return next((stem for stem in verbs if stem in stems), stems[0] if stems else "")


def _query(text: str) -> list[tuple[str, float]]:
    """Stems of the text with their weights: the verb, told by -ing or by coming first, counts twice.

    A word that names no entry is most often a noun of the setting, and counts half.
    """
    index, stems, verb = _index(), _stems(text[:LABEL_LENGTH]), _verb(text[:LABEL_LENGTH])
    weights = {stem: index.naming.get(stem, index.strange / 2) for stem in stems}
    return list((weights | {verb: 2 * index.naming.get(verb, index.strange)}).items()) if stems else []


def _named(query: list[tuple[str, float]], form: Collection[str]) -> float:
    """How well a query and one form of a label cover each other, 0 to 1: harmonic mean of the shares covered."""
    naming = _index().naming
    total = sum(weight for _, weight in query)
    asked = sum(weight * max(_alike(stem).get(f, 0.0) for f in form) for stem, weight in query)
    given = sum(naming[f] * max(_alike(stem).get(f, 0.0) for stem, _ in query) for f in form)
    return 2 / (total / asked + sum(naming[f] for f in form) / given) if asked and given else 0.0


def _similarity(
    query: list[tuple[str, float]], meant: Mapping[str, Sequence[tuple[int, float]]], verb: str, label: str
) -> float:
    """Likeness of a query to an entry, 0 to 1.

    Args:
        query: Stems and weights.
        meant: Every stem that one of the query's may stand for, with which one, and their likeness.
        verb: The stem of what is done.
        label: Of the entry.
    """
    index = _index()
    likeness: dict[int, float] = {}
    for stem in index.text[label] & meant.keys():
        for number, value in meant[stem]:
            likeness[number] = max(value, likeness.get(number, 0.0))
    if not likeness:
        return 0.0
    mentioned = sum(query[number][1] * value for number, value in likeness.items())
    name = 0.0
    for rank, (form, done) in enumerate(zip(index.forms[label], index.verbs[label], strict=True)):
        if not meant.keys().isdisjoint(form):
            same = 1.0 if done in _alike(verb) else OTHER_VERB
            name = max(name, _named(query, form) * same * (SYNONYM if rank else 1.0))
    return 0.8 * name + 0.2 * mentioned / sum(weight for _, weight in query)


def labels() -> tuple[str, ...]:
    """The labels that have an entry."""
    return tuple(entries())


def search(text: str, k: int = 5, by: str | None = None) -> list[tuple[str, float]]:
    """The labels nearest to a text, best first.

    Args:
        text: Any text; its first `LABEL_LENGTH` characters count.
        k: How many at most; labels that share nothing with the text are left out.
        by: The encoder that compares meanings beside the words, or `encoders.WORDS` for words alone; by default
            `encoders.chosen()`. It is loaded at the first call.

    Returns:
        Labels with similarity in [0, 1]; 1 is a label or synonym itself. Without an encoder it is the score by words;
        with one the mean of that and the cosine of the meanings, the words weighted as `Encoder.words` says.

    Raises:
        VideoStarError: The encoder asked for cannot be used.
    """
    found, reader = _by_words(text), encoder(by or chosen())
    if reader is not None and words(text[:LABEL_LENGTH]):
        (vector,) = vectors(reader.name, [one_line(text[:LABEL_LENGTH])])
        cosines = meanings(reader.name) @ vector
        found = {
            label: (cosine + reader.words * found[label]) / (1 + reader.words)
            for label, cosine in zip(entries(), cosines.tolist(), strict=True)
        }
    exact = _exact(text)
    if exact:
        found[exact] = 1.0
    hits = ((label, min(1.0, value)) for label, value in found.items() if value > 0)
    return sorted(hits, key=lambda hit: (hit[0] != exact, -hit[1]))[:k]


def _by_words(text: str) -> dict[str, float]:
    """The score of every label by the words it shares with a text, 0 to 1."""
    index, query = _index(), _query(text)
    verb = _verb(text[:LABEL_LENGTH])
    meant: dict[str, list[tuple[int, float]]] = {}
    for number, (stem, _) in enumerate(query):
        for other, value in _alike(stem).items():
            meant.setdefault(other, []).append((number, value))
    return {label: _similarity(query, meant, verb, label) for label in index.forms}


def _exact(text: str) -> str | None:
    index, text = _index(), text[:LABEL_LENGTH]
    return index.by_words.get("".join(words(text))) or index.by_stems.get("".join(_stems(text)))


def define(label: str) -> Definition:
    """The definition of an action.

    Returns:
        The entry whose label or synonym this is; else one composed from the nearest entries, named in `composed_from`;
        else, where none is near, one sub-action that is the label itself, without primitives.
    """
    label = one_line(label)
    exact = _exact(label)
    return entries()[exact] if exact else _composed(label, chosen())


def define_all(labels: Sequence[str]) -> dict[str, Definition]:
    """The definitions of several actions, by label as given; the same as `define` gives, in less time."""
    _read_ahead(tuple(labels), chosen())
    return {label: define(label) for label in labels}


@lru_cache(maxsize=64)
def _read_ahead(labels: tuple[str, ...], by: str) -> None:
    """Read the labels that have no entry."""
    if encoder(by) is not None:
        plain = dict.fromkeys(one_line(label)[:LABEL_LENGTH] for label in labels)
        vectors(by, [label for label in plain if words(label) and not _exact(label)])


@lru_cache(maxsize=4096)
def _composed(label: str, by: str) -> Definition:
    reader, hits = encoder(by), search(label, 3, by)
    least = reader.near if reader else NEAR
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
    """Their sub-actions by rank, each set of primitives once."""
    merged: dict[object, SubAction] = {}
    for rank in zip_longest(*(entry.sub_actions for entry in entries)):
        for sub_action in rank:
            if sub_action is not None:
                merged.setdefault(frozenset(sub_action.primitives) or sub_action.name, sub_action)
    return tuple(merged.values())[:MOST_SUB_ACTIONS]


@dataclass(frozen=True)
class _Profile:
    """One candidate action prepared for comparison with sub-actions."""

    forms: tuple[frozenset[str], ...]
    parts: tuple[tuple[frozenset[str], float, frozenset[str], frozenset[str], float], ...]
    """Of each sub-action: stems of its name, their length as a vector, stems with body and objects, primitives, and the
    weight of its rank, 1 down to above 0.5."""
    never: frozenset[str]


@lru_cache(maxsize=4096)
def _profile(label: str) -> _Profile:
    entry, parts = define(label), []
    for rank, part in enumerate(entry.sub_actions):
        stems = frozenset(_stems(part.name))
        about = stems | set(_stems(" ".join((*part.body, *part.objects))))
        length = sqrt(sum(_tells(stem) ** 2 for stem in stems))
        parts.append((stems, length, about, frozenset(part.primitives), 1 - 0.5 * rank / len(entry.sub_actions)))
    forms = tuple(frozenset(_stems(form)) for form in (label, entry.label, *entry.synonyms))
    return _Profile(forms, tuple(parts), frozenset(entry.never))


def _tells(stem: str) -> float:
    return _index().telling.get(stem, _index().strange)


def _measured(text: str) -> set[str]:
    """The primitives that a text names or spells out in the words of their meaning.

    A name of one plain word (reach, turn, lie) counts only where it stands alone in a list, as it is also English.
    """
    padded = f" {' '.join(words(text))} "
    listed = set(re.split(r"[\s,;+]+(?:and\s+)?", text.strip().casefold()))
    plain = {name for name in listed & PRIMITIVES.keys() if "_" in name or listed <= PRIMITIVES.keys()}
    return plain | {p for p, meaning in PRIMITIVES.items() if f" {' '.join(words(meaning))} " in padded}


def shortlist(sub_action: str, actions: Sequence[str], k: int = 3, primitives: Sequence[str] = ()) -> list[str]:
    """The candidate actions that a sub-action most plausibly belongs to.

    Args:
        sub_action: In words; the name or meaning of a motion primitive in it counts as that primitive.
        actions: The candidates, any labels.
        k: How many at most.
        primitives: Motion primitives known to be part of the sub-action; unknown names are passed over.

    Returns:
        At most `k` of `actions` as they were given, best first; ties keep the order of `actions`.
    """
    text = one_line(sub_action, 1000)
    shown = frozenset(_measured(text) | {p for p in primitives if p in PRIMITIVES})
    query = {stem: _tells(stem) for stem in _stems(text)}
    _read_ahead(tuple(actions), chosen())
    return sorted(actions, key=lambda action: -_belongs(_profile(one_line(action)), query, shown))[:k]


def _belongs(profile: _Profile, query: dict[str, float], shown: frozenset[str]) -> float:
    return (_inwords(profile, query) if query else 0.0) + (_in_motion(profile, shown) if shown else 0.0)


def _inwords(profile: _Profile, query: dict[str, float]) -> float:
    """Likeness of a text to the best sub-action and to the action's own names, 0 to 1.5."""
    total, length = sum(query.values()), sqrt(sum(weight**2 for weight in query.values()))
    best = 0.0
    for stems, norm, about, _, rank in profile.parts:
        cosine = sum(w * w for stem, w in query.items() if stem in stems) / (length * norm) if norm else 0.0
        covered = sum(w for stem, w in query.items() if stem in about) / total
        best = max(best, rank * (cosine + covered) / 2)
    return best + max(sum(w for stem, w in query.items() if stem in form) for form in profile.forms) / total / 2


def _in_motion(profile: _Profile, shown: frozenset[str]) -> float:
    """Agreement of primitives with the best sub-action and with all of them, less what speaks against; -1 to 2."""
    showing, strange = _index().showing, _index().strange
    weight = {p: showing.get(p, strange) for p in PRIMITIVES}
    total, best = sum(weight[p] for p in shown), 0.0
    covered = dict.fromkeys(shown, 0.0)
    for *_, primitives, rank in profile.parts:
        both = shown & primitives
        best = max(best, rank * sum(weight[p] for p in both) / sum(weight[p] for p in shown | primitives))
        covered |= {p: max(covered[p], rank) for p in both}
    against = sum(weight[p] for p in shown & profile.never)
    return best + (sum(weight[p] * value for p, value in covered.items()) - against) / total
