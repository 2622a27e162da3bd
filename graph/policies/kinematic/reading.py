"""Reads back what tools wrote: the only place where text of tools becomes data again."""

from __future__ import annotations

import re
from typing import Final

from ....tools.motion.result import Measurements
from ....tools.primitives import PRIMITIVES

_LINE: Final = re.compile(r"^- (\w+) ([01]\.\d\d), (\d{1,9}\.\d) to (\d{1,9}\.\d) s", re.MULTILINE)
_UNSEEN: Final = re.compile(r"^NOT SEEN: ([\w, ]*)$", re.MULTILINE)
_ORDER: Final = re.compile(r"^ORDER: (.*)$", re.MULTILINE)
_AT: Final = re.compile(r"(\w+) at (\d{1,9}\.\d) s")
_REPEATED: Final = re.compile(r"^REPEATED: (.*)$", re.MULTILINE)
_TIMES: Final = re.compile(r"(thing|person) (\d+), (\d+) times?")


def read_measurements(text: str) -> Measurements:
    """Read the summary of `track_motion`, alone or within a longer text; empty if there is none."""
    if "OBSERVED" not in text:
        return Measurements({}, ())
    lines = [found for found in _LINE.findall(text) if found[0] in PRIMITIVES]
    support = {name: min(1.0, float(value)) for name, value, _, _ in lines}
    unseen = [name for names in _UNSEEN.findall(text) for name in names.split(", ") if name in PRIMITIVES]
    orders, repeats = ("\n".join(pattern.findall(text)) for pattern in (_ORDER, _REPEATED))
    return Measurements(
        support,
        tuple(dict.fromkeys([*support, *unseen])),
        tuple((name, float(at)) for name, at in _AT.findall(orders) if name in PRIMITIVES),
        {name: (float(start), float(end)) for name, _, start, end in lines},
        tuple((f"{sort} {number}", int(times)) for sort, number, times in _TIMES.findall(repeats)),
    )
