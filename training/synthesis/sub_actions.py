"""Sub-actions as the scripted teacher picks and scores them."""

from __future__ import annotations

import random
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations, product
from typing import Any, Final

from ...graph.policies.kinematic.matching import order_fit
from ...graph.policies.kinematic.policy import Read
from ...graph.ranking import weigh
from ...tools.knowledge import Definition, define
from ...tools.motion_primitives import OBSERVED, PRIMITIVES

FEWEST, MOST = 2, 5
CLEAR: Final = 0.2
"""Absolute agreement with an order, 0 to 1, from which measured times count for or against it."""
WHOLE: Final = "the action as a whole"


@dataclass
class Part:
    """A sub-action of a reasoning trace."""

    name: str
    candidates: list[str] = field(default_factory=list)
    rank: int = 0
    where: str = ""
    """The source of this knowledge, in words."""
    scores: dict[str, float] = field(default_factory=dict)

    def as_argument(self) -> dict[str, Any]:
        """As `decompose` takes it."""
        return {"name": self.name, "candidates": self.candidates}


@dataclass(frozen=True)
class InOrder:
    """Two movements of an action that occur in its order."""

    first: str
    then: str
    where: str
    """The source of this knowledge, in words."""
    reverse: str = ""
    """A candidate with the reverse order; empty if there is none."""


def parts(read: Read, label: str, shown: Mapping[str, str], chance: random.Random) -> list[Part]:
    """The sub-actions to name, most discriminative first: those of the right action that the evidence shows."""
    own = _own(label, read)
    seen = [name for name, support in read.observed.support.items() if support >= OBSERVED]
    # Without measurements the frames are the evidence, and what they show is known.
    evident = seen if read.observed.measured else list(shown)
    found = sorted(evident, key=lambda name: own.index(name) if name in own else len(own))
    named = {**shown, **PRIMITIVES}
    kept = found[: chance.randint(FEWEST, MOST)]
    return [Part(named[name], _in_question(name, label, read, chance)) for name in kept] or [Part(WHOLE, [label])]


def scored(
    read: Read, label: str, shown: Mapping[str, str], lists: Mapping[str, Mapping[str, Any]], chance: random.Random
) -> list[Part]:
    """The sub-actions of the shortlists with scores that put the right action first."""
    found = []
    names = {meaning: name for name, meaning in (*shown.items(), *PRIMITIVES.items())}
    for number, entry in lists.items():
        name = names.get(entry["sub_action"], "")
        support = read.observed.support.get(name)
        part = Part(entry["sub_action"], list(entry["candidates"]), int(number), _where(support, chance))
        strength = support if support is not None else 0.8 if name in shown else 0.6
        part.scores = {
            candidate: _score(name, definition(candidate, read), strength, chance) for candidate in part.candidates
        }
        found.append(part)
    own = _own(label, read)
    _let_lead(found, label, {part.name for part in found if names.get(part.name, "") in own})
    return found


def _score(name: str, known: Definition, strength: float, chance: random.Random) -> float:
    """0..10: support of the primitive, and its rank in the definition."""
    ranks = [rank for rank, part in enumerate(known.sub_actions) if name in part.primitives]
    fit = 1.0 - 0.08 * ranks[0] if ranks else 0.05 if name in known.never else 0.25
    return float(min(10, max(0, round(10 * fit * (0.5 + strength / 2) + chance.uniform(-0.8, 0.8)))))


def _let_lead(found: Sequence[Part], label: str, own: Collection[str]) -> None:
    """Resolve ties and small leads of another action in favour of the right one.

    Only what its definition names, `own`, may count more for it: where the evidence speaks for another action, the
    scores say so, and the chain is rejected.
    """
    for part in found:
        totals = weigh({part.rank: part.scores for part in found}, len(found))
        rival = max((name for name in totals if name != label), key=totals.__getitem__, default=None)
        if rival is None or totals.get(label, 0.0) > totals[rival]:
            return
        if part.name in own and label in part.scores:
            part.scores[label] = min(10.0, part.scores[label] + 2)
            if rival in part.scores:
                part.scores[rival] = max(0.0, part.scores[rival] - 1)


def _in_question(name: str, label: str, read: Read, chance: random.Random) -> list[str]:
    """The right action and one or two others, preferably those that share the primitive or are easily confused."""
    others = [action for action in read.actions if action != label]
    chance.shuffle(others)
    unlike = definition(label, read).unlike
    others.sort(key=lambda action: name not in _own(action, read) and action not in unlike)
    found = [label, *others[: chance.randint(1, 2)]]
    chance.shuffle(found)
    return found


def _own(label: str, read: Read) -> list[str]:
    """The primitives of an action, most discriminative first."""
    return list(definition(label, read).primitives)


def in_order(label: str, read: Read, shown: Mapping[str, str], chance: random.Random) -> InOrder | None:
    """Two movements whose order is known and as the action has them: those another has the other way round before any.

    Of several the most clearly measured. None where the evidence tells no order of them.
    """
    cases = [*_reversed(label, read), *((pair, "") for pair in _before(label, read))]
    for (one, other), rival in sorted(cases, key=lambda case: (not case[1], -_fit(case[0], read))):
        if where := _known_order(one, other, read, shown, chance):
            return InOrder(PRIMITIVES[one], PRIMITIVES[other], where, rival)
    return None


def reversed_by(label: str, read: Read) -> str:
    """A candidate with two movements in the reverse order, as clearly measured; empty if there is none."""
    return next((rival for pair, rival in _reversed(label, read) if _fit(pair, read) <= -CLEAR), "")


def _reversed(label: str, read: Read) -> list[tuple[tuple[str, str], str]]:
    """Every case of two movements in the action's order and a candidate with the reverse order."""
    own = _before(label, read)
    return [((a, b), other) for other in read.actions for b, a in _before(other, read) if (a, b) in own]


def _before(label: str, read: Read) -> list[tuple[str, str]]:
    """Pairs of primitives in the action's order."""
    steps = combinations(definition(label, read).order, 2)
    return [pair for one, other in steps for pair in product(one, other)]


def _fit(pair: tuple[str, str], read: Read) -> float:
    """How clearly the first was measured before the second, -1..1."""
    return order_fit(read.observed, [(name,) for name in pair])


def _known_order(one: str, other: str, read: Read, shown: Mapping[str, str], chance: random.Random) -> str:
    """How it is known that one came before the other, in words; empty if it is not known."""
    spans, in_time, fit = read.observed.spans, list(shown), _fit((one, other), read)
    # A movement that spans another may simply last the whole clip.
    if fit >= CLEAR and all(before <= after for before, after in zip(spans[one], spans[other], strict=True)):
        return "measured at {:.1f} to {:.1f} s and {:.1f} to {:.1f} s".format(*spans[one], *spans[other])
    unseen = {one, other} & set(read.observed.measured) - spans.keys()
    if unseen or fit <= -CLEAR or not {one, other} <= shown.keys():
        return ""
    if in_time.index(one) < in_time.index(other):
        return _where(None, chance)
    return ""


def definition(label: str, read: Read) -> Definition:
    """The definition of a candidate: from the conversation, or else from the knowledge base."""
    return read.definitions.get(label) or define(label)


def _where(support: float | None, chance: random.Random) -> str:
    if support is None:
        return chance.choice(["as the frames show", "seen in the frames", "in the frames"])
    return chance.choice([f"measured at {support:.2f}", f"support {support:.2f}", f"seen with {support:.2f}"])
