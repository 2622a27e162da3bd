"""From recorded runs to a Hugging Face table: one row per training sequence.

A run whose turns extend each other token by token is one row; a run that forked gives one row per branch, numbered.
Runs of policies without token ids give a row with the conversation alone, for supervised training that renders its own.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..graph.records.content import image_urls
from ..graph.records.token_track import TokenSequence, sequences, tracks
from ..graph.records.trace import FILE, read
from ..tools.errors import BadRecord, MissingExtra
from ..tools.execution.media_store import MediaStore

if TYPE_CHECKING:
    from datasets import Dataset


def rows(record: Mapping[str, Any], store: MediaStore) -> list[dict[str, Any]]:
    """The training rows of one record.

    Args:
        record: A record as `graph.record.read` gives it.
        store: Where its pictures and token tracks are.

    Returns:
        Rows of run, branch, input_ids (tokens,), sampled (tokens,) 0 or 1, logprobs (tokens,), spans (turns,) of
        {node, start, end}, messages and tools as JSON text, images as JPEG bytes in order of reading, actions, action,
        status and policy.

    Raises:
        BadRecord: A picture that the conversation shows is lost.
    """
    messages = record["messages"]
    turns = sequences(tracks(messages, store)) or [TokenSequence(message=len(messages))]
    found = record["recognition"]
    common = {
        "run": record["id"],
        "messages": json.dumps(messages, ensure_ascii=False),
        "tools": json.dumps(record["tools"], ensure_ascii=False),
        "actions": list(record["request"]["actions"]),
        "action": found["action"],
        "status": found["status"],
        "policy": record["request"]["context"]["policy"],
    }
    return [
        {
            **common,
            "branch": branch,
            "images": [_picture(url, record["id"], store) for url in image_urls(messages[: sequence.message])],
            "input_ids": sequence.ids,
            "sampled": sequence.sampled,
            "logprobs": sequence.logprobs,
            "spans": [{"node": node, "start": start, "end": end} for node, start, end in sequence.spans],
        }
        for branch, sequence in enumerate(turns)
    ]


def export(trace: Path, out: Path) -> int:
    """Write the runs of a trace as a `datasets` table; returns how many rows it has.

    Args:
        trace: A folder that `--trace` wrote.
        out: Folder for the table, read back by `datasets.load_from_disk`.

    Raises:
        BadRecord: There is no run, or one that cannot be read.
        MissingExtra: The package `datasets` is not installed.
    """
    table = to_dataset(trace)
    table.save_to_disk(str(out))
    return len(table)


def to_dataset(trace: Path) -> Dataset:
    """The runs of a trace as a table in memory; errors as in `export`."""
    try:
        from datasets import Dataset, Features, Sequence, Value
    except ImportError:
        raise MissingExtra("exporting needs the package datasets: pip install 'video-star[train]'") from None
    text, whole = Value("string"), Value("int64")
    features = Features(
        {
            "run": text,
            "branch": whole,
            "input_ids": Sequence(Value("int32")),
            "sampled": Sequence(Value("int8")),
            "logprobs": Sequence(Value("float32")),
            "spans": [{"node": text, "start": whole, "end": whole}],
            "messages": text,
            "tools": text,
            "images": Sequence(Value("binary")),
            "actions": Sequence(text),
            "action": text,
            "status": text,
            "policy": text,
        }
    )
    found = list(_all_rows(trace))
    if not found:
        raise BadRecord(f"{trace} holds no run; record some with --trace")
    return Dataset.from_list(found, features=features)


def _all_rows(trace: Path) -> Iterator[dict[str, Any]]:
    store = MediaStore((trace if trace.name != FILE else trace.parent) / "media")
    for record in read(trace):
        yield from rows(record, store)


def _picture(url: str, run: str, store: MediaStore) -> bytes:
    try:
        return store.get(url)
    except KeyError:
        raise BadRecord(f"run {run} shows a picture that is lost ({url}); record the run again") from None
