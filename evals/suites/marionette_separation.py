"""Whether chains to learn from keep clear of what is tested.

Run as `python -m video_star.evals.suites.marionette_separation DATA CHAINS`. Every chain is read whole, as training
reads it: what was asked, every word of every turn, and the pictures. Nothing of it may name a novel class or a clip of
a test split, nor the file that the chain is of.
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

LEARNT_FROM = ("tools", "messages", "frames", "recognition")
"""Parts of a record that training reads; the request and the label beside them are checked by value."""


def mixed_up(data: Path, chains: Path) -> Iterator[str]:
    """What is wrong with which chain; nothing where training is kept from testing.

    Args:
        data: The data set, as `make` wrote it.
        chains: A trace of chains made from it.

    Raises:
        BadRecord: There is no chain, or one that cannot be read.
    """
    with (data / "splits" / "items.csv").open(encoding="utf-8") as file:
        splits = {row["id"]: row["split"] for row in csv.DictReader(file)}
    novel = {label for label, action in ACTIONS.items() if action.split == "novel"}
    tested = {name for name, split in splits.items() if split != "base_train"}
    store = MediaStore(chains / "media")
    for record in read(chains):
        about, asked = record["synthesis"], record["request"]
        name = Path(about["clip"]).stem
        if splits.get(name) != "base_train":
            yield f"{record['id']}: {about['clip']} is of {splits.get(name, 'no split')}"
        if novel & {about["label"], *asked["actions"]}:
            yield f"{record['id']}: a novel class is among its candidates"
        text = json.dumps([record[part] for part in LEARNT_FROM], ensure_ascii=False)
        if named := _named(text, novel):
            yield f"{record['id']}: says {named!r}, a novel class"
        if name in text or any(other in text for other in _digests(text) & tested):
            yield f"{record['id']}: names a clip"
        if any(b"clips/" in store.get(url) or name.encode() in store.get(url) for url in references(record)):
            yield f"{record['id']}: a picture carries the name of a file"


def _named(text: str, labels: set[str]) -> str | None:
    plain = normalize_label(text)
    return next((label for label in sorted(labels) if normalize_label(label) in plain), None)


def _digests(text: str) -> set[str]:
    return set(re.findall(r"\b[0-9a-f]{16}\b", text))


def main(
    data: Annotated[Path, typer.Argument(help="Folder that `video-star marionette make` wrote.")],
    chains: Annotated[Path, typer.Argument(help="Folder that `video-star synthesize` wrote.")],
) -> None:
    """Print what is wrong, a line for each finding; exits with 1 if there is any."""
    found = list(mixed_up(data, chains))
    print("\n".join(found))
    print(f"{sum(1 for _ in read(chains))} chains, {len(found)} findings")
    raise typer.Exit(1 if found else 0)


if __name__ == "__main__":
    typer.run(main)
