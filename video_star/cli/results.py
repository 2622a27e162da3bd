"""Printing the result of a run and writing the files asked for."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NoReturn

import typer

from ..tools.printable import CONTROLS
from .errors import FAILED, one_line
from .plain_text import stdout_to_stderr

Outputs = Mapping[str, tuple[Path | None, Callable[[Path], None]]]
"""Files to write by name: the path, None if not asked for, and the function that writes it."""


def finish(record: Mapping[str, Any], as_json: bool, outputs: Outputs) -> NoReturn:
    """Print the result, write the files, exit: a file that cannot be written does not cost the answer."""
    from ..tools.errors import VideoStarError

    failed = record["recognition"]["status"] == "failed"
    if as_json:
        _print_json(record["recognition"])
    else:
        from .messages import show_result

        show_result(record)
    for name, (path, write) in outputs.items():
        if path is None:
            continue
        try:
            with stdout_to_stderr():
                write(path)
        except (VideoStarError, OSError) as error:
            print(f"Error: {name} not written: {one_line(error)}", file=sys.stderr)
            failed = True
        else:
            if not as_json:
                from .messages import show_path

                show_path(name, path)
    raise typer.Exit(FAILED if failed else 0)


def check_outputs(
    inputs: Mapping[str, Path],
    files: Mapping[str, Path | None],
    *,
    trace: Path | None = None,
    force: bool = False,
) -> None:
    """Check before the run that its outputs may be written.

    Args:
        inputs: Files that are read, by name.
        files: Files to write, by the name of the option; None if not asked for.
        trace: The folder of the record.
        force: Whether files that video-star did not write may be replaced.

    Raises:
        OutputNotAllowed: An output is an input or another output, or an existing file that may not be replaced.
    """
    from ..tools.output_files import check_output, check_trace

    taken = dict(inputs)
    if trace is not None:
        taken["the trace"] = check_trace(trace, taken, force=force)
    for name, path in files.items():
        if path is not None:
            check_output(name, path, taken, force=force)
            taken[name] = path


def write_page(record: dict[str, Any], page: Path, trace: Path | None = None, video: bytes | None = None) -> None:
    """Write a run as one HTML page, with images from the trace or else from the media store, and a video if given."""
    from ..graph.report.page import render_page
    from ..tools.execution.media_store import MediaStore, default_store
    from ..tools.output_files import replacing

    store = MediaStore(trace / "media") if trace is not None else default_store()
    with replacing(page) as part:
        part.write_text(render_page(record, store.get, video), encoding="utf-8")


def _print_json(result: Mapping[str, Any]) -> None:
    evidence = [{name: value for name, value in item.items() if name != "frames"} for item in result["evidence"]]
    # Control characters that JSON allows are escaped as in JSON, which leaves their value.
    text = CONTROLS.sub(
        lambda found: f"\\u{ord(found[0]):04x}", json.dumps({**result, "evidence": evidence}, ensure_ascii=False)
    )
    # As bytes: JSON is UTF-8 whatever the terminal's encoding.
    typer.echo(text.encode(errors="backslashreplace"))
