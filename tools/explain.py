"""What the candidate actions mean, as text that a language model reads and a rule-based policy parses.

Every line opens with a keyword of ours and a user's label never spans lines, so no label can forge a line.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from .knowledge import Definition, SubAction, define, one_line
from .primitives import PRIMITIVES

_NOTE: Final = "no entry of its own; composed from "
_PART: Final = re.compile(r"\d+\. ([^\[\];\s][^\[\];]*) \[([^\[\];]*)\]")
_LINE_LENGTH: Final = 10_000
"""Characters of a line that are read back; six sub-actions take a tenth of it."""


@dataclass(frozen=True)
class Explanations:
    """The definitions of the candidate actions."""

    definitions: tuple[Definition, ...]
    """One per action, in the order given; `label` and the keys of `unlike` are the user's own words on one line."""
    left_out: tuple[str, ...]
    """Actions beyond the limit, as given: their names are all there is to judge them by."""

    def summary(self) -> str:
        """One block of lines per action, a blank line between blocks, then how many were left out, if any."""
        blocks = ["\n".join(_lines(definition)) for definition in self.definitions]
        if self.left_out:
            blocks.append(f"LEFT OUT: {len(self.left_out)} beyond the limit of {len(self.definitions)}")
        return "\n\n".join(blocks)


def explain_actions(actions: Sequence[str], *, limit: int = 40) -> Explanations:
    """Define each candidate action and say what tells it from the others.

    Args:
        actions: Labels, any text. Of those that read the same on one line only the first is explained.
        limit: How many are explained at most; the first ones are.
    """
    shown = list(dict.fromkeys(one_line(action) for action in actions))
    found = {label: define(label) for label in shown[:limit]}
    named: dict[str, str] = {}
    for label, definition in found.items():
        named.setdefault(definition.label, label)
    definitions = []
    for label, definition in found.items():
        unlike = {named[other]: text for other, text in definition.unlike.items() if other in named}
        definitions.append(definition.model_copy(update={"label": label, "unlike": unlike}))
    beyond = set(shown[limit:])
    return Explanations(tuple(definitions), tuple(action for action in actions if one_line(action) in beyond))


def _lines(definition: Definition) -> list[str]:
    parts = (f"{n}. {s.name} [{', '.join(s.primitives)}]" for n, s in enumerate(definition.sub_actions, 1))
    lines = [f"ACTION: {definition.label}", f"DEFINITION: {definition.definition}", f"SUB-ACTIONS: {'; '.join(parts)}"]
    if definition.never:
        lines.append(f"NEVER: {', '.join(definition.never)}")
    lines += [f"UNLIKE: {other}: {text}" for other, text in definition.unlike.items()]
    if definition.composed_from:
        lines.append(f"NOTE: {_NOTE}{', '.join(definition.composed_from)}")
    return lines


def parse(summary: str) -> dict[str, Definition]:
    """Read a summary back: label as shown to its definition, without what a summary does not hold.

    Lines that are not of the grammar, and blocks cut off before their sub-actions, are passed over, so the summary may
    stand within other text.
    """
    blocks: list[dict[str, list[str]]] = []
    for line in summary.split("\n"):
        key, colon, value = one_line(line.removesuffix("\r"), _LINE_LENGTH).partition(": ")
        if colon and key == "ACTION":
            blocks.append({key: [value]})
        elif colon and blocks:
            blocks[-1].setdefault(key, []).append(value)
    read = (_read(block) for block in blocks if block.get("DEFINITION", [""])[0].strip() and "SUB-ACTIONS" in block)
    return {definition.label: definition for definition in read}


def _read(block: dict[str, list[str]]) -> Definition:
    parts = (_PART.fullmatch(part) for part in block["SUB-ACTIONS"][0].split("; "))
    unlike = (line.rpartition(": ") for line in block.get("UNLIKE", []))
    note = block.get("NOTE", [""])[0]
    return Definition(
        label=block["ACTION"][0],
        definition=block["DEFINITION"][0],
        sub_actions=tuple(SubAction(name=p[1], primitives=_primitives(p[2])) for p in parts if p),
        never=_primitives(block.get("NEVER", [""])[0]),
        unlike={other: text for other, _, text in unlike if text.strip()},
        composed_from=tuple(note.removeprefix(_NOTE).split(", ")) if note.startswith(_NOTE) else (),
    )


def _primitives(text: str) -> tuple[str, ...]:
    return tuple(name for name in text.split(", ") if name in PRIMITIVES)
