"""How well measured motion fits definitions: a naive Bayes comparison over motion primitives. Pure functions.

Each definition is read as a forecast of which primitives will show; each measured primitive, with its support, is a
soft yes or no. What was not measurable says nothing either way.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Final

from ...tools.knowledge import Definition, define
from ...tools.motion import Observed, read_motion

LEADING: Final = 0.8
"""Chance that the primitives of the first-ranked sub-action show; later ranks fall towards `TRAILING`."""
TRAILING: Final = 0.5
UNSAID: Final = 0.15
"""Chance that a primitive shows of which a definition says nothing."""
NEVER: Final = 0.04
"""Chance that a primitive shows which a definition excludes."""
TEMPER: Final = 1.5
"""Primitives overlap, so their evidence is not independent: log-likelihoods are divided by this."""


def forecast(definition: Definition) -> dict[str, float]:
    """Chance in (0, 1) of each primitive that the definition names or excludes."""
    chances: dict[str, float] = {name: NEVER for name in definition.never}
    parts = definition.sub_actions
    for k, part in enumerate(parts):
        chance = LEADING - (LEADING - TRAILING) * k / max(1, len(parts) - 1)
        for name in part.primitives:
            chances[name] = max(chance, chances.get(name, 0.0))
    return chances


def posterior(observed: Observed, definitions: Mapping[str, Definition]) -> dict[str, float]:
    """Share of belief in each candidate, summing to 1; equal shares where nothing was measured."""
    likelihoods = {label: _log_likelihood(observed, forecast(known)) / TEMPER for label, known in definitions.items()}
    top = max(likelihoods.values(), default=0.0)
    shares = {label: math.exp(value - top) for label, value in likelihoods.items()}
    whole = sum(shares.values())
    return {label: share / whole for label, share in shares.items()}


def rank_by_evidence(summaries: Sequence[str], actions: Sequence[str]) -> dict[str, float]:
    """Belief in each candidate from tool texts alone; empty where none of them holds measured motion."""
    observed = next((found for text in summaries if (found := read_motion(text)).support), None)
    return posterior(observed, {action: define(action) for action in actions}) if observed else {}


def _log_likelihood(observed: Observed, chances: Mapping[str, float]) -> float:
    total = 0.0
    for name in observed.measured:
        chance, support = chances.get(name, UNSAID), observed.support.get(name, 0.0)
        total += support * math.log(chance) + (1 - support) * math.log(1 - chance)
    return total
