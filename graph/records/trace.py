"""Records: each run is one JSON line plus its images. Report, evaluation and training read the same file."""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from io import FileIO
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

from langchain_core.messages import AIMessage, BaseMessage, ToolMessage
from pydantic import ValidationError

from ...tools.errors import BadRecord, MissingMedia
from ...tools.execution.media_store import SCHEME, MediaStore, default_store
from ..host import tool_schemas
from ..prompts import DEFAULT_QUESTION
from ..state import Context
from .result import Recognition
from .shape import check_shape
from .token_track import extends, tracks

SCHEMA: Final = 1
FIELDS: Final = {"id", "request", "messages", "recognition"}
"""The required fields of a record; readers tolerate the absence of all others."""
FILE: Final = "runs.jsonl"
PACKAGES: Final = ("video-star", "langgraph", "langchain-core", "av", "onnxruntime", "ai-edge-litert")


def make(state: Mapping[str, Any], context: Context) -> dict[str, Any]:
    """The record of a run from its final state: plain JSON, with images as `media://` URLs."""
    settings = Context.model_validate(state["settings"]) if "settings" in state else context
    # Until the first node has finished, and in threads of earlier versions, the state has what the input gave.
    asked = state.get("asked") or state
    messages = [_message(message) for message in state.get("conversation", ())]
    turns = tracks(messages, default_store())
    extending = extends(turns)
    for turn, extends_last in zip(turns, extending, strict=True):
        messages[turn.message]["extends"] = extends_last
    return {
        "schema": SCHEMA,
        "id": uuid4().hex,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": {name: version(name) for name in PACKAGES},
        "request": {
            "source": asked.get("video", state.get("video")),
            "actions": asked.get("actions", state.get("actions", [])),
            "question": asked.get("question") or DEFAULT_QUESTION,
            "start": asked.get("start"),
            "end": asked.get("end"),
            "context": settings.model_dump(),
        },
        "video": state.get("clip"),
        "frames": state.get("frames", []),
        "tools": tool_schemas(settings),
        "messages": messages,
        "tokens": {"turns": len(turns), "forks": extending[1:].count(False)},
        "recognition": {
            "action": state.get("action"),
            "status": state.get("status"),
            "error": state.get("error"),
            "error_type": state.get("error_type"),
            "confidence": state.get("confidence"),
            "calibrated_on": state.get("calibrated_on"),
            "ranking": state.get("ranking", []),
            "sub_actions": state.get("sub_actions", []),
            "evidence": state.get("evidence", []),
            "notes": state.get("notes", []),
            "usage": state.get("usage")
            or {"policy_calls": 0, "tokens": {"input": 0, "output": 0}, "cost": None, "seconds": {}},
        },
        "timings": state.get("timings", []),
    }


def append(record: Mapping[str, Any], folder: Path, store: MediaStore | None = None) -> None:
    """Append a record to `folder/runs.jsonl`, and copy its images and token tracks to `folder/media`.

    Several processes may append to one folder: lines are written under a lock, and an incomplete line left by a crash
    is removed.
    """
    source, target = store or default_store(), MediaStore(folder / "media")
    target.root.mkdir(parents=True, exist_ok=True)
    for url in references(record):
        try:
            target.put(source.get(url), Path(url).suffix)
        except MissingMedia:
            # The store was cleared meanwhile, or a text only looks like a URL: keep the record without the file.
            continue
    # A file name in the request may have bytes that are not UTF-8; escaped, they are JSON and read back unchanged.
    line = json.dumps(record, ensure_ascii=False).encode(errors="backslashreplace") + b"\n"
    with (folder / FILE).open("a+b", buffering=0) as file:
        _lock(file)
        _end_line(file)
        rest = memoryview(line)
        while rest:
            rest = rest[file.write(rest) or 0 :]
        os.fsync(file.fileno())


def _lock(file: FileIO) -> None:
    """Wait until no other process appends. Not on Windows, where only one process may write a trace."""
    if sys.platform != "win32":
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX)


def _end_line(file: FileIO) -> None:
    """Make the file end with a complete line: an incomplete last line, left by a crash, is removed."""
    if file.seek(0, os.SEEK_END) == 0:
        return
    file.seek(-1, os.SEEK_END)
    if file.read(1) == b"\n":
        return
    file.seek(0)
    complete, _, last = file.read().rpartition(b"\n")
    try:
        json.loads(last)
        file.write(b"\n")
    except ValueError:
        file.truncate(len(complete) + 1 if complete else 0)


def read(folder: Path) -> Iterator[dict[str, Any]]:
    """The records of a trace, oldest first.

    Args:
        folder: The folder given as `trace`, or its `runs.jsonl`.

    Raises:
        BadRecord: There is no trace, or a line is not a record of this schema. A last line cut off by a crash is
            ignored.
    """
    for _, record in read_numbered(folder):
        yield record


def read_numbered(folder: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """The records of a trace, each after the words for its place, `<file>, line <number>`; errors as in `read`."""
    path = folder / FILE if folder.is_dir() else folder
    if not path.is_file():
        raise BadRecord(f"there is no {FILE} in {folder}; give a folder written by --trace")
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            try:
                record = json.loads(line, parse_float=_finite, parse_constant=_finite)
            except (ValueError, RecursionError):
                if not line.endswith(b"\n"):
                    return
                raise BadRecord(f"{path}, line {number}, is not JSON of finite numbers; remove the line") from None
            where = f"{path}, line {number}"
            if not isinstance(record, dict) or record.get("schema") != SCHEMA:
                raise BadRecord(f"{where}, does not have schema {SCHEMA}; it was written by another version")
            if missing := FIELDS - record.keys():
                raise BadRecord(f"{where}, lacks {', '.join(sorted(missing))}; remove the line")
            check_shape(record, where)
            yield where, record


def _finite(text: str) -> float:
    """A number of a record; NaN, Infinity and 1e400 are no JSON, and printed again would spoil the output."""
    if not math.isfinite(value := float(text)):
        raise ValueError(f"{text} is not finite")
    return value


def recognition(record: Mapping[str, Any]) -> Recognition:
    """The result as returned by `recognize`.

    Raises:
        BadRecord: The result in the record is invalid.
    """
    try:
        return Recognition.model_validate(record["recognition"])
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in ("recognition", *first["loc"]))
        raise BadRecord(f"run {record['id']}: {where}: {first['msg']}; remove its line") from None


def references(record: Mapping[str, Any]) -> list[str]:
    """Every `media://` URL of a record, each once."""
    found: dict[str, None] = {}

    def walk(value: Any) -> None:
        if isinstance(value, str):
            if value.startswith(SCHEME):
                found[value] = None
        elif isinstance(value, Mapping):
            for inner in value.values():
                walk(inner)
        elif isinstance(value, list):
            for inner in value:
                walk(inner)

    for part in ("frames", "messages", "recognition"):
        walk(record.get(part))
    return list(found)


def _message(message: BaseMessage) -> dict[str, Any]:
    """A message in the chat format of training libraries, with its author and node."""
    role = {"human": "user", "ai": "assistant"}.get(message.type, message.type)
    entry: dict[str, Any] = {
        "role": role,
        **message.additional_kwargs.get("video_star", {}),
        "content": message.content,
    }
    if isinstance(message, AIMessage):
        if message.tool_calls:
            entry["tool_calls"] = [{key: call[key] for key in ("id", "name", "args")} for call in message.tool_calls]
        entry["usage"] = message.usage_metadata
    if isinstance(message, ToolMessage):
        entry |= {"name": message.name, "tool_call_id": message.tool_call_id}
    return entry
