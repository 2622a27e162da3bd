"""`video-star marionette`: generate a data set of animated people."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .errors import typed_errors

app = typer.Typer(help="Generate Marionette, clips of animated people.", no_args_is_help=True)


@app.command()
def make(
    out: Annotated[Path, typer.Argument(help="New folder, or one of the same seed, which is resumed or extended.")],
    clips: Annotated[
        int, typer.Option(help="Number of clips: a multiple of 48, from 96 on every split has clips.")
    ] = 960,
    seed: Annotated[int, typer.Option(help="The same seed gives the same clips.")] = 0,
    hard: Annotated[
        bool, typer.Option("--hard", help="Blur, occluders, camera shake, odd views, dim light, noise.")
    ] = False,
    workers: Annotated[int | None, typer.Option(help="Number of processes; default: one per core.")] = None,
) -> None:
    """Generate clips with opaque names, annotations, split files and a data card."""
    with typed_errors():
        from ..evals.marionette.dataset import make as make_dataset

        print(f"{len(make_dataset(out, clips, seed, hard, workers))} clips: {out}")
