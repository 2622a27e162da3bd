"""Writes a Marionette data set: clips with opaque names, annotations, split files, a data card."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import signal
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib.resources import files
from io import StringIO
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
from ...tools.execution.media_store import write_atomically
from ...tools.output_files import check_folder
from .actions import ACTIONS
from .clip_renderer import FPS, film
from .primitives import PRIMITIVES

ABOUT: Final = "marionette.json"
"""The file that identifies a folder as a data set, with its settings."""
VERSION: Final = 1
"""Incremented when the same seed would give different clips."""
TEST_ROUND: Final = 4
"""One of this many rounds of the base classes is for testing."""
SMALLEST: Final = 2 * len(ACTIONS)
"""Clips from which on every split has clips of each of its classes."""


@dataclass(frozen=True)
class Item:
    """One clip of the data set."""

    id: str
    """Hexadecimal digest of seed and index, which does not reveal the class."""
    label: str
    split: str
    """base_train, base_test or novel_test."""
    seed: int
    """Seed for `film`."""
    hard: bool


def items(clips: int, seed: int, hard: bool = False) -> list[Item]:
    """The clips of a data set; a larger data set begins with the clips of a smaller one.

    The classes take turns. Every fourth round of the base classes and all novel clips are for testing.
    """
    selected = []
    for index in range(clips):
        turn, place = divmod(index, len(ACTIONS))
        label = list(ACTIONS)[place]
        digest = hashlib.blake2b(f"marionette {VERSION} {seed} {index} {hard}".encode(), digest_size=16)
        part = "test" if ACTIONS[label].split == "novel" or turn % TEST_ROUND == 1 else "train"
        own = int.from_bytes(digest.digest()[8:], "big")
        selected.append(Item(digest.hexdigest()[:16], label, f"{ACTIONS[label].split}_{part}", own, hard))
    return selected


def listing(data: Path, split: str) -> Path:
    """The file that lists the clips of a split, such as `base_val`, of a data set.

    Raises:
        BadInput: The folder is no data set, or the split has no clips.
    """
    path = data / "splits" / "lists" / f"{split}.txt"
    if not path.is_file():
        raise BadInput(f"{path} is missing; give a data set that `video-star marionette make` wrote, and its split")
    if not path.read_text(encoding="utf-8").strip():
        raise BadInput(f"{split} has no clips; make at least {SMALLEST}: video-star marionette make {data} --clips ...")
    return path


def make(out: Path, clips: int, seed: int = 0, hard: bool = False, workers: int | None = None) -> list[Item]:
    """Write a data set, or its missing clips; the frames do not depend on the number of workers.

    Args:
        out: A new folder, or one written by an earlier call with the same seed and difficulty. Existing clips are kept,
            so an interrupted call can be resumed and a data set can be enlarged.
        clips: Number of clips; a multiple of the number of actions gives each the same number.
        seed: 0 or more.
        hard: Add motion blur, occluders, distractors, camera shake, unusual views, dim light and noise.
        workers: Number of processes; None: one per core.

    Raises:
        BadInput: The folder holds another data set or other files, or a number is out of range.
    """
    if clips < 1 or seed < 0 or (workers is not None and workers < 1):
        raise BadInput(
            f"clips={clips}, seed={seed}, workers={workers}; give clips and workers above 0 and a seed of 0 or more"
        )
    _identify(out, {"version": VERSION, "seed": seed, "hard": hard})
    selected = items(clips, seed, hard)
    _remove_partial_files(out)
    missing = [item for item in selected if not (out / "clips" / f"{item.id}.mp4").exists()]
    columns = (TextColumn("[bold cyan]marionette"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns) as progress:
        task = progress.add_task("", total=clips, completed=clips - len(missing))
        for _ in _write_all(out, missing, workers or os.cpu_count() or 1):
            progress.advance(task)
    _splits(out / "splits", selected)
    _card(out, selected, seed, hard)
    return selected


def encode(path: Path, frames: np.ndarray, fps: float) -> None:
    """Write frames (T, H, W, 3) uint8 RGB with even sides as H.264, reproducibly and without metadata."""
    with av.open(str(path), "w", format="mp4", options={"movflags": "+faststart"}) as container:
        container.flags |= cast(int, Flags.bitexact.value)
        # x264's macroblock tree is not reproducible to the last bit.
        options = {"crf": "22", "preset": "veryfast", "threads": "1", "x264-params": "mbtree=0"}
        stream = container.add_stream("libx264", rate=round(fps), options=options)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "yuv420p"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, "rgb24")))
        container.mux(stream.encode())


def write(out: Path, item: Item) -> str:
    """Render one clip and write it and its annotations, each atomically; returns its id."""
    clip = film(item.label, item.seed, hard=item.hard)
    path = out / "annotations" / f"{item.id}.npz"
    part = path.with_suffix(".part")
    clip.save(part)
    part.replace(path)
    path = out / "clips" / f"{item.id}.mp4"
    part = path.with_suffix(".part")
    encode(part, clip.frames, clip.fps)
    part.replace(path)
    return item.id


def _write_all(out: Path, missing: Sequence[Item], workers: int) -> Iterator[str]:
    if workers == 1 or len(missing) < 2:
        for item in missing:
            yield write(out, item)
        return
    with ProcessPoolExecutor(min(workers, len(missing)), get_context("spawn"), _follow_parent) as pool:
        with _interrupts_blocked():
            running = [pool.submit(write, out, item) for item in missing]
        try:
            for done in as_completed(running):
                yield done.result()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


@contextmanager
def _interrupts_blocked() -> Iterator[None]:
    """Block Ctrl-C for the processes started meanwhile: they end with their parent, which alone answers it."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _follow_parent() -> None:
    """End this worker together with its parent: the workers of a pool outlive a parent that is killed."""
    parent = parent_process()
    assert parent

    def follow() -> None:
        parent.join()
        os._exit(1)

    Thread(target=follow, daemon=True).start()


def _identify(out: Path, what: Mapping[str, object]) -> None:
    """Check or write the file that identifies the data set, and create its folders."""
    check_folder("the data set", out, mark=ABOUT)
    about = out / ABOUT
    if about.exists():
        if (found := json.loads(about.read_text(encoding="utf-8"))) != what:
            raise BadInput(f"{out} holds the data set {found}, not {dict(what)}; give another folder")
    else:
        write_atomically(about, json.dumps(what).encode())
    for folder in ("clips", "annotations", "splits"):
        (out / folder).mkdir(exist_ok=True)


def _remove_partial_files(out: Path) -> None:
    """Remove the incomplete files of a killed run."""
    for folder in ("clips", "annotations"):
        for part in (out / folder).glob("*.part"):
            part.unlink()


def _splits(folder: Path, selected: Sequence[Item]) -> None:
    """Write the splits in two published formats, with base and novel classes numbered separately, and as one table.

    `lists/` as in ViFi-CLIP for HMDB-51 and UCF-101: one line `file number` per clip, and labels as CSV. `csv/` as in
    FROSTER: one line `path,number` per clip (train and val: base, test: novel), and labels as JSON.
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
            (f"clips/{i.id}.mp4", order[split.split("_")[0]].index(i.label)) for i in selected if i.split == split
        ]
        _write(folder / "lists" / f"{listed}.txt", "".join(f"{path} {number}\n" for path, number in numbered))
        _write(folder / "csv" / f"{comma}.csv", "".join(f"{path},{number}\n" for path, number in numbered))
    for part, comma in (("base", "train"), ("novel", "test")):
        names_of = StringIO()
        csv.writer(names_of, lineterminator="\n").writerows([("id", "name"), *enumerate(order[part])])
        _write(folder / "lists" / f"marionette_{part}_labels.csv", names_of.getvalue())
        labels = json.dumps({str(k): label for k, label in enumerate(order[part])})
        _write(folder / "csv" / f"raw_{comma}_idx2cls.json", labels)
    rows = StringIO()
    table = csv.DictWriter(rows, list(Item.__dataclass_fields__), lineterminator="\n")
    table.writeheader()
    table.writerows(asdict(item) for item in selected)
    _write(folder / "items.csv", rows.getvalue())


def _write(path: Path, text: str) -> None:
    write_atomically(path, text.encode())


def _card(out: Path, selected: Sequence[Item], seed: int, hard: bool) -> None:
    counts = {
        split: sum(item.split == split for item in selected) for split in ("base_train", "base_test", "novel_test")
    }
    text = files(__package__).joinpath("dataset_card.template").read_text(encoding="utf-8")
    facts = {"clips": len(selected), "seed": seed, "hard": hard, "version": VERSION, "fps": f"{FPS:g}", **counts}
    lists = {
        part: "\n".join(f"- {label}: {_composed(label)}" for label, action in ACTIONS.items() if action.split == part)
        for part in ("base", "novel")
    }
    primitives = "\n".join(f"- `{name}`: {primitive.meaning}" for name, primitive in PRIMITIVES.items())
    _write(out / "README.md", Template(text).substitute(facts, **lists, primitives=primitives))


def _composed(label: str) -> str:
    return ", ".join(("b:" if person else "") + name for person, name in ACTIONS[label].primitives)
