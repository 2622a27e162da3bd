"""How likely an answer of the embedded policy is right: its belief, tempered by how much was observed.

With n candidates, L the log-odds of the belief in the answer above those of chance, and M the lead of its score,

    logit p = temper * (L + margin * M) - ln(n - 1)

`temper` falls to 0, and p to chance (1 / n), with what was observed: the share of the time and of the body that was in
view, how much of what the definition names was observed and how much of what was observed it names, and more motion
than one or two people show. `calibration.json` is written by `python -m video_star.evals.suites.calibration`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cache
from importlib.resources import files
from typing import Final, Literal

from ....tools.knowledge import Definition
from ....tools.motion.measurements import Measurements
from ....tools.motion_primitives import PRIMITIVES

Way = Literal["sub_actions", "whole_actions"]
"""What was scored: sub-actions, or the candidates as wholes (mode `no_sub_actions`)."""

FILE: Final = "calibration.json"
_OF_TWO_PEOPLE: Final = (
    "approach", "separate", "close_together", "arms_around", "hands_meet", "strike", "faces_meet",
)  # fmt: skip
_OF_CLOSE_VIEWS: Final = ("hands_close", "hands_touch", "fingers_work")
OF_ONE_PERSON: Final = tuple(
    name
    for name in PRIMITIVES
    if name.split("_")[0] not in ("thing", "things", "camera") and name not in (*_OF_TWO_PEOPLE, *_OF_CLOSE_VIEWS)
)
"""Primitives of one person: how many were measurable tells how much of the body was in view."""
_SUREST: Final = 1e-6
"""Least distance of a belief from 0 and 1."""


@dataclass(frozen=True)
class Support:
    """What speaks for an answer."""

    candidates: int
    belief: float
    """0..1: the answer's share of the posterior of all candidates."""
    margin: float
    """-1..1: its score less the best other one."""
    in_view: float
    """0..1: share of the time with a person in view, times the share of a person's primitives that were measurable."""
    shown: float
    """0..1: how much of what the answer's definition names was observed."""
    explained: float
    """0..1: how much of what was observed the answer's definition names."""
    observed: int
    """Observed primitives, those of the camera aside."""

    @classmethod
    def of(
        cls,
        answer: str,
        totals: Mapping[str, float],
        shares: Mapping[str, float],
        observed: Measurements,
        definitions: Mapping[str, Definition],
        candidates: int,
    ) -> Support:
        """The support of an answer.

        Args:
            answer: One of the candidates.
            totals: Scores of the candidates that were scored, 0 to 1.
            shares: Posterior of the candidates that have a definition.
            observed: What was measured.
            definitions: The definitions.
            candidates: The number of all candidates.
        """
        support = {name: value for name, value in observed.support.items() if not name.startswith("camera")}
        named = definitions[answer].primitives if answer in definitions else ()
        common = sum(value for name, value in support.items() if name in named)
        measurable = sum(name in observed.measured for name in OF_ONE_PERSON)
        return cls(
            candidates=candidates,
            # Candidates without a definition, of which nothing is known, are believed at chance.
            belief=shares.get(answer, 0.0) * len(shares) / candidates,
            margin=totals.get(answer, 0.0) - max((t for label, t in totals.items() if label != answer), default=0.0),
            in_view=observed.in_view * measurable / len(OF_ONE_PERSON),
            shown=common / len(named) if named else 0.0,
            explained=common / sum(support.values()) if support else 0.0,
            observed=len(support),
        )


@dataclass(frozen=True)
class Calibration:
    """The fitted constants of one way of scoring."""

    temper: float
    margin: float
    shown: float
    """Exponent of `Support.shown`."""
    explained: float
    """`Support.explained` that three of four fitted answers reach; below it, `temper` falls in proportion."""
    observed: float
    """`Support.observed` that half of the fitted answers do not exceed; above it, `temper` falls in proportion."""

    def confidence(self, support: Support) -> float:
        """Probability that the answer is right; 1 / n without any support."""
        others = support.candidates - 1
        if not others:
            return 1.0
        belief = min(max(support.belief, _SUREST), 1 - _SUREST)
        above_chance = math.log(belief / (1 - belief)) + math.log(others)
        temper = self.temper * support.in_view * support.shown**self.shown
        temper *= min(1.0, support.explained / self.explained) * min(1.0, self.observed / max(support.observed, 1))
        return 1 / (1 + others * math.exp(-temper * (above_chance + self.margin * support.margin)))


@cache
def calibrations() -> tuple[str, Mapping[Way, Calibration]]:
    """On what the policy was calibrated, in words, and the constants of each way of scoring."""
    read = json.loads(files(__package__).joinpath(FILE).read_text(encoding="utf-8"))
    names = [field.name for field in fields(Calibration)]
    ways: tuple[Way, ...] = ("sub_actions", "whole_actions")
    return str(read["calibrated_on"]), {way: Calibration(*(read[way][name] for name in names)) for way in ways}
