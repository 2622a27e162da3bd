"""Reads split files: which clips a data set has and what each one shows, in the two formats in common use.

A listing has one line per clip, `<file> <id>` or `<file>,<id>`. A second file maps ids to names: rows of `<id>,<name>`,
with or without the header `id,name`, or one JSON object.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

from ..tools.errors import BadInput

_LINE: Final = re.compile(r"(.+?)[ ,]\s*(\d+)")


@dataclass(frozen=True, slots=True)
class Example:
    """A clip and the action it shows."""

    clip: str
    """Path as written in the listing, relative to the folder of the data set."""
    label: str


def read_labels(path: Path) -> dict[int, str]:
    """The names of a split's ids.

    Raises:
        BadInput: The file is missing or in neither format.
    """
    text = _text(path)
    try:
        if path.suffix == ".json":
            return {int(number): str(name) for number, name in json.loads(text).items()}
        rows = [row for row in csv.reader(text.splitlines()) if row]
        return {int(number): name.strip() for number, name in rows[rows[:1] == [["id", "name"]] :]}
    except (ValueError, AttributeError):
        raise BadInput(f"{path} holds no labels; write rows of id,name or a JSON object from id to name") from None


def read_split(listing: Path, labels: Path) -> list[Example]:
    """The clips of a split, in the order of its listing.

    Args:
        listing: The file of clips.
        labels: The file of labels.

    Raises:
        BadInput: A file is missing, empty or in another format, a clip lies outside the data set's folder, or an id
            has no label.
    """
    names = read_labels(labels)
    examples = []
    for number, line in enumerate(_text(listing).splitlines(), 1):
        if not line.strip():
            continue
        match = _LINE.fullmatch(line.strip())
        if match is None:
            raise BadInput(f"{listing}, line {number}: {line[:80]!r} is not <file> <id> or <file>,<id>")
        clip, label = match[1], int(match[2])
        if PurePosixPath(clip).is_absolute() or ".." in PurePosixPath(clip).parts:
            raise BadInput(f"{listing}, line {number}: {clip[:80]!r} lies outside the folder of the data set")
        if label not in names:
            raise BadInput(f"{listing}, line {number}: {labels} has no label {label}; give the labels of this split")
        examples.append(Example(clip, names[label]))
    if not examples:
        raise BadInput(f"{listing} lists no clips")
    return examples


def unique_labels(examples: Sequence[Example]) -> list[str]:
    """The labels of a split without repetitions, in alphabetical order."""
    return sorted({example.label for example in examples})


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"{path} cannot be read: {error}") from None
