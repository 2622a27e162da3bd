"""Entries of the knowledge base: the definition of an action, and the reader of its YAML files."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from ..errors import VideoStarError
from ..motion_primitives import PRIMITIVES

LABEL_LENGTH: Final = 200
"""Most characters of a label that are read and shown."""
MOST_SUB_ACTIONS: Final = 6
_BREAKS: Final = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
"""Control characters, line and paragraph separators, lone surrogates."""


class KnowledgeError(VideoStarError, ValueError):
    """An entry of the knowledge base is malformed; the message names file, label and field."""


def one_line(text: str, limit: int = LABEL_LENGTH) -> str:
    """The first `limit` characters, with line breaks, control characters and lone surrogates replaced by spaces."""
    return _BREAKS.sub(" ", text[:limit])


def _primitive(name: str) -> str:
    if name not in PRIMITIVES:
        raise ValueError(f"{name!r} is not a motion primitive; use one of {', '.join(PRIMITIVES)}")
    return name


def _line(text: str) -> str:
    if not text.strip() or text != one_line(text, len(text)):
        raise ValueError(f"{text[:60]!r} must be one line of text")
    return text


def _name(text: str) -> str:
    if set(text) & set("[];"):
        raise ValueError(f"{text!r} contains [, ] or ;, which delimit sub-actions in a summary; reword it")
    return _line(text)


def _difference(text: str) -> str:
    if ": " in text:
        raise ValueError(f"{text!r} contains a colon, which delimits the label in a summary; reword it")
    return _line(text)


def _steps(given: Any) -> Any:
    """A single primitive is a step of its own."""
    if isinstance(given, str) or not isinstance(given, Sequence):
        raise ValueError("give a list of primitives in temporal order, simultaneous ones as a list within it")
    return [[step] if isinstance(step, str) else step for step in given]


def _sequence(steps: tuple[tuple[str, ...], ...]) -> tuple[tuple[str, ...], ...]:
    names = [name for step in steps for name in step]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"{', '.join(twice)} occurs more than once, but is measured at one time only; name it once")
    if len(steps) < 2 or not all(steps):
        raise ValueError("an order has two or more steps, none of them empty; omit it if the order does not matter")
    return steps


Primitive = Annotated[str, AfterValidator(_primitive)]
Order = Annotated[tuple[tuple[Primitive, ...], ...], BeforeValidator(_steps)]


class SubAction(BaseModel):
    """One part of an action."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[str, AfterValidator(_name)]
    primitives: tuple[Primitive, ...] = ()
    """Motion primitives, all of which are part of it; empty if it cannot be measured."""
    body: tuple[str, ...] = ()
    objects: tuple[str, ...] = ()


class Definition(BaseModel):
    """One action: its definition by phases, and the sub-actions by which it is recognised."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    label: str
    definition: Annotated[str, AfterValidator(_line)]
    sub_actions: tuple[SubAction, ...]
    """Most discriminative first."""
    synonyms: tuple[str, ...] = ()
    related: tuple[str, ...] = ()
    """Used by search only: a paraphrase of the action first, then related objects and actions without an entry."""
    never: tuple[Primitive, ...] = ()
    """Primitives that rule out the action if clearly observed."""
    order: Order = ()
    """Steps in temporal order, each of one or more simultaneous primitives. Empty if the order does not matter, and in
    composed definitions, because labels that differ only in word order have the same neighbours."""
    unlike: Mapping[str, Annotated[str, AfterValidator(_difference)]] = {}
    """Easily confused label, to how this action differs from it."""
    composed_from: tuple[str, ...] = ()
    """Labels of the entries it was composed from; empty for an entry of the knowledge base, or if none was near."""

    @property
    def primitives(self) -> tuple[str, ...]:
        """The primitives of all sub-actions, the most discriminative first, each once."""
        return tuple(dict.fromkeys(name for part in self.sub_actions for name in part.primitives))


class _Entry(Definition):
    sub_actions: Annotated[tuple[SubAction, ...], Field(min_length=2, max_length=MOST_SUB_ACTIONS)]
    never: Annotated[tuple[Primitive, ...], Field(max_length=5)] = ()
    order: Annotated[Order, AfterValidator(_sequence)] = ()
    unlike: Annotated[Mapping[str, Annotated[str, AfterValidator(_difference)]], Field(max_length=3)] = {}


def read_entries(text: str, source: str) -> dict[str, Definition]:
    """The entries of one YAML file by label; `source` is the name of the file, for error messages.

    Raises:
        KnowledgeError: An entry is malformed or contradicts itself, or its label is not in lower-case words.
    """
    import yaml  # Not needed once the knowledge base is cached.

    raw: dict[str, dict[str, Any]] = yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)) or {}
    found = {}
    for label, fields in raw.items():
        try:
            entry = Definition(**dict(_Entry.model_validate(fields | {"label": label} if fields else None)))
        except ValidationError as error:
            first = error.errors()[0]
            field = ".".join(str(part) for part in first["loc"])
            raise KnowledgeError(f"{source}, label {label!r}, field {field}: {first['msg']}") from error
        used = set(entry.primitives)
        if clash := set(entry.never) & used:
            raise KnowledgeError(f"{source}, label {label!r}, field never: sub-actions use {', '.join(sorted(clash))}")
        if unused := {p for step in entry.order for p in step} - used:
            names = ", ".join(sorted(unused))
            raise KnowledgeError(f"{source}, label {label!r}, field order: no sub-action uses {names}; add it to one")
        if label != " ".join(words(label)):
            raise KnowledgeError(f"{source}, label {label!r}: write it in lower-case words with single spaces")
        found[label] = entry
    return found


def words(text: str) -> list[str]:
    """The words of a label or text in lower case; camelCase, underscores and hyphens separate words."""
    text = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", unicodedata.normalize("NFKC", text))
    return re.findall(r"[^\W_]+", text.casefold())
