"""`video-star models`: weights of engines that are not bundled."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Final

import typer

from .errors import typed_errors
from .options import Force

if TYPE_CHECKING:
    from rich.progress import Progress

LICENCE: Final = (
    "YOLO11, its weights and ultralytics are AGPL-3.0 (or under ultralytics' commercial licence): software you build "
    "with them, and services you run with it, must be open under the same licence. The embedded engine is not affected."
)

app = typer.Typer(help="List and download the weights of YOLO11 (AGPL-3.0).", no_args_is_help=True)


@app.command("list")
def list_models() -> None:
    """List the weights, which of them are on this machine, and the engine in use."""
    with typed_errors():
        from rich.markup import escape

        from ..tools.vision.checkpoints import NAMES
        from ..tools.vision.engines import VARIABLE, engine_name
        from .messages import console

        for name in NAMES:
            console.print(f"  {escape(_state(name))}", soft_wrap=True)
        console.print(f"engine in use: {escape(engine_name())}", soft_wrap=True)
        console.print(
            f"{VARIABLE} selects it: embedded, a name from above, the path of an export, or KIND:ARGUMENT",
            soft_wrap=True,
        )
        console.print(LICENCE, soft_wrap=True)


@app.command()
def pull(
    names: Annotated[list[str], typer.Argument(help="Names such as yolo11n yolo11n-pose.")], force: Force = False
) -> None:
    """Download weights from the publisher's release; an interrupted download is resumed."""
    with typed_errors():
        from rich.progress import BarColumn, DownloadColumn, TextColumn, TimeRemainingColumn, TransferSpeedColumn
        from rich.progress import Progress as Bars

        from ..tools.vision.checkpoints import check_pull
        from .messages import Screen

        for name in names:
            check_pull(name, force=force)
        columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
        with Bars(*columns, TimeRemainingColumn(), console=Screen(sys.stderr)) as bars:
            for name in names:
                _pull_one(name, bars, force)
        print(LICENCE, file=sys.stderr)


def _pull_one(name: str, bars: Progress, force: bool) -> None:
    from ..tools.vision.checkpoints import SHA256, digest
    from ..tools.vision.checkpoints import pull as download

    bar = bars.add_task(name, total=None)

    def on_progress(done: int, total: int | None) -> None:
        bars.update(bar, completed=done, total=total)

    path = download(name, on_progress, force=force)
    bars.update(bar, completed=path.stat().st_size, total=path.stat().st_size)
    print(f"{name}: {path}")
    if name not in SHA256:
        print(
            f"{name}: no published checksum; trusted on first use, recorded as sha256 {digest(path)}", file=sys.stderr
        )


def _state(name: str) -> str:
    from ..tools.vision.checkpoints import digest, expected_digest, file_of

    path = file_of(name)
    if not path.is_file():
        return f"- {name}: video-star models pull {name}"
    if digest(path) != expected_digest(name):
        return f"✗ {name}: {path} does not match its checksum: video-star models pull {name} --force"
    return f"✓ {name}: {path} ({path.stat().st_size / 1e6:.0f} MB, sha256 {digest(path)[:12]})"
