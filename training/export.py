"""Traces as a table of training rows for TRL: `video-star export RUNS --out TABLE`.

The columns are those of `rows.rows`; `datasets.load_from_disk` reads the table.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..graph.records.shape import damage
from ..graph.records.trace import FILE, read_numbered
from ..tools.errors import BadRecord, MissingExtra
from ..tools.execution.media_store import MediaStore
from ..tools.output_files import check_replaced_folder, replacing_folder
from .rows import rows

if TYPE_CHECKING:
    from datasets import Dataset


def export(trace: Path, out: Path) -> int:
    """Write the runs of a trace as a `datasets` table and return the number of its rows.

    Args:
        trace: A folder written by `--trace`.
        out: Folder of the table: new, empty, or one that `export` wrote, which is then replaced.

    Raises:
        OutputNotAllowed: `out` holds other files, or the trace.
        BadRecord: There is no run, or a record is invalid.
        MissingExtra: The package `datasets` is not installed.
    """
    folder = trace if trace.name != FILE else trace.parent
    check_replaced_folder("--out", out, {"the trace": folder / FILE, "the images of the trace": folder / "media"})
    table = to_dataset(trace)
    with replacing_folder(out) as part:
        table.save_to_disk(str(part))
    return len(table)


def to_dataset(trace: Path) -> Dataset:
    """The runs of a trace as a table in memory; errors as in `export`."""
    try:
        from datasets import Dataset, Features, Sequence, Value
    except ImportError:
        raise MissingExtra("export needs the package datasets: pip install 'video-star[train]'") from None
    text, number = Value("string"), Value("int64")
    features = Features(
        {
            "run": text,
            "branch": number,
            "input_ids": Sequence(Value("int32")),
            "sampled": Sequence(Value("int8")),
            "logprobs": Sequence(Value("float32")),
            "spans": [{"node": text, "start": number, "end": number}],
            "messages": text,
            "tools": text,
            "images": Sequence(Value("binary")),
            "actions": Sequence(text),
            "action": text,
            "status": text,
            "policy": text,
        }
    )
    found = list(_rows_of(trace))
    if not found:
        raise BadRecord(f"there are no runs in {trace}; record some with --trace")
    with damage(f"{trace}, a line"):  # Such as ids of tokens that are no 32-bit numbers.
        return Dataset.from_list(found, features=features)


def _rows_of(trace: Path) -> Iterator[dict[str, Any]]:
    store = MediaStore((trace if trace.name != FILE else trace.parent) / "media")
    for where, record in read_numbered(trace):
        with damage(where):
            found = rows(record, store)
        yield from found
