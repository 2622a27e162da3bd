"""Reads back what tools wrote: the only place where a tool's text becomes data again.

Policies get text and nothing else. In it, what rules read stands in lines of JSON, each of one name; see
`tools.marked_json`.
"""

from __future__ import annotations

import re
from typing import Any, Final

from pydantic import ValidationError

from ....tools.errors import BadInput
from ....tools.knowledge import Definition, SubAction, one_line
from ....tools.knowledge.explain import DEFINITIONS
from ....tools.marked_json import find_marked_json
from ....tools.motion.measurements import MEASURED, Measurements, Observation
from ....tools.motion_primitives import PRIMITIVES

_MAX_TEXT: Final = 1000
"""Characters of a string of a definition that are read."""
_OLD_LINE: Final = re.compile(r"^- (\w+) ([01]\.\d\d), (\d{1,9}\.\d) to (\d{1,9}\.\d) s(?:, ([\w ]*))?", re.MULTILINE)
_OLD_NOT_OBSERVED: Final = re.compile(r"^NOT SEEN: ([\w, ]*)$", re.MULTILINE)


def read_measurements(text: str) -> Measurements:
    """The measurements in a summary of `track_motion`, alone or within a longer text; empty if there are none."""
    for value in find_marked_json(MEASURED, text):
        try:
            return Measurements.from_json(value)
        except BadInput:
            continue
    return _read_old_measurements(text)


def _read_old_measurements(text: str) -> Measurements:
    """Measurements as summaries of version 0.1 listed them, for records and threads of then."""
    if "OBSERVED" not in text:
        return Measurements()
    observed = {
        name: Observation(min(1.0, float(support)), float(start), float(end), by, PRIMITIVES[name])
        for name, support, start, end, by in _OLD_LINE.findall(text)
        if name in PRIMITIVES
    }
    missing = [name for names in _OLD_NOT_OBSERVED.findall(text) for name in names.split(", ") if name in PRIMITIVES]
    return Measurements(observed, tuple(missing))


def read_definitions(text: str) -> dict[str, Definition]:
    """The definitions in a summary of `explain_actions`, alone or within a longer text, by label as shown.

    Malformed definitions are skipped; who composed or wrote one is not read.
    """
    found = {}
    for value in find_marked_json(DEFINITIONS, text):
        for label, fields in (value if isinstance(value, dict) else {}).items():
            if isinstance(fields, dict) and (definition := _definition(label, fields)):
                found[label] = definition
    return found


def _definition(label: str, fields: dict[str, Any]) -> Definition | None:
    text, parts = _line(fields.get("definition")), fields.get("sub_actions")
    if not text or not isinstance(parts, dict):
        return None
    order = [_primitives(step) for step in _list(fields.get("in_order"))]
    differs = fields.get("differs_from")
    try:
        return Definition(
            label=label,
            definition=text,
            sub_actions=tuple(SubAction(name=name, primitives=_primitives(p)) for name, p in parts.items()),
            never=_primitives(fields.get("rules_out")),
            order=tuple(step for step in order if step) if sum(map(bool, order)) > 1 else (),
            unlike={other: _line(t) for other, t in differs.items()} if isinstance(differs, dict) else {},
        )
    except ValidationError:
        return None


def _primitives(value: Any) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for name in _list(value) if isinstance(name, str) and name in PRIMITIVES))


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _line(value: Any) -> str:
    """The string on one line; empty if it is none."""
    return one_line(value, _MAX_TEXT).strip() if isinstance(value, str) else ""
