"""How well measured motion fits definitions: a naive Bayes comparison over motion primitives. Pure functions.

A definition is a forecast of which primitives occur; a measured primitive, with its support, is a soft yes or no. What
was not measurable does not count. If a definition states an order of its primitives, the times at which they were
observed are evidence too.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from itertools import combinations, product
from typing import Any, Final

from ....tools.knowledge import Definition, define_all
from ....tools.motion.measurements import Measurements

LEADING: Final = 0.8
"""Probability that the primitives of the first-ranked sub-action occur; later ranks fall linearly to `TRAILING`."""
TRAILING: Final = 0.5
UNMENTIONED: Final = 0.15
"""Smallest probability of a primitive that the definition does not mention."""
PRIOR_COUNT: Final = 8
"""Pseudo-count of candidates with probability `UNMENTIONED`: a primitive that many candidates name, such as standing
upright, also occurs in actions whose definitions do not mention it."""
RULED_OUT: Final = 0.04
"""Probability of a primitive that the definition rules out."""
TEMPER: Final = 1.5
"""Divisor of log-likelihoods: primitives overlap, so their evidence is not independent."""
ORDER_STRENGTH: Final = 0.8
"""By how much, relative to chance, a clearly observed order that the definition states is likelier, and its reverse
less likely. Below 1, because primitives are also observed where they do not occur."""
TIME_PRECISION: Final = 0.1
"""Precision of measured times in seconds."""


def forecast(definition: Definition) -> dict[str, float]:
    """Probability in (0, 1) of each primitive that the definition names or rules out."""
    chances: dict[str, float] = {name: RULED_OUT for name in definition.never}
    parts = definition.sub_actions
    for k, part in enumerate(parts):
        chance = LEADING - (LEADING - TRAILING) * k / max(1, len(parts) - 1)
        for name in part.primitives:
            chances[name] = max(chance, chances.get(name, 0.0))
    return chances


def posterior(observed: Measurements, definitions: Mapping[str, Definition]) -> dict[str, float]:
    """Probability of each candidate, summing to 1; uniform if nothing was measured."""
    usual = _base_rates(definitions.values())
    likelihoods = {label: _log_likelihood(observed, known, usual) / TEMPER for label, known in definitions.items()}
    top = max(likelihoods.values(), default=0.0)
    shares = {label: math.exp(value - top) for label, value in likelihoods.items()}
    whole = sum(shares.values())
    return {label: share / whole for label, share in shares.items()}


def rank_by_evidence(evidence: Sequence[Mapping[str, Any]], actions: Sequence[str]) -> dict[str, float]:
    """Belief in each candidate from measured motion alone, 0 to 1, summing to 1; empty if no motion was observed.

    Args:
        evidence: Evidence items of a run; those with `measured` count, the first one with observed motion.
        actions: The candidates.

    Raises:
        BadInput: `measured` of an item is of another form.
    """
    found = (Measurements.from_json(item["measured"]) for item in evidence if item.get("measured"))
    motion = next((measurements for measurements in found if measurements.observed), None)
    return posterior(motion, define_all(actions)) if motion else {}


def order_fit(observed: Measurements, order: Sequence[Sequence[str]]) -> float:
    """How clearly primitives were observed in this order, from -1 (the reverse) to 1; 0 is no evidence.

    The mean, over the pairs of different steps that were both seen, of how far apart in time they were, each in
    proportion to their support.

    Args:
        observed: What was measured.
        order: Steps of primitives, as `Definition.order`.
    """
    spans, support = observed.spans, observed.support
    pairs = [(a, b) for one, other in combinations(order, 2) for a, b in product(one, other)]
    fits = [support[a] * support[b] * _after(spans[a], spans[b]) for a, b in pairs if a in spans and b in spans]
    return sum(fits) / len(fits) if fits else 0.0


def _after(one: tuple[float, float], other: tuple[float, float]) -> float:
    """-1..1: 1 where `other` begins after `one` ends, 0 where their middles are at one time.

    The distance of the middles in halves of both lengths. Middles err less than starts: a primitive that goes on, or
    whose time could not be told within the clip, has the whole clip as its span and starts before everything.
    """
    lengths = abs(one[1] - one[0]) + abs(other[1] - other[0]) + 2 * TIME_PRECISION
    return max(-1.0, min(1.0, (sum(other) - sum(one)) / lengths))


def _base_rates(definitions: Collection[Definition]) -> dict[str, float]:
    """Probability of each primitive that any definition names, under a definition that does not name it."""
    named = Counter(name for known in definitions for name in known.primitives)
    whole = len(definitions) + PRIOR_COUNT
    return {name: max(UNMENTIONED, (count + PRIOR_COUNT * UNMENTIONED) / whole) for name, count in named.items()}


def _log_likelihood(observed: Measurements, known: Definition, usual: Mapping[str, float]) -> float:
    # With the chance that both of a pair were there as its weight, this is a mixture of densities over -1..1.
    total, chances = math.log1p(ORDER_STRENGTH * order_fit(observed, known.order)), forecast(known)
    for name in observed.measured:
        chance, support = chances.get(name, usual.get(name, UNMENTIONED)), observed.support.get(name, 0.0)
        total += support * math.log(chance) + (1 - support) * math.log(1 - chance)
    return total
