"""Whether training data made from Marionette are separate from its test data.

Run as `python -m video_star.evals.suites.marionette_separation DATA TRACES`. Every reasoning trace is searched as a
whole, as training reads it: the question, every turn, and the pictures. It must not name a novel class, a clip of a
test split, or the file it was made from.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from ...graph.candidates import normalize_label
from ...graph.records.trace import read, references
from ...tools.execution.media_store import MediaStore
from ..marionette.actions import ACTIONS
from . import run

TRAINED_ON = ("tools", "messages", "frames", "recognition")
"""Parts of a record that training reads; the request and the label are checked separately."""


def leaks(data: Path, traces: Path) -> Iterator[str]:
    """What is wrong with which trace; nothing if training and test data are separate.

    Args:
        data: The data set, as written by `make`.
        traces: Folder of the traces made from it.

    Raises:
        BadRecord: There are no traces, or one cannot be read.
    """
    with (data / "splits" / "items.csv").open(encoding="utf-8") as file:
        splits = {row["id"]: row["split"] for row in csv.DictReader(file)}
    novel = {label for label, action in ACTIONS.items() if action.split == "novel"}
    test_clips = {name for name, split in splits.items() if split != "base_train"}
    store = MediaStore(traces / "media")
    for record in read(traces):
        synthesis, request = record["synthesis"], record["request"]
        name = Path(synthesis["clip"]).stem
        if splits.get(name) != "base_train":
            yield f"{record['id']}: {synthesis['clip']} is of {splits.get(name, 'no split')}"
        if novel & {synthesis["label"], *request["actions"]}:
            yield f"{record['id']}: a novel class is among its candidates"
        text = json.dumps([record[part] for part in TRAINED_ON], ensure_ascii=False)
        plain = normalize_label(text)
        if label := next((label for label in sorted(novel) if normalize_label(label) in plain), None):
            yield f"{record['id']}: contains {label!r}, a novel class"
        if name in text or set(re.findall(r"\b[0-9a-f]{16}\b", text)) & test_clips:
            yield f"{record['id']}: names a clip"
        if any(b"clips/" in store.get(url) or name.encode() in store.get(url) for url in references(record)):
            yield f"{record['id']}: a picture contains the name of a file"


def main(
    data: Annotated[Path, typer.Argument(help="Folder written by `video-star marionette make`.")],
    traces: Annotated[Path, typer.Argument(help="Folder written by `video-star synthesize`.")],
) -> None:
    """Print one line per finding; exit with 1 if there is any."""
    findings = list(leaks(data, traces))
    print("\n".join(findings))
    print(f"{sum(1 for _ in read(traces))} traces, {len(findings)} findings")
    raise typer.Exit(1 if findings else 0)


if __name__ == "__main__":
    run(main)
