"""Sub-actions as the scripted teacher picks and scores them."""

from __future__ import annotations

import random
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from ...graph.kinematic.policy import Read
from ...graph.parse import weigh
from ...tools.knowledge import Definition, define
from ...tools.primitives import PRIMITIVES

SEEN: Final = 0.3
"""Support from which a primitive counts as seen."""
FEWEST, MOST = 2, 5
WHOLE: Final = "the action as a whole"


@dataclass
class Part:
    """A sub-action of a chain."""

    name: str
    candidates: list[str] = field(default_factory=list)
    rank: int = 0
    where: str = ""
    """How it is known, in words."""
    scores: dict[str, float] = field(default_factory=dict)

    def as_argument(self) -> dict[str, Any]:
        """As `decompose` takes it."""
        return {"name": self.name, "candidates": self.candidates}


def parts(read: Read, label: str, shown: Mapping[str, str], chance: random.Random) -> list[Part]:
    """The sub-actions to name, the most telling first: what the right action consists of and the evidence shows."""
    own = _own(label, read)
    seen = [name for name, support in read.observed.support.items() if support >= SEEN]
    # Where nothing was measured, the frames are the evidence, and what they show is known.
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
    """0..10: how strongly the primitive shows, and how far up the definition names it."""
    ranks = [rank for rank, part in enumerate(known.sub_actions) if name in part.primitives]
    fit = 1.0 - 0.08 * ranks[0] if ranks else 0.05 if name in known.never else 0.25
    return float(min(10, max(0, round(10 * fit * (0.5 + strength / 2) + chance.uniform(-0.8, 0.8)))))


def _let_lead(found: Sequence[Part], label: str, own: Collection[str]) -> None:
    """Break ties, and small leads of another action, for the right one.

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
    """The right action and one or two others: those that share the primitive, or are easily confused, before any."""
    others = [action for action in read.actions if action != label]
    chance.shuffle(others)
    unlike = definition(label, read).unlike
    others.sort(key=lambda action: name not in _own(action, read) and action not in unlike)
    found = [label, *others[: chance.randint(1, 2)]]
    chance.shuffle(found)
    return found


def _own(label: str, read: Read) -> list[str]:
    """The primitives of an action, the most telling first."""
    return list(dict.fromkeys(name for part in definition(label, read).sub_actions for name in part.primitives))


def definition(label: str, read: Read) -> Definition:
    """What a candidate is: as the conversation says, or else as the knowledge base does."""
    return read.definitions.get(label) or define(label)


def _where(support: float | None, chance: random.Random) -> str:
    if support is None:
        return chance.choice(["as the frames show", "seen in the frames", "in the frames"])
    return chance.choice([f"measured at {support:.2f}", f"support {support:.2f}", f"seen with {support:.2f}"])
