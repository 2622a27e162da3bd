"""`video-star show` and `video-star export`: read recorded runs, and write them as training data."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from .errors import typed_errors
from .options import Force
from .plain_text import stdout_to_stderr
from .results import check_outputs, finish, write_page

Trace = Annotated[Path, typer.Argument(help="Folder written by --trace.")]


def show(
    trace: Trace,
    run: Annotated[str, typer.Option(help="Id of the run or its first characters; default: the last run.")] = "",
    report: Annotated[Path | None, typer.Option(help="Write the run as one HTML page.")] = None,
    force: Force = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as one JSON object.")] = False,
) -> None:
    """Show a recorded run: conversation and result."""
    with typed_errors():
        from ..graph.records.shape import damage
        from ..graph.records.trace import FILE, read_numbered, recognition
        from ..tools.errors import BadRecord

        check_outputs({"the trace": trace / FILE if trace.is_dir() else trace}, {"--report": report}, force=force)
        record: dict[str, Any] = {}
        where = ""
        for place, each in read_numbered(trace):
            if each["id"].startswith(run):
                where, record = place, each
        if not record:
            raise BadRecord(f"{trace} holds no run {run!r}; omit --run to see the last one")
        # Results of earlier versions lack newer fields.
        record["recognition"] = recognition(record).model_dump() | record["recognition"]
        if not as_json:
            from .messages import show_conversation

            with damage(where):
                show_conversation(record)
    folder = trace if trace.is_dir() else trace.parent

    def write(page: Path) -> None:
        with damage(where):
            write_page(record, page, folder)

    finish(record, as_json, {"page": (report, write)})


def export(
    trace: Trace,
    out: Annotated[Path, typer.Option(help="Folder for the table, to be read by datasets.load_from_disk.")],
) -> None:
    """Write recorded runs as a Hugging Face table.

    One row per training sequence.
    """
    with typed_errors():
        from ..training.export import export as write_table

        with stdout_to_stderr():
            count = write_table(trace, out)
    print(f"{count} rows: {out}")
