"""Writing Marionette to disk: clips under opaque names, annotations, splits in the formats in use, a data card."""

from __future__ import annotations

import csv
import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from importlib.resources import files
from multiprocessing import get_context, parent_process
from pathlib import Path
from string import Template
from threading import Thread
from typing import Final, cast

import av
import numpy as np
from av.container import Flags
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from ...tools.errors import BadInput
from .actions import ACTIONS
from .film import FPS, film
from .primitives import PRIMITIVES

ABOUT: Final = "marionette.json"
"""The file that marks a folder as a data set, and says which."""
VERSION: Final = 1
"""Rises when the same seed would give other clips."""
TEST_ROUND: Final = 4
"""Of so many rounds through the base classes one is for testing."""


@dataclass(frozen=True)
class Item:
    """One clip of the data set."""

    id: str
    """Hexadecimal digest of seed and index: it tells nothing of what the clip shows."""
    label: str
    split: str
    """base_train, base_test or novel_test."""
    seed: int
    """For `film`."""
    hard: bool


def items(clips: int, seed: int, hard: bool = False) -> list[Item]:
    """The clips of a data set: the first ones are the same whatever their number.

    Actions take turns. Every fourth round of the base classes is for testing, and all of the novel ones are.
    """
    chosen = []
    for index in range(clips):
        turn, place = divmod(index, len(ACTIONS))
        label = list(ACTIONS)[place]
        digest = hashlib.blake2b(f"marionette {VERSION} {seed} {index} {hard}".encode(), digest_size=16)
        part = "test" if ACTIONS[label].split == "novel" or turn % TEST_ROUND == 1 else "train"
        own = int.from_bytes(digest.digest()[8:], "big")
        chosen.append(Item(digest.hexdigest()[:16], label, f"{ACTIONS[label].split}_{part}", own, hard))
    return chosen


def make(out: Path, clips: int, seed: int = 0, hard: bool = False, workers: int | None = None) -> list[Item]:
    """Write a data set, or what is missing of it; the frames do not depend on the number of workers.

    Args:
        out: A folder: new, or one that an earlier call with the same seed and difficulty wrote into. Clips it has are
            kept, so a broken-off call is taken up and a data set can be enlarged.
        clips: How many; a multiple of the number of actions gives each the same number.
        seed: 0 or more.
        hard: Motion blur, occluders, more shake, odd views, dim light and noise.
        workers: Processes; None is one for each core.

    Raises:
        BadInput: The folder holds another data set, or a number is out of range.
    """
    if clips < 1 or seed < 0 or (workers is not None and workers < 1):
        raise BadInput(
            f"clips={clips}, seed={seed}, workers={workers}; give clips and workers above 0 and a seed of 0 or more"
        )
    _claim(out, {"version": VERSION, "seed": seed, "hard": hard})
    chosen = items(clips, seed, hard)
    _clear(out)
    missing = [item for item in chosen if not (out / "clips" / f"{item.id}.mp4").exists()]
    columns = (TextColumn("[bold cyan]marionette"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns) as progress:
        task = progress.add_task("", total=clips, completed=clips - len(missing))
        for _ in _written(out, missing, workers or os.cpu_count() or 1):
            progress.advance(task)
    _splits(out / "splits", chosen)
    _card(out, chosen, seed, hard)
    return chosen


def encode(path: Path, frames: np.ndarray, fps: float) -> None:
    """Write frames (T, H, W, 3) uint8 RGB of even sides as H.264: the same bytes for the same frames, no metadata."""
    with av.open(str(path), "w", format="mp4", options={"movflags": "+faststart"}) as container:
        container.flags |= cast(int, Flags.bitexact.value)
        # The estimates of x264's macroblock tree differ from run to run in their last bits, and so do the bytes then.
        options = {"crf": "22", "preset": "veryfast", "threads": "1", "x264-params": "mbtree=0"}
        stream = container.add_stream("libx264", rate=round(fps), options=options)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "yuv420p"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, "rgb24")))
        container.mux(stream.encode())


def write(out: Path, item: Item) -> str:
    """Film one clip and write it and its annotation, each whole or not at all; its id."""
    made = film(item.label, item.seed, hard=item.hard)
    note = out / "annotations" / f"{item.id}.npz"
    part = note.with_suffix(".part")
    made.save(part)
    part.replace(note)
    clip = out / "clips" / f"{item.id}.mp4"
    part = clip.with_suffix(".part")
    encode(part, made.frames, made.fps)
    part.replace(clip)
    return item.id


def _written(out: Path, missing: Sequence[Item], workers: int) -> Iterator[str]:
    if workers == 1 or len(missing) < 2:
        for item in missing:
            yield write(out, item)
        return
    with ProcessPoolExecutor(min(workers, len(missing)), get_context("spawn"), _follow_parent) as pool:
        running = [pool.submit(write, out, item) for item in missing]
        try:
            for done in as_completed(running):
                yield done.result()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _follow_parent() -> None:
    """End this worker with the process that started it: a pool's workers outlive a parent that is killed."""
    parent = parent_process()
    assert parent

    def follow() -> None:
        parent.join()
        os._exit(1)

    Thread(target=follow, daemon=True).start()


def _claim(out: Path, what: Mapping[str, object]) -> None:
    """Mark the folder as this data set's."""
    about = out / ABOUT
    if about.exists():
        if (found := json.loads(about.read_text(encoding="utf-8"))) != what:
            raise BadInput(f"{out} holds the data set {found}, not {dict(what)}; give another folder")
    elif out.exists() and any(out.iterdir()):
        raise BadInput(f"{out} holds other files; give a new folder")
    else:
        out.mkdir(parents=True, exist_ok=True)
        about.write_text(json.dumps(what), encoding="utf-8")
    for folder in ("clips", "annotations", "splits"):
        (out / folder).mkdir(exist_ok=True)


def _clear(out: Path) -> None:
    """Remove what a killed run left half-written."""
    for folder in ("clips", "annotations"):
        for part in (out / folder).glob("*.part"):
            part.unlink()


def _splits(folder: Path, chosen: Sequence[Item]) -> None:
    """Two formats in use, base and novel classes numbered apart, and the whole as one table.

    `lists/` as in ViFi-CLIP for HMDB-51 and UCF-101: a line `file number` per clip, and labels as csv. `csv/` as in
    FROSTER: `path,number` per clip (train and val base, test novel), and labels as JSON.
    """
    order = {part: [label for label, action in ACTIONS.items() if action.split == part] for part in ("base", "novel")}
    names = {
        "base_train": ("base_train", "train"),
        "base_test": ("base_val", "val"),
        "novel_test": ("novel_val", "test"),
    }
    for name in ("lists", "csv"):
        (folder / name).mkdir(exist_ok=True)
    for split, (listed, comma) in names.items():
        numbered = [
            (f"clips/{i.id}.mp4", order[split.split("_")[0]].index(i.label)) for i in chosen if i.split == split
        ]
        (folder / "lists" / f"{listed}.txt").write_text("".join(f"{path} {number}\n" for path, number in numbered))
        (folder / "csv" / f"{comma}.csv").write_text("".join(f"{path},{number}\n" for path, number in numbered))
    for part, comma in (("base", "train"), ("novel", "test")):
        with (folder / "lists" / f"marionette_{part}_labels.csv").open("w", newline="") as file:
            csv.writer(file, lineterminator="\n").writerows([("id", "name"), *enumerate(order[part])])
        labels = json.dumps({str(k): label for k, label in enumerate(order[part])})
        (folder / "csv" / f"raw_{comma}_idx2cls.json").write_text(labels)
    with (folder / "items.csv").open("w", newline="") as file:
        table = csv.DictWriter(file, list(Item.__dataclass_fields__), lineterminator="\n")
        table.writeheader()
        table.writerows(asdict(item) for item in chosen)


def _card(out: Path, chosen: Sequence[Item], seed: int, hard: bool) -> None:
    counts = {split: sum(item.split == split for item in chosen) for split in ("base_train", "base_test", "novel_test")}
    text = files(__package__).joinpath("dataset_card.template").read_text(encoding="utf-8")
    facts = {"clips": len(chosen), "seed": seed, "hard": hard, "version": VERSION, "fps": f"{FPS:g}", **counts}
    lists = {
        part: "\n".join(f"- {label}: {_composed(label)}" for label, action in ACTIONS.items() if action.split == part)
        for part in ("base", "novel")
    }
    primitives = "\n".join(f"- `{name}`: {primitive.meaning}" for name, primitive in PRIMITIVES.items())
    (out / "README.md").write_text(Template(text).substitute(facts, **lists, primitives=primitives), encoding="utf-8")


def _composed(label: str) -> str:
    return ", ".join(("b:" if person else "") + name for person, name in ACTIONS[label].primitives)
