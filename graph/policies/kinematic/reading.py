"""Reads back what tools wrote: the only place where text of tools becomes data again."""

from __future__ import annotations

import re
from typing import Final

from ....tools.motion.result import Measurements, Observation, Repeated
from ....tools.primitives import PRIMITIVES

_LINE: Final = re.compile(r"^- (\w+) ([01]\.\d\d), (\d{1,9}\.\d) to (\d{1,9}\.\d) s(?:, ([\w ]*))?", re.MULTILINE)
_UNSEEN: Final = re.compile(r"^NOT SEEN: ([\w, ]*)$", re.MULTILINE)
_ORDER: Final = re.compile(r"^ORDER: (.*)$", re.MULTILINE)
_AT: Final = re.compile(r"(\w+) at (\d{1,9}\.\d) s")
_REPEATED: Final = re.compile(r"^REPEATED: (.*)$", re.MULTILINE)
_TIMES: Final = re.compile(
    r"((?:thing|person) \d+), (\d+) times?, (\d{1,9}\.\d\d) s each, (\d{1,9}\.\d) to (\d{1,9}\.\d) s"
)


def read_measurements(text: str) -> Measurements:
    """Read the summary of `track_motion`, alone or within a longer text; empty if there is none."""
    if "OBSERVED" not in text:
        return Measurements()
    observed = {
        name: Observation(min(1.0, float(support)), float(start), float(end), by, PRIMITIVES[name])
        for name, support, start, end, by in _LINE.findall(text)
        if name in PRIMITIVES
    }
    unseen = [name for names in _UNSEEN.findall(text) for name in names.split(", ") if name in PRIMITIVES]
    orders, repeats = ("\n".join(pattern.findall(text)) for pattern in (_ORDER, _REPEATED))
    return Measurements(
        observed,
        tuple(unseen),
        tuple((name, float(at)) for name, at in _AT.findall(orders) if name in PRIMITIVES),
        tuple(Repeated(by, int(n), *map(float, times)) for by, n, *times in _TIMES.findall(repeats)),
    )
