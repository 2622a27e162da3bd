"""`video-star models`: the weights of engines that do not ship with the package, and how they come here."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from ..tools.vision.checkpoints import NAMES, SHA256, digest, expected, file_of, pull

LICENCE = (
    "YOLO11, its weights and ultralytics are AGPL-3.0 (or under ultralytics' commercial licence): what you build with "
    "them, served over a network too, must be open under it. The embedded engine is not concerned."
)


def show() -> None:
    """Print which weights there are, which are here, and which engine looks now."""
    from ..tools.vision.engines import VARIABLE, engine_name

    console = Console(highlight=False)
    for name in NAMES:
        console.print(f"  {escape(_state(name))}", soft_wrap=True)
    console.print(f"engine in use: {escape(engine_name())}", soft_wrap=True)
    console.print(
        f"{VARIABLE} chooses it: embedded, a name from above, the path of an export, or KIND:WHAT", soft_wrap=True
    )
    console.print(LICENCE, soft_wrap=True)


def fetch(names: Sequence[str]) -> None:
    """Fetch weights by name, with a bar for each, and print where they are."""
    for name in names:
        file_of(name)
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, TimeRemainingColumn(), console=Console(file=sys.stderr)) as bars:
        for name in names:
            _fetch_one(name, bars)
    print(LICENCE, file=sys.stderr)


def _fetch_one(name: str, bars: Progress) -> None:
    bar = bars.add_task(name, total=None)

    def on_progress(done: int, total: int | None) -> None:
        bars.update(bar, completed=done, total=total)

    path = pull(name, on_progress)
    bars.update(bar, completed=path.stat().st_size, total=path.stat().st_size)
    print(f"{name}: {path}")
    if name not in SHA256:
        print(f"{name}: no checksum is known: trusted on first use, recorded as sha256 {digest(path)}", file=sys.stderr)


def _state(name: str) -> str:
    path = file_of(name)
    if not path.is_file():
        return f"- {name}: video-star models pull {name}"
    if digest(path) != expected(name):
        return f"✗ {name}: {path} is not what was published or fetched: video-star models pull {name}"
    return f"✓ {name}: {path} ({path.stat().st_size / 1e6:.0f} MB, sha256 {digest(path)[:12]})"
