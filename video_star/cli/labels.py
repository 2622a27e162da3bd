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
"""Longest label file; 2000 actions of 300 characters take less, and a device file has no end."""
_COMMENT: Final = re.compile(r"#(\s|$)")
_QUOTED: Final = re.compile(r'"((?:[^"]|"")*)"')
_NUMBERED: Final = re.compile(r"(\d+)(?:[.:)]?\s+)(\S.*)")
"""`1 Name`, `1. Name`, `1: Name`, `1) Name`, and with a tab."""
_ID_COLUMNS: Final = {"id", "index", "class_id", "label_id", "action_id", "class index", "#"}
_NAME_COLUMNS: Final = ("name", "label", "class", "action", "class_name", "label_name", "action_name", "display_name")
_JSON_KEYS: Final = ("id2label", "label2id", "labels", "label_names", "classes", "categories", "names", "actions")
"""Under which configurations of models and annotations of data sets list their labels."""


def typed_labels(text: str) -> list[str]:
    """The labels of `--actions`: a JSON list, or comma-separated.

    Raises:
        BadActions: It begins like a JSON list of labels, and is none.
    """
    from ..tools.errors import BadActions

    try:
        found = json.loads(text) if text.lstrip().startswith("[") else None
    except (ValueError, RecursionError):
        found = None
    if _is_texts(found):
        return found
    if re.match(r"\s*\[\s*[\"']", text):
        raise BadActions("""--actions begins like a JSON list and is none; write it as '["bend, then rise", "walk"]'""")
    return [name.strip() for name in text.split(",") if name.strip()]


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
    """The labels of a file, each once: one per line, numbered lines, rows of id,name, or JSON.

    JSON is a list of names, of objects with a name or of pairs, an object from id to name or from name to id, or an
    object with one of these under `labels` or a similar key; objects may also stand one per line. Ids, which give no
    order here, column names and comments, lines that begin with `# `, are skipped.

    Raises:
        BadActions: The file cannot be read, it is too long, or it is JSON of another form.
    """
    from ..tools.errors import BadActions

    text, suffix = _text_of(path), path.suffix.lower()
    lines = [line.strip() for line in text.splitlines() if line.strip() and not _COMMENT.match(line.strip())]
    is_json = suffix in (".json", ".jsonl")
    if is_json or text.lstrip()[:1] in ("[", "{"):
        try:
            return list(dict.fromkeys(_from_json(_parsed(text, lines))))
        except (ValueError, TypeError, RecursionError):
            if is_json:
                raise BadActions(
                    f"--actions-file {path} holds no labels; give a JSON list of names, or an object from id to name "
                    "or from name to id"
                ) from None
    names = _from_table(lines, suffix) or _from_numbered(lines) or [_unquoted(line) for line in lines]
    return list(dict.fromkeys(names))


def _text_of(path: Path) -> str:
    from ..tools.errors import BadActions

    try:
        with path.open(encoding="utf-8-sig") as file:
            text = file.read(MAX_FILE_CHARACTERS + 1)
    except (OSError, UnicodeDecodeError) as error:
        raise BadActions(f"--actions-file {path} cannot be read: {error}; give a text file in UTF-8") from None
    if len(text) > MAX_FILE_CHARACTERS:
        raise BadActions(
            f"--actions-file {path} is longer than {MAX_FILE_CHARACTERS:,} characters; give a file of labels only"
        )
    return text


def _parsed(text: str, lines: Sequence[str]) -> Any:
    """The JSON value of a text, or the list of the values of its lines."""
    try:
        return json.loads(text)
    except ValueError:
        return [json.loads(line) for line in lines]


def _from_json(value: Any) -> list[str]:
    if _is_texts(value):
        return list(value)
    if isinstance(value, list) and all(isinstance(item, dict) for item in value):
        names = [next((item[key] for key in _NAME_COLUMNS if key in item), None) for item in value]
        if _is_texts(names):
            return [str(name) for name in names]
    if isinstance(value, list) and all(isinstance(item, list) and len(item) == 2 for item in value):
        value = dict(value)
    if isinstance(value, dict) and value:
        if all(_is_id(key) for key in value) and _is_texts(list(value.values())):
            return list(value.values())
        if all(_is_id(item) for item in value.values()) and _is_texts(list(value)):
            return list(value)
        if key := next((key for key in _JSON_KEYS if key in value), None):
            return _from_json(value[key])
    raise ValueError("no labels")


def _from_table(lines: Sequence[str], suffix: str) -> list[str]:
    """The names of rows with ids, or below a header; empty if the lines are no such rows."""
    delimiter = "\t" if all("\t" in line for line in lines) else ";" if all(";" in line for line in lines) else ","
    try:
        table = list(csv.reader(lines, delimiter=delimiter, skipinitialspace=True))
    except csv.Error:  # A field that is too long.
        return []
    rows = [[cell.strip() for cell in row] for row in table]
    joined = f"{delimiter} " if delimiter == "," else delimiter
    header = [cell.casefold().lstrip("#") or cell for cell in rows[0]] if rows else []
    column = next((header.index(name) for name in _NAME_COLUMNS if name in header), None)
    if column is not None and (_ID_COLUMNS & set(header) or suffix in (".csv", ".tsv")):
        names = [row[column] if len(row) <= len(header) else joined.join(row[column:]) for row in rows[1:] if row]
        return [name for name in names if name]
    if all(len(row) >= 2 for row in rows):
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


def _unquoted(line: str) -> str:
    """The label of a line, without the quotation marks around it."""
    quoted = _QUOTED.fullmatch(line)
    return quoted[1].replace('""', '"').strip() if quoted else line


def _is_texts(value: object) -> TypeGuard[list[str]]:
    return isinstance(value, list) and bool(value) and all(isinstance(item, str) for item in value)


def _is_id(value: object) -> bool:
    if isinstance(value, int):
        return not isinstance(value, bool)
    return isinstance(value, str) and value.isascii() and value.strip().isdigit()
