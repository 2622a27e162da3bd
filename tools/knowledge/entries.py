"""Entries of the knowledge base: what a definition holds, and how the files are read and checked."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Final

import yaml
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from ..errors import VideoStarError
from ..primitives import PRIMITIVES
from ..settings import settings

LABEL_LENGTH: Final = 200
"""Characters of a label that are read and shown."""
MOST_SUB_ACTIONS: Final = 6
FURTHER: Final = "VIDEO_STAR_KNOWLEDGE"
"""Environment variable: further files of entries, separated as in PATH, read once per process."""


class KnowledgeError(VideoStarError, ValueError):
    """An entry of the knowledge base is malformed; the message names file, label and field."""


def one_line(text: str, limit: int = LABEL_LENGTH) -> str:
    """The text with line breaks, control characters and lone surrogates as spaces, cut to `limit` characters."""
    return "".join(" " if unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp") else c for c in text[:limit])


def _primitive(name: str) -> str:
    if name not in PRIMITIVES:
        raise ValueError(f"{name!r} is no motion primitive; use one of {', '.join(PRIMITIVES)}")
    return name


def _line(text: str) -> str:
    if not text.strip() or text != one_line(text, len(text)):
        raise ValueError(f"{text[:60]!r} must be one line of text")
    return text


def _name(text: str) -> str:
    if set(text) & set("[];"):
        raise ValueError(f"{text!r} holds one of [ ] ; which set off sub-actions in a summary; reword it")
    return _line(text)


def _difference(text: str) -> str:
    if ": " in text:
        raise ValueError(f"{text!r} holds a colon, which sets off the label in a summary; reword it")
    return _line(text)


def _steps(given: Any) -> Any:
    """A primitive alone is a step of one."""
    if isinstance(given, str) or not isinstance(given, Sequence):
        raise ValueError("give a list of primitives in their order, those that show at once as a list within it")
    return [[step] if isinstance(step, str) else step for step in given]


def _sequence(steps: tuple[tuple[str, ...], ...]) -> tuple[tuple[str, ...], ...]:
    names = [name for step in steps for name in step]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"{', '.join(twice)} comes more than once, and is measured at one time; name it once")
    if len(steps) < 2 or not all(steps):
        raise ValueError("an order has two steps or more, none of them empty; leave it out where there is none")
    return steps


Primitive = Annotated[str, AfterValidator(_primitive)]
Order = Annotated[tuple[tuple[Primitive, ...], ...], BeforeValidator(_steps)]


class SubAction(BaseModel):
    """One part of an action."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[str, AfterValidator(_name)]
    primitives: tuple[Primitive, ...] = ()
    """All of them are part of it; empty means that poses cannot measure it."""
    body: tuple[str, ...] = ()
    objects: tuple[str, ...] = ()


class Definition(BaseModel):
    """What one action is, by transition phases, and the sub-actions by which to tell it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    label: str
    definition: Annotated[str, AfterValidator(_line)]
    sub_actions: tuple[SubAction, ...]
    """Most telling first."""
    synonyms: tuple[str, ...] = ()
    related: tuple[str, ...] = ()
    """Read by search alone: the action in other words first, then things and actions around it that have no entry."""
    never: tuple[Primitive, ...] = ()
    """Primitives that speak against the action when seen clearly."""
    order: Order = ()
    """Steps in the order in which they follow each other, each one or more primitives that show at once; empty where
    order tells nothing, and in what is composed: labels of the same words, turned about, have the same neighbours."""
    unlike: Mapping[str, Annotated[str, AfterValidator(_difference)]] = {}
    """Easily confused label to what tells this action from it."""
    composed_from: tuple[str, ...] = ()
    """The entries it was put together from; empty for an entry of the knowledge base, and where none was near."""


class _Entry(Definition):
    sub_actions: Annotated[tuple[SubAction, ...], Field(min_length=2, max_length=MOST_SUB_ACTIONS)]
    never: Annotated[tuple[Primitive, ...], Field(max_length=5)] = ()
    order: Annotated[Order, AfterValidator(_sequence)] = ()
    unlike: Annotated[Mapping[str, Annotated[str, AfterValidator(_difference)]], Field(max_length=3)] = {}


def read_entries(text: str, source: str) -> dict[str, Definition]:
    """The entries of one YAML file by label; `source` is its name, for messages.

    Raises:
        KnowledgeError: An entry is malformed, contradicts itself, or its label is not in lower-case words.
    """
    raw: dict[str, dict[str, Any]] = yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)) or {}
    found = {}
    for label, fields in raw.items():
        try:
            entry = Definition(**dict(_Entry.model_validate(fields | {"label": label} if fields else None)))
        except ValidationError as error:
            first = error.errors()[0]
            field = ".".join(str(part) for part in first["loc"])
            raise KnowledgeError(f"{source}, label {label!r}, field {field}: {first['msg']}") from error
        used = {p for s in entry.sub_actions for p in s.primitives}
        if clash := set(entry.never) & used:
            raise KnowledgeError(f"{source}, label {label!r}, field never: sub-actions use {', '.join(sorted(clash))}")
        if strange := {p for step in entry.order for p in step} - used:
            names = ", ".join(sorted(strange))
            raise KnowledgeError(f"{source}, label {label!r}, field order: no sub-action uses {names}; name it in one")
        if label != " ".join(words(label)):
            raise KnowledgeError(f"{source}, label {label!r}: write it in lower-case words with single spaces")
        found[label] = entry
    return found


def words(text: str) -> list[str]:
    """The words of a label or text, however it is spelt: case, camelCase, underscores and hyphens do not matter."""
    text = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", unicodedata.normalize("NFKC", text))
    return re.findall(r"[^\W_]+", text.casefold())


@cache
def entries() -> dict[str, Definition]:
    """All entries by label; those of the files that `FURTHER` names stand in for entries and names that are here.

    Raises:
        KnowledgeError: An entry is malformed, a label has two, or a further file cannot be read.
    """
    added = [_further(path) for path in settings().knowledge]
    found: dict[str, Definition] = {}
    for path in sorted(files(__package__).iterdir(), key=lambda path: path.name):
        if path.name.endswith(".yaml"):
            read = read_entries(path.read_text(encoding="utf-8"), path.name)
            if twice := found.keys() & read.keys():
                raise KnowledgeError(f"{path.name}: {', '.join(sorted(twice))} already has an entry in another file")
            found |= read
    for further in added:
        found = _overlaid(found, further)
    for entry in found.values():
        if strange := entry.unlike.keys() - found.keys():
            raise KnowledgeError(f"label {entry.label!r}, field unlike: no entry for {', '.join(sorted(strange))}")
    return found


def _further(path: Path) -> dict[str, Definition]:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise KnowledgeError(f"{FURTHER} names {path}, which cannot be read ({error}); correct or unset it") from error
    return read_entries(text, str(path))


def _overlaid(found: Mapping[str, Definition], further: Mapping[str, Definition]) -> dict[str, Definition]:
    """Entries with further ones, whose labels and synonyms are no longer synonyms of the others."""
    taken = {"".join(words(form)) for entry in further.values() for form in (entry.label, *entry.synonyms)}
    kept = {}
    for label, entry in found.items():
        synonyms = tuple(form for form in entry.synonyms if "".join(words(form)) not in taken)
        kept[label] = entry.model_copy(update={"synonyms": synonyms})
    return kept | dict(further)
