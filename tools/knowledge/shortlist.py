"""The candidate actions that a sub-action most plausibly belongs to."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import sqrt

from ..motion_primitives import PRIMITIVES
from .base import index
from .entries import one_line, words
from .index import stems
from .retrieval import define, encode_ahead


def shortlist(sub_action: str, actions: Sequence[str], k: int = 3, primitives: Sequence[str] = ()) -> list[str]:
    """The candidate actions that a sub-action most plausibly belongs to.

    Args:
        sub_action: A text; the name or meaning of a motion primitive in it counts as that primitive.
        actions: The candidates, any labels.
        k: Most actions returned.
        primitives: Motion primitives known to be part of the sub-action; unknown names are ignored.

    Returns:
        At most `k` of `actions` as given, best first; ties in alphabetical order.
    """
    text = one_line(sub_action, 1000)
    observed = frozenset(_primitives_in(text) | {p for p in primitives if p in PRIMITIVES})
    query = {stem: _weight(stem) for stem in stems(text)}
    by = encode_ahead(actions)
    return sorted(actions, key=lambda action: (-_score(_profile(one_line(action), by), query, observed), action))[:k]


@dataclass(frozen=True)
class _Part:
    """One sub-action of a candidate."""

    name: frozenset[str]
    """Stems of its name."""
    norm: float
    """Length of the name's vector of weights."""
    text: frozenset[str]
    """Stems of its name, body parts and objects."""
    primitives: frozenset[str]
    weight: float
    """Of its rank: 1 for the first, down to above 0.5."""


@dataclass(frozen=True)
class _Profile:
    """One candidate action, prepared for comparison with sub-actions."""

    names: tuple[frozenset[str], ...]
    """Stems of its label, its entry's label and the synonyms."""
    parts: tuple[_Part, ...]
    never: frozenset[str]


@lru_cache(maxsize=4096)
def _profile(label: str, by: str) -> _Profile:
    entry, parts = define(label, by), []
    for rank, part in enumerate(entry.sub_actions):
        name = frozenset(stems(part.name))
        norm = sqrt(sum(_weight(stem) ** 2 for stem in name))
        text = name | set(stems(" ".join((*part.body, *part.objects))))
        parts.append(_Part(name, norm, text, frozenset(part.primitives), 1 - 0.5 * rank / len(entry.sub_actions)))
    names = tuple(frozenset(stems(name)) for name in (label, entry.label, *entry.synonyms))
    return _Profile(names, tuple(parts), frozenset(entry.never))


def _weight(stem: str) -> float:
    return index().text_idf.get(stem, index().max_idf)


def _primitives_in(text: str) -> set[str]:
    """The primitives that a text names, or describes in the words of their meaning.

    A name that is also an English word (reach, turn, lie) counts only if the text is a list of primitives.
    """
    padded = f" {' '.join(words(text))} "
    listed = set(re.split(r"[\s,;+]+(?:and\s+)?", text.strip().casefold()))
    named = {name for name in listed & PRIMITIVES.keys() if "_" in name or listed <= PRIMITIVES.keys()}
    return named | {p for p, meaning in PRIMITIVES.items() if f" {' '.join(words(meaning))} " in padded}


def _score(profile: _Profile, query: Mapping[str, float], observed: frozenset[str]) -> float:
    return (_text_score(profile, query) if query else 0.0) + (_motion_score(profile, observed) if observed else 0.0)


def _text_score(profile: _Profile, query: Mapping[str, float]) -> float:
    """Similarity of a text to the best sub-action and to the action's names, 0 to 1.5."""
    total, norm = sum(query.values()), sqrt(sum(weight**2 for weight in query.values()))
    best = 0.0
    for part in profile.parts:
        product = sum(w * w for stem, w in query.items() if stem in part.name)
        cosine = product / (norm * part.norm) if part.norm else 0.0
        covered = sum(w for stem, w in query.items() if stem in part.text) / total
        best = max(best, part.weight * (cosine + covered) / 2)
    return best + max(sum(w for stem, w in query.items() if stem in name) for name in profile.names) / total / 2


def _motion_score(profile: _Profile, observed: frozenset[str]) -> float:
    """Agreement of primitives with the best sub-action and with all, less those that rule out the action; -1 to 2."""
    idf, unknown = index().primitive_idf, index().max_idf
    weight = {p: idf.get(p, unknown) for p in PRIMITIVES}
    total, best = sum(weight[p] for p in observed), 0.0
    covered = dict.fromkeys(observed, 0.0)
    for part in profile.parts:
        both = observed & part.primitives
        best = max(
            best, part.weight * sum(weight[p] for p in both) / sum(weight[p] for p in observed | part.primitives)
        )
        covered |= {p: max(covered[p], part.weight) for p in both}
    against = sum(weight[p] for p in observed & profile.never)
    return best + (sum(weight[p] * value for p, value in covered.items()) - against) / total
