"""Candidate actions as users give them: typed on the command line, or in a label file as data sets publish them."""

from __future__ import annotations

import csv
import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, TypeGuard

MAX_FILE_CHARACTERS: Final = 2**20
"""Characters read from a label file; 2000 actions of 300 characters take less, and a device file has no end."""
_NUMBERED: Final = re.compile(r"(\d+)(?:[.:)]?\s+)(\S.*)")
"""`1 Name`, `1. Name`, `1: Name`, `1) Name`, and with a tab."""
_ID_COLUMNS: Final = {"id", "index", "class_id", "label_id", "action_id", "class index", "#"}
_NAME_COLUMNS: Final = ("name", "label", "class", "action", "class_name", "label_name", "action_name", "display_name")


def typed_labels(text: str) -> list[str]:
    """The labels of `--actions`: a JSON list, or comma-separated."""
    try:
        found = json.loads(text) if text.lstrip().startswith("[") else None
    except (ValueError, RecursionError):
        found = None
    return found if _is_texts(found) else [name.strip() for name in text.split(",") if name.strip()]


def warn_of_split_labels(text: str) -> None:
    """Say on stderr which actions of the knowledge base the commas of `--actions` cut in two."""
    parts = typed_labels(text)
    if "," not in text or text.lstrip().startswith("["):
        return
    from ..tools.knowledge import has_entry

    for first in range(len(parts)):
        for last in range(first + 2, min(first + 4, len(parts)) + 1):
            label = ", ".join(parts[first:last])
            if has_entry(label):
                given = json.dumps([label], ensure_ascii=False)
                print(
                    f"Warning: --actions is split at commas, but {label!r} is one known action; "
                    f"to keep it whole, give a JSON list such as {given}, or use --actions-file",
                    file=sys.stderr,
                )


def read_label_file(path: Path) -> list[str]:
    """The labels of a file: one per line, numbered lines, rows of id,name, or JSON.

    JSON is a list of names, an object from id to name, or one from name to id. Ids, which give no order here, and the
    column names are skipped.

    Raises:
        BadActions: The file cannot be read, or it is JSON of another form.
    """
    from ..tools.errors import BadActions

    try:
        with path.open(encoding="utf-8-sig") as file:
            text = file.read(MAX_FILE_CHARACTERS)
    except (OSError, UnicodeDecodeError) as error:
        raise BadActions(f"--actions-file {path} cannot be read: {error}; give a text file in UTF-8") from None
    is_json = path.suffix.lower() == ".json"
    if is_json or text.lstrip()[:1] in ("[", "{"):
        try:
            return _from_json(json.loads(text))
        except (ValueError, RecursionError):
            if is_json:
                raise BadActions(
                    f"--actions-file {path} holds no labels; give a JSON list of names, or an object from id to name "
                    "or from name to id"
                ) from None
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return _from_table(lines, path.suffix.lower()) or _from_numbered(lines) or lines


def _from_json(value: Any) -> list[str]:
    if _is_texts(value):
        return list(value)
    if isinstance(value, list) and all(isinstance(item, dict) for item in value):
        names = [next((item[key] for key in _NAME_COLUMNS if key in item), None) for item in value]
        if _is_texts(names):
            return [str(name) for name in names]
    if isinstance(value, dict) and value:
        if all(_is_id(key) for key in value) and _is_texts(list(value.values())):
            return list(value.values())
        if all(_is_id(item) for item in value.values()):
            return list(value)
    raise ValueError("no labels")


def _from_table(lines: Sequence[str], suffix: str) -> list[str]:
    """The names of rows with ids, or below a header; empty if the lines are no such rows."""
    delimiter = "\t" if all("\t" in line for line in lines) else ";" if all(";" in line for line in lines) else ","
    try:
        table = list(csv.reader(lines, delimiter=delimiter, skipinitialspace=True))
    except csv.Error:  # A field that is too long.
        return []
    rows = [[cell.strip() for cell in row] for row in table]
    header = [cell.casefold() for cell in rows[0]] if rows else []
    column = next((header.index(name) for name in _NAME_COLUMNS if name in header), None)
    if column is not None and (_ID_COLUMNS & set(header) or suffix in (".csv", ".tsv")):
        names = [row[column] if len(row) <= len(header) else delimiter.join(row[column:]) for row in rows[1:] if row]
        return [name for name in names if name]
    if all(len(row) >= 2 for row in rows):
        joined = f"{delimiter} " if delimiter == "," else delimiter
        for ids, names in (
            ([row[0] for row in rows], [joined.join(row[1:]) for row in rows]),
            ([row[-1] for row in rows], [joined.join(row[:-1]) for row in rows]),
        ):
            if all(map(_is_id, ids)) and len(set(ids)) == len(ids) and not any(map(_is_id, names)):
                return names
    return []


def _from_numbered(lines: Sequence[str]) -> list[str]:
    """The names of lines with rising numbers; empty if the lines are not numbered, or there is only one."""
    found = [_NUMBERED.fullmatch(line) for line in lines]
    matches = [match for match in found if match is not None]
    numbers = [int(match[1][:9]) for match in matches]
    if len(lines) < 2 or len(matches) < len(lines) or numbers != sorted(set(numbers)):
        return []
    return [match[2] for match in matches]


def _is_texts(value: object) -> TypeGuard[list[str]]:
    return isinstance(value, list) and bool(value) and all(isinstance(item, str) for item in value)


def _is_id(value: object) -> bool:
    return isinstance(value, int) or (isinstance(value, str) and value.isascii() and value.strip().isdigit())
